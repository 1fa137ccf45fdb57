"""The view `transcript` on small hand-made data."""

from sql_rows import Rows, after
from vapi_sessions.schema import TOOL_CALLS


def test_transcript_names_the_speaker_of_each_role(rows: Rows) -> None:
    """Roles map to four speakers, and an unknown role is shown as it came."""
    roles = ["system", "developer", "user", "assistant", "bot", "tool_calls"]
    roles += ["tool", "tool_call_result", "function", "supervisor", None]
    rows.session("s1")
    rows.messages("s1", *({"role": role} for role in roles))
    speakers = [row[0] for row in rows.run("SELECT speaker FROM transcript ORDER BY message_index")]
    assert speakers == [
        *("system", "system", "customer", "assistant", "assistant", "assistant"),
        *("tool", "tool", "tool", "supervisor", None),
    ]


def test_transcript_prefers_the_time_of_the_message(rows: Rows) -> None:
    """A message's own time is preferred to its first observation, and the row names the source of the time."""
    rows.session("s1")
    rows.messages(
        "s1",
        {"role": "user", "sent_at": after(5), "first_seen_at": after(60)},
        {"role": "assistant", "first_seen_at": after(60)},
    )
    found = rows.run("SELECT message_at, message_at_source FROM transcript ORDER BY message_index")
    assert found == [(after(5), "sent_at"), (after(60), "first_seen_at")]


def test_transcript_shows_calls_and_answers_in_order(rows: Rows) -> None:
    """A message lists the functions it calls in order, and the message that answers lists what it answers."""
    rows.session("s1")
    rows.messages("s1", ("user", "Hi"), ("assistant", None), ("tool", "42"), ("assistant", "Done"))
    rows.child(
        TOOL_CALLS, "s1", message_index=1, tool_call_index=1, function_name="lookup", result_message_index=2
    )
    rows.child(
        TOOL_CALLS, "s1", message_index=1, tool_call_index=0, function_name="zip", result_message_index=2
    )
    rows.child(TOOL_CALLS, "s1", message_index=1, tool_call_index=2)
    found = rows.run("SELECT tools_called, answers_tools FROM transcript ORDER BY message_index")
    assert found == [([], []), (["zip", "lookup", "(unnamed)"], []), ([], ["zip", "lookup"]), ([], [])]


def test_transcript_has_each_message_once(rows: Rows) -> None:
    """Repeated tool call ids do not repeat a message."""
    rows.session("s1")
    rows.messages(
        "s1", ("user", "Hi"), ("assistant", None), ("tool", "1"), ("assistant", None), ("tool", "2")
    )
    for message_index, result_index in [(1, 2), (3, 4)]:
        rows.child(
            TOOL_CALLS,
            "s1",
            message_index=message_index,
            tool_call_index=0,
            tool_call_id="same",
            result_message_index=result_index,
        )
    assert rows.run("SELECT message_index FROM transcript ORDER BY 1") == [(0,), (1,), (2,), (3,), (4,)]


def test_transcript_names_who_spoke(rows: Rows) -> None:
    """The participant's name, or the assistant's name or speaker label if there is none."""
    rows.session("s1")
    rows.messages(
        "s1",
        {"role": "user", "name": "Ada", "extra": '{"speakerLabel": "Speaker 1"}'},
        {"role": "bot", "extra": '{"assistantName": "Booking"}'},
        {"role": "user", "extra": '{"speakerLabel": "Speaker 2"}'},
        {"role": "bot"},
    )
    names = [row[0] for row in rows.run("SELECT speaker_name FROM transcript ORDER BY message_index")]
    assert names == ["Ada", "Booking", "Speaker 2", None]


def test_transcript_shows_a_refusal(rows: Rows) -> None:
    """If the model refused and said nothing else, the refusal is the text."""
    rows.session("s1")
    rows.messages("s1", {"role": "assistant", "refusal": "I cannot do that."})
    assert rows.run("SELECT text FROM transcript") == [("I cannot do that.",)]


def test_transcript_shows_the_result_of_a_call(rows: Rows) -> None:
    """A call's tool result has no content: its text is the result that is kept in extra."""
    rows.session("s1")
    rows.messages(
        "s1",
        {"role": "tool_call_result", "extra": '{"result": "{\\"ok\\": true}"}'},
        {"role": "tool_call_result", "extra": '{"result": [1, 2]}'},
        {"role": "assistant", "extra": '{"result": "of something else"}'},
    )
    texts = [row[0] for row in rows.run("SELECT text FROM transcript ORDER BY message_index")]
    assert texts == ['{"ok": true}', "[1,2]", None]
