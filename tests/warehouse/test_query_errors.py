"""What `vapi-sessions sql` says about a query that fails, and about one that only changed tables in memory."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from vapi_sessions.errors import ConfigurationError
from vapi_sessions.warehouse import query

READ_ONLY = "The published tables are read-only. To change a copy of the tables: vapi-sessions export."


@pytest.mark.parametrize(
    ("sql", "remedy"),
    [
        ("FROM session", 'Did you mean "session'),
        ("FROM qqqqqqqq", "Try: vapi-sessions describe"),
        ("SELECT statu FROM sessions", "Candidate bindings: "),
        ("SELECT statu", "Try: vapi-sessions describe"),
        ("SELECT sum(status) FROM sessions", "Cast the values, for example x::DOUBLE. There is: sum("),
        ("SELECT 'abc'::INTEGER", "TRY_CAST("),
        ("SELECT '2026-13-01'::DATE", "TRY_CAST("),
        ("SELECT 1 FORM sessions x", "An example: sql "),
        ("SELECT error('full')", ""),
        ("DROP TABLE sessions", READ_ONLY),
        ("DELETE FROM sessions", READ_ONLY),
        ("UPDATE vapi.sync.state SET value = ''", READ_ONLY),
        ("CREATE TABLE vapi.mine AS SELECT 1", READ_ONLY),
        ("CREATE TABLE mine AS FROM qqqqqqqq", "Try: vapi-sessions describe"),
        ("COPY sessions TO '/nope/x.csv'", ""),
    ],
)
def test_a_remedy_fits_its_error(demo_warehouse: Path, sql: str, remedy: str) -> None:
    """Tables and columns are suggested only where a name is wrong."""
    with pytest.raises(ConfigurationError) as caught:
        query.run(demo_warehouse, sql, "csv", io.StringIO())
    assert caught.value.remedy.startswith(remedy)
    assert bool(caught.value.remedy) == bool(remedy)


@pytest.mark.parametrize("sql", ["DROP VIEW sessions", "CREATE TABLE mine AS FROM sessions"])
def test_a_change_in_memory_is_no_change_of_the_warehouse(demo_warehouse: Path, sql: str) -> None:
    """DuckDB says "Success", so a note says that nothing lasts."""
    note = query.run(demo_warehouse, sql, None, io.StringIO())
    assert note is not None
    assert note.startswith("the change was in memory only, and is gone. To change a copy")


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE mine AS FROM sessions; SELECT count(*) FROM mine",
        "ATTACH ':memory:' AS mine; CREATE TABLE mine.t AS FROM sessions",
        "SET threads = 2",
    ],
)
def test_a_script_that_has_an_answer_gets_no_note(demo_warehouse: Path, sql: str) -> None:
    """Nor one that writes to a database of its own."""
    assert query.run(demo_warehouse, sql, None, io.StringIO()) is None
