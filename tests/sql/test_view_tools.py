"""The views `tool_calls_with_results`, `tool_usage` and `tools_by_day` on small hand-made data."""

from datetime import date

import pytest

from sql_rows import MORNING, SOME_DAY, Rows, after
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


@pytest.mark.parametrize(
    ("first", "second", "repeated"),
    [
        ('{"id": 7, "day": "Mon"}', '{"id":7,"day":"Mon"}', True),
        ('{"id": 7}', '{\n  "id": 7\n}', True),
        ('{"id": 7}', '{"id": 8}', False),
        ('{"id": "a b"}', '{"id": "a  b"}', False),
        ('{"id": 7, "day": 1}', '{"day": 1, "id": 7}', False),
        ('{"id": 7}', '{"id": 7.0}', False),
        ("{broken", "{broken", True),
        ("{broken", "{ broken", False),
        (None, None, True),
        (None, "{}", False),
        ("", None, False),
    ],
)
def test_tool_call_with_the_same_arguments_is_repeated(
    rows: Rows, first: str | None, second: str | None, repeated: bool
) -> None:
    """Only white space between JSON tokens is ignored; missing arguments equal missing ones."""
    rows.session("s1")
    for message_index, arguments in [(3, second), (1, first)]:
        rows.child(
            TOOL_CALLS,
            "s1",
            message_index=message_index,
            tool_call_index=0,
            function_name="lookup",
            arguments=arguments,
        )
    found = rows.run("SELECT message_index, repeated FROM tool_calls_with_results ORDER BY ALL")
    assert found == [(1, False), (3, repeated)]
    assert rows.run("SELECT repeated_count FROM tool_usage") == [(int(repeated),)]


def test_tool_call_is_not_repeated_across_sessions_or_functions(rows: Rows) -> None:
    """The same arguments for another function, in another session, or without a name are no repetition."""
    calls = [("s1", "a"), ("s1", "b"), ("s2", "a"), ("s1", None), ("s1", None)]
    for session_id in ("s1", "s2"):
        rows.session(session_id)
    for index, (session_id, function_name) in enumerate(calls):
        rows.child(
            TOOL_CALLS,
            session_id,
            message_index=0,
            tool_call_index=index,
            function_name=function_name,
            arguments="{}",
        )
    assert rows.run("SELECT DISTINCT repeated FROM tool_calls_with_results") == [(False,)]


def test_tool_call_in_one_message_is_repeated_by_position(rows: Rows) -> None:
    """Of three equal calls in one message, the second and the third are repetitions."""
    rows.session("s1")
    for index in range(3):
        rows.child(
            TOOL_CALLS, "s1", message_index=0, tool_call_index=index, function_name="a", arguments="{}"
        )
    found = rows.run("SELECT repeated FROM tool_calls_with_results ORDER BY tool_call_index")
    assert found == [(False,), (True,), (True,)]


def test_tools_by_day_counts_outcomes(rows: Rows) -> None:
    """Outcomes add up to the calls of a day and function; a day without calls has no row."""
    rows.session("s1")
    rows.session("s2", created_at=after(days=2), deleted_at=after(days=3))
    rows.messages(
        "s1",
        {"role": "assistant", "sent_at": after(0)},
        {"role": "tool", "sent_at": after(1)},
        {"role": "tool", "sent_at": after(4)},
        {"role": "tool"},
    )
    for index, result in enumerate(["fine", "Error: no", "No result returned."]):
        rows.child(
            TOOL_CALLS,
            "s1",
            message_index=0,
            tool_call_index=index,
            function_name="lookup",
            result=result,
            result_message_index=index + 1,
        )
    rows.child(TOOL_CALLS, "s1", message_index=0, tool_call_index=3, function_name="book")
    rows.child(TOOL_CALLS, "s2", message_index=0, tool_call_index=0, function_name="lookup")
    rows.child(TOOL_CALLS, "s2", message_index=0, tool_call_index=1)
    assert rows.run("FROM tools_by_day ORDER BY ALL") == [
        (SOME_DAY, "book", 1, 0, 0, 0, 1, 0, 0, None, None),
        (SOME_DAY, "lookup", 3, 1, 1, 1, 0, 2, 2, 2.5, 3.85),
        (date(2026, 8, 3), "lookup", 1, 0, 0, 0, 1, 0, 0, None, None),
        (date(2026, 8, 3), None, 1, 0, 0, 0, 1, 0, 0, None, None),
    ]


def test_tools_by_day_takes_the_day_of_the_session(rows: Rows) -> None:
    """A call made after midnight, or when the conversation was resumed, counts on the day its session was created."""
    rows.session("s1")
    rows.messages("s1", {"role": "assistant", "sent_at": after(days=3)})
    rows.child(TOOL_CALLS, "s1", message_index=0, tool_call_index=0, function_name="lookup")
    assert rows.run("SELECT day, call_count FROM tools_by_day") == [(SOME_DAY, 1)]


def test_tool_shares_are_rounded(rows: Rows) -> None:
    """A third is 0.333333."""
    rows.session("s1")
    for index in range(3):
        answer = {"result": "x", "result_message_index": 1} if index else {}
        rows.child(TOOL_CALLS, "s1", message_index=0, tool_call_index=index, function_name="a", **answer)
    assert rows.run("SELECT unanswered_share FROM tool_usage") == [(0.333333,)]
