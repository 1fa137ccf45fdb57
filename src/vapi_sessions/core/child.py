"""Child processes that end when their parent ends, however the parent ends.

The child's standard input is a pipe, and only the parent holds the other end. The kernel closes that end when the parent ends
(by SIGKILL, a crash or `os._exit`). The child then reads end-of-file, and ends itself and the processes it has started. Nothing
is polled, and no process id can be confused with another. Processes of `multiprocessing` already have such a pipe.
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

#: Seconds that a child gets to end by itself before it is killed.
GRACE: Final = 15.0


def start(module: str, *arguments: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Run `python -m module arguments…` in a new session, without output."""
    return subprocess.Popen(  # noqa: S603  # our own interpreter
        [sys.executable, "-m", __name__, module, *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def stop(child: subprocess.Popen[bytes]) -> None:
    """End the child as if this process had ended, and wait for it."""
    if child.stdin is not None:
        child.stdin.close()
    try:
        child.wait(2 * GRACE)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # its process group, which it leads
        child.wait()


def follow_parent() -> None:
    """End this process when its parent ends, if it is a process of `multiprocessing`; otherwise do nothing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel, GRACE), daemon=True).start()


def terminate_all() -> None:
    """Terminate all processes that `multiprocessing` has started, and kill those that do not end in time."""
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
    """In the child: watch the pipe and run the module."""
    pipe = os.dup(0)  # not inherited by what the module starts
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_end_with_parent, args=(pipe, GRACE), daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
