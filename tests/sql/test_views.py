"""The views of `sql/views/`: exact results on small hand-made data, edge cases included."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

import vapi_sessions
from sql_rows import CHECK_FILES, MORNING, VIEW_FILES, Rows, after
from vapi_sessions.schema import CHILDREN, COSTS, STRUCTURED_OUTPUTS, TABLES, TOOL_CALLS

SOME_DAY = date(2026, 8, 1)


@pytest.fixture(scope="module")
def database() -> Rows:
    rows = Rows()
    rows.create_views()
    return rows


@pytest.fixture
def rows(database: Rows) -> Rows:
    database.clear()
    return database


def only(rows: Rows, query: str) -> dict[str, Any]:
    (row,) = rows.rows(query)
    return row


# The files themselves


@pytest.mark.parametrize("file", VIEW_FILES + CHECK_FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_first_line_says_question_and_grain(file: Path) -> None:
    """Each file's first line is a comment that asks a question and names the grain."""
    first_line = file.read_text(encoding="utf-8").splitlines()[0]
    question, _, grain = first_line.removeprefix("-- ").partition("? Grain: one row a")
    assert first_line.startswith("-- ")
    assert question
    assert grain.endswith(".")


@pytest.mark.parametrize("file", VIEW_FILES, ids=lambda file: file.stem)
def test_file_holds_one_view_of_its_own_name(file: Path) -> None:
    """A file is one CREATE OR REPLACE VIEW statement, and the view is called as the file is."""
    text = file.read_text(encoding="utf-8")
    (statement,) = duckdb.extract_statements(text)
    assert statement.type == duckdb.StatementType.CREATE
    assert f"\nCREATE OR REPLACE VIEW {file.stem} AS\n" in text


def test_views_may_be_created_twice(rows: Rows) -> None:
    """Loading every file a second time changes nothing."""
    before = rows.run("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal ORDER BY view_name")
    rows.create_views()
    after_again = rows.run("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal ORDER BY view_name")
    assert before == after_again
    assert len(before) == len(VIEW_FILES) + len(TABLES)


@pytest.mark.parametrize("view", [file.stem for file in VIEW_FILES])
def test_view_of_an_empty_warehouse_is_empty(rows: Rows, view: str) -> None:
    """Every view works, and shows nothing, before the first session was synced."""
    assert rows.run(f"SELECT * FROM {view}") == []


