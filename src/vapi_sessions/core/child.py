"""Child processes that end when their parent ends, however the parent ends.

The child's standard input is a pipe, and the parent alone holds its other end. The kernel closes that end with the
parent's last breath (SIGKILL, a crash, `os._exit`), the child reads the end of the file, and ends itself and whatever
it has started. Nothing is polled, and no process id can be mistaken for another. Processes of `multiprocessing` have
such a pipe already, and only need to watch it.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing import connection
from typing import Final

#: Seconds that a child has to end by itself before it is killed.
GRACE: Final = 15.0


def start(module: str, *arguments: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Run `python -m module arguments…` in a session of its own, without output."""
    return subprocess.Popen(  # noqa: S603  # our own interpreter
        [sys.executable, "-m", __name__, module, *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def stop(child: subprocess.Popen[bytes]) -> None:
    """End it as our own end would, and wait until it is gone."""
    if child.stdin is not None:
        child.stdin.close()
    try:
        child.wait(2 * GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # its group, in which it is the first
        child.wait()


def follow_parent() -> None:
    """In a process of `multiprocessing`, end when its parent has ended; in any other do nothing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel, GRACE), daemon=True).start()


def terminate_all() -> None:
    """Tell all processes that `multiprocessing` started to end; those that do not are killed after a while."""
    for process in multiprocessing.active_children():
        process.terminate()
    threading.Thread(target=_kill_all, args=(GRACE,), daemon=True).start()


def _kill_all(grace: float) -> None:
    time.sleep(grace)
    for process in multiprocessing.active_children():
        process.kill()


def _follow(sentinel: int, grace: float) -> None:
    connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os.kill(os.getpid(), signal.SIGKILL)


def _end_with_parent(pipe: int, grace: float) -> None:
    while os.read(pipe, 4096):
        pass
    os.killpg(0, signal.SIGTERM)
    time.sleep(grace)
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """What the child does: watch the pipe, and be the module."""
    pipe = os.dup(0)  # not inherited by what the module starts
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_end_with_parent, args=(pipe, GRACE), daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
