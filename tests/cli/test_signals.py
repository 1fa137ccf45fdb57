"""Ctrl-C and SIGTERM while the source hangs: the command ends at once, in order, and keeps what has arrived."""

from __future__ import annotations

import _thread
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vapi_sessions
from selection import first
from vapi_emulator.faults import Fault
from vapi_emulator.generate import History, fill
from vapi_emulator.server import EmulatorServer
from vapi_sessions.cli import signals
from vapi_sessions.operations import sync
from vapi_sessions.operations.preview import preview
from vapi_sessions.warehouse.layout import Layout, writer_lock
from worlds import settings_for

COMMAND = Path(sys.executable).with_name("vapi-sessions")
SESSIONS = 120
PAGE = 5
#: Seconds after which a failing test gives up; the tests take a second or two.
PATIENCE = 100


class Hanging:
    """A source that stops responding after some requests with this limit. The first hanging request calls `then`."""

    def __init__(self, server: EmulatorServer) -> None:
        self.server = server
        self.after, self.limit = 6, PAGE
        self.holds = threading.Event()
        self.then: Callable[[], object] = self.holds.set
        self._lock = threading.Lock()

    def next(self, caller: str) -> Fault | None:
        """The fault of a request."""
        answered = sum(r.parameters.get("limit") == str(self.limit) for r in self.server.requests)
        if answered < self.after:
            return None
        with self._lock:
            then, self.then = self.then, lambda: None
        then()
        return Fault("hang")


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hanging]:
    """A hanging source with a history."""
    with EmulatorServer() as server:
        now = server.store.now_us()
        fill(server.store, History(org_id=server.org_id, sessions=SESSIONS, days=5, seed=4, until_us=now))
        source = Hanging(server)
        monkeypatch.setattr(server.faults, "next", source.next)
        yield source


def environment(server: EmulatorServer, warehouse: Path) -> dict[str, str]:
    """The environment of a command."""
    return os.environ | {
        "VAPI_API_KEY": server.key,
        "VAPI_BASE_URL": server.url,
        "VAPI_WAREHOUSE": str(warehouse),
        "VAPI_SETTLE": "0s",
    }


def check_interrupted(warehouse: Path) -> None:
    """The pages that had arrived are published, and the run is recorded."""
    with vapi_sessions.connect(warehouse) as db:
        (arrived,) = db.execute("SELECT count(*) FROM sessions").fetchone() or (0,)
        outcomes = db.execute("SELECT outcome FROM sync.runs").fetchall()
    assert 0 < arrived < SESSIONS
    assert outcomes == [("interrupted",)]


@pytest.mark.parametrize("concurrency", first([1, 3]))
def test_ctrl_c_ends_a_sync_whose_requests_hang(hanging: Hanging, tmp_path: Path, concurrency: int) -> None:
    """It does not wait for time-outs; the pages that had arrived are stored, and the lock is free."""
    hanging.then = _thread.interrupt_main
    settings = settings_for(hanging.server, tmp_path / "warehouse", page_size=PAGE, concurrency=concurrency)
    with pytest.raises(KeyboardInterrupt):
        sync.sync(settings)
    check_interrupted(settings.warehouse)
    with writer_lock(Layout(settings.warehouse)):
        pass


@pytest.mark.parametrize("answered", [0, 5], ids=["the first request", "parallel requests"])
def test_ctrl_c_ends_a_plan_whose_requests_hang(hanging: Hanging, tmp_path: Path, answered: int) -> None:
    """In the thread that reads the oldest session, and in those that count windows."""
    hanging.after, hanging.limit, hanging.then = answered, 1, _thread.interrupt_main
    with pytest.raises(KeyboardInterrupt):
        preview(settings_for(hanging.server, tmp_path / "warehouse", page_size=PAGE))


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.proof)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_a_signal_interrupts_a_sync_whose_requests_hang(
    hanging: Hanging, tmp_path: Path, number: signal.Signals
) -> None:
    """One line at once, two at the end, and the exit code of shells for the signal."""
    warehouse = tmp_path / "warehouse"
    with subprocess.Popen(
        [COMMAND, "sync", "--page-size", str(PAGE), "--concurrency", "3"],
        env=environment(hanging.server, warehouse),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert hanging.holds.wait(PATIENCE)
        process.send_signal(number)
        said = iter(process.stderr.readline, "")
        assert f"{signals.STOPPING}\n" in said
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (128 + number, "")
    assert err.splitlines()[-2] == "error: Interrupted."
    check_interrupted(warehouse)


IGNORES_THE_FIRST = """
import threading
from vapi_sessions.cli import signals
with signals.listening(lambda postponed: "first"):
    while True:
        try:
            print("ready", flush=True)
            threading.Event().wait()
        except KeyboardInterrupt:
            print("still here", flush=True)
"""


def _started(code: str, **given: bool) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True, **given)


def test_the_second_signal_ends_the_process() -> None:
    """Even if the first one had no effect."""
    with _started(IGNORES_THE_FIRST) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "still here\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (130, "first\n")
    assert out in ("", "ready\n")


def test_an_ignored_signal_stays_ignored() -> None:
    """`nohup` and background shells need this."""
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + IGNORES_THE_FIRST.replace(
        "while True:", "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN\n    while False:"
    )
    with _started(code) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, "", "")
