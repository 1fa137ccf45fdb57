"""Interval arithmetic, against sets of whole numbers."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from selection import examples
from vapi_sessions.core.intervals import IntervalSet, Window

moderate = examples(300)

#: Small numbers, so that intervals meet, touch and overlap all the time; some are empty or upside down.
SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8)
MOMENTS = range(-1, 32)


def members(spans: list[tuple[int, int]]) -> set[int]:
    """The definition: every whole number in any of the half-open spans."""
    return {moment for lower, upper in spans for moment in range(lower, upper)}


def of(interval_set: IntervalSet) -> set[int]:
    """The members that iterating tells."""
    return members(list(interval_set))


@given(SPANS)
@moderate
def test_a_set_holds_what_its_spans_hold(spans: list[tuple[int, int]]) -> None:
    """Iteration and membership agree with the definition."""
    interval_set = IntervalSet(spans)
    assert of(interval_set) == members(spans)
    assert {moment for moment in MOMENTS if moment in interval_set} == members(spans)


@given(SPANS)
@moderate
def test_spans_are_sorted_disjoint_and_do_not_touch(spans: list[tuple[int, int]]) -> None:
    """There is one way to write a set, so equal sets are equal."""
    found = list(IntervalSet(spans))
    assert all(lower < upper for lower, upper in found)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(found))
    assert len(IntervalSet(spans)) == len(found)


@given(SPANS, SPANS)
@moderate
def test_union(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    """`|` holds what either holds."""
    assert of(IntervalSet(a) | IntervalSet(b)) == members(a) | members(b)


@given(SPANS, SPANS)
@moderate
def test_difference(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    """`-` holds what only the first holds."""
    assert of(IntervalSet(a) - IntervalSet(b)) == members(a) - members(b)


@given(SPANS, SPANS)
@moderate
def test_intersection(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    """`&` holds what both hold."""
    assert of(IntervalSet(a) & IntervalSet(b)) == members(a) & members(b)


@given(SPANS, SPANS)
@moderate
def test_equality_is_that_of_the_members(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    """Two sets are equal, and hash alike, exactly if they hold the same."""
    same = members(a) == members(b)
    assert (IntervalSet(a) == IntervalSet(b)) is same
    assert same is False or hash(IntervalSet(a)) == hash(IntervalSet(b))


@given(SPANS, st.integers(-1, 31))
@moderate
def test_the_end_of_a_stretch(spans: list[tuple[int, int]], origin: int) -> None:
    """The first moment from the origin on that is not held."""
    end = origin
    while end in members(spans):
        end += 1
    assert IntervalSet(spans).end_of_stretch(origin) == end


@given(SPANS)
@moderate
def test_the_end_of_a_set(spans: list[tuple[int, int]]) -> None:
    """One more than its greatest member."""
    assert IntervalSet(spans).end == (max(members(spans)) + 1 if members(spans) else None)


@given(st.integers(0, 9), st.integers(0, 9))
@moderate
def test_a_closed_window_is_half_open(lower: int, upper: int) -> None:
    """Its lower bound lies in it, its upper bound does not; upside down it is empty."""
    window = Window(lower, upper)
    held = {moment for moment in range(-1, 11) if moment in window}
    assert held == set(range(lower, upper))
    assert window.empty is (not held)


def test_an_open_window_has_no_end() -> None:
    """It is never empty, and holds everything from its lower bound on."""
    window = Window(5, None)
    assert (4 in window, 5 in window, 1 << 60 in window, window.empty) == (False, True, True, False)


def test_a_window_holds_whole_numbers_only() -> None:
    """A moment that is no number is in no window."""
    assert "5" not in Window(0, 9)
    assert None not in Window(0, None)


def test_a_set_shows_its_spans() -> None:
    """The repr can be read in a failing test."""
    assert repr(IntervalSet([(1, 2), (2, 3)])) == "IntervalSet([(1, 3)])"
