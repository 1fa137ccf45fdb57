"""The view `cost_by_assistant` on small hand-made data."""

from datetime import date

from sql_rows import SOME_DAY, Rows, after
from vapi_sessions.schema import COSTS


def test_cost_by_assistant_adds_up(rows: Rows) -> None:
    """Amounts, quantiles and counts of one assistant, with exact numbers; pending is not zero."""
    amounts = [0.0, 0.1, 0.2, 0.4, None]
    for number, amount in enumerate(amounts):
        rows.session(
            f"s{number}",
            created_at=after(days=number),
            assistant_id="a",
            assistant_name="Riley",
            status="completed" if number in (1, 4) else "active",
            cost_usd=amount,
        )
    rows.child(COSTS, "s1", cost_index=0, type="model", cost_usd=0.05)
    rows.child(COSTS, "s1", cost_index=1, type="analysis", cost_usd=0.03, usage_complete=False)
    rows.child(COSTS, "s1", cost_index=2, type="analysis", cost_usd=0.01, usage_complete=False)
    rows.child(COSTS, "s3", cost_index=0, type="model", cost_usd=0.25, usage_complete=True)
    assert rows.rows("FROM cost_by_assistant") == [
        {
            "assistant": "Riley",
            "assistant_id": "a",
            "session_count": 5,
            "priced_session_count": 4,
            "pending_session_count": 1,
            "zero_cost_session_count": 1,
            "cost_usd": 0.7,
            "cost_per_priced_session_usd": 0.175,
            "median_cost_usd": 0.15,
            "p90_cost_usd": 0.34,
            "completed_session_count": 2,
            "cost_per_completed_session_usd": 0.35,
            "model_cost_usd": 0.3,
            "analysis_cost_usd": 0.04,
            "understated_session_count": 1,
            "first_day": SOME_DAY,
            "last_day": date(2026, 8, 5),
        }
    ]


def test_cost_by_assistant_folds_the_names_of_one_id(rows: Rows) -> None:
    """An assistant that was renamed, and sessions that do not name it, are one row under its latest name."""
    names = ["Old name", None, "New name", None]
    for number, name in enumerate(names):
        rows.session(
            f"s{number}", created_at=after(days=number), assistant_id="a", assistant_name=name, cost_usd=1.0
        )
    found = rows.run("SELECT assistant, assistant_id, session_count, cost_usd FROM cost_by_assistant")
    assert found == [("New name", "a", 4, 4.0)]


def test_cost_by_assistant_keeps_apart_what_is_not_known_to_be_one(rows: Rows) -> None:
    """Two ids with one name, a name without an id, an id without a name, and neither: a row each."""
    for session_id, assistant_id, name in [
        ("s1", "a", "Riley"),
        ("s2", "b", "Riley"),
        ("s3", None, "Riley"),
        ("s4", None, "Riley"),
        ("s5", "c", None),
        ("s6", None, None),
        ("s7", None, None),
    ]:
        rows.session(session_id, assistant_id=assistant_id, assistant_name=name)
    found = rows.run("SELECT assistant, assistant_id, session_count FROM cost_by_assistant ORDER BY ALL")
    assert found == [
        ("Riley", "a", 1),
        ("Riley", "b", 1),
        ("Riley", None, 2),
        ("c", "c", 1),
        (None, None, 2),
    ]


def test_cost_by_assistant_without_price_or_completion(rows: Rows) -> None:
    """Unknown amounts are null, and no conversation completed gives no cost per completed one."""
    rows.session("s1", assistant_id="a")
    rows.session("s2", assistant_id="b", cost_usd=2.0)
    found = rows.run(
        "SELECT assistant_id, cost_usd, cost_per_priced_session_usd, median_cost_usd, cost_per_completed_session_usd,"
        " model_cost_usd, understated_session_count FROM cost_by_assistant ORDER BY assistant_id"
    )
    assert found == [("a", None, None, None, None, None, 0), ("b", 2.0, 2.0, 2.0, None, None, 0)]


def test_cost_by_assistant_counts_deleted_sessions_once(rows: Rows) -> None:
    """Deleted sessions were billed, and several components do not count a session twice."""
    rows.session("s1", assistant_id="a", cost_usd=1.0, deleted_at=after(60))
    for index in range(3):
        rows.child(COSTS, "s1", cost_index=index, type="model", cost_usd=0.25)
    found = rows.run("SELECT session_count, cost_usd, model_cost_usd FROM cost_by_assistant")
    assert found == [(1, 1.0, 0.75)]
