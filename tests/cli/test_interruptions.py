"""Ctrl-C during a sync, and during the imports."""

from __future__ import annotations

import builtins
import itertools
import signal
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from command import COMMAND, Ran
from desk import Desk
from vapi_emulator.faults import Fault
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import FaultSettings
from vapi_sessions import __main__ as entry


def _check_interrupted(desk: Desk, ran: Ran) -> None:
    """The sync was interrupted with some of the sessions stored, and the next one fetches the rest."""
    assert (ran.code, ran.out) == (130, "")
    assert ran.message[0] == "error: Interrupted."
    assert len(ran.message) == 2
    assert desk.rows("SELECT count(*) FROM sessions")[0][0] < 120
    assert desk.run("sync").code == 0
    assert desk.rows("SELECT count(*) FROM sessions") == [(120,)]
    assert desk.rows("SELECT outcome FROM sync.runs ORDER BY started_at") == [("interrupted",), ("done",)]


def test_the_next_sync_completes_an_interrupted_one(
    tmp_path: Path, source: EmulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGINT after some pages: exit code 130, two lines, and nothing is claimed falsely."""
    desk = Desk(source, tmp_path / "warehouse")
    pages, ask = itertools.count(1), httpx.HTTPTransport.handle_request

    def interrupted(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.url.params.get("limit") == "5" and next(pages) == 8:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return ask(transport, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", interrupted)
    _check_interrupted(desk, desk.run("sync", "--page-size", "5", "--concurrency", "2"))


@pytest.mark.proof
def test_ctrl_c_ends_the_process_while_the_source_hangs(
    tmp_path: Path, source: EmulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGINT from another process while a request hangs."""
    desk = Desk(source, tmp_path / "warehouse")
    source.configure(faults=FaultSettings(hang_seconds=0.5))
    hanging = threading.Event()

    def hang_after_some_pages(caller: str) -> Fault | None:
        if sum(request.parameters.get("limit") == "5" for request in source.requests) < 4:
            return None
        hanging.set()
        return Fault("hang")

    with (
        monkeypatch.context() as patch,
        subprocess.Popen(
            [COMMAND, "sync", "--page-size", "5", "--concurrency", "2"],
            env=desk.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        patch.setattr(source.faults, "next", hang_after_some_pages)
        assert hanging.wait(120)
        process.send_signal(signal.SIGINT)
        patch.undo()
        out, err = process.communicate()
    _check_interrupted(desk, Ran(process.returncode, out, err))


def test_ctrl_c_during_the_imports_is_an_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows no traceback."""

    def interrupt(name: str, *more: object) -> object:
        if name == "vapi_sessions.cli.app":
            raise KeyboardInterrupt
        return imported(name, *more)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", interrupt)
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert end.value.code == 130
