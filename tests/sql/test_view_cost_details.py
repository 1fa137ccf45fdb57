"""The views `cost_by_day` (parts of the cost), `completed_cost_by_day` and `tokens_by_day` on small hand-made data."""

import itertools
from datetime import date
from typing import Any

import pytest

from sql_rows import SOME_DAY, Rows, after
from vapi_sessions.schema import COSTS

NEXT_DAY = date(2026, 8, 2)
MINI = {"model_provider": "openai", "model_name": "mini"}


def test_amounts_are_rounded_and_do_not_depend_on_the_order(rows: Rows) -> None:
    """0.1 + 0.2 + 0.3 is 0.6 in every order, where plain addition gives 0.6000000000000001."""
    for order in [(0.1, 0.2, 0.3), (0.3, 0.2, 0.1), (0.2, 0.3, 0.1)]:
        rows.clear()
        for number, amount in enumerate(order):
            rows.session(f"s{number}", cost_usd=amount)
            rows.child(COSTS, f"s{number}", cost_index=0, type="model", cost_usd=amount, **MINI)
        row = rows.only("FROM cost_by_day")
        assert [row[name] for name in ("cost_usd", "component_cost_usd", "model_cost_usd")] == [0.6, 0.6, 0.6]
        assert row["cost_per_priced_session_usd"] == 0.2
        assert rows.run("SELECT cost_usd, model_cost_usd FROM cost_by_model") == [(0.6, 0.6)]
        assert rows.run("SELECT cost_usd FROM cost_components_by_day") == [(0.6,)]
        assert rows.run("SELECT cost_usd FROM tokens_by_day") == [(0.6,)]


def test_cost_by_day_tells_zero_from_pending(rows: Rows) -> None:
    """A session that cost nothing is priced and not pending, and makes the sum zero instead of null."""
    rows.session("s1", cost_usd=0.0)
    rows.session("s2", created_at=after(days=1))
    found = rows.run(
        "SELECT priced_session_count, pending_session_count, zero_cost_session_count, cost_usd"
        " FROM cost_by_day ORDER BY day"
    )
    assert found == [(1, 0, 1, 0.0), (0, 1, 0, None)]


def test_cost_by_day_splits_the_cost_by_type(rows: Rows) -> None:
    """Model, analysis and session fee are sums of their own; another type is only in component_cost_usd."""
    rows.session("s1", cost_usd=9.0)
    amounts = {"model": 1.0, "analysis": 2.0, "session": 0.5, "chat": 0.25}
    for index, (type_, amount) in enumerate(amounts.items()):
        rows.child(COSTS, "s1", cost_index=index, type=type_, cost_usd=amount)
    rows.child(COSTS, "s1", cost_index=4, type="analysis", cost_usd=None)
    row = rows.only("FROM cost_by_day")
    assert (row["model_cost_usd"], row["analysis_cost_usd"], row["session_fee_usd"]) == (1.0, 2.0, 0.5)
    assert row["component_cost_usd"] == 3.75


def test_cost_by_day_of_sessions_without_components(rows: Rows) -> None:
    """Without components, the parts are unknown, and nothing is said to be understated."""
    rows.session("s1", cost_usd=1.0)
    row = rows.only("FROM cost_by_day")
    assert (row["model_cost_usd"], row["analysis_cost_usd"], row["session_fee_usd"]) == (None, None, None)
    assert (row["component_cost_usd"], row["understated_session_count"]) == (None, 0)


def test_cost_by_day_counts_understated_sessions_once(rows: Rows) -> None:
    """A session counts once however many incomplete components it has; true and unknown do not count."""
    for session_id, usages in {"s1": [False, False, True], "s2": [True, None], "s3": [None]}.items():
        rows.session(session_id, cost_usd=1.0)
        for index, usage_complete in enumerate(usages):
            rows.child(COSTS, session_id, cost_index=index, usage_complete=usage_complete)
    assert rows.run("SELECT understated_session_count FROM cost_by_day") == [(1,)]


def test_completed_cost_by_day_takes_completed_sessions_only(rows: Rows) -> None:
    """Open and expired sessions do not count; pending ones count, but have no amount."""
    rows.complete_until(after(days=30))
    for number, amount in enumerate([0.1, 0.2, 0.3, 0.4, 1.0, None]):
        rows.session(f"s{number}", status="completed", cost_usd=amount)
    rows.session("open", status="active", cost_usd=50.0)
    rows.session(
        "expired",
        status="active",
        expiration_seconds=60,
        expires_at=after(60),
        updated_at=after(30),
        cost_usd=70.0,
    )
    rows.session("later", status="completed", created_at=after(days=1))
    rows.session("last", status="active", created_at=after(days=2), cost_usd=1.0)
    found = rows.run("FROM completed_cost_by_day ORDER BY day")
    assert found == [(SOME_DAY, 6, 5, 0.4, 0.3, 0.76), (NEXT_DAY, 1, 0, None, None, None)]


