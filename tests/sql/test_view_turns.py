"""The view `turns` on small hand-made data."""

import pytest

from sql_rows import Rows, after


def test_turns_pair_the_customer_with_the_response(rows: Rows) -> None:
    """A turn holds consecutive customer messages, and the assistant's messages until the next turn."""
    rows.session("s1")
    rows.messages(
        "s1",
        ("assistant", "Good morning."),
        ("user", "Hi."),
        ("user", "Where is my order?"),
        {"role": "assistant", "content": "  ", "tool_call_count": 2},
        ("tool", "{}"),
        ("assistant", "On its way."),
        ("assistant", "Anything else?"),
        ("user", None),
    )
    found = rows.rows("SELECT * EXCLUDE (session_id, session_created_at) FROM turns ORDER BY turn_number")
    assert found == [
        {
            "turn_number": 1,
            "first_message_index": 1,
            "response_message_index": 5,
            "customer_message_count": 2,
            "customer_text": "Hi.\nWhere is my order?",
            "response_text": "On its way.\nAnything else?",
            "tool_call_count": 2,
            "response_seconds": None,
        },
        {
            "turn_number": 2,
            "first_message_index": 7,
            "response_message_index": None,
            "customer_message_count": 1,
            "customer_text": None,
            "response_text": None,
            "tool_call_count": 0,
            "response_seconds": None,
        },
    ]


def test_turn_response_time_runs_from_the_customers_last_word(rows: Rows) -> None:
    """The wait is measured from the end of the customer's last message to the first response."""
    rows.session("s1")
    rows.messages(
        "s1",
        {"role": "user", "content": "Hi", "sent_at": after(0), "ended_at": after(1)},
        {"role": "user", "content": "Hello?", "sent_at": after(2), "ended_at": after(3)},
        {"role": "bot", "content": "Yes", "sent_at": after(4.25)},
        {"role": "bot", "content": "please?", "sent_at": after(6)},
        {"role": "user", "content": "Well", "sent_at": after(8), "ended_at": after(10)},
        {"role": "bot", "content": "Sorry", "sent_at": after(9.5)},
    )
    found = rows.run("SELECT response_seconds FROM turns ORDER BY turn_number")
    assert found == [(1.25,), (-0.5,)]


@pytest.mark.parametrize("untimed", [1, 2], ids=["last customer message", "first response"])
def test_turn_with_a_missing_time_has_no_response_time(rows: Rows, untimed: int) -> None:
    """If the relevant message has no time, the time of a neighbour is not used."""
    conversation = [("user", 0), ("user", 2), ("assistant", 4), ("assistant", 6)]
    rows.session("s1")
    rows.messages(
        "s1",
        *(
            {"role": role, "content": "…", "sent_at": None if index == untimed else after(second)}
            for index, (role, second) in enumerate(conversation)
        ),
    )
    assert rows.run("SELECT response_seconds FROM turns") == [(None,)]


def test_turns_agree_with_the_summary(rows: Rows) -> None:
    """The summary's turn count equals the number of rows in turns, for every order of roles."""
    roles = ["user", "assistant", "tool"]
    for number in range(3**4):
        session_id = f"s{number}"
        rows.session(session_id)
        rows.messages(
            session_id,
            *((roles[number // 3**place % 3], ["text", None, " "][number % 4 % 3]) for place in range(4)),
        )
    differing = rows.run(
        "SELECT session_id FROM session_summary LEFT JOIN (SELECT session_id, COUNT(*) AS n FROM turns GROUP BY ALL)"
        " USING (session_id) WHERE turn_count <> COALESCE(n, 0)"
    )
    assert differing == []
    assert rows.run("SELECT MIN(turn_count), MAX(turn_count) FROM session_summary") == [(0, 2)]
