"""The view `session_summary` on small hand-made data."""

import json

from sql_rows import MORNING, Rows, after
from vapi_sessions.schema import CHILDREN, COSTS, STRUCTURED_OUTPUTS, TABLES, TOOL_CALLS


def test_summary_of_a_session_without_children(rows: Rows) -> None:
    """A session without messages has a row, without times, turns and tools."""
    rows.session("s1")
    row = rows.only("SELECT * FROM session_summary")
    assert (row["started_at"], row["last_message_at"]) == (None, None)
    assert (row["duration_seconds"], row["duration_at_most_seconds"]) == (None, None)
    assert (row["turn_count"], row["last_speaker"], row["tools_used"]) == (0, None, [])
    assert (row["unanswered_tool_call_count"], row["pending_component_count"]) == (0, 0)
    assert row["structured_outputs"] is None


def test_summary_of_a_session_with_only_a_prompt(rows: Rows) -> None:
    """A system prompt alone does not count as a conversation."""
    rows.session("s1", message_count=1)
    rows.messages("s1", ("system", "You are an assistant."))
    row = rows.only("SELECT * FROM session_summary")
    assert (row["started_at"], row["duration_seconds"], row["turn_count"]) == (None, None, 0)


def test_summary_duration_from_message_times(rows: Rows) -> None:
    """With timed messages, the duration runs from the first message to the end of the last spoken one."""
    rows.session("s1")
    rows.messages(
        "s1",
        {"role": "bot", "content": "Hello", "sent_at": after(10), "ended_at": after(12)},
        {"role": "user", "content": "Hi", "sent_at": after(13), "ended_at": after(14)},
        {"role": "bot", "content": "Bye", "sent_at": after(15), "ended_at": after(17.5)},
    )
    row = rows.only("SELECT * FROM session_summary")
    assert (row["started_at"], row["last_message_at"]) == (after(10), after(17.5))
    assert (row["duration_seconds"], row["duration_at_most_seconds"]) == (7.5, 7.5)


def test_summary_duration_without_message_times(rows: Rows) -> None:
    """Chat messages have no time: the duration is null, and creation and first observation give an upper bound."""
    rows.session("s1")
    rows.messages(
        "s1",
        {"role": "user", "content": "Hi", "first_seen_at": after(60)},
        {"role": "assistant", "content": "Hello", "first_seen_at": after(300)},
    )
    row = rows.only("SELECT * FROM session_summary")
    assert (row["started_at"], row["last_message_at"]) == (MORNING, after(300))
    assert (row["duration_seconds"], row["duration_at_most_seconds"]) == (None, 300.0)


def test_summary_duration_with_some_message_times(rows: Rows) -> None:
    """If only the customer's messages have a time, the row shows the measured span and the upper bound."""
    rows.session("s1")
    rows.messages(
        "s1",
        {"role": "assistant", "content": "Hello", "first_seen_at": after(600)},
        {"role": "user", "content": "Hi", "sent_at": after(5), "first_seen_at": after(600)},
        {"role": "assistant", "content": "Yes?", "first_seen_at": after(600)},
        {
            "role": "user",
            "content": "Bye",
            "sent_at": after(20),
            "ended_at": after(21),
            "first_seen_at": after(600),
        },
        {"role": "assistant", "content": "Bye", "first_seen_at": after(600)},
    )
    row = rows.only("SELECT * FROM session_summary")
    assert (row["duration_seconds"], row["duration_at_most_seconds"]) == (16.0, 600.0)


def test_summary_untimed_prompt_does_not_spoil_the_duration(rows: Rows) -> None:
    """A system prompt without a time that was observed late does not lengthen a timed conversation."""
    rows.session("s1")
    rows.messages(
        "s1",
        {"role": "system", "content": "Be kind.", "first_seen_at": after(3600)},
        {"role": "user", "content": "Hi", "sent_at": after(5), "first_seen_at": after(3600)},
        {"role": "assistant", "content": "Hello", "sent_at": after(8), "first_seen_at": after(3600)},
    )
    row = rows.only("SELECT * FROM session_summary")
    assert (row["duration_seconds"], row["duration_at_most_seconds"]) == (3.0, 3.0)


def test_summary_counts_turns_not_messages(rows: Rows) -> None:
    """Customer messages in a row are one turn; tool calls and results in between do not end it."""
    rows.session("s1", message_count=8)
    rows.messages(
        "s1",
        ("assistant", "Good morning."),
        ("user", "Hi."),
        ("user", "My order is late."),
        ("assistant", None),
        ("tool", "{}"),
        ("user", "Are you there?"),
        ("assistant", "It comes today."),
        ("user", "Thanks"),
    )
    row = rows.only(
        "SELECT turn_count, last_speaker, first_customer_text, message_count FROM session_summary"
    )
    assert row == {
        "turn_count": 2,
        "last_speaker": "customer",
        "first_customer_text": "Hi.",
        "message_count": 8,
    }


def test_summary_lists_each_tool_once(rows: Rows) -> None:
    """Tools used are distinct and sorted; calls without an answer are counted."""
    rows.session("s1", tool_call_count=4)
    for index, (name, answered_by) in enumerate([("refund", 4), ("lookup", None), ("lookup", 5), (None, 6)]):
        rows.child(
            TOOL_CALLS,
            "s1",
            message_index=1,
            tool_call_index=index,
            function_name=name,
            result_message_index=answered_by,
        )
    row = rows.only("SELECT tools_used, tool_call_count, unanswered_tool_call_count FROM session_summary")
    assert row == {"tools_used": ["lookup", "refund"], "tool_call_count": 4, "unanswered_tool_call_count": 1}


