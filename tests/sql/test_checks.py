"""The checks of `sql/checks/` return no row on good data, and find a planted fault."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

import vapi_sessions
from sql_rows import CHECK_FILES, Row, Rows, after
from vapi_sessions.schema import COSTS, MESSAGES, STRUCTURED_OUTPUTS, TOOL_CALLS, Table

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


def failing(rows: Rows) -> dict[str, list[Row]]:
    """The checks that return rows."""
    found = {name: rows.check(name) for name in NAMES}
    return {name: there for name, there in found.items() if there}


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


def run(sql: str) -> Callable[[Rows], None]:
    """The fault that a statement makes."""
    return lambda rows: rows.run(sql) and None


def child(table: Table, session_id: str = "nobody", **values: object) -> Callable[[Rows], None]:
    """The fault that another row of a child table makes."""
    return lambda rows: rows.child(table, session_id, **values)


def indexes(table: Table, name: str, *there: int) -> Callable[[Rows], None]:
    """The fault of a session whose rows in a child table have these indexes."""

    def plant(rows: Rows) -> None:
        key = {"message_index": 1} if table is TOOL_CALLS else {}
        rows.run(f"DELETE FROM store.{table.name} WHERE session_id = 's1'")
        for index in there:
            rows.child(table, "s1", **{**key, name: index})

    return plant


def again(table: str) -> Callable[[Rows], None]:
    """The fault of a repeated row."""
    return run(f"INSERT INTO store.{table} SELECT * FROM store.{table} WHERE session_id = 's1' LIMIT 1")


MISSING = "the session is missing"
NO_MESSAGE = "the message is missing or makes no calls"
OTHER_TIME = "session_created_at differs"
CALL = {"message_index": 1, "tool_call_index": 2}
OF_MESSAGES, OF_CALLS, OF_COSTS, OF_OUTPUTS = (
    "messages_of_sessions",
    "tool_calls_of_messages",
    "costs_of_sessions",
    "structured_outputs_of_sessions",
)
S1, S2 = "WHERE session_id = 's1'", "WHERE session_id = 's2'"
FIRST = f"{S1} AND message_index = 1"
RESULT = "UPDATE store.tool_calls SET result = {}, result_message_index = {} WHERE session_id = 's2' AND tool_call_index = 1"
LONG = tuple(index for index in range(300) if index != 200)

#: A fault, the check that finds it, the problem that it names, and the session.
FAULTS: list[tuple[Callable[[Rows], None], str, str, str]] = [
    (child(MESSAGES, message_index=0), OF_MESSAGES, MISSING, "nobody"),
    (child(COSTS, cost_index=0), OF_COSTS, MISSING, "nobody"),
    (child(STRUCTURED_OUTPUTS, structured_output_id="o1"), OF_OUTPUTS, MISSING, "nobody"),
    (child(TOOL_CALLS, message_index=0, tool_call_index=0), OF_CALLS, NO_MESSAGE, "nobody"),
    (child(TOOL_CALLS, "s1", message_index=7, tool_call_index=0), OF_CALLS, NO_MESSAGE, "s1"),
    (child(TOOL_CALLS, "s1", message_index=0, tool_call_index=0), OF_CALLS, NO_MESSAGE, "s1"),
    (child(MESSAGES, "s1", message_index=5, session_created_at=after(1)), OF_MESSAGES, OTHER_TIME, "s1"),
    (child(TOOL_CALLS, "s1", session_created_at=after(1), **CALL), OF_CALLS, OTHER_TIME, "s1"),
    (child(COSTS, "s1", cost_index=2, session_created_at=after(-1)), OF_COSTS, OTHER_TIME, "s1"),
    (
        child(STRUCTURED_OUTPUTS, "s1", structured_output_id="o3", session_created_at=after(1)),
        OF_OUTPUTS,
        OTHER_TIME,
        "s1",
    ),
    (again("messages"), OF_MESSAGES, "a message_index is repeated", "s1"),
    (again("tool_calls"), OF_CALLS, "a tool_call_index is repeated", "s1"),
    (again("costs"), OF_COSTS, "a cost_index is repeated", "s1"),
    (again("structured_outputs"), OF_OUTPUTS, "an output is repeated", "s1"),
    (indexes(MESSAGES, "message_index", 1, 2), OF_MESSAGES, "a message_index is missing", "s1"),
    (indexes(MESSAGES, "message_index", 0, 2), OF_MESSAGES, "a message_index is missing", "s1"),
    (indexes(MESSAGES, "message_index", 0, 0, 3, 3), OF_MESSAGES, "a message_index is repeated", "s1"),
    (indexes(MESSAGES, "message_index", *LONG), OF_MESSAGES, "a message_index is missing", "s1"),
    (indexes(MESSAGES, "message_index", *LONG, 150), OF_MESSAGES, "a message_index is repeated", "s1"),
    (indexes(COSTS, "cost_index", 1, 2), OF_COSTS, "a cost_index is missing", "s1"),
    (indexes(COSTS, "cost_index", 0, 2), OF_COSTS, "a cost_index is missing", "s1"),
    (indexes(TOOL_CALLS, "tool_call_index", 1, 2), OF_CALLS, "a tool_call_index is missing", "s1"),
    (indexes(TOOL_CALLS, "tool_call_index", 0, 2), OF_CALLS, "a tool_call_index is missing", "s1"),
    *(
        (run(f"UPDATE store.sessions SET {count} = {count} + 1 {S2}"), OF_MESSAGES, f"{count} differs", "s2")
        for count in ("message_count", "user_message_count", "assistant_message_count", "tool_call_count")
    ),
    (
        run("UPDATE store.sessions SET message_count = 1 WHERE session_id = 'empty'"),
        OF_MESSAGES,
        "message_count differs",
        "empty",
    ),
    (run(f"DELETE FROM store.tool_calls {S1}"), OF_CALLS, "the calls are missing", "s1"),
    (
        run(f"DELETE FROM store.tool_calls {S1} AND tool_call_index = 1"),
        OF_CALLS,
        "tool_call_count differs",
        "s1",
    ),
    (run(RESULT.format("'42'", "NULL")), OF_CALLS, "a result has no result_message_index", "s2"),
    (run(RESULT.format("'42'", 0)), OF_CALLS, "a result is not after its call", "s2"),
    (run(RESULT.format("'42'", 1)), OF_CALLS, "a result is not after its call", "s2"),
    (run(RESULT.format("'42'", 9)), OF_CALLS, "the message of a result is missing", "s2"),
    (run(RESULT.format("NULL", 9)), OF_CALLS, "the message of a result is missing", "s2"),
    (
        run(f"UPDATE store.messages SET first_seen_at = '2027-01-01 00:00:00Z' {FIRST}"),
        OF_MESSAGES,
        "a message was first seen after updated_at",
        "s1",
    ),
]


@pytest.mark.parametrize(
    ("plant", "check", "problem", "session_id"),
    FAULTS,
    ids=[f"{fault[2]}-{n}" for n, fault in enumerate(FAULTS)],
)
def test_a_fault_is_found_by_one_check_which_names_problem_and_session(
    rows: Rows, plant: Callable[[Rows], None], check: str, problem: str, session_id: str
) -> None:
    """Each fault in a session's own rows is found once."""
    plant(rows)
    (found,) = failing(rows)[check]
    assert (found["session_id"], found["problem"]) == (session_id, problem)


