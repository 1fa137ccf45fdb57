"""The views `cost_by_day`, `cost_by_model` and `cost_components_by_day` on small hand-made data."""

from datetime import date

from sql_rows import SOME_DAY, Rows, after
from vapi_sessions.schema import COSTS


def test_cost_views_cut_days_in_utc(rows: Rows) -> None:
    """A session one second before midnight UTC belongs to that day, in every time zone of the reader."""
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
    """Pending sessions are counted in a column of their own; they do not lower the average, and their sum is null."""
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
    """Deleted and aged-out sessions still count: they were billed."""
    rows.session("s1", cost_usd=0.5, deleted_at=after(60))
    rows.session("s2", cost_usd=0.25, aged_out_at=after(60))
    assert rows.run("SELECT cost_usd, deleted_session_count FROM cost_by_day") == [(0.75, 1)]


def test_cost_by_day_shows_components_beside_totals(rows: Rows) -> None:
    """The sum of components is shown beside the total; several components do not count a session twice."""
    rows.session("s1", cost_usd=1.0)
    rows.child(COSTS, "s1", cost_index=0, cost_usd=0.25)
    rows.child(COSTS, "s1", cost_index=1, cost_usd=0.5)
    rows.child(COSTS, "s1", cost_index=2)
    found = rows.run(
        "SELECT session_count, cost_usd, component_cost_usd, pending_component_count FROM cost_by_day"
    )
    assert found == [(1, 1.0, 0.75, 1)]


def test_cost_by_model_joins_components_without_a_model(rows: Rows) -> None:
    """All components without a model make one row."""
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
    """Tokens of pending components are counted, but are left out of the price per token."""
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
    row = rows.only("SELECT * FROM cost_by_model")
    assert row["usd_per_million_tokens"] == 2.0
    assert (row["session_count"], row["component_count"], row["pending_component_count"]) == (2, 4, 1)
    assert (row["cost_usd"], row["model_cost_usd"], row["analysis_cost_usd"]) == (104.0, 103.0, 1.0)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (8_900_000, 100_000)
    assert (row["cached_prompt_tokens"], row["reasoning_tokens"]) == (400_000, 50_000)
    assert (row["first_day"], row["last_day"]) == (SOME_DAY, date(2026, 8, 3))


def test_cost_by_model_without_tokens_has_no_price_per_token(rows: Rows) -> None:
    """A component with no tokens gives no price per token, and no division by zero."""
    rows.session("s1")
    rows.child(COSTS, "s1", cost_index=0, type="session", cost_usd=0.5)
    rows.child(COSTS, "s1", cost_index=1, type="model", model_name="m", prompt_tokens=0, cost_usd=0.0)
    assert rows.run("SELECT usd_per_million_tokens FROM cost_by_model") == [(None,), (None,)]


def test_cost_components_split_a_day(rows: Rows) -> None:
    """A day splits by type, analysis and model; pending costs are null, and counted."""
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
