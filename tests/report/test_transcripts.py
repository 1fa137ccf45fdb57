"""The transcripts of the most expensive sessions: what they hold, and their bounds."""

from __future__ import annotations

from reporting import conversation, reader_of

from sql_rows import Rows, after
from vapi_sessions.report import transcripts
from vapi_sessions.report.transcripts import (
    FIRST_MESSAGES,
    LAST_MESSAGES,
    MOST_CHARACTERS,
    MOST_OF_A_SESSION,
    MOST_SESSIONS,
    Transcript,
)  # fmt: skip


def most_expensive(rows: Rows) -> list[Transcript]:
    rows.complete_until(after(60))
    return transcripts.most_expensive(*reader_of(rows))


def test_a_transcript_has_messages_calls_costs_and_outputs(rows: Rows) -> None:
    """The result of a tool is shown with its call, not as a message of its own."""
    conversation(rows, "s1", "word")
    (found,) = most_expensive(rows)
    assert [(one.speaker, one.text.shown) for one in found.messages] == [
        ("customer", "word please"),
        ("assistant", ""),
        ("assistant", "word done"),
    ]
    (call,) = found.messages[1].calls
    assert (call.name, call.arguments.shown, call.outcome) == ("look_up", '{"query": "word"}', "answered")
    assert call.result is not None
    assert call.result.shown == "word"
    assert [(row["type"], row["cost_usd"]) for row in found.components] == [("model", 0.4), ("session", 0.1)]
    assert [(row["name"], row["value"]) for row in found.outputs] == [("CSAT", "4")]
    assert found.left_out == 0


def test_the_most_expensive_of_the_period_come_first(rows: Rows) -> None:
    """At most so many; pending ones and those before the period are not among them."""
    for number in range(MOST_SESSIONS + 5):
        rows.session(f"s{number:02}", cost_usd=float(number))
    rows.session("pending")
    rows.session("earlier", created_at=after(days=-1), cost_usd=1e6)
    costs = [one.facts["cost_usd"] for one in most_expensive(rows)]
    assert costs == [float(number) for number in range(MOST_SESSIONS + 4, 4, -1)]


def test_long_conversations_are_shown_by_their_beginning_and_end(rows: Rows) -> None:
    """The number of messages between is given, and where they are missing."""
    rows.session("long", cost_usd=1.0)
    rows.messages("long", *(("user", f"text {number}") for number in range(200)))
    (found,) = most_expensive(rows)
    assert len(found.messages) == FIRST_MESSAGES + LAST_MESSAGES
    assert found.left_out == 200 - len(found.messages)
    assert found.after_gap == 200 - LAST_MESSAGES
    assert [one.index for one in (found.messages[FIRST_MESSAGES - 1], found.messages[-1])] == [
        FIRST_MESSAGES - 1,
        199,
    ]


def test_long_texts_are_cut(rows: Rows) -> None:
    """A single one, and all of a session together; the number of missing characters is kept."""
    rows.session("s1", cost_usd=1.0)
    rows.messages("s1", *(("user", "x" * 10_000) for _ in range(70)))
    (found,) = most_expensive(rows)
    first, last = found.messages[0].text, found.messages[-1].text
    assert (len(first.shown), first.left_out) == (MOST_CHARACTERS, 10_000 - MOST_CHARACTERS)
    assert (last.shown, last.left_out) == ("", 10_000)
    assert sum(len(one.text.shown) for one in found.messages) == MOST_OF_A_SESSION


def test_an_unanswered_call_has_no_result(rows: Rows) -> None:
    """A call without a result message."""
    conversation(rows, "s1")
    rows.run("UPDATE store.tool_calls SET result = NULL, result_message_index = NULL")
    (found,) = most_expensive(rows)
    (call,) = found.messages[1].calls
    assert (call.outcome, call.result) == ("unanswered", None)
