"""Which parts a publication writes: small ones where changes are frequent, large ones elsewhere, without a gap or an overlap."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches import observation
from constants import EPOCH
from selection import examples
from vapi_sessions.core.records import Part
from vapi_sessions.core.timestamps import DAY, HOUR, MINUTE, month_of
from vapi_sessions.operations.window_buffer import sightings
from vapi_sessions.schema import TABLE_NAMES
from vapi_sessions.transform.resolve import resolve
from vapi_sessions.warehouse import part_sizes
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.part_sizes import Rewrite

#: Much smaller limits than the real ones, so that a few sessions fill a month.
MOST, MOST_NEW, NEW, TOGETHER = 8, 2, 3, 3


class PlannedIndex(Index):
    """An index without published files, only with ranges."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        super().__init__(root / "index.duckdb", root)
        self._made = 0

    def add(self, *created: int) -> None:
        """Add sessions with these createdAt."""
        batch = [observation(f"s-{self._made + n}", n, created=at) for n, at in enumerate(created)]
        self._made += len(batch)
        self.merge(resolve(sightings(batch, {}), {}, batch=1), {}, Changes())

    def clear(self) -> None:
        """Remove everything."""
        for table in ("sessions", "sync.parts"):
            self.run(f"DELETE FROM {table}")

    def plan(self) -> list[Rewrite]:
        """The parts that a publication would write."""
        return part_sizes.plan_parts(self, self.parts())

    def publish(self) -> list[Rewrite]:
        """Record the plan as published."""
        plan = self.plan()
        new = [Part(one.lower, one.upper, one.sessions, {}) for one in plan]
        self.record_publication(new, [part for one in plan for part in one.replaced], [], {})
        return plan

    def sizes(self) -> list[int]:
        """The sessions of each part, in order."""
        return [part.sessions for part in self.parts()]

    def created(self) -> list[int]:
        """The createdAt of all sessions."""
        return [at for (at,) in self.rows("SELECT epoch_us(created_at) FROM sessions ORDER BY 1")]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_sizes, "SESSIONS_A_PART", MOST)
    monkeypatch.setattr(part_sizes, "SESSIONS_A_NEW_PART", MOST_NEW)
    monkeypatch.setattr(part_sizes, "NEW_SESSIONS", NEW)
    monkeypatch.setattr(part_sizes, "PUT_TOGETHER", TOGETHER)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[PlannedIndex]:
    """An empty index."""
    with PlannedIndex(tmp_path / "w") as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlannedIndex]:
    """One index for many examples: creating it takes longer than filling it."""
    with PlannedIndex(tmp_path_factory.mktemp("shared") / "w") as opened:
        yield opened


def check(before: list[Part], plan: list[Rewrite], index: PlannedIndex) -> None:
    """Check a plan that was carried out."""
    parts, created = index.parts(), index.created()
    # The parts of each month with a session cover it once from beginning to end, and there are no others.
    months = {month_of(at) for at in created} | {month_of(part.lower) for part in before}
    for lower, upper in months:
        inside = [part for part in parts if lower <= part.lower < upper]
        assert [inside[0].lower, *(part.upper for part in inside)] == [
            *(part.lower for part in inside),
            upper,
        ]
        assert inside[0].lower == lower
    assert {month_of(part.lower) for part in parts} == months
    # Each session is in one part, and counted in it.
    for part in parts:
        assert part.sessions == sum(part.lower <= at < part.upper for at in created)
        assert part.lower < part.upper
    assert sum(part.sessions for part in parts) == len(created)
    # No part has too many sessions, except if they are of one instant.
    ties = max(Counter(created).values(), default=1)
    assert max((part.sessions for part in parts), default=0) <= MOST + ties - 1
    # Dirty parts are written, with every table if the range changed; the others stay.
    assert not any(part.dirty for part in parts)
    replaced = {part.lower for one in plan for part in one.replaced}
    assert {part.lower for part in before if part.dirty} <= replaced
    assert [part for part in before if part.lower not in replaced] == [
        part for part in parts if part.lower not in {one.lower for one in plan}
    ]
    for one in plan:
        first, last = one.replaced[0], one.replaced[-1]
        assert first.lower <= one.lower < one.upper <= last.upper
        same = len(one.replaced) == 1 and (first.lower, first.upper) == (one.lower, one.upper)
        assert one.tables == (first.dirty if same else TABLE_NAMES)


MOMENTS = st.integers(-300, 900).map(lambda hours: EPOCH + hours * HOUR)
ROUNDS = st.lists(
    st.lists(st.tuples(MOMENTS, st.sampled_from([1, 1, 1, 2, 12])), max_size=16), min_size=1, max_size=6
)


