"""What a run decides to read, from the source's clock, oldest session and counts, and from the ledger."""

from __future__ import annotations

import bisect
import itertools
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import models
import selection
from models import EPOCH, ORG, Answer, ModelSource, Session, SourceModel, by_id, spread
from selection import examples
from vapi_sessions.core.intervals import BEGINNING, IntervalSet, Window
from vapi_sessions.core.ledger import Ledger
from vapi_sessions.core.records import OpenWindow
from vapi_sessions.core.timestamps import DAY, HOUR, MILLISECOND, MINUTE, SECOND, floor_ms
from vapi_sessions.errors import ConfigurationError, SourceInconsistentError, VapiSessionsError
from vapi_sessions.settings import Settings
from vapi_sessions.source.client import Page, Query, Row
from vapi_sessions.source.pagination import Cursor, encode_cursors, walk
from vapi_sessions.source.planning import Plan, make_plan
from vapi_sessions.source.windows import PlannedWindow

NOW = EPOCH + 30 * DAY
SETTLE, LOOKBACK = MINUTE, 15 * MINUTE
BOUND = NOW - SETTLE
FAR = NOW + 1000 * DAY


def with_settings(**given_settings: Any) -> Settings:
    """Settings that depend on nothing outside."""
    fixed: dict[str, Any] = {"settle": SETTLE, "lookback": LOOKBACK, "warehouse": Path("the-warehouse")}
    return Settings(**(fixed | given_settings))


def history(count: int = 300, seed: int = 1) -> SourceModel:
    """A source with sessions anywhere in the last month."""
    rng = random.Random(seed)
    oldest = Session("oldest", EPOCH + 123, EPOCH + HOUR)
    return SourceModel(by_id([oldest], spread(rng, count, Window(EPOCH + 2 * DAY, NOW))), now=NOW, rng=rng)


def make(
    model: SourceModel,
    ledger: Ledger | None = None,
    open_windows: Sequence[OpenWindow] = (),
    **given_settings: Any,
) -> tuple[Plan, dict[str, str]]:
    """The plan and the state to note."""
    source: Any = ModelSource(model)
    return make_plan(with_settings(**given_settings), source, ledger or Ledger(), open_windows)


def begin(planned: PlannedWindow) -> int:
    """Where a window begins: the first one may be open to the left, and then claims from the origin on."""
    return planned.claim[0] if planned.claim is not None else planned.window.lower


def end(planned: PlannedWindow) -> int:
    """Where it ends; an open one far away."""
    return FAR if planned.window.upper is None else planned.window.upper


def covered(planned: Sequence[PlannedWindow]) -> IntervalSet:
    """The moments that the windows hold."""
    return IntervalSet((begin(p), end(p)) for p in planned)


def after_a_run(until: int = NOW - HOUR, completed: Sequence[tuple[int, int]] | None = None) -> Ledger:
    """Everything before `until` was read, or what `completed` says; the end of it is not settled."""
    spans = IntervalSet(completed or [(EPOCH, until)])
    return Ledger(ORG, EPOCH, spans, IntervalSet([(until - LOOKBACK, until)]))


# -- the bound ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "earlier"),
    [
        (NOW, NOW, NOW),
        (NOW, NOW - 5 * MINUTE, NOW - 5 * MINUTE),
        (NOW - 5 * MINUTE, NOW, NOW - 5 * MINUTE),
        (NOW, None, NOW),
        (NOW + 777, None, NOW),
    ],
    ids=["alike", "theirs behind", "ours behind", "theirs unknown", "microseconds"],
)
def test_the_bound_is_the_earlier_clock_less_the_settling_delay(
    ours: int, theirs: int | None, earlier: int
) -> None:
    """Neither a clock of ours that is fast nor one of theirs claims what has not settled."""
    plan, _ = make_plan(
        with_settings(),
        Clocks(history(), ours, theirs),  # type: ignore[arg-type]  # the two calls of a source
        Ledger(),
        (),
    )
    assert plan.bound == earlier - SETTLE


