"""The checks of `sql/checks/` return no row on good data, and find a planted fault."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

import vapi_sessions
from sql_rows import CHECK_FILES, MORNING, Rows, after
from vapi_sessions.schema import CHILDREN, COSTS, MESSAGES, STRUCTURED_OUTPUTS, TABLES, TOOL_CALLS, Table

NAMES = [file.stem for file in CHECK_FILES]


def fill(rows: Rows) -> None:
    """Two sessions with everything a session can have, one without anything, one deleted."""
    for number, session_id in enumerate(("s1", "s2")):
        rows.session(
            session_id,
            created_at=after(days=number),
            message_count=5,
            user_message_count=1,
            assistant_message_count=2,
            tool_call_count=2,
        )
        seen = {"first_seen_at": after(60, days=number)}
        rows.messages(
            session_id,
            {"role": "user", "content": "Hi", **seen},
            {"role": "assistant", "tool_call_count": 2, **seen},
            {"role": "tool", "content": "42", **seen},
            {"role": "bot", "content": "Done.", **seen},
            {"role": None, **seen},
        )
        call = {"message_index": 1, "tool_call_id": "same"}
        rows.child(TOOL_CALLS, session_id, tool_call_index=0, result="42", result_message_index=2, **call)
        rows.child(TOOL_CALLS, session_id, tool_call_index=1, **call)
        rows.child(COSTS, session_id, cost_index=0)
        rows.child(COSTS, session_id, cost_index=1)
        rows.child(STRUCTURED_OUTPUTS, session_id, structured_output_id="o1")
        rows.child(STRUCTURED_OUTPUTS, session_id, structured_output_id="o2")
    rows.session("empty")
    rows.session("deleted", deleted_at=after(60))


@pytest.fixture(name="rows")
def filled(rows: Rows) -> Rows:
    """The rows that `fill` inserts."""
    fill(rows)
    return rows


def sole_key(table: Table) -> dict[str, Any]:
    """Values for the key columns beyond the session."""
    return {name: "o9" if name == "structured_output_id" else 0 for name in table.key if name != "session_id"}


@pytest.mark.parametrize("name", NAMES)
def test_check_is_one_select(name: str) -> None:
    """A check is a single SELECT statement."""
    (file,) = (file for file in CHECK_FILES if file.stem == name)
    (statement,) = duckdb.extract_statements(file.read_text(encoding="utf-8"))
    assert statement.type == duckdb.StatementType.SELECT


@pytest.mark.parametrize("name", NAMES)
def test_check_finds_nothing_in_an_empty_warehouse(database: Rows, name: str) -> None:
    """Before the first session is synced, every check runs and returns no row."""
    database.clear()
    assert database.check(name) == []


@pytest.mark.parametrize("name", NAMES)
def test_check_finds_nothing_in_good_data(rows: Rows, name: str) -> None:
    """Sessions without children, pending results, repeated ids and deleted sessions are not faults."""
    assert rows.check(name) == []


def test_checks_find_nothing_in_a_synced_warehouse(demo_warehouse: Path) -> None:
    """A published warehouse passes every check."""
    with vapi_sessions.connect(demo_warehouse) as connection:
        found = {
            file.stem: connection.execute(file.read_text(encoding="utf-8")).fetchall() for file in CHECK_FILES
        }
    assert found == {name: [] for name in NAMES}


@pytest.mark.parametrize("table", CHILDREN, ids=lambda table: table.name)
def test_children_without_session_are_found(rows: Rows, table: Table) -> None:
    """A row of any child table whose session is missing is found."""
    rows.child(table, "nobody", **sole_key(table))
    assert rows.check("children_without_session") == [
        {"table_name": table.name, "session_id": "nobody", "row_count": 1}
    ]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_duplicates_are_found(rows: Rows, table: Table) -> None:
    """A repeated key is found in every table."""
    rows.run(
        f"INSERT INTO store.{table.name} SELECT * FROM store.{table.name} WHERE session_id = 's1' LIMIT 1"
    )
    (found,) = rows.check("duplicate_keys")
    assert (found["table_name"], found["session_id"], found["row_count"]) == (table.name, "s1", 2)


GAPS = [
    ("message_index_gaps", MESSAGES, "message_index"),
    ("tool_call_index_gaps", TOOL_CALLS, "tool_call_index"),
    ("cost_index_gaps", COSTS, "cost_index"),
]


@pytest.mark.parametrize(("check", "table", "index"), GAPS)
@pytest.mark.parametrize(
    "there", [(1, 2), (0, 2), (0, 0, 3, 3)], ids=["start", "middle", "behind duplicates"]
)
def test_gap_is_found_at_every_position(
    rows: Rows, check: str, table: Table, index: str, there: tuple[int, ...]
) -> None:
    """A missing index is found at the start and in the middle, even if duplicates make the count right."""
    rows.run(f"DELETE FROM store.{table.name} WHERE session_id = 's1'")
    for value in there:
        rows.child(table, "s1", **{**sole_key(table), index: value})
    (found,) = rows.check(check)
    assert found["session_id"] == "s1"
    assert found["distinct_indexes"] == 2
    assert (found["lowest_index"], found["highest_index"]) == (min(there), max(there))


@pytest.mark.parametrize(
    "column", ["message_count", "user_message_count", "assistant_message_count", "tool_call_count"]
)
def test_count_that_disagrees_is_found(rows: Rows, column: str) -> None:
    """A count on the session that differs from its children is found, for every count."""
    rows.run(f"UPDATE store.sessions SET {column} = {column} + 1 WHERE session_id = 's2'")
    (found,) = rows.check("session_counts")
    assert found["session_id"] == "s2"
    assert found[column] == found[column.replace("_count", "s_found")] + 1


def test_count_on_a_session_without_children_is_found(rows: Rows) -> None:
    """A session with a message count but no message is found."""
    rows.run("UPDATE store.sessions SET message_count = 1 WHERE session_id = 'empty'")
    (found,) = rows.check("session_counts")
    assert (found["session_id"], found["message_count"], found["messages_found"]) == ("empty", 1, 0)


@pytest.mark.parametrize(("declared", "found"), [(1, 2), (3, 2), (0, 2)])
def test_tool_calls_of_a_message_that_disagree_are_found(rows: Rows, declared: int, found: int) -> None:
    """A message whose tool call count differs from its tool calls is found."""
    rows.run(
        "UPDATE store.messages SET tool_call_count = ? WHERE session_id = 's1' AND message_index = 1",
        [declared],
    )
    assert rows.check("message_tool_call_counts") == [
        {"session_id": "s1", "message_index": 1, "declared": declared, "found": found}
    ]


def test_message_whose_tool_calls_are_all_missing_is_found(rows: Rows) -> None:
    """A message with a tool call count but no tool call is found."""
    rows.run("DELETE FROM store.tool_calls WHERE session_id = 's1'")
    assert rows.check("message_tool_call_counts") == [
        {"session_id": "s1", "message_index": 1, "declared": 2, "found": 0}
    ]


@pytest.mark.parametrize("table", CHILDREN, ids=lambda table: table.name)
def test_other_creation_time_is_found(rows: Rows, table: Table) -> None:
    """A child row with another creation time than its session is found in every table."""
    rows.child(table, "s1", session_created_at=after(1), **sole_key(table))
    assert rows.check("session_created_at_mismatch") == [
        {
            "table_name": table.name,
            "session_id": "s1",
            "session_created_at": after(1),
            "created_at": MORNING,
            "row_count": 1,
        }
    ]


@pytest.mark.parametrize(
    ("message_index", "calls_of_message"),
    [(7, None), (0, 0)],
    ids=["missing message", "message without calls"],
)
def test_tool_call_without_its_message_is_found(
    rows: Rows, message_index: int, calls_of_message: int | None
) -> None:
    """A tool call is found if its message is missing or makes no calls."""
    rows.child(TOOL_CALLS, "s1", message_index=message_index, tool_call_index=0)
    assert rows.check("tool_calls_without_message") == [
        {
            "session_id": "s1",
            "message_index": message_index,
            "tool_call_index": 0,
            "calls_of_message": calls_of_message,
        }
    ]


@pytest.mark.parametrize(("result", "points_to"), [("42", 9), (None, 9), ("42", None), ("42", 0), ("42", 1)])
def test_result_without_its_message_is_found(rows: Rows, result: str | None, points_to: int | None) -> None:
    """A result is found if its message is missing, not named, or not after the call."""
    rows.run(
        "UPDATE store.tool_calls SET result = ?, result_message_index = ? WHERE session_id = 's2' AND tool_call_index = 1",
        [result, points_to],
    )
    assert rows.check("results_without_message") == [
        {"session_id": "s2", "message_index": 1, "tool_call_index": 1, "result_message_index": points_to}
    ]


def test_second_organisation_is_found(rows: Rows) -> None:
    """If there are two organisations, both are listed."""
    rows.run("UPDATE store.sessions SET org_id = 'other' WHERE session_id = 's2'")
    assert rows.check("one_organisation") == [
        {"org_id": "org", "session_count": 3},
        {"org_id": "other", "session_count": 1},
    ]


def test_message_from_the_future_is_found(rows: Rows) -> None:
    """A message first seen in a newer state than its session shows is found."""
    rows.child(MESSAGES, "empty", message_index=0, first_seen_at=after(days=9))
    (found,) = rows.check("first_seen_after_update")
    assert (found["session_id"], found["first_seen_at"]) == ("empty", after(days=9))
