"""Which intervals have been read, which must be read now, and the watermark."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection import examples
from vapi_sessions.core import timestamps
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.ledger import Ledger

moderate = examples(300)

#: Small numbers stand for milliseconds: bounds are whole ones.
MS = timestamps.MILLISECOND
SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6)
LEDGERS = st.builds(
    lambda spans, again, origin: Ledger("org", origin * MS, ms(*spans), ms(*again)),
    SPANS,
    SPANS,
    st.integers(0, 40),
)


def ms(*spans: tuple[int, int]) -> IntervalSet:
    """A set with bounds in milliseconds."""
    return IntervalSet((lower * MS, upper * MS) for lower, upper in spans)


def of(interval_set: IntervalSet) -> set[int]:
    """The members, in whole milliseconds."""
    return {moment for lower, upper in interval_set for moment in range(lower // MS, upper // MS)}


def read(ledger: Ledger, bound: int, lookback: int) -> set[int]:
    """The moments to read, in whole milliseconds."""
    return of(ledger.to_read(bound=bound * MS, lookback=lookback * MS))


@given(LEDGERS, st.integers(0, 50), st.integers(0, 10))
@moderate
def test_everything_unread_is_to_be_read(ledger: Ledger, bound: int, lookback: int) -> None:
    """Every moment between the origin and the bound that is not completed."""
    assert ledger.origin is not None
    unread = set(range(ledger.origin // MS, bound)) - of(ledger.completed)
    assert unread <= read(ledger, bound, lookback)


@given(LEDGERS, st.integers(0, 50), st.integers(0, 10))
@moderate
def test_the_unsettled_and_the_lookback_are_read_again(ledger: Ledger, bound: int, lookback: int) -> None:
    """Changes there may not have been visible before."""
    assert ledger.origin is not None
    again = of(ledger.unsettled) | set(range(bound - lookback, bound))
    assert again & set(range(ledger.origin // MS, bound)) <= read(ledger, bound, lookback)


@given(LEDGERS, st.integers(0, 50), st.integers(0, 10))
@moderate
def test_nothing_else_is_read(ledger: Ledger, bound: int, lookback: int) -> None:
    """Nothing that is completed and settled, and nothing outside of origin and bound."""
    assert ledger.origin is not None
    found = read(ledger, bound, lookback)
    assert found <= set(range(ledger.origin // MS, bound))
    assert not found & set(range(bound - lookback)) & (of(ledger.completed) - of(ledger.unsettled))


@given(LEDGERS, st.integers(0, 50), st.integers(0, 10))
@moderate
def test_after_reading_it_all_the_watermark_is_the_bound(ledger: Ledger, bound: int, lookback: int) -> None:
    """No gap before the bound remains."""
    assert ledger.origin is not None
    claims = ledger.to_read(bound=bound * MS, lookback=lookback * MS)
    after = replace(ledger, completed=ledger.completed | claims)
    assert bound * MS <= ledger.origin or (after.watermark or 0) >= bound * MS


@given(LEDGERS)
@moderate
def test_the_watermark_is_the_first_moment_not_completed(ledger: Ledger) -> None:
    """Everything from the origin to the watermark is completed."""
    assert ledger.origin is not None
    stretch = ledger.origin // MS
    while stretch in of(ledger.completed):
        stretch += 1
    assert ledger.watermark == (stretch * MS if stretch * MS > ledger.origin else None)


@given(LEDGERS)
@moderate
def test_gaps_are_unread_intervals_before_the_newest_claim(ledger: Ledger) -> None:
    """From the origin to the newest claim, without the completed intervals."""
    assert ledger.origin is not None
    newest = (ledger.completed.end or 0) // MS
    assert of(ledger.gaps) == set(range(ledger.origin // MS, newest)) - of(ledger.completed)


def test_a_window_that_failed_alone_is_a_gap() -> None:
    """The state is a set of intervals, not the newest value seen."""
    ledger = Ledger("org", 0, ms((0, 10), (20, 30)), ms((27, 30)))
    assert ledger.watermark == 10 * MS
    assert ledger.gaps == ms((10, 20))
    assert ledger.to_read(bound=40 * MS, lookback=3 * MS) == ms((10, 20), (27, 40))


def test_a_new_ledger_is_empty() -> None:
    """Before the first session there is no origin, no watermark, no gap, and nothing to read."""
    ledger = Ledger()
    assert ledger.watermark is None
    assert list(ledger.gaps) == []
    assert list(ledger.to_read(bound=100, lookback=10)) == []


def test_the_first_run_reads_from_the_origin() -> None:
    """Everything up to the bound is one interval."""
    assert Ledger("org", 5 * MS).to_read(bound=100 * MS, lookback=10 * MS) == ms((5, 100))


def test_the_lookback_does_not_begin_before_the_origin() -> None:
    """There is nothing before the origin."""
    ledger = Ledger("org", 95 * MS, ms((95, 100)), ms((90, 100)))
    assert ledger.to_read(bound=101 * MS, lookback=10 * MS) == ms((95, 101))


@pytest.mark.parametrize("bound", [30, 60, 90])
def test_after_a_clock_jumped_back_the_lookback_is_read(bound: int) -> None:
    """Everything before the new bound is completed, but new changes have times shortly before it."""
    ledger = Ledger("org", 0, ms((0, 100)), ms((90, 100)))
    assert ledger.to_read(bound=bound * MS, lookback=10 * MS) == ms((bound - 10, bound))


def test_a_bound_before_the_origin_leaves_nothing_to_read() -> None:
    """The organisation is then younger than the settling delay."""
    assert list(Ledger("org", 100).to_read(bound=50, lookback=10)) == []