class Clocks(ModelSource):
    """A source whose clock and ours are set."""

    def __init__(self, model: SourceModel, ours: int, theirs: int | None) -> None:
        super().__init__(model)
        self._clocks = ours, theirs

    def list(self, query: Query) -> Page:
        """The same page, at other times."""
        ours, theirs = self._clocks
        return replace(super().list(query), requested_at=ours, server_time=theirs)


def test_until_moves_the_bound_back_and_closes_the_last_window() -> None:
    """Nothing behind --until is read or claimed."""
    plan, _ = make(history(), until=NOW - 5 * DAY + 999)
    assert plan.bound == NOW - 5 * DAY
    assert list(covered(plan.windows)) == [(EPOCH, NOW - 5 * DAY)]


def test_until_in_the_future_does_not_move_the_bound_forward() -> None:
    """What has not settled is not claimed, whatever was asked for."""
    plan, _ = make(history(), until=NOW + DAY)
    assert plan.bound == BOUND


def test_until_before_the_oldest_session_plans_nothing() -> None:
    """A range before all history is empty: nothing to read, and no failure."""
    plan, _ = make(history(), until=EPOCH - DAY)
    assert plan.windows == ()


def test_until_where_everything_was_read_or_is_resumed_plans_no_more() -> None:
    """A window that goes on may be all there is to read."""
    ledger = Ledger(ORG, EPOCH)
    stored = stored_window(EPOCH, EPOCH + 2 * DAY)
    plan, _ = make(history(), ledger, [stored], until=EPOCH + 2 * DAY, lookback=0)
    assert [(begin(p), end(p), p.resumed) for p in plan.windows] == [(EPOCH, EPOCH + 2 * DAY, True)]


# -- the first run -----------------------------------------------------------------------------------------------------


def test_nothing_is_planned_for_an_empty_source() -> None:
    """No row tells the organisation: no bound, no window, nothing to note, one request."""
    model = SourceModel({}, now=NOW)
    assert make(model, after_a_run()) == (Plan(), {})
    assert model.requests == 1


def test_no_row_in_spite_of_a_count_is_not_an_empty_source() -> None:
    """An answer that contradicts itself does not end a run as if all were well."""
    model = history()
    model.faults = [models.empty_page]
    with pytest.raises(SourceInconsistentError):
        make(model)


def test_the_first_run_reads_from_the_oldest_session_and_stays_open() -> None:
    """One unbroken stretch from the oldest session's millisecond on, open to the right."""
    plan, state = make(history())
    assert list(covered(plan.windows)) == [(EPOCH, FAR)]
    assert plan.windows[-1].window.upper is None
    assert (state["origin"], state["origin_reason"]) == (str(EPOCH), "oldest session")
    assert (plan.org_id, plan.origin) == (ORG, EPOCH)


def test_the_plan_counts_its_sessions() -> None:
    """By the source's counts."""
    plan, _ = make(history(300))
    assert plan.sessions == 301


def test_nothing_older_than_the_oldest_session_is_asked_for() -> None:
    """A source with a retention may refuse that: what begins there is asked for without a lower bound."""
    model = history()
    plan, _ = make(model)
    for planned in plan.windows:
        for _ in walk(model.fetch, planned.cursors, limit=50):
            pass
    oldest = floor_ms(EPOCH + 123)
    lowers = [window.lower for q in model.queries for window in (q.updated, q.created) if window is not None]
    assert BEGINNING in lowers
    assert all(lower == BEGINNING or lower >= oldest for lower in lowers)


