"""The views `tool_calls_with_results` and `tool_usage` on small hand-made data."""

import pytest

from sql_rows import MORNING, Rows, after
from vapi_sessions.schema import TOOL_CALLS


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        ("Booked.", "answered"),
        ("", "answered"),
        (None, "answered"),
        ("[]", "answered"),
        ('{"error": null, "ok": true}', "answered"),
        ('{"error": false}', "answered"),
        ('{"errors_seen": 3}', "answered"),
        ("Errors were not found", "answered"),
        ("No errors", "answered"),
        ("{not json", "answered"),
        ("Error: payment amount does not add up", "error"),
        ("\n error", "error"),
        ('"Error: in quotes"', "error"),
        ('{"error": "timeout"}', "error"),
        ('{"error": {"code": 5}}', "error"),
        ("No result returned.", "no_result"),
        ("ok, no result returned", "no_result"),
    ],
)
def test_tool_call_outcome_of_an_answered_call(rows: Rows, result: str | None, outcome: str) -> None:
    """A result counts as an error if its text begins with "error", or if it is an object with a set `error`."""
    rows.session("s1")
    rows.child(TOOL_CALLS, "s1", message_index=1, tool_call_index=0, result=result, result_message_index=2)
    assert rows.run("SELECT outcome FROM tool_calls_with_results") == [(outcome,)]


def test_tool_call_without_an_answer_is_kept(rows: Rows) -> None:
    """A call without an answer has a row with outcome unanswered and no result."""
    rows.session("s1")
    rows.messages("s1", ("user", "Hi"), ("assistant", None))
    rows.child(TOOL_CALLS, "s1", message_index=1, tool_call_index=0, function_name="lookup")
    row = rows.only("SELECT * FROM tool_calls_with_results")
    assert (row["outcome"], row["result"], row["latency_seconds"]) == ("unanswered", None, None)
    assert (row["called_at"], row["called_at_source"]) == (MORNING, "first_seen_at")


def test_tool_call_arguments_are_parsed_where_they_are_json(rows: Rows) -> None:
    """Arguments are shown as received, and also as JSON if they are; broken JSON gives null."""
    rows.session("s1")
    for index, arguments in enumerate(['{"id": 7}', "{broken", None]):
        rows.child(TOOL_CALLS, "s1", message_index=1, tool_call_index=index, arguments=arguments)
    found = rows.run(
        "SELECT arguments, arguments_json ->> '$.id' FROM tool_calls_with_results ORDER BY tool_call_index"
    )
    assert found == [('{"id": 7}', "7"), ("{broken", None), (None, None)]


@pytest.mark.parametrize(
    ("called", "answered", "latency"),
    [(1.0, 3.5, 2.5), (None, 3.5, None), (1.0, None, None)],
    ids=["both timed", "call untimed", "answer untimed"],
)
def test_tool_call_latency_needs_both_times(
    rows: Rows, called: float | None, answered: float | None, latency: float | None
) -> None:
    """A latency is shown only if both messages have a time of their own."""
    rows.session("s1")
    rows.messages(
        "s1",
        {"role": "assistant", "sent_at": None if called is None else after(called)},
        {"role": "tool", "sent_at": None if answered is None else after(answered)},
    )
    rows.child(TOOL_CALLS, "s1", message_index=0, tool_call_index=0, result_message_index=1)
    assert rows.run("SELECT latency_seconds FROM tool_calls_with_results") == [(latency,)]


def test_tool_calls_with_a_repeated_id_stay_apart(rows: Rows) -> None:
    """Two calls with one id are two rows, each with its own result."""
    rows.session("s1")
    rows.messages("s1", ("assistant", None), ("tool", "one"), ("assistant", None), ("tool", "two"))
    for message_index, result in [(0, "one"), (2, "two")]:
        rows.child(
            TOOL_CALLS,
            "s1",
            message_index=message_index,
            tool_call_index=0,
            tool_call_id="same",
            result=result,
            result_message_index=message_index + 1,
        )
    found = rows.run("SELECT tool_call_id, result FROM tool_calls_with_results ORDER BY message_index")
    assert found == [("same", "one"), ("same", "two")]


def test_tool_usage_counts_outcomes_per_function(rows: Rows) -> None:
    """Outcomes add up to the calls, per function name, and calls without a name have a row."""
    rows.session("s1")
    rows.session("s2")
    results = ["fine", "Error: no", "No result returned."]
    for index, result in enumerate(results):
        rows.child(
            TOOL_CALLS,
            "s1",
            message_index=0,
            tool_call_index=index,
            function_name="lookup",
            result=result,
            result_message_index=index + 1,
        )
    rows.child(TOOL_CALLS, "s2", message_index=0, tool_call_index=0, function_name="lookup")
    rows.child(TOOL_CALLS, "s2", message_index=0, tool_call_index=1)
    found = rows.run(
        "SELECT function_name, call_count, session_count, answered_count, error_count, no_result_count,"
        " unanswered_count, unanswered_share FROM tool_usage ORDER BY function_name"
    )
    assert found == [("lookup", 4, 2, 1, 1, 1, 1, 0.25), (None, 1, 1, 0, 0, 0, 1, 1.0)]


def test_tool_usage_latency_ignores_untimed_calls(rows: Rows) -> None:
    """The median is taken over the timed calls, and the row counts them."""
    rows.session("s1")
    rows.messages(
        "s1",
        {"role": "assistant", "sent_at": after(0)},
        {"role": "tool", "sent_at": after(1)},
        {"role": "tool", "sent_at": after(3)},
        {"role": "tool"},
    )
    for index in range(3):
        rows.child(
            TOOL_CALLS,
            "s1",
            message_index=0,
            tool_call_index=index,
            function_name="lookup",
            result_message_index=index + 1,
        )
    row = rows.only("SELECT * FROM tool_usage")
    assert (row["call_count"], row["timed_call_count"], row["median_latency_seconds"]) == (3, 2, 2.0)


def test_tool_usage_shows_first_and_last_call(rows: Rows) -> None:
    """The first and last call are the earliest and latest by the message's time."""
    rows.session("s1")
    rows.messages("s1", *({"role": "assistant", "sent_at": after(second)} for second in (30, 10, 20)))
    for index in range(3):
        rows.child(TOOL_CALLS, "s1", message_index=index, tool_call_index=0)
    assert rows.run("SELECT first_called_at, last_called_at FROM tool_usage") == [(after(10), after(30))]
