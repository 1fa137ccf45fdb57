"""Interval arithmetic, compared with sets of whole numbers."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from selection import examples
from vapi_sessions.core.intervals import IntervalSet, Window

moderate = examples(300)

#: Small numbers, so that intervals often touch and overlap. Some are empty or reversed.
SPANS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8)
MOMENTS = range(-1, 32)


def members(spans: list[tuple[int, int]]) -> set[int]:
    """The definition: every whole number in any of the half-open spans."""
    return {moment for lower, upper in spans for moment in range(lower, upper)}


def of(interval_set: IntervalSet) -> set[int]:
    """The members, from iteration."""
    return members(list(interval_set))


@given(SPANS)
@moderate
def test_a_set_contains_the_moments_of_its_spans(spans: list[tuple[int, int]]) -> None:
    """Iteration and membership agree with the definition."""
    interval_set = IntervalSet(spans)
    assert of(interval_set) == members(spans)
    assert {moment for moment in MOMENTS if moment in interval_set} == members(spans)


@given(SPANS)
@moderate
def test_spans_are_sorted_disjoint_and_do_not_touch(spans: list[tuple[int, int]]) -> None:
    """A set has only one representation."""
    found = list(IntervalSet(spans))
    assert all(lower < upper for lower, upper in found)
    assert all(before[1] < after[0] for before, after in itertools.pairwise(found))
    assert len(IntervalSet(spans)) == len(found)


@given(SPANS, SPANS)
@moderate
def test_a_union_has_the_members_of_either_set(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    """`a | b`."""
    assert of(IntervalSet(a) | IntervalSet(b)) == members(a) | members(b)


@given(SPANS, SPANS)
@moderate
def test_a_difference_has_the_members_of_only_the_first_set(
    a: list[tuple[int, int]], b: list[tuple[int, int]]
) -> None:
    """`a - b`."""
    assert of(IntervalSet(a) - IntervalSet(b)) == members(a) - members(b)


@given(SPANS, SPANS)
@moderate
def test_an_intersection_has_the_members_of_both_sets(
    a: list[tuple[int, int]], b: list[tuple[int, int]]
) -> None:
    """`a & b`."""
    assert of(IntervalSet(a) & IntervalSet(b)) == members(a) & members(b)


@given(SPANS, SPANS)
@moderate
def test_sets_with_the_same_members_are_equal(a: list[tuple[int, int]], b: list[tuple[int, int]]) -> None:
    """They also have the same hash. Other sets are not equal."""
    same = members(a) == members(b)
    assert (IntervalSet(a) == IntervalSet(b)) is same
    assert same is False or hash(IntervalSet(a)) == hash(IntervalSet(b))


@given(SPANS, st.integers(-1, 31))
@moderate
def test_the_end_of_a_stretch_is_the_first_moment_not_in_the_set(
    spans: list[tuple[int, int]], origin: int
) -> None:
    """From the origin on."""
    end = origin
    while end in members(spans):
        end += 1
    assert IntervalSet(spans).end_of_stretch(origin) == end


@given(SPANS)
@moderate
def test_the_end_of_a_set_is_its_largest_upper_bound(spans: list[tuple[int, int]]) -> None:
    """One more than its greatest member."""
    assert IntervalSet(spans).end == (max(members(spans)) + 1 if members(spans) else None)


@given(st.integers(0, 9), st.integers(0, 9))
@moderate
def test_a_closed_window_is_half_open(lower: int, upper: int) -> None:
    """It contains its lower bound and not its upper bound. A reversed one is empty."""
    window = Window(lower, upper)
    held = {moment for moment in range(-1, 11) if moment in window}
    assert held == set(range(lower, upper))
    assert window.empty is (not held)


def test_an_open_window_has_no_end() -> None:
    """It is never empty, and contains everything from its lower bound on."""
    window = Window(5, None)
    assert (4 in window, 5 in window, 1 << 60 in window, window.empty) == (False, True, True, False)


def test_a_window_contains_only_whole_numbers() -> None:
    """Other objects are in no window."""
    assert "5" not in Window(0, 9)
    assert None not in Window(0, None)


def test_the_repr_of_a_set_shows_its_spans() -> None:
    """For failing tests."""
    assert repr(IntervalSet([(1, 2), (2, 3)])) == "IntervalSet([(1, 3)])"
