"""Wall time, CPU time and memory of a command and its child processes.

CPU time is exact: the kernel adds it up for the process and the children it waited for. Memory is sampled: the sum of the
proportional set sizes of all processes, in which a shared page counts once. The largest resident size of a single process,
which the kernel keeps, is a lower bound for it. Without these figures (not on Linux) the resident size is used for both.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

#: Seconds between two samples of the memory; a sample takes some milliseconds.
EVERY: Final = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of a command. `wall` and `cpu` in seconds; `memory`: the peak, bytes; `began`, `ended`: monotonic clock."""

    wall: float
    cpu: float
    memory: int
    began: float
    ended: float
    output: str


class _Watch(threading.Thread):
    """Samples the memory of a process and its children until `stop`."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._done = threading.Event()
        self.peak = 0

    def run(self) -> None:
        while True:
            self._sample()
            if self._done.wait(EVERY):
                return

    def stop(self) -> int:
        """Stop; returns the peak, bytes."""
        self._done.set()
        self.join()
        return self.peak

    def _sample(self) -> None:
        shared, largest = 0, 0
        try:
            processes = [self._root, *self._root.children(recursive=True)]
        except psutil.Error:
            return
        for process in processes:
            try:
                proportional, resident = _memory(process)
            except (psutil.Error, OSError, ValueError):
                continue  # it has ended
            shared += proportional
            largest = max(largest, resident)
        self.peak = max(self.peak, shared, largest)


def _memory(process: psutil.Process) -> tuple[int, int]:
    """Bytes: the proportional set size now, and the largest resident size so far."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        resident: int = process.memory_info().rss
        return resident, resident
    high = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    largest = int(high[0]) * 1024 if high else 0  # no line: it has ended
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except PermissionError:  # some containers hide it
        return largest, largest
    proportional = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return proportional * 1024, largest


def run(
    command: Sequence[object], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Measured:
    """Run a command to its end. Raises RuntimeError with its output if it fails."""
    began = time.monotonic()
    process = subprocess.Popen(
        [str(part) for part in command],
        env=dict(env) if env is not None else None,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    output: dict[str, str] = {}
    readers = [
        threading.Thread(target=lambda name=name, pipe=pipe: output.update({name: pipe.read()}))
        for name, pipe in (("out", process.stdout), ("err", process.stderr))
        if pipe is not None
    ]
    watch = _Watch(process.pid)
    for thread in (watch, *readers):
        thread.start()
    try:
        _, status, used = os.wait4(process.pid, 0)
    except BaseException:  # interrupted: leave no process behind
        process.kill()
        process.wait()
        watch.stop()
        raise
    ended = time.monotonic()
    process.returncode = os.waitstatus_to_exitcode(status)
    memory = watch.stop()
    for reader in readers:
        reader.join()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    if process.returncode:
        message = (output.get("err", "") or output.get("out", "")).strip()[-2000:]
        raise RuntimeError(f"{Path(str(command[0])).name} ended with {process.returncode}:\n{message}")
    return Measured(ended - began, used.ru_utime + used.ru_stime, memory, began, ended, output.get("out", ""))
