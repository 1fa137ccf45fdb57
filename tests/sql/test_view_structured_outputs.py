"""The view `structured_output_values` on small hand-made data."""

from typing import Any

import pytest

from sql_rows import Rows, after
from vapi_sessions.schema import STRUCTURED_OUTPUTS


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ('"good"', ("text", "good", None, None)),
        ('"4"', ("text", "4", None, None)),
        ("4", ("number", "4", 4.0, None)),
        ("-0.5", ("number", "-0.5", -0.5, None)),
        ("true", ("boolean", "true", None, True)),
        ("[]", ("list", "[]", None, None)),
        ("{}", ("object", "{}", None, None)),
        ("null", ("null", None, None, None)),
        (None, ("null", None, None, None)),
    ],
)
def test_structured_output_value_by_kind(rows: Rows, result: str | None, expected: tuple[Any, ...]) -> None:
    """A scalar output is one row, with its value in the column of its kind."""
    rows.session("s1")
    rows.child(STRUCTURED_OUTPUTS, "s1", structured_output_id="o", name="CSAT", result=result)
    found = rows.run(
        "SELECT field, kind, value_text, value_number, value_boolean FROM structured_output_values"
    )
    assert found == [(None, *expected)]


def test_structured_output_object_is_taken_apart(rows: Rows) -> None:
    """An object gives one row a field; nested objects stay whole, and a null field has its own row."""
    rows.session("s1")
    rows.child(
        STRUCTURED_OUTPUTS,
        "s1",
        structured_output_id="o",
        result='{"mood": "calm", "score": 7, "tags": ["b", "a"], "inner": {"x": 1}, "gap": null}',
    )
    found = rows.run(
        "SELECT field, position, kind, value_text FROM structured_output_values ORDER BY field, position"
    )
    assert found == [
        ("gap", None, "null", None),
        ("inner", None, "object", '{"x":1}'),
        ("mood", None, "text", "calm"),
        ("score", None, "number", "7"),
        ("tags", 0, "text", "b"),
        ("tags", 1, "text", "a"),
    ]


def test_structured_output_list_is_taken_apart(rows: Rows) -> None:
    """A list gives one row an element, nulls included; nested lists stay whole."""
    rows.session("s1")
    rows.child(STRUCTURED_OUTPUTS, "s1", structured_output_id="o", result='["late", null, 2, ["x"]]')
    found = rows.run(
        "SELECT field, position, kind, value_text FROM structured_output_values ORDER BY position"
    )
    assert found == [
        (None, 0, "text", "late"),
        (None, 1, "null", None),
        (None, 2, "number", "2"),
        (None, 3, "list", '["x"]'),
    ]


def test_structured_output_values_carry_the_session(rows: Rows) -> None:
    """Values carry the session's assistant and deleted_at, so that a query can group by and filter on them."""
    rows.session("s1", assistant_id="a1", assistant_name="Booking", deleted_at=after(60))
    rows.child(STRUCTURED_OUTPUTS, "s1", structured_output_id="o", result="1")
    row = rows.only("SELECT * FROM structured_output_values")
    assert (row["assistant_id"], row["assistant_name"], row["deleted_at"]) == ("a1", "Booking", after(60))


def test_structured_output_values_are_neither_lost_nor_multiplied(rows: Rows) -> None:
    """Outputs give one row each, also if two sessions share a creation time, or the session is missing."""
    rows.session("s1")
    rows.session("s2")
    for session_id in ("s1", "s2", "nobody"):
        rows.child(STRUCTURED_OUTPUTS, session_id, structured_output_id="o", result="1")
    found = rows.run("SELECT session_id FROM structured_output_values ORDER BY session_id")
    assert found == [("nobody",), ("s1",), ("s2",)]