def test_completed_cost_by_day_of_one_session(rows: Rows) -> None:
    """The one price is mean, median and percentile."""
    rows.session("s1", status="completed", cost_usd=0.1234567, deleted_at=after(60))
    assert rows.run("FROM completed_cost_by_day") == [(SOME_DAY, 1, 1, 0.123457, 0.123457, 0.123457)]


def test_tokens_by_day_adds_up_models_and_analyses(rows: Rows) -> None:
    """All components of a model and day are one row; pending ones give their tokens but no cost."""
    rows.session("s1")
    rows.session("s2")
    rows.session("s3", created_at=after(days=1))
    rows.child(
        COSTS,
        "s1",
        cost_index=0,
        type="model",
        prompt_tokens=900,
        cached_prompt_tokens=300,
        completion_tokens=80,
        reasoning_tokens=20,
        cost_usd=0.25,
        usage_complete=False,
        **MINI,
    )
    rows.child(
        COSTS,
        "s1",
        cost_index=1,
        type="analysis",
        prompt_tokens=100,
        completion_tokens=20,
        cost_usd=0.5,
        **MINI,
    )
    rows.child(COSTS, "s2", cost_index=0, type="model", prompt_tokens=500, completion_tokens=0, **MINI)
    rows.child(COSTS, "s2", cost_index=1, type="session", cost_usd=7.0)
    rows.child(COSTS, "s3", cost_index=0, type="model", prompt_tokens=10, completion_tokens=10, **MINI)
    assert rows.rows("FROM tokens_by_day ORDER BY day") == [
        {
            "day": SOME_DAY,
            **MINI,
            "component_count": 3,
            "prompt_tokens": 1500,
            "cached_prompt_tokens": 300,
            "cached_share": 0.2,
            "completion_tokens": 100,
            "reasoning_tokens": 20,
            "reasoning_share": 0.2,
            "cost_usd": 0.75,
            "incomplete_component_count": 1,
        },
        {
            "day": NEXT_DAY,
            **MINI,
            "component_count": 1,
            "prompt_tokens": 10,
            "cached_prompt_tokens": None,
            "cached_share": None,
            "completion_tokens": 10,
            "reasoning_tokens": None,
            "reasoning_share": None,
            "cost_usd": None,
            "incomplete_component_count": 0,
        },
    ]


@pytest.mark.parametrize(
    ("component", "counted"),
    [
        ({"type": "session", "cost_usd": 1.0}, 0),
        ({"type": "chat", "cost_usd": 1.0}, 0),
        ({"type": "model"}, 0),
        ({"type": "model", "model_name": "m"}, 1),
        ({"type": "other", "completion_tokens": 5}, 1),
        ({"type": "model", "model_provider": "p", "prompt_tokens": 0, "cached_prompt_tokens": 0}, 1),
    ],
)
def test_tokens_by_day_counts_what_names_a_model_or_tokens(
    rows: Rows, component: dict[str, Any], counted: int
) -> None:
    """The session fee has no tokens; a share of no tokens is unknown, not an error."""
    rows.session("s1")
    rows.child(COSTS, "s1", cost_index=0, **component)
    found = rows.run("SELECT component_count, cached_share, reasoning_share FROM tokens_by_day")
    assert found == [(1, None, None)] * counted


@pytest.mark.proof
def test_averages_between_two_amounts_do_not_depend_on_the_order(rows: Rows) -> None:
    """A quarter of these is 0.0426315: rounded up in every order, although the sums differ in their last bits."""
    for order in itertools.permutations((0.066641, 0.014147, 0.021457, 0.068281)):
        rows.clear()
        for number, amount in enumerate(order):
            rows.session(f"s{number}", cost_usd=amount, status="completed")
        assert rows.run("SELECT cost_per_priced_session_usd FROM cost_by_day") == [(0.042632,)]
        assert rows.run("SELECT mean_cost_usd FROM completed_cost_by_day") == [(0.042632,)]
        assert rows.run("SELECT mean_cost_usd FROM assistant_comparison") == [(0.042632,)]
