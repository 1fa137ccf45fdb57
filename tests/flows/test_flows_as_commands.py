"""`python flows/….py` ends like the command: with the same two lines, the same exit codes, and no traceback.

Without a Prefect server: errors before it is needed, and the state that an error of ours becomes.
"""

from __future__ import annotations

import fcntl
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from constants import KEY
from selection import first
from vapi_sessions.cli import app
from vapi_sessions.errors import SourceRefusedError, WarehouseBusyError
from vapi_sessions.operations.schedule import load_flow

FLOWS = Path(__file__).resolve().parents[2] / "flows"


@pytest.fixture(autouse=True)
def warehouse(tmp_path: Path) -> Iterator[Path]:
    """An environment with a key, a source that gets no request, and a warehouse; restored at the end."""
    before = dict(os.environ)
    os.environ.update(
        VAPI_API_KEY=KEY, VAPI_BASE_URL="http://127.0.0.1:9", VAPI_WAREHOUSE=str(tmp_path / "warehouse")
    )
    yield tmp_path / "warehouse"
    os.environ.clear()
    os.environ.update(before)


def ended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, flow: str, *arguments: str
) -> tuple[object, list[str]]:
    """The exit code of `python flows/….py`, and its lines on stderr."""
    monkeypatch.setattr(sys, "argv", [str(FLOWS / flow), *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(FLOWS / flow), run_name="__main__")
    printed = capsys.readouterr()
    assert printed.out == ""
    return end.value.code, printed.err.splitlines()


@pytest.mark.parametrize(
    ("flow", "arguments"),
    first([("sync.py", []), ("reconcile.py", []), ("backfill.py", ["2026-01-01"])]),
)
def test_without_a_key_a_flow_prints_the_same_error_as_the_command(
    flow: str, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 at once, no server started."""
    del os.environ["VAPI_API_KEY"]
    code, lines = ended(capsys, monkeypatch, flow, *arguments)
    monkeypatch.setattr(sys, "argv", ["vapi-sessions", "sync"])
    with pytest.raises(SystemExit) as command:
        app.main()
    assert (code, lines) == (command.value.code, capsys.readouterr().err.splitlines())
    assert (code, len(lines)) == (2, 2)
    assert lines[0] == "error: No API key."


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["yesterday"],
            "error: --since: 'yesterday' is not a date; write 2026-01-31 or 2026-01-31T12:00:00Z.",
        ),
        (["2026-02-01", "2026-01-01"], "error: --since 2026-02-01T00:00:00.000Z is not before --until"),
        ([], "error: A backfill needs one or two dates, not 0 arguments."),
        (["2026-01-01", "2026-02-01", "x"], "error: A backfill needs one or two dates, not 3 arguments."),
    ],
)
def test_a_backfill_refuses_invalid_dates(
    arguments: list[str],
    line: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit code 2, before anything is started."""
    code, lines = ended(capsys, monkeypatch, "backfill.py", *arguments)
    assert (code, len(lines)) == (2, 2)
    assert lines[0].startswith(line)


def test_an_error_of_ours_becomes_a_failed_state_with_its_message(warehouse: Path) -> None:
    """In one line. The result raises the error itself, and so has its exit code."""
    flows = load_flow("sync")

    def refuses() -> None:
        raise SourceRefusedError("The source says no (403).", "Look at the key.")

    state = flows.as_state(refuses)
    assert (state.is_failed(), state.message) == (True, "The source says no (403). Look at the key.")
    assert state.data.__traceback__ is None  # it would keep the run and its database alive
    with pytest.raises(SourceRefusedError):
        state.result()
    assert flows.as_state(lambda: 7) == 7


@pytest.mark.parametrize(
    ("name", "parameters"), [("sync", []), ("backfill", ["2026-01-01"]), ("reconcile", [])]
)
def test_a_flow_on_a_locked_warehouse_fails(name: str, parameters: list[str], warehouse: Path) -> None:
    """The message of the state names the other process."""
    from prefect.logging import disable_run_logger

    flow = getattr(load_flow(name), f"{name}_flow")
    warehouse.mkdir()
    with (warehouse / ".lock").open("w") as lock, disable_run_logger():
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = flow.fn(*parameters)
    assert state.is_failed()
    assert "is writing to" in state.message
    assert "\n" not in state.message
    with pytest.raises(WarehouseBusyError):
        state.result()


def test_a_deployment_with_an_invalid_date_fails() -> None:
    """Parameters are user input too."""
    from prefect.logging import disable_run_logger

    with disable_run_logger():
        state = load_flow("backfill").backfill_flow.fn("yesterday")
    assert state.is_failed()
    assert state.message.startswith("--since: 'yesterday' is not a date")
