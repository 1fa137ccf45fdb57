"""Windows of bounded size, cut using the source's own counts, which may be slightly wrong."""

from __future__ import annotations

import bisect
import itertools
import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection import examples
from vapi_sessions.core.intervals import IntervalSet, Window
from vapi_sessions.core.timestamps import DAY, HOUR, MILLISECOND, parse
from vapi_sessions.source.pagination import Cursor
from vapi_sessions.source.windows import PAGES_A_WINDOW, PlannedWindow, plan_windows

moderate = examples(150)

ORIGIN = parse("2023-08-01")
BOUND = parse("2026-08-01")
FAR = BOUND + 1000 * DAY  # stands for the end of a window that is open to the right


class Counting:
    """Counts moments as the source would, and records the requests."""

    def __init__(self, moments: Sequence[int], error: Callable[[int], int] = lambda count: count) -> None:
        self.moments = sorted(moments)
        self.asked: list[Window] = []
        self.sampled = 0
        self._error = error

    def exactly(self, window: Window) -> int:
        """The exact count."""
        end = len(self.moments)
        if window.upper is not None:
            end = bisect.bisect_left(self.moments, window.upper)
        return end - bisect.bisect_left(self.moments, window.lower)

    def __call__(self, windows: Sequence[Window]) -> list[int]:
        """One count for each window."""
        self.asked += windows
        return [max(0, self._error(self.exactly(window))) for window in windows]

    def samples(self, asked: Sequence[tuple[PlannedWindow, int]]) -> list[int | None]:
        """The n-th moment of each window."""
        self.sampled += len(asked)
        return [
            self.moments[bisect.bisect_left(self.moments, p.window.lower) + number - 1]
            if number <= self.exactly(p.window)
            else None
            for p, number in asked
        ]


def uniform(rng: random.Random, count: int) -> list[int]:
    """Changes at any time."""
    return [rng.randrange(ORIGIN, BOUND) for _ in range(count)]


def growing(rng: random.Random, count: int) -> list[int]:
    """Mostly recent changes: half of them in the last three weeks."""
    return [BOUND - 1 - int(rng.expovariate(1 / (30 * DAY))) % (BOUND - ORIGIN) for _ in range(count)]


def last_hour(rng: random.Random, count: int) -> list[int]:
    """One old change, and all others in the hour before the bound."""
    return [ORIGIN, *(BOUND - 1 - rng.randrange(HOUR) for _ in range(count - 1))]


def one_instant(rng: random.Random, count: int) -> list[int]:
    """A bulk change: all changes in one millisecond, which no cut separates."""
    return [ORIGIN + 400 * DAY] * count


HISTORIES = [uniform, growing, last_hour, one_instant]


def plan(
    counting: Counting, spans: Sequence[Window] = (Window(ORIGIN, None),), **how: int
) -> list[PlannedWindow]:
    """A plan with the default settings."""
    how = {"bound": BOUND, "page_size": 1000, "concurrency": 6} | how
    return plan_windows(spans, counting, counting.samples, **how)


def covered(windows: Sequence[Window]) -> IntervalSet:
    """The moments in these windows."""
    return IntervalSet((w.lower, FAR if w.upper is None else w.upper) for w in windows)


def overlap(windows: Sequence[Window]) -> bool:
    """Whether any two windows share a moment, or are out of order."""
    return any(a.upper is None or a.upper > b.lower for a, b in itertools.pairwise(windows))


SPANS = st.lists(st.integers(0, 3 * 365), min_size=1, max_size=7, unique=True).map(
    lambda days: [
        Window(ORIGIN + a * DAY, ORIGIN + b * DAY)
        for a, b in zip(sorted(days)[::2], sorted(days)[1::2], strict=False)
    ]
)


