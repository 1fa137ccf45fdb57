"""`sql`: its output formats, its input, and errors of a query."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import termios
from typing import Final

import pytest

from command import COMMAND
from desk import Desk
from shell import Shell

QUESTION: Final = "SELECT session_id, created_at, message_count, cost_usd, metadata FROM sessions ORDER BY created_at, session_id"


def test_sql_as_json(desk: Desk) -> None:
    """Numbers, nulls and JSON keep their types; moments are ISO 8601."""
    ran = desk.run("sql", "--format", "json", QUESTION)
    answer = json.loads(ran.out)
    expected = [
        {
            "session_id": session_id,
            "created_at": created.isoformat().replace("+00:00", "Z"),
            "message_count": messages,
            "cost_usd": cost,
            "metadata": json.loads(metadata) if metadata is not None else None,
        }
        for session_id, created, messages, cost, metadata in desk.rows(QUESTION)
    ]
    assert len(expected) == 120
    assert any(isinstance(row["metadata"], dict) for row in expected)
    assert answer == expected


def test_sql_as_csv(desk: Desk) -> None:
    """A header and all rows; a null is empty."""
    ran = desk.run("sql", "--format", "csv", QUESTION)
    header, *lines = csv.reader(io.StringIO(ran.out))
    assert header == ["session_id", "created_at", "message_count", "cost_usd", "metadata"]
    rows = desk.rows(QUESTION)
    assert [line[0] for line in lines] == [row[0] for row in rows]
    assert [line[3] for line in lines] == ["" if row[3] is None else str(row[3]) for row in rows]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line[1]) for line in lines)


def test_sql_as_a_table_with_the_query_from_stdin(desk: Desk) -> None:
    """The default format is a table; `-` reads the query from stdin."""
    ran = desk.run("sql", "-", stdin="SELECT status, count(*) AS n FROM sessions GROUP BY ALL")
    assert (ran.code, ran.err) == (0, "")
    for status, count in desk.rows("SELECT status, count(*) FROM sessions GROUP BY ALL"):
        assert re.search(rf"│ {status} +│ +{count} │", ran.out)


def test_the_width_of_a_table_follows_columns(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal too. If lines are shown instead, a note on stderr names the other format."""
    query = "FROM tool_usage ORDER BY function_name"
    monkeypatch.setenv("COLUMNS", "80")
    narrow = desk.run("sql", query)
    assert max(map(len, narrow.out.splitlines())) == 80
    assert (narrow.code, narrow.err) == (0, "")
    monkeypatch.setenv("COLUMNS", "30")
    lines = desk.run("sql", query)
    assert re.search(r"^ +call_count = \d+$", lines.out, re.MULTILINE)
    assert re.fullmatch(r"note: \d+ columns do not fit into 30 characters; --format table .*\n", lines.err)
    monkeypatch.delenv("COLUMNS")
    wide = desk.run("sql", query)
    assert wide.out.splitlines()[1].split("│")[1].strip() == "function_name"
    assert len(wide.out.splitlines()[0]) > 200


def test_the_width_of_a_table_follows_the_terminal(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """If `COLUMNS` is not set."""
    monkeypatch.delenv("COLUMNS", raising=False)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 60))
    assert shell.run("sql", "SELECT repeat('word ', 50) AS t", out=theirs, err=theirs) == 0
    shown = os.read(ours, 65_536).decode().splitlines()
    os.close(theirs)
    os.close(ours)
    assert {len(line) for line in shown[:-1]} == {60}


def test_a_file_is_run_like_a_query(desk: Desk) -> None:
    """Several statements, with or without the mark that editors on Windows put first; the last result is shown."""
    script = "CREATE TEMP TABLE t AS FROM sessions;\nSELECT count(*) AS n FROM t;\n"
    for encoding in ("utf-8", "utf-8-sig"):
        (desk.warehouse.parent / "x.sql").write_text(script, encoding)
        ran = desk.run("sql", "--format", "json", "--file", "x.sql")
        assert (ran.code, ran.out, ran.err) == (0, '[{"n":120}]\n', "")
    ran = desk.run("sql", "--format", "json", "--file", "-", stdin=script)
    assert (ran.code, ran.out) == (0, '[{"n":120}]\n')


@pytest.mark.parametrize("comment", ["-- a comment", "--a comment", "--comment"])
def test_a_query_may_begin_with_a_comment(desk: Desk, comment: str) -> None:
    """Such a query is not taken for an option, wherever it is among them."""
    for words in (("--format", "csv"), ()):
        ran = desk.run("sql", *words, f"{comment}\nSELECT 1 AS n", *(() if words else ("--format", "csv")))
        assert (ran.code, ran.out, ran.err) == (0, "n\n1\n", "")


def test_a_query_without_a_statement_is_refused(desk: Desk) -> None:
    """As by `frame()`: an empty variable of a script, or an empty file."""
    (desk.warehouse.parent / "x.sql").write_text("\n")
    for arguments in ([""], [";"], ["--file", "x.sql"]):
        ran = desk.run("sql", *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert ran.message == [
            "error: The query contains no statement.",
            'Try: "FROM session_summary LIMIT 5".',
        ]


def test_settings_of_other_commands_do_not_matter(desk: Desk) -> None:
    """A wrong one is refused by the commands that use it."""
    desk.environment |= {"VAPI_TIME_ZONE": "nonsense", "VAPI_PHONE_REGION": "zz", "VAPI_PAGE_SIZE": "none"}
    for command in (("sql", "FROM freshness"), ("describe", "freshness"), ("status",)):
        assert desk.run(*command).code == 0
    assert desk.run("export").message[0].startswith("error: VAPI_PHONE_REGION")
    del desk.environment["VAPI_PHONE_REGION"], desk.environment["VAPI_PAGE_SIZE"]
    assert desk.run("plan").code == 0
    assert desk.run("sync").message[0].startswith("error: VAPI_TIME_ZONE")


def test_a_file_that_is_not_utf_8_is_refused(desk: Desk) -> None:
    """Exit code 2; the file is named."""
    (desk.warehouse.parent / "x.sql").write_bytes(b"SELECT '\xff'")
    ran = desk.run("sql", "--file", "x.sql")
    assert (ran.code, ran.out) == (2, "")
    assert ran.message == [
        "error: The file x.sql cannot be read: it is not UTF-8.",
        "Give the path of a file of SQL in UTF-8.",
    ]


def test_a_missing_file_in_a_query_is_an_error_of_the_query(desk: Desk) -> None:
    """The warehouse is not damaged, so the error does not suggest a rebuild."""
    for query in ("FROM read_csv('/nope.csv')", "FROM read_parquet('/nope.parquet')", "ATTACH '/nope/x.db'"):
        ran = desk.run("sql", query)
        assert ran.code == 2
        assert "/nope" in ran.err
        assert "rebuild" not in ran.err


@pytest.mark.proof
def test_a_reader_may_stop_early(desk: Desk) -> None:
    """`vapi-sessions sql … | head` is not an error."""
    with subprocess.Popen(
        [COMMAND, "sql", "--format", "csv", "FROM messages CROSS JOIN range(50)"],
        env=desk.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
