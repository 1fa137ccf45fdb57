"""`sql`: its output formats, its input, and errors of a query."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from typing import Final

from command import COMMAND
from desk import Desk

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


def test_a_missing_file_in_a_query_is_an_error_of_the_query(desk: Desk) -> None:
    """The warehouse is not damaged, so the error does not suggest a rebuild."""
    for query in ("FROM read_csv('/nope.csv')", "FROM read_parquet('/nope.parquet')", "ATTACH '/nope/x.db'"):
        ran = desk.run("sql", query)
        assert ran.code == 2
        assert "/nope" in ran.err
        assert "rebuild" not in ran.err


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
