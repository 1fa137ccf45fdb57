"""The plan of a first run: its bound, its origin, and the state it records."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plans import BOUND, FAR, NOW, SETTLE, after_a_run, covered, history, make, with_settings

import source_faults
from constants import EPOCH, ORG
from source_model import Answer, ModelSource, Session, SourceModel, by_id
from vapi_sessions.core.intervals import BEGINNING
from vapi_sessions.core.ledger import Ledger
from vapi_sessions.core.timestamps import DAY, MINUTE, SECOND, floor_ms
from vapi_sessions.errors import SourceInconsistentError, VapiSessionsError
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.page import Page
from vapi_sessions.source.pagination import walk
from vapi_sessions.source.planning import Plan, make_plan


@pytest.mark.parametrize(
    ("ours", "theirs", "earlier"),
    [
        (NOW, NOW, NOW),
        (NOW, NOW - 5 * MINUTE, NOW - 5 * MINUTE),
        (NOW - 5 * MINUTE, NOW, NOW - 5 * MINUTE),
        (NOW, None, NOW),
        (NOW + 777, None, NOW),
    ],
    ids=["equal", "theirs is behind", "ours is behind", "theirs is unknown", "microseconds"],
)
def test_the_bound_is_the_earlier_clock_less_the_settling_delay(
    ours: int, theirs: int | None, earlier: int
) -> None:
    """A fast clock, ours or the source's, does not cause unsettled changes to be claimed."""
    plan, _ = make_plan(
        with_settings(),
        Clocks(history(), ours, theirs),  # type: ignore[arg-type]  # the two calls of a source
        Ledger(),
        (),
    )
    assert plan.bound == earlier - SETTLE


class Clocks(ModelSource):
    """A source with a given clock, and a given clock of ours."""

    def __init__(self, model: SourceModel, ours: int, theirs: int | None) -> None:
        super().__init__(model)
        self._clocks = ours, theirs

    def list(self, query: Query) -> Page:
        """The page with these clocks."""
        ours, theirs = self._clocks
        return replace(super().list(query), requested_at=ours, server_time=theirs)


def test_until_moves_the_bound_back_and_closes_the_last_window() -> None:
    """Nothing after --until is read or claimed."""
    plan, _ = make(history(), until=NOW - 5 * DAY + 999)
    assert plan.bound == NOW - 5 * DAY
    assert list(covered(plan.windows)) == [(EPOCH, NOW - 5 * DAY)]


def test_until_in_the_future_does_not_move_the_bound_forward() -> None:
    """Unsettled changes are never claimed."""
    plan, _ = make(history(), until=NOW + DAY)
    assert plan.bound == BOUND


def test_until_before_the_oldest_session_plans_nothing() -> None:
    """A range before all history is empty, which is not an error."""
    plan, _ = make(history(), until=EPOCH - DAY)
    assert plan.windows == ()


def test_nothing_is_planned_for_an_empty_source() -> None:
    """Without a session there is no organisation, so nothing is recorded. It takes one request."""
    model = SourceModel({}, now=NOW)
    assert make(model, after_a_run()) == (Plan(), {})
    assert model.requests == 1


def test_a_count_without_a_session_is_not_an_empty_source() -> None:
    """A response that contradicts itself is an error."""
    model = history()
    model.faults = [source_faults.empty_page]
    with pytest.raises(SourceInconsistentError):
        make(model)


def test_the_first_run_reads_everything_from_the_oldest_session_on() -> None:
    """One interval that begins at the oldest session's millisecond, and is open to the right."""
    plan, state = make(history())
    assert list(covered(plan.windows)) == [(EPOCH, FAR)]
    assert plan.windows[-1].window.upper is None
    assert (state["origin"], state["origin_reason"]) == (str(EPOCH), "oldest session")
    assert (plan.org_id, plan.origin) == (ORG, EPOCH)


def test_the_plan_counts_its_sessions() -> None:
    """Using the source's counts."""
    plan, _ = make(history(300))
    assert plan.sessions == 301


def test_no_lower_bound_before_the_oldest_session_is_requested() -> None:
    """A source with a retention may refuse it. The first window has no lower bound instead."""
    model = history()
    plan, _ = make(model)
    for planned in plan.windows:
        for _ in walk(model.fetch, planned.cursors, limit=50):
            pass
    oldest = floor_ms(EPOCH + 123)
    lowers = [window.lower for q in model.queries for window in (q.updated, q.created) if window is not None]
    assert BEGINNING in lowers
    assert all(lower == BEGINNING or lower >= oldest for lower in lowers)


def test_the_state_to_record() -> None:
    """Organisation, address, and the origin (µs) with its reason."""
    _, state = make(history(), base_url="https://example.test")
    assert state == {
        "org_id": ORG,
        "base_url": "https://example.test",
        "origin": str(EPOCH),
        "origin_reason": "oldest session",
    }


def test_an_organisation_younger_than_the_settling_delay_is_read() -> None:
    """Nothing can be claimed yet."""
    model = SourceModel(by_id([Session("a", NOW - SECOND, NOW - SECOND)]), now=NOW)
    plan, _ = make(model)
    (planned,) = plan.windows
    assert planned.claim is None
    assert planned.window.upper is None
    assert NOW - SECOND in planned.window


def test_a_source_that_ignores_the_order_does_not_set_a_late_origin() -> None:
    """The newest session as the origin would cut off all history."""
    model = history()
    model.faults = [source_faults.ignored_order]
    try:
        plan, _ = make(model)
    except VapiSessionsError:
        return
    assert plan.origin == EPOCH


def test_one_response_in_the_wrong_order_does_not_set_a_late_origin() -> None:
    """If only the first response is wrong, no later one shows it."""

    def first(model: SourceModel, query: Query, answer: Answer) -> Answer:
        return source_faults.ignored_order(model, query, answer) if model.requests == 1 else answer

    model = history()
    model.faults = [first]
    try:
        plan, _ = make(model)
    except VapiSessionsError:
        return
    assert plan.origin == EPOCH


def test_since_is_the_origin_of_a_first_run() -> None:
    """The reason is recorded for `status`."""
    since = EPOCH + 10 * DAY
    plan, state = make(history(), since=since + 999)
    assert list(covered(plan.windows)) == [(since, FAR)]
    assert (state["origin"], state["origin_reason"]) == (str(since), "since")