@given(
    SPANS,
    st.booleans(),
    st.integers(0, 3000),
    st.sampled_from(HISTORIES),
    st.integers(1, 50),
    st.integers(1, 8),
    st.integers(-3, 3),
)
@moderate
def test_windows_cover_the_spans_exactly(
    spans: list[Window],
    open_end: bool,
    sessions: int,
    history: Callable[[random.Random, int], list[int]],
    page_size: int,
    concurrency: int,
    error: int,
) -> None:
    """No moment is lost or read twice, for any history, and although counts are slightly wrong."""
    if open_end:
        spans = [*spans, Window(BOUND, None)]
    counting = Counting(history(random.Random(sessions), sessions), lambda count: count + error)
    windows = [
        planned.window for planned in plan(counting, spans, page_size=page_size, concurrency=concurrency)
    ]
    assert covered(windows) == covered(spans)
    assert not overlap(windows)
    assert not any(window.empty for window in windows)


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.__name__)
@pytest.mark.parametrize("sessions", [0, 1, 999, 1000, 1001, 50_000])
def test_the_number_of_counts_is_limited(
    sessions: int, history: Callable[[random.Random, int], list[int]]
) -> None:
    """One count for the whole, at most two for each share, and two more."""
    counting = Counting(history(random.Random(1), sessions) if sessions else [])
    plan(counting)
    share = max(1000, min(math.ceil(sessions / 6), PAGES_A_WINDOW * 1000))
    assert len(counting.asked) <= 1 + 2 * math.ceil(sessions / share) + 2


@pytest.mark.parametrize("history", [uniform, growing], ids=lambda history: history.__name__)
@pytest.mark.parametrize("sessions", [1001, 50_000, 200_000])
def test_windows_are_bounded_and_enough_for_all_workers(
    sessions: int, history: Callable[[random.Random, int], list[int]]
) -> None:
    """Each has at most its share of the sessions, and there is at least one for every worker."""
    counting = Counting(history(random.Random(2), sessions))
    planned = plan(counting)
    share = max(1000, min(math.ceil(sessions / 6), PAGES_A_WINDOW * 1000))
    assert max(counting.exactly(p.window) for p in planned) <= share
    assert len(planned) >= min(6, math.ceil(sessions / 1000))
    assert len(planned) <= 2 * math.ceil(sessions / share)


def two_hours(rng: random.Random, count: int) -> list[int]:
    """A long history: one old change, and two imports that took an hour each."""
    starts = [ORIGIN + 200 * DAY, BOUND - 100 * DAY]
    return [ORIGIN, *(rng.choice(starts) + rng.randrange(HOUR) for _ in range(count - 1))]


@pytest.mark.parametrize("history", [last_hour, two_hours], ids=lambda history: history.__name__)
@pytest.mark.parametrize("sessions", [50_000, 200_000])
def test_a_crowded_hour_of_a_long_history_is_split(
    sessions: int, history: Callable[[random.Random, int], list[int]]
) -> None:
    """No window is much larger than PAGES_A_WINDOW pages if its sessions can be separated."""
    counting = Counting(history(random.Random(3), sessions))
    assert max(counting.exactly(p.window) for p in plan(counting)) <= 1.5 * PAGES_A_WINDOW * 1000
    assert counting.sampled <= len(counting.asked)


def test_unusable_samples_do_not_affect_the_coverage() -> None:
    """None, moments outside of the window, and moments on its edge."""
    rng = random.Random(12)
    odd = [None, 0, ORIGIN, ORIGIN + 1, BOUND, FAR]
    planned = plan_windows(
        [Window(ORIGIN, None)],
        Counting(last_hour(rng, 30_000)),
        lambda windows: [rng.choice(odd) for _ in windows],
        bound=BOUND,
        page_size=100,
        concurrency=6,
    )
    assert covered([p.window for p in planned]) == IntervalSet([(ORIGIN, FAR)])
    assert not overlap([p.window for p in planned])


