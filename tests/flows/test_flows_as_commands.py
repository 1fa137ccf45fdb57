"""`python flows/….py` ends like the command: with the same two lines, the same exit codes, and no traceback.

Without a Prefect server: errors before it is needed.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import pytest

from selection import first
from vapi_sessions.cli import app

FLOWS = Path(__file__).resolve().parents[2] / "flows"


pytestmark = pytest.mark.usefixtures("warehouse")


def ended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, flow: str, *arguments: str
) -> tuple[object, list[str]]:
    """The exit code of `python flows/….py`, and its lines on stderr."""
    monkeypatch.setattr(sys, "argv", [str(FLOWS / flow), *arguments])
    monkeypatch.setattr(sys, "orig_argv", [sys.executable])  # hints name the interpreter as it was called
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(FLOWS / flow), run_name="__main__")
    printed = capsys.readouterr()
    assert printed.out == ""
    return end.value.code, printed.err.splitlines()


@pytest.mark.parametrize(
    ("flow", "arguments"),
    first([("sync.py", []), ("reconcile.py", []), ("backfill.py", ["2026-01-01"]), ("maintain.py", [])]),
)
def test_without_a_key_a_flow_prints_the_same_error_as_the_command(
    flow: str, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 at once, no server started."""
    del os.environ["VAPI_API_KEY"]
    code, lines = ended(capsys, monkeypatch, flow, *arguments)
    monkeypatch.setattr(sys, "argv", [str(Path(sys.executable).with_name("vapi-sessions")), "sync"])
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
        (["2999-01-01"], "error: --since 2999-01-01T00:00:00.000Z is in the future."),
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


@pytest.mark.parametrize("flow", ["sync.py", "reconcile.py", "maintain.py"])
def test_a_flow_without_parameters_refuses_arguments(
    flow: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would have no effect."""
    code, lines = ended(capsys, monkeypatch, flow, "--accept-deletions")
    assert (code, lines[0]) == (2, f"error: {flow} takes no arguments (given: --accept-deletions).")


def test_a_flow_turns_the_telemetry_of_prefect_off(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the server and of the client, unless the user has turned it on."""
    variables = ("PREFECT_SERVER_ANALYTICS_ENABLED", "DO_NOT_TRACK")
    for wanted, expected in ((None, ("false", "1")), ("true", ("true", None))):
        for name in variables:
            os.environ.pop(name, None)
        if wanted is not None:
            os.environ[variables[0]] = wanted
        ended(capsys, monkeypatch, "sync.py", "an argument that ends it")
        assert tuple(map(os.environ.get, variables)) == expected
