"""The plan of a later run: gaps, the lookback, `--since` and `--full`."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plans import BOUND, FAR, LOOKBACK, NOW, after_a_run, covered, history, make

from constants import EPOCH, ORG
from source_model import Session, SourceModel, by_id
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.ledger import Ledger
from vapi_sessions.core.timestamps import DAY, HOUR
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.source.pagination import walk


def test_a_later_run_reads_the_lookback_and_new_changes() -> None:
    """Nothing older is requested."""
    plan, state = make(history(), after_a_run())
    assert list(covered(plan.windows)) == [(NOW - HOUR - LOOKBACK, FAR)]
    assert "origin_reason" not in state
    assert state["origin"] == str(EPOCH)


def test_a_gap_is_read() -> None:
    """A window that failed in an earlier run is planned again."""
    ledger = after_a_run(completed=[(EPOCH, EPOCH + DAY), (EPOCH + 2 * DAY, NOW - HOUR)])
    plan, _ = make(history(), ledger)
    assert list(covered(plan.windows)) == [
        (EPOCH + DAY, EPOCH + 2 * DAY),
        (NOW - HOUR - LOOKBACK, FAR),
    ]


def test_after_a_clock_jumped_back_the_lookback_is_read() -> None:
    """The window is still open to the right."""
    plan, _ = make(history(), after_a_run(until=NOW + DAY))
    assert list(covered(plan.windows)) == [(BOUND - LOOKBACK, FAR)]


@pytest.mark.parametrize(
    ("until", "expected"),
    [(None, [(BOUND - LOOKBACK, BOUND)]), (NOW - DAY, [])],
    ids=["to the present", "to an earlier day"],
)
def test_the_last_lookback_is_not_settled(until: int | None, expected: list[tuple[int, int]]) -> None:
    """It ends at the present according to the clocks, not at --until."""
    plan, _ = make(history(), until=until)
    assert list(plan.unsettled) == expected


def test_a_key_of_another_organisation_is_refused() -> None:
    """The error names the warehouse and both organisations."""
    with pytest.raises(
        ConfigurationError, match=f"the-warehouse belongs to organisation org-other, .* {ORG}"
    ):
        make(history(), replace(after_a_run(), org_id="org-other"))


def test_since_before_the_origin_moves_it_back() -> None:
    """The history before the old origin is read."""
    ledger = Ledger(ORG, EPOCH + 10 * DAY, IntervalSet([(EPOCH + 10 * DAY, NOW - HOUR)]))
    plan, state = make(history(), ledger, since=EPOCH)
    assert (plan.origin, state["origin_reason"]) == (EPOCH, "since")
    assert list(covered(plan.windows)) == [(EPOCH, FAR)]


def test_since_after_the_origin_reads_again_and_does_not_move_it() -> None:
    """Reading a part again does not shorten the history."""
    plan, state = make(history(), after_a_run(), since=NOW - 2 * DAY)
    assert list(covered(plan.windows)) == [(NOW - 2 * DAY, FAR)]
    assert (plan.origin, "origin_reason" in state) == (EPOCH, False)


@pytest.mark.parametrize("since", [BOUND, NOW + DAY])
def test_since_after_the_bound_is_refused(since: int) -> None:
    """No change after it is settled."""
    with pytest.raises(ConfigurationError, match="is not before"):
        make(history(), since=since)


def test_full_reads_everything_again() -> None:
    """From the origin on, including completed intervals."""
    plan, _ = make(history(), after_a_run(), full=True)
    assert list(covered(plan.windows)) == [(EPOCH, FAR)]


def test_full_moves_the_origin_back_to_the_oldest_session() -> None:
    """A warehouse that was started with --since becomes complete."""
    ledger = Ledger(ORG, EPOCH + 10 * DAY, IntervalSet([(EPOCH + 10 * DAY, NOW - HOUR)]))
    plan, state = make(history(), ledger, full=True)
    assert (plan.origin, state["origin_reason"]) == (EPOCH, "oldest session")
    assert list(covered(plan.windows)) == [(EPOCH, FAR)]


def test_full_does_not_move_the_origin_forward() -> None:
    """Sessions that have aged out at the source are still part of the history."""
    ledger = Ledger(ORG, EPOCH - 10 * DAY, IntervalSet([(EPOCH - 10 * DAY, NOW - HOUR)]))
    plan, _ = make(history(), ledger, full=True)
    assert plan.origin == EPOCH - 10 * DAY


def test_a_lookback_that_a_failed_run_did_not_read_is_read_later() -> None:
    """A run may fail before its first window."""
    first = NOW - 3 * HOUR
    ledger = after_a_run(first)
    plan, _ = make(history(), ledger)  # this run records what is unsettled, and fails
    again, _ = make(history(), replace(ledger, unsettled=ledger.unsettled | plan.unsettled))
    assert first - 1 in covered(again.windows)


def test_a_lookback_of_less_than_a_millisecond_is_possible() -> None:
    """Bounds are sent in milliseconds, so correct rows are not taken for a violation."""
    at = NOW - HOUR
    sessions = [Session(str(n), at - DAY, at - 1000 + 100 * n) for n in range(10)]
    model = SourceModel(by_id([Session("oldest", EPOCH, EPOCH)], sessions), now=NOW)
    plan, _ = make(model, after_a_run(at), lookback=500)
    rows = [row for p in plan.windows for page in walk(model.fetch, p.cursors, limit=5) for row in page.rows]
    assert len(rows) >= 5


def test_planning_a_run_with_nothing_new_takes_two_requests() -> None:
    """One for the oldest session, and one count."""
    model = history(300)
    plan, _ = make(model, after_a_run())
    assert len(plan.windows) == 1
    assert model.requests == 2
