"""What `vapi-sessions sql` says about a query that fails, and about one that only changed tables in memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from vapi_sessions.warehouse import query
from vapi_sessions.warehouse.query_errors import changed_in_memory, refusal
from vapi_sessions.warehouse.reader import connect

READ_ONLY = "The published tables are read-only. To change a copy of the tables: vapi-sessions export."


@pytest.fixture(scope="module")
def db(demo_warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to published tables."""
    with connect(demo_warehouse) as connection:
        yield connection


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
def test_a_remedy_fits_its_error(db: duckdb.DuckDBPyConnection, sql: str, remedy: str) -> None:
    """Tables and columns are suggested only where a name is wrong."""
    with pytest.raises(duckdb.Error) as caught:
        db.execute(sql).fetchall()
    found = refusal(db, caught.value, sql)
    assert found is not None
    assert found.fact.startswith("DuckDB does not accept the query: ")
    assert found.remedy.startswith(remedy)
    assert bool(found.remedy) == bool(remedy)


def test_a_change_in_memory_is_no_change_of_the_warehouse(demo_warehouse: Path) -> None:
    """DuckDB says "Success", so a note says that nothing lasts."""
    note = query.run(demo_warehouse, "DROP VIEW sessions", None, io.StringIO())
    assert note is not None
    assert note.startswith("the change was in memory only, and is gone. To change a copy")


@pytest.mark.parametrize(
    ("sql", "noted"),
    [
        ("CREATE TABLE mine AS FROM sessions", True),
        ("CREATE TABLE mine AS FROM sessions; SELECT count(*) FROM mine", False),
        ("ATTACH ':memory:' AS mine; CREATE TABLE mine.t AS FROM sessions", False),
        ("SET threads = 2", False),
    ],
)
def test_a_script_that_has_an_answer_gets_no_note(
    db: duckdb.DuckDBPyConnection, sql: str, noted: bool
) -> None:
    """Nor one that writes to a database of its own."""
    assert bool(changed_in_memory(db, sql)) is noted
