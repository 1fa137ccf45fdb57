"""`describe`: what the tables and views of a warehouse are, and what their columns mean."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from desk import Desk
from vapi_sessions import schema
from vapi_sessions.core import resources
from vapi_sessions.warehouse import catalog, reader
from vapi_sessions.warehouse.index_schema import SYNC_TABLES


def test_all_tables_and_views_are_listed(desk: Desk) -> None:
    """By kind, each with what one row is, in 80 columns."""
    ran = desk.run("describe")
    assert (ran.code, ran.err) == (0, "")
    assert max(map(len, ran.out.splitlines())) <= 80
    kinds = re.split(r"^(tables|views|runs and state)$", ran.out, flags=re.MULTILINE)
    names = [re.findall(r"^  ([\w.]+)  ", text, re.MULTILINE) for text in kinds[2::2]]
    assert kinds[1::2] == ["tables", "views", "runs and state"]
    assert names[0] == [table.name for table in schema.TABLES]
    assert names[1] == [path.stem for path in resources.sql_files("views")]
    assert names[2] == sorted(f"sync.{table.name}" for table in SYNC_TABLES)
    assert "One row per session, in its newest known state." in ran.out
    assert re.search(r"  turns +What did the customer say, .*\? One\s+row is a turn", ran.out, re.DOTALL)


@pytest.mark.parametrize("given", ["turns", "Turns", "main.turns"])
def test_the_columns_of_a_view_are_explained(desk: Desk, given: str) -> None:
    """With the whole comment, and the type of each; case does not matter."""
    ran = desk.run("describe", given)
    assert (ran.code, ran.err) == (0, "")
    title, text, *lines = ran.out.splitlines()
    assert title == "turns"
    assert text.startswith("What did the customer say, what came back, and how long")
    found = [line.split(maxsplit=2) for line in lines if re.match(r"  \S+  ", line)]
    expected = [
        [name, kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")]
        for name, kind, *_ in desk.rows("DESCRIBE turns")
    ]
    assert [row[:2] for row in found] == expected
    assert all(len(row) == 3 for row in found)
    assert max(map(len, ran.out.splitlines())) <= 80


def test_times_have_a_short_type(desk: Desk) -> None:
    """The name that people write."""
    out = desk.run("describe", "sync.runs").out
    assert re.search(r"^  finished_at +TIMESTAMPTZ  By our clock, after its data", out, re.MULTILINE)


def test_a_narrow_terminal_wraps_more(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """`COLUMNS` decides."""
    monkeypatch.setenv("COLUMNS", "60")
    assert 50 < max(map(len, desk.run("describe", "costs").out.splitlines())) <= 60
    monkeypatch.setenv("COLUMNS", "200")
    assert max(map(len, desk.run("describe", "messages").out.splitlines())) > 80


@pytest.mark.parametrize(
    ("given", "suggested"),
    [
        ("run", "sync.runs"),
        ("sync.run", "sync.runs"),
        ("Runs", "sync.runs"),
        ("tool_call", "tool_calls"),
        ("cost_per_day", "cost_by_day"),
    ],
)
def test_close_names_are_suggested(desk: Desk, given: str, suggested: str) -> None:
    """Exit code 2."""
    ran = desk.run("describe", given)
    assert (ran.code, ran.out) == (2, "")
    assert ran.message[0] == f"error: There is no table or view {given}."
    assert re.match(
        rf"Did you mean .*\b{re.escape(suggested)}\b.*\? vapi-sessions describe lists all\.$", ran.message[1]
    )


def test_a_database_without_comments_is_described_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier version published it."""

    @contextlib.contextmanager
    def reading(_: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect() as db:
            db.execute("CREATE VIEW turns AS SELECT 1 AS n")
            yield db

    monkeypatch.setattr(reader, "reading", reading)
    (one,) = catalog.relations(Path("warehouse"))
    assert (one.name, one.kind, one.summary) == ("turns", "views", "")
    found, columns = catalog.relation(Path("warehouse"), "turns")
    assert (found, columns) == (one, [catalog.CatalogColumn("n", "INTEGER", "")])
