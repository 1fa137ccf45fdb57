"""Messages on stderr: `--quiet`, `--verbose`, and JSON lines, whose form docs/operations.md describes."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any, Final

import pytest

from command import Ran
from constants import KEY
from desk import Desk, always
from documents import TEXTS, inline
from vapi_sessions.cli import exit_codes, log, options
from vapi_sessions.cli.display import display
from vapi_sessions.cli.json_lines import JsonLines
from vapi_sessions.core.details import LOGGER
from vapi_sessions.operations.progress import Counts
from vapi_sessions.operations.verify import Verified

#: In every line.
COMMON: Final = {"time", "level", "event", "message", "command", "schema_version"}


def lines(text: str) -> list[dict[str, Any]]:
    """The lines on stderr; each must be a JSON object with the common fields."""
    found = [json.loads(line) for line in text.splitlines()]
    for line in found:
        assert line.keys() >= COMMON
        assert line["schema_version"] == 1
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    return found


def one(ran: Ran, event: str) -> dict[str, Any]:
    """The only line of this event."""
    (found,) = [line for line in lines(ran.err) if line["event"] == event]
    return found


def rows(title: str) -> dict[str, list[str]]:
    """A table of the section on JSON lines: the cells of each row, by the name in the first."""
    section = TEXTS["docs/operations.md"].split("### JSON lines")[1].split("\n## ")[0]
    table = section.split(f"| {title} |")[1].split("\n\n")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return {name: row for row in cells for name in inline(row[0])}


@contextlib.contextmanager
def listening() -> Iterator[io.StringIO]:
    """Messages as JSON lines, in a stream of the test."""
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream), log.session(["--log-format", "json"], {}):
        yield stream


# -- JSON lines --------------------------------------------------------------------------------------------------------


def test_a_sync_writes_json_lines_and_its_usual_result(desk: Desk) -> None:
    """The option is accepted before and after the command; stdout is as without it."""
    before = desk.run("--log-format", "json", "sync")
    after = desk.run("sync", "--log-format=json")
    for ran in (before, after):
        assert ran.code == 0
        assert re.match(r"\d+ sessions? read: 0 new, .*\ncomplete until 2", ran.out)
        summary = one(ran, "summary")
        assert (summary["command"], summary["level"], summary["sessions_new"]) == ("sync", "info", 0)
        assert summary["complete_until"] in ran.out
        assert isinstance(one(ran, "plan")["sessions"], int)


@pytest.mark.parametrize(
    ("arguments", "code", "command"),
    [
        (["sync", "--bogus"], 2, "sync"),
        (["bogus"], 2, None),
        (["sync", "--settle", "soon"], 2, "sync"),
        (["--log-format", "xml", "sync"], 2, "sync"),
        (["sync", "-q", "--verbose"], 2, "sync"),
        (["status", "--max-age", "1ms"], 6, "status"),
    ],
)
def test_every_error_is_one_json_line(desk: Desk, arguments: list[str], code: int, command: str) -> None:
    """With its exit code and its remedy, also if the command line cannot be parsed."""
    desk.environment["VAPI_LOG_FORMAT"] = "json"
    ran = desk.run(*arguments)
    assert ran.code == code
    if "xml" in arguments:  # the format that is asked for wins, even if there is none
        assert ran.message[0] == "error: --log-format: 'xml' is neither text nor json."
        return
    (line,) = lines(ran.err)
    assert (line["event"], line["level"], line["code"]) == ("error", "error", code)
    assert (line["command"], line["remedy"].startswith(("See ", "Give ", "Run "))) == (command, True)


def test_a_wrong_variable_is_told_in_words(desk: Desk) -> None:
    """With the exit code of a wrong setting."""
    desk.environment["VAPI_LOG_FORMAT"] = "xml"
    ran = desk.run("sync")
    assert (ran.code, ran.message[0]) == (2, "error: VAPI_LOG_FORMAT: Input should be 'text' or 'json'.")


def test_whatever_is_printed_becomes_a_json_line() -> None:
    """Python's warnings, log records and lines of other libraries."""
    with listening() as stream:
        print("half a", end=" ", file=sys.stderr)
        print("line\x1b[0m\n\nand “one” more", file=sys.stderr)
        warnings.showwarning("it is old", DeprecationWarning, "a.py", 3)
        record = logging.LogRecord("other", logging.WARNING, "", 0, "odd", (), None)
        logging._StderrHandler().handle(record)  # type: ignore[attr-defined]  # what `logging` uses without configuration
        print("no line feed", end="", file=sys.stderr)
    told = [(line["event"], line["level"], line["message"]) for line in lines(stream.getvalue())]
    assert told == [
        ("output", "info", "half a line\\x1b[0m"),
        ("output", "info", "and “one” more"),
        ("warning", "warning", "DeprecationWarning: it is old (a.py:3)"),
        ("output", "info", "odd"),
        ("output", "info", "no line feed"),
    ]
    assert not isinstance(sys.stderr, log._EveryLine)


def test_an_interruption_is_a_json_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is written at once, by the signal's handler."""
    monkeypatch.setattr(options, "current", options.GlobalOptions(command="sync"))
    with listening():
        (line,) = lines(exit_codes.first_interrupt(False))
    assert (line["event"], line["level"]) == ("interrupted", "warning")


def a_run() -> list[dict[str, Any]]:
    """The lines of everything that a run can tell."""
    clock = [100.0]
    with listening() as stream:
        assert isinstance(display("sync"), JsonLines)
        with JsonLines(monotonic=lambda: clock[0]) as shown:
            shown.phase("planning")
            clock[0] += 6
            shown.read(100)
            shown.planned(2, 1_000)
            shown.merged(Counts(messages_written=7))
            shown.window_done()
            for _ in range(10):
                clock[0] += 1
                shown.read(50)
            shown.waiting(0.5, "short")
            shown.waiting(21, "the source limits the rate (429)")
            shown.say("a message")
            shown.warn("a warning")
    return lines(stream.getvalue())