def test_summary_shows_pending_cost_as_pending(rows: Rows) -> None:
    """A session without a price has a null cost and a flag, never zero."""
    rows.session("s1", cost_usd=0.0)
    rows.session("s2")
    rows.child(COSTS, "s2", cost_index=0, type="model", cost_usd=0.25)
    rows.child(COSTS, "s2", cost_index=1, type="session")
    rows.child(COSTS, "s2", cost_index=2, type="chat")
    found = rows.run(
        "SELECT cost_usd, cost_pending, pending_component_count FROM session_summary ORDER BY session_id"
    )
    assert found == [(0.0, False, 0), (None, True, 2)]


def test_summary_keeps_structured_outputs_apart(rows: Rows) -> None:
    """Outputs are keyed by name; an output without a name, or with a repeated one, is keyed by its id."""
    rows.session("s1")
    for output_id, name, result in [
        ("id-1", "CSAT", "4"),
        ("id-2", "Topic", '"billing"'),
        ("id-3", "Topic", '"refund"'),
        ("id-4", None, '{"a": [1]}'),
        ("id-5", "Empty", None),
    ]:
        rows.child(STRUCTURED_OUTPUTS, "s1", structured_output_id=output_id, name=name, result=result)
    (found,) = rows.run("SELECT structured_outputs FROM session_summary")[0]
    assert found == '{"CSAT":4,"Empty":null,"id-2":"billing","id-3":"refund","id-4":{"a": [1]}}'


def test_summary_outputs_are_valid_json_under_any_name(rows: Rows) -> None:
    """Quotes in a name are escaped, and a name that equals another output's id breaks nothing."""
    rows.session("s1")
    for output_id, name in [("id-1", 'the "mood"'), ("id-2", None), ("id-3", "id-2")]:
        rows.child(
            STRUCTURED_OUTPUTS, "s1", structured_output_id=output_id, name=name, result=f'"{output_id}"'
        )
    (found,) = rows.run("SELECT structured_outputs FROM session_summary")[0]
    pairs = json.loads(found, object_pairs_hook=list)
    assert pairs == [("id-2", "id-2"), ("id-2", "id-3"), ('the "mood"', "id-1")]


def test_summary_has_each_session_once(rows: Rows) -> None:
    """Several messages, calls, costs and outputs give one row a session, and do not mix with another session's."""
    for session_id in ("s1", "s2"):
        rows.session(session_id)
        rows.messages(session_id, ("user", f"Hello from {session_id}"), ("assistant", "Hi"), ("user", "Bye"))
        for index in range(3):
            rows.child(COSTS, session_id, cost_index=index)
            rows.child(TOOL_CALLS, session_id, message_index=1, tool_call_index=index)
            rows.child(STRUCTURED_OUTPUTS, session_id, structured_output_id=f"o{index}", result="1")
    found = rows.run(
        "SELECT session_id, first_customer_text, turn_count FROM session_summary ORDER BY session_id"
    )
    assert found == [("s1", "Hello from s1", 2), ("s2", "Hello from s2", 2)]


def test_summary_shows_outcome_and_assistant(rows: Rows) -> None:
    """They are those of session_facts; status and the session's own name of the assistant stay as received."""
    rows.session("s1", status="completed", assistant_id="a1", assistant_name="Riley")
    rows.session("s2", status="active", assistant_id="a1")
    found = rows.run(
        "SELECT session_id, status, outcome, assistant_name, assistant FROM session_summary ORDER BY session_id"
    )
    assert found == [
        ("s1", "completed", "completed", "Riley", "Riley"),
        ("s2", "active", "open", None, "Riley"),
    ]


def test_summary_shows_deleted_and_aged_out_sessions(rows: Rows) -> None:
    """Sessions that are gone at the source keep their row, with deleted_at or aged_out_at."""
    rows.session("deleted", deleted_at=after(60))
    rows.session("aged out", aged_out_at=after(90))
    rows.session("live")
    found = rows.run("SELECT session_id, deleted_at, aged_out_at FROM session_summary ORDER BY session_id")
    assert found == [("aged out", None, after(90)), ("deleted", after(60), None), ("live", None, None)]


def test_summary_filter_on_creation_reaches_the_children(rows: Rows) -> None:
    """A range of created_at is pushed down to every child table, so that their files are pruned."""
    for session_id, created_at in [
        ("old", after(days=-9)),
        ("new", MORNING),
    ]:  # with one date, statistics alone would answer
        rows.session(session_id, created_at=created_at)
        for table in CHILDREN:
            rows.child(table, session_id)
    (plan,) = rows.run(
        "EXPLAIN (FORMAT json) SELECT * FROM session_summary"
        " WHERE created_at >= TIMESTAMPTZ '2026-08-01 00:00:00+00'"
    )
    scans: list[dict[str, str]] = []
    nodes = json.loads(plan[1])
    while nodes:
        node = nodes.pop()
        nodes += node.get("children", [])
        if "Table" in node["extra_info"]:
            scans.append(node["extra_info"])
    scans = [scan for scan in scans if "assistant_name" not in scan.get("Filters", "")]  # names of all days
    scanned = {scan["Table"].rpartition(".")[2] for scan in scans if "sync" not in scan["Table"]}
    assert scanned == {table.name for table in TABLES}
    assert all(
        "created_at >= '2026-08-01" in scan["Filters"] for scan in scans if "sync" not in scan["Table"]
    )
