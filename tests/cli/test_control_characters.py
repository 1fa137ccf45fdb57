"""Control characters in names and texts of the source do not reach the terminal."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final

import pytest
from rich.console import Console

import command
from selection import first, some
from vapi_sessions.cli import streams
from vapi_sessions.cli.display import Bars, Lines
from vapi_sessions.errors import LONGEST, ConfigurationError, VapiSessionsError, plain
from vapi_sessions.operations.progress import LogProgress
from vapi_sessions.warehouse import query
from worlds import World

#: Sets the title of a terminal, clears it, overwrites the line, and reverses the direction of the rest.
EVIL: Final = "a\x1b]0;owned\x07\x1b[2J\x9b31m\rerror\b\x7f\u202eevil\u2066\nerror: none"
ODD: Final = set("\x1b\x07\x9b\r\b\x7f\u202e\u2066")


def stream() -> streams.Clean:
    """A stream like the standard ones."""
    return streams.Clean(io.BytesIO(), "utf-8", newline="", write_through=True)


def written(to: streams.Clean) -> str:
    """Everything written to a stream."""
    to.flush()
    content: bytes = to.buffer.getvalue()  # type: ignore[attr-defined]
    return content.decode()


def test_a_stream_escapes_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """In `print` and in tracebacks; line feeds, tabs and all letters stay."""
    out = stream()
    print(f"tab\t, é, 日本, 😀 {EVIL}", file=out)
    assert out.write("x\x1b") == 2
    try:
        raise ValueError(EVIL)
    except ValueError:
        traceback.print_exc(file=out)
    said = written(out)
    assert said.startswith(
        "tab\t, é, 日本, 😀 a\\u001b]0;owned\\u0007\\u001b[2J\\u009b31m\\u000derror\\u0008\\u007f\\u202eevil"
    )
    assert not ODD & set(said)


def test_rich_and_data_are_not_escaped() -> None:
    """A bar is drawn with escape sequences, and CSV must contain the data as they are."""
    out = stream()
    Console(file=None, force_terminal=True)
    console = Console(file=out.rich_proxied_file, force_terminal=True, color_system="standard")
    console.print("[red]red[/red]")
    assert "\x1b[31mred" in written(out)
    streams.as_is(out).write(EVIL)
    assert EVIL in written(out)
    assert streams.as_is(sys.stdout) is sys.stdout


def test_rich_writes_unescaped_to_the_standard_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Typer's help and the bars do not name a stream: Rich uses the standard ones."""
    out = stream()
    monkeypatch.setattr(sys, "stderr", out)
    Console(stderr=True, force_terminal=True, color_system="standard").print("[red]red[/red]")
    assert "\x1b[31mred" in written(out)
    with Bars("sync") as bars:
        bars.say(EVIL)
        bars.waiting(5, EVIL)
    assert "owned\\x07" in written(out)
    assert "\x1b]0;" not in written(out)