def test_the_first_window_of_an_interrupted_first_run_goes_on() -> None:
    """Open to the left or not, it is stored and found again by what it claims."""
    model = history(2000)
    plan, state = make(model, page_size=20)
    first = plan.windows[0]
    (step, *_) = walk(model.fetch, first.cursors, limit=20)
    assert first.claim is not None
    stored = OpenWindow(
        run_id="first",
        window_index=0,
        lower=first.claim[0],
        upper=first.window.upper,
        expected=first.expected - len(step.rows),
        claimed_until=first.claim[1],
        left=json.loads(encode_cursors(step.left)),
    )
    ledger = Ledger(ORG, int(state["origin"]), IntervalSet(), plan.unsettled)
    again, _ = make(model, ledger, [stored], page_size=20)
    assert again.windows[0].cursors == step.left
    assert again.windows[0].claim == first.claim
    assert covered(again.windows) == covered(plan.windows)


def test_state_to_note() -> None:
    """Organisation, address, origin and why; moments in microseconds."""
    _, state = make(history(), base_url="https://example.test")
    assert state == {
        "org_id": ORG,
        "base_url": "https://example.test",
        "origin": str(EPOCH),
        "origin_reason": "oldest session",
    }


def test_an_organisation_younger_than_the_settling_delay() -> None:
    """There is nothing to claim yet, and still all of it is read."""
    model = SourceModel(by_id([Session("a", NOW - SECOND, NOW - SECOND)]), now=NOW)
    plan, _ = make(model)
    (planned,) = plan.windows
    assert planned.claim is None
    assert planned.window.upper is None
    assert NOW - SECOND in planned.window


def test_an_origin_is_not_taken_from_a_source_that_ignores_the_order() -> None:
    """The newest session in place of the oldest would cut off all history, and be noted."""
    model = history()
    model.faults = [models.ignored_order]
    try:
        plan, _ = make(model)
    except VapiSessionsError:
        return
    assert plan.origin == EPOCH


def test_one_answer_in_the_wrong_order_does_not_move_the_origin() -> None:
    """The same, where only the first answer is wrong: nothing later would show it."""

    def first(model: SourceModel, query: Query, answer: Answer) -> Answer:
        return models.ignored_order(model, query, answer) if model.requests == 1 else answer

    model = history()
    model.faults = [first]
    try:
        plan, _ = make(model)
    except VapiSessionsError:
        return
    assert plan.origin == EPOCH


# -- later runs --------------------------------------------------------------------------------------------------------


def test_a_later_run_reads_the_lookback_and_what_is_new() -> None:
    """Cost follows change: nothing older is asked for."""
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


def test_a_clock_that_jumped_back_still_reads_something() -> None:
    """The stretch before the bound is read again, and the window stays open."""
    plan, _ = make(history(), after_a_run(until=NOW + DAY))
    assert list(covered(plan.windows)) == [(BOUND - LOOKBACK, FAR)]


@pytest.mark.parametrize(
    ("until", "expected"),
    [(None, [(BOUND - LOOKBACK, BOUND)]), (NOW - DAY, [])],
    ids=["to the end", "not so far"],
)
def test_the_end_of_what_is_read_is_not_settled(until: int | None, expected: list[tuple[int, int]]) -> None:
    """A lookback before the present, as the clocks say it, whatever --until says."""
    plan, _ = make(history(), until=until)
    assert list(plan.unsettled) == expected


def test_a_key_of_another_organisation_is_refused() -> None:
    """Progress made for one says nothing of the other; the message names the warehouse and both."""
    with pytest.raises(
        ConfigurationError, match=f"the-warehouse belongs to organisation org-other, .* {ORG}"
    ):
        make(history(), replace(after_a_run(), org_id="org-other"))


# -- --since and --full ------------------------------------------------------------------------------------------------


def test_since_is_the_origin_of_a_first_run() -> None:
    """And status can say why history begins there."""
    since = EPOCH + 10 * DAY
    plan, state = make(history(), since=since + 999)
    assert list(covered(plan.windows)) == [(since, FAR)]
    assert (state["origin"], state["origin_reason"]) == (str(since), "since")


