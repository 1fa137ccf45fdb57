"""Safe stdout and stderr: output that cannot be written is dropped, characters that cannot be encoded are escaped."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

import pytest

from broken_streams import closed_pipe, full_device
from vapi_sessions.cli import streams
from vapi_sessions.cli.display import Bars
from vapi_sessions.operations.progress import Counts


def test_a_non_blocking_pipe_gets_everything() -> None:
    """A shell or ssh may have set O_NONBLOCK; a write that would block waits."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    got: list[bytes] = []

    def read() -> None:
        time.sleep(0.05)
        with os.fdopen(reads, "rb") as pipe:
            got.append(pipe.read())

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(writes, "w", encoding="utf-8") as stream:
        safe = streams.guarded(stream)
        safe.write("x" * 1_000_000)
        safe.flush()
    reader.join()
    assert len(got[0]) == 1_000_000


@pytest.mark.parametrize("unbuffered", [False, True])
def test_a_stream_works_again_when_there_is_space(tmp_path: Path, unbuffered: bool) -> None:
    """Only output without space is lost, with and without buffering."""
    full, path = full_device(), tmp_path / "out"
    descriptor = os.dup(full)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.reconfigure(write_through=unbuffered)
        safe = streams.guarded(stream)
        print("lost", file=safe, flush=True)
        with path.open("wb") as file:
            os.dup2(file.fileno(), descriptor)
        print("kept", file=safe, flush=True)
    os.close(full)
    assert path.read_text() == "kept\n"


def test_bars_work_after_the_terminal_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich draws from a thread of its own."""
    ours, theirs = os.openpty()
    with open(theirs, "w", encoding="utf-8", closefd=False) as terminal:
        safe = streams.guarded(terminal)
        monkeypatch.setattr(sys, "stderr", safe)
        with Bars("sync") as shown:
            shown.planned(2, 100)
            shown.read(50)
            os.close(ours)
            time.sleep(0.3)  # a few frames
            shown.say("a line")
            shown.waiting(5, "a reason")
            shown.merged(Counts())
            shown.window_done()
        monkeypatch.undo()
    os.close(theirs)


def test_replaced_streams_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Streams of a test or a notebook are not ours."""
    before = sys.stdout, sys.stderr
    streams.secure()
    streams.demand()
    assert (sys.stdout, sys.stderr) == before
    print("heard")
    assert (capsys.readouterr().out, streams.lost()) == ("heard\n", None)


def test_the_error_handler_of_the_user_is_kept() -> None:
    """`PYTHONIOENCODING=ascii:replace`."""
    reads, writes = os.pipe()
    with (
        os.fdopen(reads, encoding="ascii") as pipe,
        os.fdopen(writes, "w", encoding="ascii", errors="replace") as stream,
    ):
        print("a·b", file=streams.guarded(stream), flush=True)
        stream.close()
        assert pipe.read() == "a?b\n"


def test_lone_surrogates_are_escaped(tmp_path: Path) -> None:
    """They occur in names of files in another encoding."""
    path = tmp_path / "out"
    with path.open("w", encoding="utf-8", errors="surrogateescape") as stream:
        print("a\udcffb\ud83d", file=streams.guarded(stream), flush=True)
    assert path.read_text() == "a\\udcffb\\ud83d\n"


SCHEDULE: Final = """
import multiprocessing, sys
from rich.console import Console
from vapi_sessions.__main__ import main

def run():
    Console(stderr=True).print("Rich exits when a pipe is broken")
    print("so does the interpreter", flush=True)

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=run)
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""


def test_a_scheduled_run_has_safe_streams(tmp_path: Path) -> None:
    """Prefect spawns a process, which imports the command's script and inherits its streams."""
    (tmp_path / "vapi-sessions").write_text(SCHEDULE)
    closed = closed_pipe()
    done = subprocess.run(
        [sys.executable, tmp_path / "vapi-sessions"], stdout=closed, stderr=closed, check=False
    )
    os.close(closed)
    assert done.returncode == 0
