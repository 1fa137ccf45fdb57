"""Child processes end with their parent, together with the processes that they have started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from vapi_sessions.core import child

#: A module that starts a process, writes both ids to a file, and does not end.
SERVER = """
import os, pathlib, subprocess, sys, time
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
ids = pathlib.Path(sys.argv[1])
ids.with_suffix(".new").write_text(f"{os.getpid()} {below.pid}")
ids.with_suffix(".new").rename(ids)
time.sleep(600)
"""
#: Its parent, which starts another process that inherits all descriptors.
PARENT = """
import os, subprocess, sys, time
from vapi_sessions.core import child
server = child.start("a_server", sys.argv[1], environment=os.environ)
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], close_fds=False)
print(other.pid, flush=True)
time.sleep(600)
"""
#: A parent whose child is a process of multiprocessing.
FAMILY = """
import multiprocessing, sys, time
from vapi_sessions.core import child

def run():
    %s
    print("follows", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=run)
    process.start()
    print(process.pid, flush=True)
    process.join()
"""
#: Seconds that a busy machine may take.
LONG = 120


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which the module can be imported."""
    (tmp_path / "a_server.py").write_text(SERVER)
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


@pytest.fixture
def started() -> Iterator[list[psutil.Process]]:
    """Processes that are killed after the test."""
    processes: list[psutil.Process] = []
    yield processes
    for process in processes:
        if process.is_running():
            process.kill()


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """The processes that do not end in time. A zombie counts as ended."""

    def lives(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    for _ in range(LONG * 20):
        if not any(map(lives, processes)):
            break
        time.sleep(0.05)
    return [process for process in processes if lives(process)]


def read_ids(path: Path, process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes named in a file, as soon as it exists."""
    for _ in range(LONG * 20):
        if path.exists():
            return [psutil.Process(int(pid)) for pid in path.read_text().split()]
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
    pytest.fail("the child did not start")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_child_and_its_own_children_end_with_the_parent(
    number: signal.Signals, environment: dict[str, str], tmp_path: Path, started: list[psutil.Process]
) -> None:
    """Even if the parent is killed. Its other processes go on."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "ids")], env=environment, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    other = psutil.Process(int(parent.stdout.readline()))
    family = read_ids(tmp_path / "ids", parent)
    started += [psutil.Process(parent.pid), other, *family]
    parent.send_signal(number)
    assert parent.wait(LONG) == -number
    parent.stdout.close()
    assert living(family) == []
    assert other.is_running()


def test_stop_waits_until_the_child_has_ended(
    environment: dict[str, str], tmp_path: Path, started: list[psutil.Process]
) -> None:
    """The child's own children have ended, too."""
    server = child.start("a_server", str(tmp_path / "ids"), environment=environment)
    started += read_ids(tmp_path / "ids", server)
    child.stop(server)
    assert server.returncode is not None
    assert living(started) == []


def test_a_child_that_does_not_end_is_killed() -> None:
    """It ignores SIGTERM, and gets SIGKILL."""
    stubborn = (
        "import signal; from vapi_sessions.core import child; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "child._end_with_parent(0, 0.01)"
    )
    done = subprocess.run(
        [sys.executable, "-c", stubborn],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        timeout=LONG,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "following",
    [
        "child.follow_parent()",
        # a scheduled run, which Prefect starts; it follows its parent before its first request to the Prefect server
        pytest.param(
            "from vapi_sessions.operations import schedule; schedule.load_flow('sync')",
            marks=pytest.mark.proof,
        ),
    ],
)
def test_a_process_of_multiprocessing_follows_its_parent(
    following: str, tmp_path: Path, started: list[psutil.Process]
) -> None:
    """After `follow_parent`, which scheduled runs call."""
    script = tmp_path / "family.py"
    script.write_text(FAMILY % following)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    run = psutil.Process(int(parent.stdout.readline()))
    started += [psutil.Process(parent.pid), run]
    assert parent.stdout.readline() == b"follows\n"
    parent.kill()
    parent.wait(LONG)
    parent.stdout.close()
    assert living([run]) == []
