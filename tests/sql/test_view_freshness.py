"""The view `freshness` on a small hand-made ledger."""

from datetime import datetime
from typing import Any

import pytest

from sql_rows import MORNING, Rows, after
from vapi_sessions.warehouse.index_schema import INTERVALS, RUNS, UNREADABLE


def claim(rows: Rows, lower: datetime, upper: datetime) -> None:
    """An interval of updatedAt that has been read."""
    rows.insert(INTERVALS, org_id="org", lower_bound=lower, upper_bound=upper)


def run(rows: Rows, command: str, outcome: str, minute: int) -> None:
    """A run that started at that minute and took ten seconds; one that is running has no end."""
    finished_at = None if outcome == "running" else after(60 * minute + 10)
    rows.insert(
        RUNS,
        run_id=f"r{minute}",
        command=command,
        started_at=after(60 * minute),
        finished_at=finished_at,
        outcome=outcome,
    )


def test_freshness_has_no_row_without_facts(rows: Rows) -> None:
    """A published database always has facts; tables that were just created have none."""
    rows.insert(INTERVALS, org_id="org", lower_bound=MORNING, upper_bound=after(60))
    run(rows, "sync", "failed", 0)
    assert rows.rows("FROM freshness") == []


def test_freshness_of_an_empty_source(rows: Rows) -> None:
    """A published warehouse without sessions has zeros, and nothing is complete."""
    rows.published()
    row = rows.only("FROM freshness")
    assert row == {
        "complete_until": None,
        "published_at": MORNING,
        "time_zone": None,
        **dict.fromkeys(
            [
                "session_count",
                "message_count",
                "pending_session_count",
                "deleted_session_count",
                "aged_out_session_count",
                "unreadable_session_count",
                "gap_count",
            ],
            0,
        ),
        "last_run_at": None,
        "last_run_command": None,
        "last_run_outcome": None,
        "last_success_at": None,
        "last_reconcile_at": None,
        "failing_check_count": None,
    }


def test_freshness_counts_sessions_by_state(rows: Rows) -> None:
    """Deleted and aged-out sessions are counted as sessions; a cost of zero is not pending."""
    rows.published(time_zone="Europe/Berlin")
    rows.session("s1", message_count=3, cost_usd=0.0)
    rows.session("s2", message_count=4)
    rows.session("s3", cost_usd=1.0, deleted_at=after(60))
    rows.session("s4", cost_usd=1.0, aged_out_at=after(60))
    rows.insert(UNREADABLE, session_id="s5")
    row = rows.only("FROM freshness")
    assert row["time_zone"] == "Europe/Berlin"
    assert (row["session_count"], row["message_count"], row["pending_session_count"]) == (4, 7, 1)
    assert (row["deleted_session_count"], row["aged_out_session_count"]) == (1, 1)
    assert row["unreadable_session_count"] == 1


@pytest.mark.parametrize(
    ("claims", "complete_until", "gap_count"),
    [
        ([], None, 0),
        ([(0, 60)], 60, 0),
        ([(-60, 60)], 60, 0),
        ([(0, 60), (70, 80), (90, 100)], 60, 2),
        ([(10, 60)], None, 1),
        ([(-60, -30), (10, 60)], None, 1),
        ([(-60, 0)], None, 0),
    ],
    ids=["nothing", "one", "from before", "two gaps", "gap at the start", "before and after", "before only"],
)
def test_freshness_is_complete_up_to_the_first_gap(
    rows: Rows, claims: list[tuple[int, int]], complete_until: int | None, gap_count: int
) -> None:
    """complete_until is the end of the interval with the origin, as in the ledger of the program."""
    rows.published(origin=MORNING)
    for lower, upper in claims:
        claim(rows, after(lower), after(upper))
    found = rows.run("SELECT complete_until, gap_count FROM freshness")
    assert found == [(None if complete_until is None else after(complete_until), gap_count)]


def test_freshness_shows_the_newest_run_and_the_last_successes(rows: Rows) -> None:
    """A failed run is the last one, but not the last success; flows count as syncs."""
    rows.published()
    for minute, (command, outcome) in enumerate(
        [
            ("sync", "done"),
            ("reconcile", "done"),
            ("backfill (flow)", "done"),
            ("reconcile", "killed"),
            ("sync", "running"),
        ]
    ):
        run(rows, command, outcome, minute)
    row = rows.only("FROM freshness")
    assert (row["last_run_at"], row["last_run_command"], row["last_run_outcome"]) == (
        after(240),
        "sync",
        "running",
    )
    assert (row["last_success_at"], row["last_reconcile_at"]) == (after(130), after(70))


@pytest.mark.parametrize(
    ("facts", "failing"),
    [({}, None), ({"checks": "{}"}, 0), ({"checks": '{"a": 0, "b": 3, "c": 1}'}, 2)],
    ids=["never run", "no check", "two of three fail"],
)
def test_freshness_counts_failing_checks(rows: Rows, facts: dict[str, Any], failing: int | None) -> None:
    """A check fails if it found a row; without a run of the checks, the number is unknown."""
    rows.published(**facts)
    assert rows.run("SELECT failing_check_count FROM freshness") == [(failing,)]