def test_since_before_the_origin_moves_it_back() -> None:
    """What had been left out is history now."""
    ledger = Ledger(ORG, EPOCH + 10 * DAY, IntervalSet([(EPOCH + 10 * DAY, NOW - HOUR)]))
    plan, state = make(history(), ledger, since=EPOCH)
    assert (plan.origin, state["origin_reason"]) == (EPOCH, "since")
    assert list(covered(plan.windows)) == [(EPOCH, FAR)]


def test_since_after_the_origin_reads_again_and_moves_nothing() -> None:
    """A second reading of a part does not shorten history."""
    plan, state = make(history(), after_a_run(), since=NOW - 2 * DAY)
    assert list(covered(plan.windows)) == [(NOW - 2 * DAY, FAR)]
    assert (plan.origin, "origin_reason" in state) == (EPOCH, False)


@pytest.mark.parametrize("since", [BOUND, NOW + DAY])
def test_since_behind_the_bound_is_refused(since: int) -> None:
    """Nothing settled lies there."""
    with pytest.raises(ConfigurationError, match="does not lie before"):
        make(history(), since=since)


def test_full_reads_everything_again() -> None:
    """Complete or not, from the origin on."""
    plan, _ = make(history(), after_a_run(), full=True)
    assert list(covered(plan.windows)) == [(EPOCH, FAR)]


def test_full_takes_in_history_before_the_origin() -> None:
    """A warehouse begun with --since becomes whole."""
    ledger = Ledger(ORG, EPOCH + 10 * DAY, IntervalSet([(EPOCH + 10 * DAY, NOW - HOUR)]))
    plan, state = make(history(), ledger, full=True)
    assert (plan.origin, state["origin_reason"]) == (EPOCH, "oldest session")
    assert list(covered(plan.windows)) == [(EPOCH, FAR)]


def test_full_does_not_move_the_origin_forward() -> None:
    """What has aged out at the source was history."""
    ledger = Ledger(ORG, EPOCH - 10 * DAY, IntervalSet([(EPOCH - 10 * DAY, NOW - HOUR)]))
    plan, _ = make(history(), ledger, full=True)
    assert plan.origin == EPOCH - 10 * DAY


# -- windows that go on ------------------------------------------------------------------------------------------------


def stored_window(lower: int, upper: int | None, **other: Any) -> OpenWindow:
    """A window that an earlier run left in the middle, as the store gives it."""
    left = [[lower, upper, lower - DAY, ["tied-1", "tied-2"]]]
    row = OpenWindow(
        run_id="earlier",
        window_index=0,
        lower=lower,
        upper=upper,
        expected=7,
        claimed_until=upper,
        left=left,
    )
    return row._replace(**other)


UNREAD = after_a_run(completed=[(EPOCH, EPOCH + DAY)])


def test_an_open_window_goes_on_where_it_was_left() -> None:
    """Only the rest of it is read, its claim is the whole, and its span is planned once."""
    plan, _ = make(history(), UNREAD, [stored_window(EPOCH + 2 * DAY, EPOCH + 3 * DAY)])
    (resumed,) = [p for p in plan.windows if p.resumed]
    window = Window(EPOCH + 2 * DAY, EPOCH + 3 * DAY)
    assert resumed == PlannedWindow(
        window,
        (EPOCH + 2 * DAY, EPOCH + 3 * DAY),
        7,
        (Cursor(window, EPOCH + DAY, frozenset({"tied-1", "tied-2"})),),
    )
    assert list(covered(plan.windows)) == [(EPOCH + DAY, FAR)]
    begins = [begin(p) for p in plan.windows]
    assert begins == sorted(begins)
    assert sum(end(p) - begin(p) for p in plan.windows) == FAR - EPOCH - DAY


