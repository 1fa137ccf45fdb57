"""The view `structured_output_trends` on small hand-made data."""

from datetime import date, datetime

from sql_rows import MORNING, SOME_DAY, Rows, after
from vapi_sessions.schema import STRUCTURED_OUTPUTS


def outputs(rows: Rows, name: str | None, *results: str | None, created_at: datetime = MORNING) -> None:
    """One session for each result."""
    for result in results:
        session_id = f"s{len(rows.created)}"
        rows.session(session_id, created_at=created_at)
        rows.child(STRUCTURED_OUTPUTS, session_id, structured_output_id="o", name=name, result=result)


def test_numbers_have_mean_and_median(rows: Rows) -> None:
    """Nulls and other kinds do not count as numbers; nulls are no values."""
    outputs(rows, "CSAT", "1", "2", "5", "5.5", '"7"', "null", None)
    outputs(rows, "CSAT", "3", created_at=after(days=2))
    assert rows.run("FROM structured_output_trends ORDER BY day") == [
        (SOME_DAY, "CSAT", None, 5, 5, 3.375, 3.5, None, "7"),
        (date(2026, 8, 3), "CSAT", None, 1, 1, 3.0, 3.0, None, None),
    ]


def test_booleans_have_a_share(rows: Rows) -> None:
    """Two of three are true: 0.666667. Other values do not lower the share."""
    outputs(rows, "Resolved", "true", "true", "false", "1", "null")
    row = rows.only("FROM structured_output_trends")
    assert (row["true_share"], row["value_count"], row["mean_number"]) == (0.666667, 4, 1.0)


def test_most_common_text_is_the_first_of_equally_frequent_ones(rows: Rows) -> None:
    """The result does not depend on the order of rows."""
    for order in [("b", "a", "c", "a", "b"), ("a", "b", "a", "b", "c")]:
        rows.clear()
        outputs(rows, "Mood", *(f'"{text}"' for text in order))
        assert rows.run("SELECT most_common_text FROM structured_output_trends") == [("a",)]


def test_fields_and_elements_have_rows_of_their_own(rows: Rows) -> None:
    """A field is a row; the elements of a list count one by one, the session once."""
    outputs(rows, "Order", '{"amount": 4, "tags": ["x", "y", "x"]}', '{"amount": 6, "tags": []}')
    found = rows.run(
        "SELECT field, value_count, session_count, mean_number, most_common_text"
        " FROM structured_output_trends ORDER BY field"
    )
    assert found == [("amount", 2, 2, 5.0, None), ("tags", 4, 2, None, "x")]


def test_output_with_only_nulls_has_a_row(rows: Rows) -> None:
    """An output that never finds anything is shown with no value."""
    outputs(rows, "Order", "null", None)
    assert rows.run("FROM structured_output_trends") == [
        (SOME_DAY, "Order", None, 0, 0, None, None, None, None)
    ]


def test_output_without_a_name_is_shown_by_its_id(rows: Rows) -> None:
    """Unnamed outputs with different ids are not mixed."""
    rows.session("s1")
    for output_id, name in [("o1", None), ("o2", None), ("o3", "o3 name")]:
        rows.child(STRUCTURED_OUTPUTS, "s1", structured_output_id=output_id, name=name, result='"t"')
    found = rows.run("SELECT name, most_common_text FROM structured_output_trends ORDER BY name")
    assert found == [("o1", "t"), ("o2", "t"), ("o3 name", "t")]
