"""The view `resumptions` on small hand-made data."""

from datetime import datetime
from typing import Any

import pytest

from sql_rows import SOME_DAY, Rows, after

BRIEF = "SELECT message_index, resumed_at, gap_seconds FROM resumptions ORDER BY message_index"


def said(role: str, content: str | None, sent_at: datetime | None = None, **columns: Any) -> dict[str, Any]:
    """A message; seen at once with its time, or as given."""
    seen = {"first_seen_at": sent_at} if sent_at is not None else {}
    return {"role": role, "content": content, "sent_at": sent_at, **seen, **columns}


def test_a_conversation_that_goes_on_later_is_resumed(rows: Rows) -> None:
    """Each break on the way is a row, with what came before and what came first."""
    rows.session("s1", message_count=6, status="completed")
    rows.messages(
        "s1",
        said("user", "Where is it?", after(10)),
        said("assistant", "On its way.", after(20)),
        said("user", "Still not here.", after(days=2)),
        said("tool", "{}", after(days=2, seconds=5)),
        said("assistant", "Tomorrow.", after(days=2, seconds=10)),
        said("assistant", "Has it come?", after(days=3)),
    )
    first = {
        "session_id": "s1",
        "session_created_at": after(),
        "resumption_number": 1,
        "resumed_at": after(days=2),
        "day": after(days=2).date(),
        "gap_seconds": 2 * 86_400 - 20.0,
        "message_index": 2,
        "message_count": 3,
        "previous_speaker": "assistant",
        "previous_text": "On its way.",
        "first_text": "Still not here.",
        "outcome": "completed",
    }
    second = first | {
        "resumption_number": 2,
        "resumed_at": after(days=3),
        "day": after(days=3).date(),
        "gap_seconds": 86_400 - 10.0,
        "message_index": 5,
        "message_count": 1,
        "previous_text": "Tomorrow.",
        "first_text": "Has it come?",
    }
    assert rows.rows("FROM resumptions ORDER BY resumption_number") == [first, second]


def test_a_break_on_the_same_day_is_no_resumption(rows: Rows) -> None:
    """However long it is."""
    rows.session("s1")
    rows.messages("s1", said("user", "Hi", after()), said("user", "Hi again", after(14 * 3600)))
    assert after(14 * 3600).date() == SOME_DAY
    assert rows.run(BRIEF) == []


@pytest.mark.parametrize(("gap", "resumed"), [(3_599, False), (3_600, True)])
def test_a_conversation_through_midnight_is_no_resumption(rows: Rows, gap: float, resumed: bool) -> None:
    """It takes an hour of silence; midnight is 15 hours after the morning."""
    before = 15 * 3600 - 60
    rows.session("s1")
    rows.messages("s1", said("user", "Hi", after(before)), said("assistant", "Hello", after(before + gap)))
    assert rows.run(BRIEF) == ([(1, after(before + gap), gap)] if resumed else [])


def test_messages_seen_together_are_not_told_apart(rows: Rows) -> None:
    """A chat that was complete when it was first read has no known break; one that grew between two syncs has."""
    rows.session("s1")
    rows.messages(
        "s1",
        said("user", "Hi", first_seen_at=after(days=1)),
        said("assistant", "Hello", first_seen_at=after(days=1)),
        said("user", "Me again", first_seen_at=after(days=4)),
        said("assistant", "Yes?", first_seen_at=after(days=4)),
    )
    assert rows.run(BRIEF) == [(2, after(days=4), 3 * 86_400.0)]


def test_an_untimed_answer_that_was_seen_late_is_no_resumption(rows: Rows) -> None:
    """A session changes days after its last message, for example when its costs arrive: the answer stays with the question."""
    rows.session("s1")
    late = {"first_seen_at": after(days=5)}
    rows.messages(
        "s1",
        said("assistant", "Good morning", **late),
        said("user", "Hi", after(10)) | late,
        said("assistant", "Hello", **late),
    )
    assert rows.run(BRIEF) == []


def test_an_untimed_message_is_no_later_than_the_next_timed_one(rows: Rows) -> None:
    """The greeting was seen on day 5, but the customer answered it on day 2."""
    rows.session("s1")
    late = {"first_seen_at": after(days=5)}
    rows.messages(
        "s1",
        said("user", "Hi", after(10)),
        said("assistant", "Are you still there?", **late),
        said("user", "Yes", after(days=2)) | late,
    )
    assert rows.run(BRIEF) == [(1, after(days=2), 2 * 86_400 - 10.0)]


def test_prompts_and_tool_results_neither_resume_nor_interrupt(rows: Rows) -> None:
    """A late tool result and an empty message of the assistant are not spoken."""
    rows.session("s1")
    rows.messages(
        "s1",
        said("user", "Hi", after(10)),
        said("tool", "{}", after(days=1)),
        said("assistant", " ", after(days=2)),
        said("system", "Be brief.", after(days=3)),
    )
    assert rows.run(BRIEF) == []


def test_a_refusal_is_spoken(rows: Rows) -> None:
    """Its text is that of the refusal."""
    rows.session("s1")
    rows.messages(
        "s1",
        said("assistant", None, after(10), refusal="I cannot do that."),
        said("user", "Please", after(days=1)),
    )
    assert rows.run("SELECT previous_speaker, previous_text FROM resumptions") == [
        ("assistant", "I cannot do that.")
    ]


def test_deleted_and_empty_sessions(rows: Rows) -> None:
    """A deleted session keeps its rows; one without messages has none."""
    rows.session("s1", deleted_at=after(days=9))
    rows.session("s2")
    rows.messages("s1", said("user", "Hi", after(10)), said("user", "Hi again", after(days=1)))
    assert rows.run("SELECT session_id FROM resumptions") == [("s1",)]


def test_sessions_do_not_mix(rows: Rows) -> None:
    """The last message of one session is not the one before the first of another."""
    rows.session("s1")
    rows.session("s2", created_at=after(days=1))
    rows.messages("s1", said("user", "Hi", after(10)))
    rows.messages("s2", said("user", "Hi", after(days=1, seconds=10)))
    assert rows.run(BRIEF) == []
