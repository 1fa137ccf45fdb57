"""The comments of view files: their form, and that they describe every column and no other."""

from __future__ import annotations

from collections.abc import Callable
from graphlib import CycleError
from pathlib import Path

import pytest

from sql_rows import Rows
from vapi_sessions.warehouse.view_files import ViewFile, ordered, read, view_files

FIRST = "-- What is there? Grain: one row a thing."
Writer = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Writes a view file with these comments."""

    def write(*lines: str, name: str = "things", query: str = "SELECT 1 AS one FROM sessions") -> Path:
        path = tmp_path / f"{name}.sql"
        path.write_text("\n".join([*lines, f"CREATE OR REPLACE VIEW {name} AS", f"{query};", ""]), "utf-8")
        return path

    return write


def test_a_file_has_a_question_a_grain_notes_and_columns(write: Writer) -> None:
    """Lines that continue a description are joined with a space."""
    view = read(
        write(
            "-- What is there? And why? Grain: one row an odd thing.",
            "-- Only odd things.",
            "-- Even ones are elsewhere.",
            "-- Columns:",
            "--   one: the first,",
            "--     and the last.",
            "--   cost_usd: see costs: the sum.",
        )
    )
    assert (view.name, view.question, view.grain) == ("things", "What is there? And why?", "an odd thing")
    assert view.notes == "Only odd things. Even ones are elsewhere."
    assert view.columns == {"one": "the first, and the last.", "cost_usd": "see costs: the sum."}
    assert (
        view.description == "What is there? And why? One row is an odd thing. "
        "Only odd things. Even ones are elsewhere."
    )


def test_a_file_needs_neither_notes_nor_columns(write: Writer) -> None:
    """Its description is the question and the grain."""
    view = read(write(FIRST))
    assert (view.notes, view.columns) == ("", {})
    assert view.description == "What is there? One row is a thing."


@pytest.mark.parametrize(
    ("lines", "fact"),
    [
        ([], "no question and grain"),
        (["-- What is there?"], "no question and grain"),
        (["-- Everything. Grain: one row a thing."], "no question and grain"),
        ([FIRST, "SELECT 1;"], "not followed by CREATE OR REPLACE VIEW things AS"),
        ([FIRST, "-- Columns:", "--     continued."], "nor the continuation"),
        ([FIRST, "-- Columns:", "--   one: a.", "--   one: b."], "nor the continuation"),
        ([FIRST, "-- Columns:", "--   one: a.", "-- Notes."], "nor the continuation"),
        ([FIRST, "-- Columns:", "--   one a."], "nor the continuation"),
        ([FIRST, "-- Columns:", "--   one: a.", "--"], "nor the continuation"),
    ],
)
def test_a_file_of_another_form_is_refused(write: Writer, lines: list[str], fact: str) -> None:
    """The error names the file."""
    with pytest.raises(ValueError, match=rf"things\.sql: .*{fact}"):
        read(write(*lines))


def test_a_view_is_named_as_its_file(write: Writer) -> None:
    """So that it can be found."""
    path = write(FIRST)
    with pytest.raises(ValueError, match="CREATE OR REPLACE VIEW others AS"):
        read(path.rename(path.with_name("others.sql")))


def test_a_view_comes_after_those_that_it_reads(write: Writer) -> None:
    """Whatever their names; a query of its own, a column, a text or a comment of that name is no view."""
    first = read(write(FIRST, name="a", query="SELECT c.x FROM b AS c JOIN d ON TRUE -- FROM z"))
    second = read(
        write(FIRST, name="b", query="WITH a AS (SELECT 'FROM z' AS x FROM sessions) SELECT x FROM a")
    )
    third = read(write(FIRST, name="d", query="SELECT EXTRACT(DAY FROM a.x) AS x FROM b AS a, sync.z"))
    assert (first.reads, second.reads, third.reads) == (("b", "d"), ("sessions",), ("b",))
    assert [view.name for view in ordered([first, second, third])] == ["b", "d", "a"]


def test_views_that_read_each_other_are_refused(write: Writer) -> None:
    """DuckDB could create neither."""
    views = [read(write(FIRST, name=name, query=f"FROM {other}")) for name, other in ("ab", "ba")]
    with pytest.raises(CycleError):
        ordered(views)


def test_a_column_has_the_description_of_the_table_that_it_is_from(write: Writer) -> None:
    """Unless the tables of the view describe it differently: then the file has to say."""
    of_sessions = read(write(FIRST, query="SELECT name FROM sessions"))
    of_both = read(write(FIRST, query="SELECT name FROM sessions JOIN structured_outputs USING (session_id)"))
    of_a_view = read(write(FIRST, query="SELECT tool_call_count FROM messages JOIN turns USING (session_id)"))
    own = read(write(FIRST, "-- Columns:", "--   name: mine.", query="SELECT name FROM sessions"))
    through_a_view = read(write(FIRST, query="SELECT answers_tools, role FROM transcript"))
    assert of_sessions.describe("name") == "User-defined name."
    assert of_both.describe("name") is None
    assert of_both.describe("status") == "active or completed."
    assert own.describe("name") == "mine."
    assert of_a_view.describe("tool_call_count") == "Tool calls in this message."
    assert through_a_view.describe("answers_tools") == "Functions whose calls this message answers."
    assert (
        through_a_view.describe("role")
        == "system, user, assistant, bot, tool, developer, or any other value of the source."
    )


@pytest.mark.parametrize("view", view_files(), ids=lambda view: view.name)
def test_every_column_is_described_and_every_description_has_its_column(rows: Rows, view: ViewFile) -> None:
    """In the file, or in the declaration of a table. Texts are sentences."""
    columns = [name for name, *_ in rows.run(f"DESCRIBE {view.name}")]
    assert [name for name in columns if view.describe(name) is None] == []
    assert view.columns.keys() - set(columns) == set()
    assert [name for name, text in view.columns.items() if not text.endswith(".")] == []


@pytest.mark.parametrize("view", view_files(), ids=lambda view: view.name)
def test_no_file_names_another_time_zone_than_utc(view: ViewFile) -> None:
    """It stands for the warehouse's, in this spelling only."""
    words = view.sql.upper().split("TIME ZONE")
    assert view.sql.count("AT TIME ZONE 'UTC'") == len(words) - 1
    assert "TIMEZONE(" not in view.sql.upper()
    assert "UTC" not in view.statement("Europe/Berlin")


def test_a_time_zone_is_a_text_in_sql(write: Writer) -> None:
    """A quote in it cannot end the statement."""
    view = read(write(FIRST, query="SELECT created_at AT TIME ZONE 'UTC' AS at FROM sessions"))
    assert "AT TIME ZONE 'It''s' AS at" in view.statement("It's")