def test_progress_is_typed() -> None:
    """Every few seconds, with numbers; what is unknown is null."""
    found = a_run()
    assert [line["event"] for line in found] == [
        "phase", "progress", "plan", "progress", "progress", "wait", "message", "warning",
    ]  # fmt: skip
    assert (found[1]["sessions_total"], found[1]["seconds_left"]) == (None, None)
    assert {name: value for name, value in found[4].items() if name not in COMMON} == {
        "sessions_read": 500, "sessions_total": 1000, "windows_done": 1, "windows_total": 2,
        "messages_written": 7, "sessions_per_second": 50.0, "seconds_left": 10.0,
    }  # fmt: skip
    assert found[5]["seconds"] == 21


def test_the_documented_events_are_those_that_are_written(desk: Desk) -> None:
    """With these fields and levels."""
    desk.environment |= {"VAPI_LOG_FORMAT": "json"}
    desk.server.faults.script("500")
    events = a_run() + lines(desk.run("--debug", "sync", "--bogus").err)
    events += lines(desk.run("sync", "-v", "--warehouse", "other", "--since", "2020-01-01").err)
    table = rows("event")
    tested_above = {"output", "interrupted"}
    assert {e["event"] for e in events} - {"output"} == table.keys() - tested_above
    for event in events:
        name, fields = event["event"], event.keys() - COMMON - {"traceback"}
        assert event["level"] == table[name][1], event
        documented = set(inline(table[name][2])) - {"--debug", "traceback"}
        assert name == "summary" or fields == documented, event
    assert KEY not in json.dumps(events)


@pytest.mark.parametrize(
    "arguments",
    [
        ["sync"],
        pytest.param(["reconcile"], marks=pytest.mark.proof),
        pytest.param(["verify"], marks=pytest.mark.proof),
        pytest.param(["rebuild"], marks=pytest.mark.proof),
        pytest.param(["export", "--out", "one.duckdb"], marks=pytest.mark.proof),
        pytest.param(["report"], marks=pytest.mark.proof),
        pytest.param(["maintain"], marks=pytest.mark.proof),
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_documented_fields_of_a_summary_are_those_that_are_written(
    desk: Desk, arguments: list[str]
) -> None:
    """The table has a row for each command that has a summary."""
    summary = one(desk.run(*arguments, "--log-format", "json"), "summary")
    table = rows("summary of")
    assert table.keys() == {"sync", "reconcile", "verify", "rebuild", "export", "report", "maintain"}
    assert set(inline(table[arguments[0]][1])) == summary.keys() - COMMON


def test_unreadable_sessions_are_a_warning_of_verify(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """On stderr, also with --quiet; a line of its own with JSON lines."""
    found = Verified((), 5, 0, 0.1, 2, {"odd": "updatedAt is missing"})
    monkeypatch.setattr("vapi_sessions.operations.verify.verify", lambda *given, **named: found)
    ran = desk.run("verify", "--quiet")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith("warning: 1 session cannot be read and is kept aside in raw/: odd (updatedAt")
    warning = one(desk.run("verify", "--log-format", "json"), "warning")
    assert (warning["level"], "odd" in warning["message"]) == ("warning", True)


# -- --quiet and --verbose ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["sync", "-q"], ["-q", "reconcile"], ["verify", "--quiet"]])
def test_quiet_commands_print_nothing_if_all_is_well(desk: Desk, arguments: list[str]) -> None:
    """So that cron sends no mail."""
    ran = desk.run(*arguments)
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_quiet_commands_print_their_answer(desk: Desk) -> None:
    """Of commands that exist for it."""
    ran = desk.run("-q", "sql", "SELECT 1 AS one", "--format", "csv")
    assert (ran.code, ran.out.split(), ran.err) == (0, ["one", "1"], "")


def test_quiet_commands_print_errors_and_warnings(desk: Desk) -> None:
    """An error of the source, after a warning about a directory, and nothing about the waits between."""
    always("500")(desk)
    desk.warehouse.chmod(0o777)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vapi_sessions.source.retries.FIRST_ATTEMPTS", 1)
        patch.setattr("vapi_sessions.source.retries.ATTEMPTS", 1)
        ran = desk.run("sync", "-q")
    first, *error = ran.err.splitlines()
    assert (ran.code, ran.out) == (4, "")
    assert first.startswith("warning: others may change what is in ")
    assert [line.split(":")[0] for line in error][:1] == ["error"]
    assert len(error) == 2


def test_verbose_commands_print_each_request_and_no_secret(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """With their sizes, but without ids of sessions, contents and the key. They come from log records, which programs that call the
    operations themselves can get. Afterwards nobody listens.
    """
    with caplog.at_level(logging.DEBUG, "vapi_sessions"):
        ran = desk.run("-v", "sync", "--full")
    records = [vars(record) for record in caplog.records if record.name == "vapi_sessions"]
    sizes = [record["fields"]["bytes"] for record in records if record["event"] == "request"]
    requests = re.findall(
        r"^request: method GET, path /session\?\S+, status 200, bytes \d+, seconds ", ran.err, re.M
    )
    assert len(requests) == len(sizes) == len(desk.server.requests)
    assert min(sizes) > 0
    assert "window: lower 2" in ran.err
    ids = [name for (name,) in desk.rows("SELECT session_id FROM sessions")]
    assert not [name for name in [KEY, *ids] if name in ran.err]
    assert LOGGER.getEffectiveLevel() > logging.DEBUG
