"""Names and texts of others are data: they move no cursor, colour no line, and begin no line of their own."""

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
from conftest import World
from selection import first, some
from vapi_sessions.cli import streams
from vapi_sessions.cli.display import Bars, Lines
from vapi_sessions.errors import LONGEST, ConfigurationError, VapiSessionsError, plain
from vapi_sessions.operations.progress import LogProgress
from vapi_sessions.warehouse import query

#: Sets a terminal's title, clears it, goes back, says something else, and turns the rest of the line round.
EVIL: Final = "a\x1b]0;owned\x07\x1b[2J\x9b31m\rerror\b\x7f\u202eevil\u2066\nerror: none"
ODD: Final = set("\x1b\x07\x9b\r\b\x7f\u202e\u2066")


def stream() -> streams.Clean:
    """As the standard ones are."""
    return streams.Clean(io.BytesIO(), "utf-8", newline="", write_through=True)


def written(to: streams.Clean) -> str:
    """What came through."""
    to.flush()
    content: bytes = to.buffer.getvalue()  # type: ignore[attr-defined]
    return content.decode()


def test_a_stream_escapes_what_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """`print`, tracebacks and whoever else writes; line feeds, tabs and all letters stay."""
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


def test_rich_and_data_pass_as_they_are() -> None:
    """A bar is drawn with escapes, and a file of CSV holds what the data are."""
    out = stream()
    Console(file=None, force_terminal=True)
    console = Console(file=out.rich_proxied_file, force_terminal=True, color_system="standard")
    console.print("[red]red[/red]")
    assert "\x1b[31mred" in written(out)
    streams.as_is(out).write(EVIL)
    assert EVIL in written(out)
    assert streams.as_is(sys.stdout) is sys.stdout


def test_rich_finds_its_way_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Typer's help and the bars name no stream: Rich asks the standard ones."""
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
def test_notes_are_one_line_each(make: Callable[[str], Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Also where they go to a log."""
    progress = make("sync")
    progress.say(EVIL)
    progress.waiting(5, EVIL)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() and "\\x1b[2J" in line for line in lines)


def test_an_error_is_one_line_and_bounded() -> None:
    """Whoever raises it, and whatever it names."""
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
    """A session whose every text is odd."""
    world.insert(1, lambda n: (world.ago(hours=5),) * 2, name=EVIL, id=EVIL, **{EVIL: 1})
    world.sync()
    return world


@pytest.mark.parametrize(
    "sql", some(QUERIES.values(), QUERIES["a value"], QUERIES["a column of a row"]), ids=QUERIES
)
def test_what_duckdb_says_is_told_without_escapes(odd: World, sql: str) -> None:
    """It quotes the query, and what the rows hold."""
    ran = command.run("sql", sql, "--warehouse", str(odd.warehouse), environment={})
    assert ran.code in (2, 5)
    assert not ODD & set(ran.err + ran.out)
    assert "error: none" not in ran.err.splitlines()


@pytest.mark.parametrize("arguments", some([["status"], ["status", "--json"], ["sync", "--full"], ["verify", "--deep"], ["forget", "--dry-run", EVIL], ["forget", EVIL]], ["status", "--json"], ["verify", "--deep"], ["forget", EVIL]), ids=lambda given: " ".join(given)[:17])  # fmt: skip
def test_no_command_prints_what_a_terminal_obeys(odd: World, arguments: list[str]) -> None:
    """Names of sessions, of members, and what is wrong with them."""
    environment = {"VAPI_API_KEY": odd.server.key, "VAPI_BASE_URL": odd.server.url}
    odd.insert(1, lambda n: (odd.ago(hours=4),) * 2, id=f"{EVIL}, which shows late")
    ran = command.run(*arguments, "--warehouse", str(odd.warehouse), environment=environment)
    assert not ODD & set(ran.out + ran.err)
    assert "error: none" not in (ran.out + ran.err).splitlines()
    if arguments[0] in ("forget", "verify"):
        assert "\\x1b[2J" in ran.out


def test_a_usage_error_repeats_its_argument_without_escapes() -> None:
    """Somebody's script may pass on what it was given."""
    for arguments in (["status", "--max-age", EVIL], [EVIL], ["sync", f"--{EVIL}"]):
        ran = command.run(*arguments, environment={})
        assert ran.code == 2
        assert not ODD & set(ran.out + ran.err)


@pytest.mark.parametrize("terminal", first([False, True]))
def test_a_header_of_csv_is_no_formula(odd: World, terminal: bool) -> None:
    """A column's name comes from the query, and by PIVOT from what callers said."""

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
def test_in_a_real_terminal(odd: World) -> None:
    """The whole command, with a terminal on the other side."""
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