def test_sessions_of_one_instant_stay_in_one_window() -> None:
    """Planning gives up on a bulk change; the walk separates its sessions by `createdAt`."""
    counting = Counting(one_instant(random.Random(4), 50_000))
    largest = max(plan(counting), key=lambda p: p.expected)
    assert largest.expected == 50_000


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.__name__)
def test_without_traffic_the_expected_numbers_are_exact(
    history: Callable[[random.Random, int], list[int]],
) -> None:
    """Including those that were not counted but subtracted or added."""
    counting = Counting(history(random.Random(5), 20_000))
    assert all(p.expected == counting.exactly(p.window) for p in plan(counting))


def test_expected_numbers_are_never_negative() -> None:
    """Traffic between two counts can make a part larger than the whole."""
    rng = random.Random(6)
    counting = Counting(uniform(rng, 5000), lambda count: count + rng.randrange(-900, 900))
    planned = plan(counting)
    assert len(planned) > 1
    assert min(p.expected for p in planned) >= 0


def test_small_neighbours_are_joined() -> None:
    """No two neighbouring windows fit into one share."""
    counting = Counting(growing(random.Random(7), 30_000))
    share = 5000
    for a, b in itertools.pairwise(plan(counting)):
        assert a.window.upper == b.window.lower
        assert a.expected + b.expected > share


def test_cuts_are_whole_milliseconds() -> None:
    """Requests have bounds in milliseconds: a finer cut would lose or repeat sessions."""
    counting = Counting(uniform(random.Random(8), 50_000))
    bounds = [p.window.lower for p in plan(counting)]
    assert len(bounds) > 5
    assert all(bound % MILLISECOND == 0 for bound in bounds)


def test_only_the_last_window_is_open_to_the_right() -> None:
    """Sessions that change during the run are read by one window."""
    planned = plan(Counting(uniform(random.Random(9), 50_000)))
    assert [p.window.upper is None for p in planned] == [False] * (len(planned) - 1) + [True]


def test_claims_end_at_the_bound() -> None:
    """Together, the windows claim everything up to the bound and nothing after it."""
    planned = plan(Counting(uniform(random.Random(10), 20_000)))
    assert list(IntervalSet(p.claim for p in planned if p.claim)) == [(ORIGIN, BOUND)]


def test_a_window_after_the_bound_claims_nothing() -> None:
    """It is read only to get recent changes early."""
    (planned,) = plan(Counting([]), [Window(BOUND, None)])
    assert planned.claim is None


def test_a_new_window_is_not_a_resumed_one() -> None:
    """Its only cursor is at its beginning."""
    planned = plan(Counting(uniform(random.Random(11), 3000)))
    assert all(p.cursors == (Cursor(p.window),) and not p.resumed for p in planned)


def test_without_spans_there_is_no_window_and_no_count() -> None:
    """There is nothing to read."""
    counting = Counting([])
    assert plan(counting, []) == []
    assert counting.asked == []


def test_sessions_that_moved_away_meanwhile_cost_no_more_counts() -> None:
    """A bulk update empties the crowded half. The sample shows it, and the half is not cut further."""
    crowd = Counting([BOUND - 10 * DAY + n * MILLISECOND for n in range(1_000)])
    moved = 2  # counts: the whole, and the crowded half

    def count_all(windows: Sequence[Window]) -> list[int]:
        counts = crowd(windows)
        if len(crowd.asked) == moved:
            crowd.moments = []
        return counts

    plan_windows([Window(ORIGIN, BOUND)], count_all, crowd.samples, bound=BOUND, page_size=10, concurrency=1)
    assert len(crowd.asked) == moved
    assert crowd.sampled == 1


def test_counts_run_in_parallel() -> None:
    """Each count may take half a second. After the first one, at least five run together."""
    counting = Counting(uniform(random.Random(13), 50_000))
    rounds: list[int] = []

    def count_all(windows: Sequence[Window]) -> list[int]:
        rounds.append(len(windows))
        return counting(windows)

    plan_windows(
        [Window(ORIGIN, None)], count_all, counting.samples, bound=BOUND, page_size=100, concurrency=6
    )
    assert len(rounds) <= 6
    assert min(rounds[1:]) >= 5