@pytest.mark.parametrize("view", [file.stem for file in VIEW_FILES])
def test_view_columns_have_distinct_names(rows: Rows, view: str) -> None:
    """No view hides a column behind another of the same name."""
    names = [row[0] for row in rows.run(f"DESCRIBE {view}")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("view", [file.stem for file in VIEW_FILES])
def test_view_counts_are_plain_integers(rows: Rows, view: str) -> None:
    """No column is a 128-bit integer or a decimal, which polars and Parquet readers show as something odd."""
    types = {row[1] for row in rows.run(f"DESCRIBE {view}")}
    assert not {type_ for type_ in types if type_.startswith(("HUGEINT", "DECIMAL", "UBIGINT"))}


def test_views_survive_attaching_under_another_name(tmp_path: Path) -> None:
    """Views find their tables when the database is attached read-only under a name that is not its own."""
    file = tmp_path / "published.duckdb"
    with duckdb.connect(str(file)) as connection:
        for table in TABLES:
            connection.execute(table.ddl()).fetchall()
        for view in VIEW_FILES:
            connection.execute(view.read_text(encoding="utf-8")).fetchall()
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{file}' AS elsewhere (READ_ONLY)").fetchall()
        for view in VIEW_FILES:
            assert connection.execute(f"SELECT * FROM elsewhere.{view.stem}").fetchall() == []


@pytest.mark.parametrize(
    ("of_the_view", "of_the_table"),
    [
        (
            "SELECT COUNT(*), SUM(message_count) FROM session_summary",
            "SELECT COUNT(*), SUM(message_count) FROM sessions",
        ),
        ("SELECT COUNT(*) FROM transcript", "SELECT COUNT(*) FROM messages"),
        ("SELECT SUM(customer_message_count) FROM turns", "SELECT SUM(user_message_count) FROM sessions"),
        ("SELECT SUM(session_count) FROM cost_by_day", "SELECT COUNT(*) FROM sessions"),
        ("SELECT ROUND(SUM(cost_usd), 6) FROM cost_by_day", "SELECT ROUND(SUM(cost_usd), 6) FROM sessions"),
        ("SELECT ROUND(SUM(cost_usd), 6) FROM cost_by_model", "SELECT ROUND(SUM(cost_usd), 6) FROM costs"),
        (
            "SELECT ROUND(SUM(cost_usd), 6) FROM cost_components_by_day",
            "SELECT ROUND(SUM(cost_usd), 6) FROM costs",
        ),
        ("SELECT COUNT(*) FROM tool_calls_with_results", "SELECT COUNT(*) FROM tool_calls"),
        ("SELECT SUM(call_count) FROM tool_usage", "SELECT COUNT(*) FROM tool_calls"),
        (
            "SELECT COUNT(DISTINCT (session_id, structured_output_id)) FROM structured_output_values",
            "SELECT COUNT(*) FROM structured_outputs",
        ),
        (
            "SELECT SUM(session_count), SUM(message_count) FROM sessions_by_day",
            "SELECT COUNT(*), SUM(message_count) FROM sessions",
        ),
    ],
    ids=lambda query: query.rpartition(" ")[2],
)
def test_views_of_a_synced_warehouse_lose_and_multiply_nothing(
    demo_warehouse: Path, of_the_view: str, of_the_table: str
) -> None:
    """On generated traffic, what a view counts or sums is what the tables hold."""
    with vapi_sessions.connect(demo_warehouse) as connection:
        view = connection.execute(of_the_view).fetchall()
        table = connection.execute(of_the_table).fetchall()
    assert view == table
    assert view[0][0] > 0


# session_summary


def test_summary_of_a_session_without_children(rows: Rows) -> None:
    """A session without messages has no times, no turns, no tools, and is not lost."""
    rows.session("s1")
    row = only(rows, "SELECT * FROM session_summary")
    assert (row["started_at"], row["last_message_at"]) == (None, None)
    assert (row["duration_seconds"], row["duration_at_most_seconds"]) == (None, None)
    assert (row["turn_count"], row["last_speaker"], row["tools_used"]) == (0, None, [])
    assert (row["unanswered_tool_call_count"], row["pending_component_count"]) == (0, 0)
    assert row["structured_outputs"] is None


def test_summary_of_a_session_with_only_a_prompt(rows: Rows) -> None:
    """A system prompt alone is no conversation."""
    rows.session("s1", message_count=1)
    rows.messages("s1", ("system", "You are an assistant."))
    row = only(rows, "SELECT * FROM session_summary")
    assert (row["started_at"], row["duration_seconds"], row["turn_count"]) == (None, None, 0)


def test_summary_duration_from_message_times(rows: Rows) -> None:
    """Where messages carry a time, the duration runs from the first to the end of the last one spoken."""
    rows.session("s1")
    rows.messages(
        "s1",
        {"role": "bot", "content": "Hello", "sent_at": after(10), "ended_at": after(12)},
        {"role": "user", "content": "Hi", "sent_at": after(13), "ended_at": after(14)},
        {"role": "bot", "content": "Bye", "sent_at": after(15), "ended_at": after(17.5)},
    )
    row = only(rows, "SELECT * FROM session_summary")
    assert (row["started_at"], row["last_message_at"]) == (after(10), after(17.5))
    assert (row["duration_seconds"], row["duration_at_most_seconds"]) == (7.5, 7.5)


def test_summary_duration_without_message_times(rows: Rows) -> None:
    """Chats carry no times: nothing is measured, and creation and first observation give a bound."""
    rows.session("s1")
    rows.messages(
        "s1",
        {"role": "user", "content": "Hi", "first_seen_at": after(60)},
        {"role": "assistant", "content": "Hello", "first_seen_at": after(300)},
    )
    row = only(rows, "SELECT * FROM session_summary")
    assert (row["started_at"], row["last_message_at"]) == (MORNING, after(300))
    assert (row["duration_seconds"], row["duration_at_most_seconds"]) == (None, 300.0)


def test_summary_duration_with_some_message_times(rows: Rows) -> None:
    """Where only the customer's messages carry a time, the duration lies between what is measured and the bound."""
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
    row = only(rows, "SELECT * FROM session_summary")
    assert (row["duration_seconds"], row["duration_at_most_seconds"]) == (16.0, 600.0)


def test_summary_untimed_prompt_does_not_spoil_the_duration(rows: Rows) -> None:
    """A system prompt without a time, observed late, does not stretch a timed conversation."""
    rows.session("s1")
    rows.messages(
        "s1",
        {"role": "system", "content": "Be kind.", "first_seen_at": after(3600)},
        {"role": "user", "content": "Hi", "sent_at": after(5), "first_seen_at": after(3600)},
        {"role": "assistant", "content": "Hello", "sent_at": after(8), "first_seen_at": after(3600)},
    )
    row = only(rows, "SELECT * FROM session_summary")
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
    row = only(
        rows, "SELECT turn_count, last_speaker, first_customer_text, message_count FROM session_summary"
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
    row = only(rows, "SELECT tools_used, tool_call_count, unanswered_tool_call_count FROM session_summary")
    assert row == {"tools_used": ["lookup", "refund"], "tool_call_count": 4, "unanswered_tool_call_count": 1}


def test_summary_shows_pending_cost_as_pending(rows: Rows) -> None:
    """A session without a price has a null cost and a flag, never a zero."""
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
    """Outputs are keyed by name; an output that shares its name, or has none, keeps its id."""
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


def test_summary_outputs_stay_json_whatever_they_are_called(rows: Rows) -> None:
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
    """Several messages, calls, costs and outputs do not multiply a session, and do not mix with another's."""
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


def test_summary_shows_deleted_and_aged_out_sessions(rows: Rows) -> None:
    """Sessions that are gone at the source stay, each with the mark it has."""
    rows.session("deleted", deleted_at=after(60))
    rows.session("aged out", aged_out_at=after(90))
    rows.session("live")
    found = rows.run("SELECT session_id, deleted_at, aged_out_at FROM session_summary ORDER BY session_id")
    assert found == [("aged out", None, after(90)), ("deleted", after(60), None), ("live", None, None)]


def test_summary_filter_on_creation_reaches_the_children(rows: Rows) -> None:
    """A range of created_at is pushed down to every child table, so that their files are pruned."""
    for session_id, created_at in [("old", after(days=-9)), ("new", MORNING)]:  # else statistics settle it
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
    assert {scan["Table"].rpartition(".")[2] for scan in scans} == {table.name for table in TABLES}
    assert all("created_at >= '2026-08-01" in scan["Filters"] for scan in scans)


# transcript


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


def test_transcript_takes_the_best_time_there_is(rows: Rows) -> None:
    """A message's own time wins over the first observation, and the row says which one it is."""
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
    """Repeated tool call ids multiply no message."""
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
    """The participant's name, or the assistant's or speaker's label where there is no name."""
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
    """Where the model refused and said nothing else, the refusal is the text."""
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


# turns


def test_turns_pair_the_customer_with_the_response(rows: Rows) -> None:
    """Each turn holds what the customer said in a row, and what the assistant said until the next turn."""
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
    """A time is not borrowed from a neighbour when the message that counts has none."""
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
    """The summary counts as many turns as there are rows in turns, whatever the order of roles."""
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


# costs


def test_cost_views_cut_days_in_utc(rows: Rows) -> None:
    """A session one second before midnight UTC belongs to that day, whatever the reader's time zone."""
    midnight = 15 * 3600
    for session_id, seconds, cost_usd in [
        ("last", midnight - 1, 1.0),
        ("first", midnight, 2.0),
        ("last of the next", midnight + 86_399, 0.5),
    ]:
        rows.session(session_id, created_at=after(seconds), cost_usd=cost_usd)
        rows.child(COSTS, session_id, cost_index=0, cost_usd=cost_usd)
    by_day = [(SOME_DAY, 1.0), (date(2026, 8, 2), 2.5)]
    assert rows.run("SELECT day, cost_usd FROM cost_by_day ORDER BY day") == by_day
    assert rows.run("SELECT day, component_cost_usd FROM cost_by_day ORDER BY day") == by_day
    assert rows.run("SELECT day, cost_usd FROM cost_components_by_day ORDER BY day") == by_day
    assert rows.run("SELECT first_day, last_day FROM cost_by_model") == [(SOME_DAY, date(2026, 8, 2))]


def test_cost_by_day_does_not_take_pending_for_zero(rows: Rows) -> None:
    """Pending sessions are counted beside the sum, and neither lower the average nor turn a day into zero."""
    rows.session("s1", cost_usd=0.5)
    rows.session("s2", cost_usd=1.5)
    rows.session("s3")
    rows.session("s4", created_at=after(days=1))
    found = rows.run(
        "SELECT session_count, priced_session_count, pending_session_count, cost_usd, cost_per_priced_session_usd"
        " FROM cost_by_day ORDER BY day"
    )
    assert found == [(3, 2, 1, 2.0, 1.0), (1, 0, 1, None, None)]


def test_cost_by_day_counts_what_was_billed_for_deleted_sessions(rows: Rows) -> None:
    """Deleting a session does not give its money back."""
    rows.session("s1", cost_usd=0.5, deleted_at=after(60))
    rows.session("s2", cost_usd=0.25, aged_out_at=after(60))
    assert rows.run("SELECT cost_usd, deleted_session_count FROM cost_by_day") == [(0.75, 1)]


def test_cost_by_day_shows_components_beside_totals(rows: Rows) -> None:
    """Component sums stand beside the sessions' totals, and several components do not multiply a session."""
    rows.session("s1", cost_usd=1.0)
    rows.child(COSTS, "s1", cost_index=0, cost_usd=0.25)
    rows.child(COSTS, "s1", cost_index=1, cost_usd=0.5)
    rows.child(COSTS, "s1", cost_index=2)
    found = rows.run(
        "SELECT session_count, cost_usd, component_cost_usd, pending_component_count FROM cost_by_day"
    )
    assert found == [(1, 1.0, 0.75, 1)]


def test_cost_by_model_joins_components_without_a_model(rows: Rows) -> None:
    """Components without a model, however many, make one row of their own."""
    rows.session("s1")
    rows.child(COSTS, "s1", cost_index=0, type="session", cost_usd=0.5)
    rows.child(COSTS, "s1", cost_index=1, type="surcharge", cost_usd=0.25)
    rows.child(COSTS, "s1", cost_index=2, type="model", model_provider="openai", model_name="m", cost_usd=2.0)
    found = rows.run(
        "SELECT model_provider, model_name, session_count, component_count, cost_usd, model_cost_usd"
        " FROM cost_by_model ORDER BY model_name"
    )
    assert found == [("openai", "m", 1, 1, 2.0, 2.0), (None, None, 1, 2, 0.75, None)]


def test_cost_by_model_prices_tokens_that_have_a_price(rows: Rows) -> None:
    """Tokens of pending components are counted, but do not make the model look cheaper."""
    rows.session("s1")
    rows.session("s2", created_at=after(days=2))
    model = {"model_provider": "openai", "model_name": "m"}
    rows.child(
        COSTS,
        "s1",
        cost_index=0,
        type="model",
        prompt_tokens=900_000,
        completion_tokens=100_000,
        cached_prompt_tokens=400_000,
        reasoning_tokens=50_000,
        cost_usd=3.0,
        **model,
    )
    rows.child(COSTS, "s2", cost_index=0, type="analysis", prompt_tokens=1_000_000, cost_usd=1.0, **model)
    rows.child(COSTS, "s2", cost_index=1, type="model", prompt_tokens=7_000_000, **model)
    rows.child(COSTS, "s2", cost_index=2, type="model", cost_usd=100.0, **model)
    row = only(rows, "SELECT * FROM cost_by_model")
    assert row["usd_per_million_tokens"] == 2.0
    assert (row["session_count"], row["component_count"], row["pending_component_count"]) == (2, 4, 1)
    assert (row["cost_usd"], row["model_cost_usd"], row["analysis_cost_usd"]) == (104.0, 103.0, 1.0)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (8_900_000, 100_000)
    assert (row["cached_prompt_tokens"], row["reasoning_tokens"]) == (400_000, 50_000)
    assert (row["first_day"], row["last_day"]) == (SOME_DAY, date(2026, 8, 3))


def test_cost_by_model_without_tokens_has_no_price_per_token(rows: Rows) -> None:
    """A component without tokens, or with none used, does not divide by zero."""
    rows.session("s1")
    rows.child(COSTS, "s1", cost_index=0, type="session", cost_usd=0.5)
    rows.child(COSTS, "s1", cost_index=1, type="model", model_name="m", prompt_tokens=0, cost_usd=0.0)
    assert rows.run("SELECT usd_per_million_tokens FROM cost_by_model") == [(None,), (None,)]


def test_cost_components_split_a_day(rows: Rows) -> None:
    """A day splits by type, analysis and model; what is pending stays null and is counted."""
    rows.session("s1")
    rows.session("s2")
    for session_id in ("s1", "s2"):
        rows.child(COSTS, session_id, cost_index=0, type="session", cost_usd=0.25)
        rows.child(COSTS, session_id, cost_index=1, type="analysis", analysis_type="summary", model_name="m")
    rows.child(COSTS, "s1", cost_index=2, type="model", model_name="m", prompt_tokens=5, cost_usd=1.0)
    rows.child(COSTS, "s1", cost_index=3, type="model", model_name="m", prompt_tokens=6, cost_usd=2.0)
    found = rows.run(
        "SELECT day, type, analysis_type, model_name, session_count, component_count, pending_component_count,"
        " cost_usd, prompt_tokens FROM cost_components_by_day ORDER BY type"
    )
    assert found == [
        (SOME_DAY, "analysis", "summary", "m", 2, 2, 2, None, None),
        (SOME_DAY, "model", None, "m", 1, 2, 0, 3.0, 11),
        (SOME_DAY, "session", None, None, 2, 2, 0, 0.5, None),
    ]


# tools


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
    """Only a text that begins with error, or an object with a set error, is taken for one."""
    rows.session("s1")
    rows.child(TOOL_CALLS, "s1", message_index=1, tool_call_index=0, result=result, result_message_index=2)
    assert rows.run("SELECT outcome FROM tool_calls_with_results") == [(outcome,)]


def test_tool_call_without_an_answer_is_kept(rows: Rows) -> None:
    """A call that no message answers is a row with outcome unanswered and no result."""
    rows.session("s1")
    rows.messages("s1", ("user", "Hi"), ("assistant", None))
    rows.child(TOOL_CALLS, "s1", message_index=1, tool_call_index=0, function_name="lookup")
    row = only(rows, "SELECT * FROM tool_calls_with_results")
    assert (row["outcome"], row["result"], row["latency_seconds"]) == ("unanswered", None, None)
    assert (row["called_at"], row["called_at_source"]) == (MORNING, "first_seen_at")


def test_tool_call_arguments_are_parsed_where_they_are_json(rows: Rows) -> None:
    """Arguments are shown as received, and as JSON where they are; broken ones fail nothing."""
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
    """A latency is shown only where both messages carry a time of their own."""
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
    """The median is that of the timed calls, and says how many there were."""
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
    row = only(rows, "SELECT * FROM tool_usage")
    assert (row["call_count"], row["timed_call_count"], row["median_latency_seconds"]) == (3, 2, 2.0)


def test_tool_usage_shows_first_and_last_call(rows: Rows) -> None:
    """The span of use runs from the earliest to the latest call, by the best time there is."""
    rows.session("s1")
    rows.messages("s1", *({"role": "assistant", "sent_at": after(second)} for second in (30, 10, 20)))
    for index in range(3):
        rows.child(TOOL_CALLS, "s1", message_index=index, tool_call_index=0)
    assert rows.run("SELECT first_called_at, last_called_at FROM tool_usage") == [(after(10), after(30))]


# structured outputs


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
    """An output that is neither object nor list is one row, with its value in the column of its kind."""
    rows.session("s1")
    rows.child(STRUCTURED_OUTPUTS, "s1", structured_output_id="o", name="CSAT", result=result)
    found = rows.run(
        "SELECT field, kind, value_text, value_number, value_boolean FROM structured_output_values"
    )
    assert found == [(None, *expected)]


def test_structured_output_object_is_taken_apart(rows: Rows) -> None:
    """An object is one row a field; deeper objects stay whole, and a null field is not taken for the object."""
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
    """A list is one row an element, nulls included; lists within it stay whole."""
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


def test_structured_output_values_say_whose_they_are(rows: Rows) -> None:
    """Values carry the session's assistant and marks, so that they can be compared and left out."""
    rows.session("s1", assistant_id="a1", assistant_name="Booking", deleted_at=after(60))
    rows.child(STRUCTURED_OUTPUTS, "s1", structured_output_id="o", result="1")
    row = only(rows, "SELECT * FROM structured_output_values")
    assert (row["assistant_id"], row["assistant_name"], row["deleted_at"]) == ("a1", "Booking", after(60))


def test_structured_output_values_are_neither_lost_nor_multiplied(rows: Rows) -> None:
    """Outputs stay one row each beside a session of the same instant, and without any session at all."""
    rows.session("s1")
    rows.session("s2")
    for session_id in ("s1", "s2", "nobody"):
        rows.child(STRUCTURED_OUTPUTS, session_id, structured_output_id="o", result="1")
    found = rows.run("SELECT session_id FROM structured_output_values ORDER BY session_id")
    assert found == [("nobody",), ("s1",), ("s2",)]


# days and customers


def test_sessions_by_day_shows_quiet_days(rows: Rows) -> None:
    """A day without sessions between two with some is a row of zeros, without averages."""
    rows.session("s1", message_count=4)
    rows.session("s2", message_count=0, status="active")
    rows.session("s3", created_at=after(days=2), message_count=3, tool_call_count=2, status="completed")
    found = rows.run(
        "SELECT day, session_count, active_session_count, completed_session_count, empty_session_count,"
        " message_count, tool_call_count, messages_per_session FROM sessions_by_day ORDER BY day"
    )
    assert found == [
        (SOME_DAY, 2, 1, 0, 1, 4, 0, 2.0),
        (date(2026, 8, 2), 0, 0, 0, 0, 0, 0, None),
        (date(2026, 8, 3), 1, 0, 1, 0, 3, 2, 3.0),
    ]


def test_sessions_by_day_cuts_days_in_utc(rows: Rows) -> None:
    """A session belongs to its UTC day, whatever the reader's time zone."""
    rows.session("s1", created_at=after(15 * 3600 - 1), customer_id="c")
    assert rows.run("SELECT day, session_count, customer_count FROM sessions_by_day") == [(SOME_DAY, 1, 1)]


def test_sessions_by_day_counts_each_customer_once(rows: Rows) -> None:
    """Customers are distinct within a day, and sessions without one are not a customer."""
    rows.session("s1", customer_number="+15550001")
    rows.session("s2", customer_number="+15550001")
    rows.session("s3", customer_number="+15550002", deleted_at=after(60))
    rows.session("s4")
    found = rows.run("SELECT session_count, customer_count, deleted_session_count FROM sessions_by_day")
    assert found == [(4, 2, 1)]


def test_customer_journey_orders_visits(rows: Rows) -> None:
    """Visits are numbered by creation, with the gap since the one before; ties are broken by id."""
    rows.session("c", customer_number="+1", created_at=after(100))
    rows.session("b", customer_number="+1", created_at=after(100), assistant_id="sales")
    rows.session("a", customer_number="+1", assistant_id="support")
    found = rows.run(
        "SELECT session_id, visit_number, visit_count, previous_session_id, seconds_since_previous,"
        " previous_assistant_id FROM customer_journey ORDER BY visit_number"
    )
    assert found == [
        ("a", 1, 3, None, None, None),
        ("b", 2, 3, "a", 100.0, "support"),
        ("c", 3, 3, "b", 0.0, "sales"),
    ]


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ({"customer_id": "c1", "customer_number": "+1"}, "id:c1"),
        ({"customer_external_id": "crm-7", "customer_number": "+1"}, "external_id:crm-7"),
        ({"customer_number": " +1 ", "customer_email": "a@b.example"}, "number:+1"),
        ({"customer_number": "", "customer_email": "Ada@B.example"}, "email:ada@b.example"),
        ({"customer_external_id": " ", "customer_email": " a@b.example"}, "email:a@b.example"),
        ({"customer_email": " ", "customer_sip_uri": " sip:Ada@b.example"}, "sip_uri:sip:ada@b.example"),
    ],
)
def test_customer_is_identified_by_the_best_there_is(rows: Rows, columns: dict[str, str], key: str) -> None:
    """The saved customer comes before external id, number, e-mail and SIP URI; blanks identify nobody."""
    rows.session("s1", **columns)
    assert rows.run("SELECT customer_key FROM customer_journey") == [(key,)]


def test_customer_journey_leaves_out_anonymous_sessions(rows: Rows) -> None:
    """Sessions without an identified customer, or with blanks, are not one big customer."""
    rows.session("s1", customer_name="Ada")
    rows.session("s2", customer_number="", customer_id=" ")
    assert rows.run("SELECT session_id FROM customer_journey") == []


def test_customer_journey_counts_deleted_visits(rows: Rows) -> None:
    """A deleted session took place: it is a visit, and shows its mark."""
    rows.session("s1", customer_id="c", deleted_at=after(60))
    rows.session("s2", customer_id="c", created_at=after(30))
    found = rows.run(
        "SELECT session_id, visit_number, deleted_at FROM customer_journey ORDER BY visit_number"
    )
    assert found == [("s1", 1, after(60)), ("s2", 2, None)]