@pytest.mark.parametrize("declared", [1, 3])
def test_a_message_that_declares_another_number_of_calls_is_found_in_both_directions(
    rows: Rows, declared: int
) -> None:
    """Against its calls, and against the session's number."""
    rows.run(f"UPDATE store.messages SET tool_call_count = {declared} {FIRST}")
    found = failing(rows)
    assert {name: [row["problem"] for row in there] for name, there in found.items()} == {
        OF_CALLS: ["tool_call_count differs"],
        OF_MESSAGES: ["tool_call_count differs"],
    }
    assert (found[OF_CALLS][0]["tool_call_count"], found[OF_CALLS][0]["calls_found"]) == (declared, 2)


def test_a_repeated_session_is_found(rows: Rows) -> None:
    """Its children then belong to two rows, which is no second fault."""
    again("sessions")(rows)
    assert failing(rows) == {"duplicate_sessions": [{"session_id": "s1", "row_count": 2}]}


def test_second_organisation_is_found(rows: Rows) -> None:
    """If there are two organisations, both are listed."""
    rows.run(f"UPDATE store.sessions SET org_id = 'other' {S2}")
    assert failing(rows) == {
        "one_organisation": [
            {"org_id": "org", "session_count": 3},
            {"org_id": "other", "session_count": 1},
        ]
    }