@pytest.mark.parametrize(
    ("stored", "given_settings"),
    [
        (stored_window(EPOCH + 2 * DAY, NOW - HOUR), {}),
        (stored_window(EPOCH + 2 * DAY, NOW - HOUR - LOOKBACK + MILLISECOND), {}),
        (stored_window(EPOCH + 2 * DAY, None), {}),
        (stored_window(NOW - HOUR - MINUTE, None, claimed_until=NOW - HOUR), {}),
        (stored_window(EPOCH, EPOCH + DAY), {}),
        (stored_window(EPOCH + DAY // 2, EPOCH + 3 * DAY), {}),
        (stored_window(EPOCH + 2 * DAY, EPOCH + 3 * DAY, left=[]), {}),
        (stored_window(EPOCH + 2 * DAY, EPOCH + 3 * DAY), {"full": True}),
        (stored_window(EPOCH + 2 * DAY, EPOCH + 3 * DAY), {"since": EPOCH}),
    ],
    ids=[
        "ends with the last run",
        "ends in the lookback",
        "open to the right without a claim",
        "open to the right and young",
        "read since",
        "partly read since",
        "nothing left",
        "full",
        "since",
    ],
)
def test_a_window_that_cannot_go_on_is_read_from_the_beginning(
    stored: dict[str, Any], given_settings: dict[str, Any]
) -> None:
    """What may have been invisible, was read otherwise or is asked for anew is planned as if nobody had begun."""
    plan, _ = make(history(), UNREAD, [stored], **given_settings)
    assert not any(p.resumed for p in plan.windows)
    begin = EPOCH if given_settings else EPOCH + DAY
    assert list(covered(plan.windows)) == [(begin, FAR)]


def test_the_last_window_that_may_go_on_ends_where_the_unsettled_begins() -> None:
    """What was settled and visible when it was begun need not be read again."""
    plan, _ = make(history(), UNREAD, [stored_window(EPOCH + 2 * DAY, NOW - HOUR - LOOKBACK)])
    assert [p.window.upper for p in plan.windows if p.resumed] == [NOW - HOUR - LOOKBACK]


DAYS = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=5)


@given(DAYS, DAYS, DAYS, st.sampled_from([1, 6]))
@examples(60)
def test_a_plan_holds_what_has_to_be_read_and_nothing_twice(
    completed: list[tuple[int, int]],
    unsettled: list[tuple[int, int]],
    left_open: list[tuple[int, int]],
    concurrency: int,
) -> None:
    """Windows that go on and new ones together are what the ledger asks for, and the open end."""
    ledger = Ledger(
        ORG,
        EPOCH,
        IntervalSet((EPOCH + a * DAY, EPOCH + b * DAY) for a, b in completed),
        IntervalSet((EPOCH + a * DAY, EPOCH + b * DAY) for a, b in unsettled),
    )
    stored = [stored_window(EPOCH + a * DAY, EPOCH + b * DAY) for a, b in left_open if a < b]
    plan, _ = make(history(100), ledger, stored, page_size=20, concurrency=concurrency)
    wanted = ledger.to_read(bound=BOUND, lookback=LOOKBACK) | IntervalSet([(BOUND, FAR)])
    assert covered(plan.windows) == wanted
    length = sum(end(p) - begin(p) for p in plan.windows)
    assert length == sum(upper - lower for lower, upper in wanted)


# -- the price ---------------------------------------------------------------------------------------------------------


@dataclass
class LargeSource:
    """A quiet source of many sessions, quick to ask; counts requests."""

    sessions: list[Session]
    requests: int = 0
    _updated: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sessions.sort(key=attrgetter("created_at"))
        self._updated = sorted(session.updated_at for session in self.sessions)

    def list(self, query: Query) -> Page:
        """One page."""
        self.requests += 1
        updated = query.updated or Window(0, None)
        created = query.created or Window(0, None)
        start, stop = (
            bisect.bisect_left(self.sessions, FAR if at is None else at, key=attrgetter("created_at"))
            for at in (created.lower, created.upper)
        )
        upper = FAR if updated.upper is None else updated.upper
        fitting = [s for s in self.sessions[start:stop] if updated.lower <= s.updated_at < upper]
        rows = [Row(s.session_id, ORG, s.created_at, s.updated_at, b"") for s in fitting[: query.limit]]
        return Page(rows, len(fitting), query.limit, NOW, self.requests, NOW, 0)

    def count(self, updated: Window) -> int:
        """One count."""
        self.requests += 1
        end = (
            len(self._updated) if updated.upper is None else bisect.bisect_left(self._updated, updated.upper)
        )
        return end - bisect.bisect_left(self._updated, updated.lower)


def anywhere(rng: random.Random) -> int:
    """Sessions changed at any time of the month."""
    return rng.randrange(EPOCH, NOW)


def mostly_of_late(rng: random.Random) -> int:
    """Most sessions changed within the last hours."""
    return NOW - 1 - int((NOW - EPOCH) * rng.random() ** 8)


def in_one_minute(rng: random.Random) -> int:
    """All sessions changed within one minute, ten days ago."""
    return NOW - 10 * DAY + rng.randrange(MINUTE)


@pytest.mark.parametrize(
    "moment", selection.first([anywhere, mostly_of_late, in_one_minute]), ids=lambda f: f.__name__
)
@pytest.mark.parametrize("sessions", [0, 1, 999, 1000, 1001, 50_000])
def test_requests_of_survey_and_walk_together(sessions: int, moment: Callable[[random.Random], int]) -> None:
    """A whole first run costs at most 1.25 requests for each thousand sessions, and twenty."""
    rng = random.Random(sessions)
    updates = [floor_ms(moment(rng)) for _ in range(sessions)]
    source = LargeSource(
        [Session(str(n), updated - rng.randrange(DAY), updated) for n, updated in enumerate(updates)]
    )
    plan, _ = make_plan(with_settings(concurrency=1), source, Ledger(), ())  # type: ignore[arg-type]
    read: set[str] = set()
    for planned in plan.windows:
        for step in walk(source.list, planned.cursors, limit=1000):
            read |= {row.session_id for row in step.rows}
    assert len(read) == sessions
    assert source.requests <= sessions / 1000 * 1.25 + 20


def test_a_run_with_nothing_new_costs_a_few_requests() -> None:
    """The probe and one count, before one page."""
    model = history(300)
    plan, _ = make(model, after_a_run())
    assert len(plan.windows) == 1
    assert model.requests == 2


def test_a_lookback_of_less_than_a_millisecond_does_no_harm() -> None:
    """Bounds go to the source in milliseconds, whatever a duration says: honest rows are never refused."""
    at = NOW - HOUR
    sessions = [Session(str(n), at - DAY, at - 1000 + 100 * n) for n in range(10)]
    model = SourceModel(by_id([Session("oldest", EPOCH, EPOCH)], sessions), now=NOW)
    plan, _ = make(model, after_a_run(at), lookback=500)
    rows = [row for p in plan.windows for step in walk(model.fetch, p.cursors, limit=5) for row in step.rows]
    assert len(rows) >= 5


# -- run after run -----------------------------------------------------------------------------------------------------


class LateSource(SourceModel):
    """A source that shows each state of a session some time after it came about; until then the one before."""

    states: list[tuple[int, Session]]  # from when it shows, and what

    def happen(self) -> None:
        """Somebody creates a session, or changes one; when that will show is decided now."""
        if self.rng.random() < 0.3:
            changed = self.rng.choice(list(self.sessions))
            self.update(changed)
        else:
            self.create()
            changed = f"born-{self.born:06d}"
        self.states.append((self.now + self.rng.randrange(SETTLE + LOOKBACK), self.sessions[changed]))

    def shown(self) -> dict[str, Session]:
        """The newest visible state of each session."""
        visible = [state for at, state in self.states if at <= self.now]
        return by_id(sorted(visible, key=attrgetter("updated_at")))

    def answer(self, query: Query, sessions: dict[str, Session]) -> Answer:
        """Only what can be seen by now."""
        return super().answer(query, self.shown())


def run_after_run(seed: int, failures: float) -> None:
    """Twenty runs over a source with commit lag; after each one that succeeds nothing settled is missing.

    A run that fails does so after some step of the walk, or before the first; the next one goes on.
    """
    rng = random.Random(seed)
    oldest = Session("oldest", EPOCH, EPOCH)
    model = LateSource(by_id([oldest]), now=EPOCH + HOUR, rng=rng)
    model.states = [(EPOCH, oldest)]
    ledger, open_windows, read = Ledger(), list[OpenWindow](), set[tuple[str, int]]()
    for _ in range(20):
        for _ in range(rng.randrange(60)):
            model.now += rng.randrange(2 * MINUTE)
            model.happen()
        shown = {(s.session_id, s.updated_at) for s in model.shown().values()}
        plan, state = make(model, ledger, open_windows, page_size=10, concurrency=2)
        assert plan.bound is not None
        # Noted before the first window is read: the facts, and the windows that go on.
        ledger = replace(
            ledger,
            org_id=ORG,
            origin=int(state["origin"]),
            unsettled=ledger.unsettled | plan.unsettled,
        )
        left = {n: planned.cursors for n, planned in enumerate(plan.windows) if planned.resumed}
        fails = rng.random() < failures
        steps_left = rng.randrange(8) if fails else 10_000
        for number, planned in enumerate(plan.windows):
            steps = walk(model.fetch, planned.cursors, limit=10) if steps_left else ()
            for step in itertools.islice(steps, steps_left):
                steps_left -= 1
                read |= {(row.session_id, row.updated_at) for row in step.rows}
                left[number] = step.left
            if left.get(number) == () and planned.claim is not None:
                claim = IntervalSet([planned.claim])
                ledger = replace(
                    ledger,
                    completed=ledger.completed | claim,
                    unsettled=ledger.unsettled - (claim - plan.unsettled),
                )
        open_windows = [
            OpenWindow(
                run_id="run",
                window_index=number,
                lower=begin(plan.windows[number]),
                upper=plan.windows[number].window.upper,
                expected=0,
                claimed_until=ends[1] if (ends := plan.windows[number].claim) else None,
                left=json.loads(encode_cursors(cursors)),
            )
            for number, cursors in left.items()
            if cursors
        ]
        if not fails:
            settled = {(i, floor_ms(at)) for i, at in shown if at < plan.bound}
            assert settled - read == set(), f"seed {seed}"


SEEDS = selection.first([range(6), range(6, 25)])


@pytest.mark.parametrize("seeds", SEEDS, ids=["six", "more"])
def test_changes_that_show_late_are_read_by_runs_that_succeed(seeds: range) -> None:
    """Within the settling delay and the lookback no lag loses a session."""
    for seed in seeds:
        run_after_run(seed, failures=0)


@pytest.mark.parametrize("seeds", SEEDS, ids=["six", "more"])
def test_changes_that_show_late_are_read_although_runs_fail(seeds: range) -> None:
    """The same, where every other run stops somewhere, and the next one goes on."""
    for seed in seeds:
        run_after_run(seed, failures=0.5)


def test_the_lookback_that_a_failed_run_did_not_read_is_still_to_be_read() -> None:
    """A run that ends before its first window has looked back at nothing; the next one must."""
    first = NOW - 3 * HOUR
    ledger = after_a_run(first)
    plan, _ = make(history(), ledger)  # this run notes what will not be settled, and dies
    again, _ = make(history(), replace(ledger, unsettled=ledger.unsettled | plan.unsettled))
    assert first - 1 in covered(again.windows)