@pytest.mark.parametrize(
    "make", [Lines, lambda title: LogProgress(lambda line: print(line, file=sys.stderr))]
)
def test_progress_messages_are_one_line_each(
    make: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Also in a log."""
    progress = make("sync")
    progress.say(EVIL)
    progress.waiting(5, EVIL)
    getattr(progress, "tell", lambda: None)()  # else a thread does that
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() and "\\x1b[2J" in line for line in lines)


def test_an_error_has_one_line_per_part_and_a_bounded_length() -> None:
    """For every error class and every value in the message."""
    error = ConfigurationError(f"No {EVIL}.", f"Try {EVIL}.")
    assert (error.fact.isprintable(), error.remedy.isprintable()) == (True, True)
    assert str(error) == f"{error.fact}\n{error.remedy}"
    long = VapiSessionsError("x" * 100_000)
    assert len(long.fact) == LONGEST
    assert str(long) == long.fact
    assert plain("a·b\u00a0c") == "a·b\\xa0c"
    assert plain("abcdef", 5) == "abc …"


QUERIES: Final = {
    "a column": f'SELECT "{EVIL}"',
    "a table": f'FROM "{EVIL}"',
    "a value": f"SELECT CAST('{EVIL}' AS INTEGER)",
    "a function": f"SELECT error('{EVIL}')",
    "a file": f"FROM '/nowhere/{EVIL}.parquet'",
    "syntax": f"SELEKT '{EVIL}'",
    "a column of a row": "SELECT CAST(name AS INTEGER) FROM sessions",
}


@pytest.fixture
def odd(world: World) -> World:
    """A session whose texts all contain control characters."""
    world.insert(1, lambda n: (world.ago(hours=5),) * 2, name=EVIL, id=EVIL, **{EVIL: 1})
    world.sync()
    return world


@pytest.mark.parametrize(
    "sql", some(QUERIES.values(), QUERIES["a value"], QUERIES["a column of a row"]), ids=QUERIES
)
def test_messages_of_duckdb_have_no_control_characters(odd: World, sql: str) -> None:
    """They quote the query and values of rows."""
    ran = command.run("sql", sql, "--warehouse", str(odd.warehouse), environment={})
    assert ran.code in (2, 5)
    assert not ODD & set(ran.err + ran.out)
    assert "error: none" not in ran.err.splitlines()


@pytest.mark.parametrize("arguments", some([["status"], ["status", "--json"], ["sync", "--full"], ["verify", "--deep"], ["forget", "--dry-run", EVIL], ["forget", EVIL]], ["status", "--json"], ["verify", "--deep"], ["forget", EVIL]), ids=lambda given: " ".join(given)[:17])  # fmt: skip
def test_no_command_prints_control_characters(odd: World, arguments: list[str]) -> None:
    """They occur in names of sessions and fields."""
    environment = {"VAPI_API_KEY": odd.server.key, "VAPI_BASE_URL": odd.server.url}
    odd.insert(1, lambda n: (odd.ago(hours=4),) * 2, id=f"{EVIL}, which shows late")
    ran = command.run(*arguments, "--warehouse", str(odd.warehouse), environment=environment)
    assert not ODD & set(ran.out + ran.err)
    assert "error: none" not in (ran.out + ran.err).splitlines()
    if arguments[0] in ("forget", "verify"):
        assert "\\x1b[2J" in ran.out


def test_a_usage_error_has_no_control_characters() -> None:
    """A script may pass on arguments that it was given."""
    for arguments in (["status", "--max-age", EVIL], [EVIL], ["sync", f"--{EVIL}"]):
        ran = command.run(*arguments, environment={})
        assert ran.code == 2
        assert not ODD & set(ran.out + ran.err)


@pytest.mark.parametrize("terminal", first([False, True]))
def test_a_header_of_csv_is_not_a_formula(odd: World, terminal: bool) -> None:
    """Names of columns come from the query, and with PIVOT from what callers said."""

    class Out(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    def header(sql: str) -> list[str]:
        out = Out()
        query.run(odd.warehouse, sql, "csv", out)
        return next(csv.reader(io.StringIO(out.getvalue())))

    for name in ("=1+1", "+1+cmd|' /C calc'!A0", "@SUM(1)", "-2+3x", "\t=1", "'=1", "  =1"):
        said = name.replace("'", "''")
        assert header(f"PIVOT (SELECT '{said}' AS said, 1 AS n) ON said USING sum(n)") == [f"'{name}"]
        assert header(f'SELECT 1 AS "{name}", 2 AS b') == [f"'{name}", "b"]
    assert header('SELECT 1 AS "plain", 2 AS "+1 415 555 0100"') == ["plain", "+1 415 555 0100"]


@pytest.mark.proof
def test_sql_in_a_terminal_has_no_control_characters(odd: World) -> None:
    """The command in a process of its own, with a pseudo-terminal."""
    ours, theirs = os.openpty()
    done = subprocess.run(
        [command.COMMAND, "sql", f"SELECT CAST('{EVIL}' AS INTEGER)", "--warehouse", odd.warehouse],
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, check=False,
    )  # fmt: skip
    os.close(theirs)
    said = os.read(ours, 65_536).decode()
    os.close(ours)
    assert done.returncode == 2
    assert not (ODD - {"\r"}) & set(said)