@given(ROUNDS, st.booleans())
@examples(60, share=6)
def test_ranges_have_no_gap_and_no_overlap(
    shared: PlannedIndex, rounds: list[list[tuple[int, int]]], ascending: bool
) -> None:
    """For any sessions in any order, from publication to publication."""
    if ascending:  # the usual order
        rounds = [sorted(some) for some in rounds]
        rounds.sort(key=lambda some: some[:1])
    shared.clear()
    for some in rounds:
        shared.add(*(at + n // 2 for at, count in some for n in range(count)))
        before = shared.parts()
        check(before, shared.publish(), shared)
        assert all(len(one.replaced) > 1 for one in shared.plan())  # only merges are left


def test_nothing_is_written_if_nothing_is_dirty(index: PlannedIndex) -> None:
    """Also in an empty warehouse."""
    assert index.plan() == []
    index.add(EPOCH, EPOCH + DAY)
    index.publish()
    assert index.plan() == []


def test_a_month_that_fits_is_one_part(index: PlannedIndex) -> None:
    """Also with one session."""
    index.add(EPOCH, EPOCH + 40 * DAY)
    assert [(one.lower, one.upper, one.sessions) for one in index.publish()] == [
        (*month_of(EPOCH), 1),
        (*month_of(EPOCH + 40 * DAY), 1),
    ]


def test_a_busy_month_is_cut_where_it_is_busy(index: PlannedIndex) -> None:
    """Parts have about the same number of sessions, not of days."""
    index.add(*(EPOCH + n * MINUTE for n in range(40)), EPOCH + 5 * DAY, EPOCH + 30 * DAY)
    index.publish()
    parts = index.parts()
    assert len([part for part in parts if part.upper <= EPOCH + HOUR]) >= 4
    assert max(index.sizes()) <= MOST


def test_the_newest_sessions_are_in_small_parts(index: PlannedIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """Most changes happen there, so one change writes little. Older sessions are in large parts."""
    monkeypatch.setattr(part_sizes, "NEW_SESSIONS", 10)
    newest = EPOCH + 20 * DAY
    old = [EPOCH + n * HOUR for n in range(MOST)]
    new = [newest - n * HOUR for n in range(10)]
    index.add(*old, *new)
    index.publish()
    for part in index.parts():
        if part.upper > newest - 9 * HOUR and part.lower >= newest - 9 * HOUR:
            assert part.sessions <= MOST_NEW
    assert max(index.sizes()) > MOST_NEW


def test_old_and_new_sessions_are_separated_if_they_do_not_fit_into_one_part(index: PlannedIndex) -> None:
    """Each of the two groups would fit."""
    newest = EPOCH + 20 * DAY
    index.add(*(EPOCH + n * HOUR for n in range(MOST)), *(newest - n * HOUR for n in range(NEW)))
    index.publish()
    assert index.sizes() == [MOST, 2, 1]


def test_only_the_part_with_the_change_is_written(index: PlannedIndex) -> None:
    """And only the tables that changed."""
    index.add(*(EPOCH + n * HOUR for n in range(40)))
    index.publish()
    untouched = index.parts()
    at = EPOCH + 17 * HOUR
    index.touch([(at, frozenset({"costs"}))])
    (only,) = index.publish()
    assert only.lower <= at < only.upper
    assert only.tables == {"costs"}
    assert index.parts() == untouched


def test_small_parts_are_merged_when_they_are_old(index: PlannedIndex) -> None:
    """Enough newer sessions have come. Parts of two months are never merged."""
    created = [EPOCH + n * HOUR for n in range(6)]
    for at in created:
        index.add(at)
        index.publish()
    small = len(index.parts())
    assert small >= TOGETHER
    index.add(*(EPOCH + 40 * DAY + n * HOUR for n in range(NEW)))  # in another month
    written = index.publish()
    assert [one.sessions for one in written if one.lower == EPOCH] == [6]
    assert all(one.tables == TABLE_NAMES for one in written)
    assert index.sizes() == [6, 2, 1]


def test_parts_that_are_new_or_few_or_too_large_are_not_merged() -> None:
    """Nor are parts of two months, or with a gap between them."""

    def sizes(parts: list[Part], newest_from: int) -> list[int]:
        return [len(group) for group in part_sizes._groups(parts, newest_from)]

    small = [Part(EPOCH + n * HOUR, EPOCH + (n + 1) * HOUR, 1, {}) for n in range(5)]
    assert sizes(small, EPOCH + DAY) == [5]
    assert sizes(small[: TOGETHER - 1], EPOCH + DAY) == [1] * (TOGETHER - 1)
    assert sizes(small, EPOCH + 3 * HOUR) == [3, 1, 1]
    assert sizes([Part(p.lower, p.upper, 4, {}) for p in small], EPOCH + DAY) == [1] * 5
    months = [Part(p.lower - 2 * HOUR, p.upper - 2 * HOUR, 1, {}) for p in small]
    assert sizes(months, EPOCH + DAY) == [1, 1, 3]
    gap = [small[0], small[1], small[3], small[4]]
    assert sizes(gap, EPOCH + DAY) == [1] * 4


def test_a_part_that_lost_all_its_sessions_stays(index: PlannedIndex) -> None:
    """So that the ranges have no gap."""
    index.add(EPOCH, EPOCH + 40 * DAY)
    index.publish()
    index.erase(["s-0"])
    before = index.parts()
    check(before, index.publish(), index)
    assert index.sizes() == [0, 1]


def test_sessions_of_one_instant_are_in_one_part(index: PlannedIndex) -> None:
    """However many they are."""
    index.add(*[EPOCH + DAY] * 30, *(EPOCH + n * HOUR for n in range(20)))
    before = index.parts()
    check(before, index.publish(), index)
    assert max(index.sizes()) >= 30
    assert all(a.upper == b.lower for a, b in itertools.pairwise(index.parts()))
