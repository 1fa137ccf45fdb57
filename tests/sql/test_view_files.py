"""All files of `sql/views/` and `sql/checks/`: their form, and views on empty and on generated data."""

import re
from pathlib import Path

import duckdb
import pytest

import vapi_sessions
from sql_rows import CHECK_FILES, VIEW_FILES, Rows
from vapi_sessions.schema import TABLES
from vapi_sessions.warehouse.index_schema import SYNC_TABLES
from vapi_sessions.warehouse.view_files import view_files


@pytest.mark.parametrize("file", VIEW_FILES + CHECK_FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_first_line_says_question_and_grain(file: Path) -> None:
    """Each file's first line is a comment that asks a question and names the grain."""
    first_line = file.read_text(encoding="utf-8").splitlines()[0]
    question, _, grain = first_line.removeprefix("-- ").partition("? Grain: one row a")
    assert first_line.startswith("-- ")
    assert question
    assert grain.endswith(".")


@pytest.mark.parametrize("file", VIEW_FILES, ids=lambda file: file.stem)
def test_file_holds_one_view_of_its_own_name(file: Path) -> None:
    """A file is one CREATE OR REPLACE VIEW statement, and the view is called as the file is."""
    text = file.read_text(encoding="utf-8")
    (statement,) = duckdb.extract_statements(text)
    assert statement.type == duckdb.StatementType.CREATE
    assert f"\nCREATE OR REPLACE VIEW {file.stem} AS\n" in text


@pytest.mark.parametrize("file", VIEW_FILES, ids=lambda file: file.stem)
def test_no_view_numbers_rows_without_an_order(file: Path) -> None:
    """A stored view loses MATERIALIZED. Where it is evaluated more than once, such numbers differ each time."""
    assert not re.search(r"ROW_NUMBER\(\) OVER \((PARTITION BY [^()]*)?\)", file.read_text(encoding="utf-8"))


def test_views_may_be_created_twice() -> None:
    """Loading every file a second time changes nothing."""
    rows = Rows()
    rows.create_views()
    before = rows.run("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal ORDER BY view_name")
    rows.create_views()
    after_again = rows.run("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal ORDER BY view_name")
    assert before == after_again
    assert len(before) == len(VIEW_FILES) + len(TABLES)


@pytest.mark.parametrize("view", [file.stem for file in VIEW_FILES])
def test_view_of_an_empty_warehouse_is_empty(rows: Rows, view: str) -> None:
    """Before the first session is synced, every view runs and returns no row."""
    assert rows.run(f"SELECT * FROM {view}") == []


@pytest.mark.parametrize("view", [file.stem for file in VIEW_FILES])
def test_view_columns_have_distinct_names(rows: Rows, view: str) -> None:
    """No view hides a column behind another of the same name."""
    names = [row[0] for row in rows.run(f"DESCRIBE {view}")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("view", [file.stem for file in VIEW_FILES])
def test_view_counts_are_plain_integers(rows: Rows, view: str) -> None:
    """No column is a 128-bit integer or a decimal: polars and Parquet readers show those in unusual types."""
    types = {row[1] for row in rows.run(f"DESCRIBE {view}")}
    assert not {type_ for type_ in types if type_.startswith(("HUGEINT", "DECIMAL", "UBIGINT"))}


def test_views_survive_attaching_under_another_name(tmp_path: Path) -> None:
    """Views find their tables when the database is attached read-only under another name."""
    file = tmp_path / "published.duckdb"
    with duckdb.connect(str(file)) as connection:
        for table in TABLES:
            connection.execute(table.ddl()).fetchall()
        connection.execute("CREATE SCHEMA sync").fetchall()
        for table in SYNC_TABLES:
            connection.execute(table.ddl("sync")).fetchall()
        for view in view_files():
            connection.execute(view.statement()).fetchall()
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{file}' AS elsewhere (READ_ONLY)").fetchall()
        for view in view_files():
            assert connection.execute(f"SELECT count(*) >= 0 FROM elsewhere.{view.name}").fetchall() == [
                (True,)
            ]


@pytest.mark.parametrize(
    ("of_the_view", "of_the_table"),
    [
        (
            "SELECT COUNT(*), SUM(message_count) FROM session_summary",
            "SELECT COUNT(*), SUM(message_count) FROM sessions",
        ),
        ("SELECT COUNT(*) FROM transcript", "SELECT COUNT(*) FROM messages"),
        ("SELECT SUM(customer_message_count) FROM turns", "SELECT SUM(user_message_count) FROM sessions"),
        ("SELECT SUM(session_count) FROM cost_by_day", "SELECT COUNT(*) FROM sessions"),
        ("SELECT ROUND(SUM(cost_usd), 6) FROM cost_by_day", "SELECT ROUND(SUM(cost_usd), 6) FROM sessions"),
        ("SELECT ROUND(SUM(cost_usd), 6) FROM cost_by_model", "SELECT ROUND(SUM(cost_usd), 6) FROM costs"),
        (
            "SELECT ROUND(SUM(cost_usd), 6) FROM cost_components_by_day",
            "SELECT ROUND(SUM(cost_usd), 6) FROM costs",
        ),
        (
            "SELECT SUM(session_count), SUM(pending_session_count), ROUND(SUM(cost_usd), 6) FROM cost_by_assistant",
            "SELECT COUNT(*), COUNT(*) - COUNT(cost_usd), ROUND(SUM(cost_usd), 6) FROM sessions",
        ),
        (
            "SELECT SUM(prompt_tokens), SUM(cached_prompt_tokens), SUM(completion_tokens) FROM tokens_by_day",
            "SELECT SUM(prompt_tokens), SUM(cached_prompt_tokens), SUM(completion_tokens) FROM costs",
        ),
        (
            "SELECT SUM(completed_session_count) FROM completed_cost_by_day",
            "SELECT COUNT(*) FROM sessions WHERE status = 'completed'",
        ),
        ("SELECT SUM(session_count) FROM assistant_comparison", "SELECT COUNT(*) FROM sessions"),
        ("SELECT SUM(session_count) FROM model_comparison", "SELECT COUNT(*) FROM sessions"),
        (
            "SELECT SUM(session_count), SUM(message_count) FROM busiest_hours",
            "SELECT COUNT(*), SUM(message_count) FROM sessions",
        ),
        (
            "SELECT session_count, message_count FROM freshness",
            "SELECT COUNT(*), SUM(message_count) FROM sessions",
        ),
        (
            "SELECT SUM(value_count) FROM structured_output_trends",
            "SELECT COUNT(*) FROM structured_output_values WHERE kind <> 'null'",
        ),
        ("SELECT COUNT(*) FROM tool_calls_with_results", "SELECT COUNT(*) FROM tool_calls"),
        ("SELECT SUM(call_count) FROM tools_by_day", "SELECT COUNT(*) FROM tool_calls"),
        ("SELECT SUM(call_count) FROM tool_usage", "SELECT COUNT(*) FROM tool_calls"),
        (
            "SELECT COUNT(DISTINCT (session_id, structured_output_id)) FROM structured_output_values",
            "SELECT COUNT(*) FROM structured_outputs",
        ),
        (
            "SELECT SUM(session_count), SUM(message_count) FROM sessions_by_day",
            "SELECT COUNT(*), SUM(message_count) FROM sessions",
        ),
    ],
    ids=lambda query: query.partition(" FROM ")[2],
)
def test_views_of_a_synced_warehouse_lose_and_multiply_nothing(
    demo_warehouse: Path, of_the_view: str, of_the_table: str
) -> None:
    """On generated traffic, counts and sums of a view equal those of its tables."""
    with vapi_sessions.connect(demo_warehouse) as connection:
        view = connection.execute(of_the_view).fetchall()
        table = connection.execute(of_the_table).fetchall()
    assert view == table
    assert view[0][0] > 0
