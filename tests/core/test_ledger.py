"""What has been read, what has to be read now, and how far the unbroken stretch reaches."""

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
    """A set given in milliseconds."""
    return IntervalSet((lower * MS, upper * MS) for lower, upper in spans)


def of(interval_set: IntervalSet) -> set[int]:
    """Members, as whole milliseconds."""
    return {moment for lower, upper in interval_set for moment in range(lower // MS, upper // MS)}


def read(ledger: Ledger, bound: int, lookback: int) -> set[int]:
    """What is to be read, in whole milliseconds."""
    return of(ledger.to_read(bound=bound * MS, lookback=lookback * MS))


@given(LEDGERS, st.integers(0, 50), st.integers(0, 10))
@moderate
def test_everything_unread_is_to_be_read(ledger: Ledger, bound: int, lookback: int) -> None:
    """No moment between the origin and the bound is left out that no interval covers."""
    assert ledger.origin is not None
    unread = set(range(ledger.origin // MS, bound)) - of(ledger.completed)
    assert unread <= read(ledger, bound, lookback)


@given(LEDGERS, st.integers(0, 50), st.integers(0, 10))
@moderate
def test_the_unsettled_and_the_lookback_are_read_again(ledger: Ledger, bound: int, lookback: int) -> None:
    """What was read too early, and what lies shortly before the bound, may have been invisible."""
    assert ledger.origin is not None
    again = of(ledger.unsettled) | set(range(bound - lookback, bound))
    assert again & set(range(ledger.origin // MS, bound)) <= read(ledger, bound, lookback)


@given(LEDGERS, st.integers(0, 50), st.integers(0, 10))
@moderate
def test_nothing_else_is_read(ledger: Ledger, bound: int, lookback: int) -> None:
    """Cost follows change: what is complete and settled is left alone, and nothing lies outside origin and bound."""
    assert ledger.origin is not None
    found = read(ledger, bound, lookback)
    assert found <= set(range(ledger.origin // MS, bound))
    assert not found & set(range(bound - lookback)) & (of(ledger.completed) - of(ledger.unsettled))


@given(LEDGERS, st.integers(0, 50), st.integers(0, 10))
@moderate
def test_after_reading_it_all_the_watermark_is_the_bound(ledger: Ledger, bound: int, lookback: int) -> None:
    """Claiming what was to be read leaves no gap below the bound."""
    assert ledger.origin is not None
    claims = ledger.to_read(bound=bound * MS, lookback=lookback * MS)
    after = replace(ledger, completed=ledger.completed | claims)
    assert bound * MS <= ledger.origin or (after.watermark or 0) >= bound * MS


@given(LEDGERS)
@moderate
def test_the_watermark_ends_the_unbroken_stretch(ledger: Ledger) -> None:
    """Everything from the origin to the watermark is complete, the watermark itself is not."""
    assert ledger.origin is not None
    stretch = ledger.origin // MS
    while stretch in of(ledger.completed):
        stretch += 1
    assert ledger.watermark == (stretch * MS if stretch * MS > ledger.origin else None)


@given(LEDGERS)
@moderate
def test_gaps_are_the_unread_below_the_newest_claim(ledger: Ledger) -> None:
    """Origin to newest claim, less what is complete."""
    assert ledger.origin is not None
    newest = (ledger.completed.end or 0) // MS
    assert of(ledger.gaps) == set(range(ledger.origin // MS, newest)) - of(ledger.completed)


def test_a_failed_window_among_others_is_a_gap() -> None:
    """The state is a set of intervals, not the newest value seen."""
    ledger = Ledger("org", 0, ms((0, 10), (20, 30)), ms((27, 30)))
    assert ledger.watermark == 10 * MS
    assert ledger.gaps == ms((10, 20))
    assert ledger.to_read(bound=40 * MS, lookback=3 * MS) == ms((10, 20), (27, 40))


def test_a_fresh_ledger_knows_nothing() -> None:
    """Before a row was seen there is no origin, no watermark, no gap, nothing to read."""
    ledger = Ledger()
    assert ledger.watermark is None
    assert list(ledger.gaps) == []
    assert list(ledger.to_read(bound=100, lookback=10)) == []


def test_the_first_run_reads_from_the_origin() -> None:
    """With nothing read, everything up to the bound is one interval."""
    assert Ledger("org", 5 * MS).to_read(bound=100 * MS, lookback=10 * MS) == ms((5, 100))


def test_the_lookback_does_not_reach_behind_the_origin() -> None:
    """Before the origin there is nothing."""
    ledger = Ledger("org", 95 * MS, ms((95, 100)), ms((90, 100)))
    assert ledger.to_read(bound=101 * MS, lookback=10 * MS) == ms((95, 101))


@pytest.mark.parametrize("bound", [30, 60, 90])
def test_a_clock_that_jumped_back_reads_its_stretch_again(bound: int) -> None:
    """A bound behind everything that was read does not end a run without reading: the stretch before it is read again."""
    ledger = Ledger("org", 0, ms((0, 100)), ms((90, 100)))
    assert ledger.to_read(bound=bound * MS, lookback=10 * MS) == ms((bound - 10, bound))


def test_a_bound_before_the_origin_leaves_nothing_to_read() -> None:
    """An organisation younger than the settling delay has no closed stretch yet."""
    assert list(Ledger("org", 100).to_read(bound=50, lookback=10)) == []
