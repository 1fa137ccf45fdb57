"""Which parts a publication writes: small where changes are frequent, large where history rests, without a gap or an overlap."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import EPOCH, observation
from selection import examples
from vapi_sessions.core.timestamps import DAY, HOUR, MINUTE, month_of
from vapi_sessions.operations.window_buffer import sightings
from vapi_sessions.transform.resolve import resolve
from vapi_sessions.warehouse import erase, part_ranges
from vapi_sessions.warehouse.index import ALL_TABLES, Changes, Index, Part
from vapi_sessions.warehouse.part_ranges import Rewrite

#: Much fewer than there really are, so that a few sessions fill a month.
MOST, MOST_NEW, TOGETHER = 8, 2, 3


class Planned(Index):
    """An index of which nothing is published but the ranges."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        super().__init__(root / "index.duckdb", root)
        self._made = 0

    def add(self, *created: int) -> None:
        """Sessions created then."""
        batch = [observation(f"s-{self._made + n}", n, created=at) for n, at in enumerate(created)]
        self._made += len(batch)
        self.merge(resolve(sightings(batch, {}), {}, batch=1), {}, Changes())

    def clear(self) -> None:
        """Begin anew."""
        for table in ("sessions", "sync.parts"):
            self.run(f"DELETE FROM {table}")

    def plan(self) -> list[Rewrite]:
        """What would be written."""
        return part_ranges.plan_parts(self, self.parts())

    def publish(self) -> list[Rewrite]:
        """As if it had been."""
        plan = self.plan()
        new = [Part(one.lower, one.upper, one.sessions, {}) for one in plan]
        self.record_publication(new, [part for one in plan for part in one.instead_of], [], {})
        return plan

    def sizes(self) -> list[int]:
        """Sessions of each part, in their order."""
        return [part.sessions for part in self.parts()]

    def created(self) -> list[int]:
        """Of all sessions."""
        return [at for (at,) in self.rows("SELECT epoch_us(created_at) FROM sessions ORDER BY 1")]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_ranges, "SESSIONS_A_PART", MOST)
    monkeypatch.setattr(part_ranges, "SESSIONS_A_NEW_PART", MOST_NEW)
    monkeypatch.setattr(part_ranges, "PUT_TOGETHER", TOGETHER)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Planned]:
    """An empty one."""
    with Planned(tmp_path / "w") as opened:
        yield opened


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planned]:
    """One for many examples: to make one takes longer than to fill it."""
    with Planned(tmp_path_factory.mktemp("shared") / "w") as opened:
        yield opened


def check(before: list[Part], plan: list[Rewrite], index: Planned) -> None:
    """What holds of every plan that was carried out."""
    parts, created = index.parts(), index.created()
    # Each month that has a session is covered from its beginning to its end, once, and nothing else is.
    months = {month_of(at) for at in created} | {month_of(part.lower) for part in before}
    for lower, upper in months:
        inside = [part for part in parts if lower <= part.lower < upper]
        assert [inside[0].lower, *(part.upper for part in inside)] == [
            *(part.lower for part in inside),
            upper,
        ]
        assert inside[0].lower == lower
    assert {month_of(part.lower) for part in parts} == months
    # Each session is in one part, and its part knows.
    for part in parts:
        assert part.sessions == sum(part.lower <= at < part.upper for at in created)
        assert part.lower < part.upper
    assert sum(part.sessions for part in parts) == len(created)
    # No part has more than it may, but for sessions of one instant, which nothing can separate.
    ties = max(Counter(created).values(), default=1)
    assert max((part.sessions for part in parts), default=0) <= MOST + ties - 1
    # What was stale is written, with every table if the range is another one; what is not replaced stays.
    assert not any(part.dirty for part in parts)
    replaced = {part.lower for one in plan for part in one.instead_of}
    assert {part.lower for part in before if part.dirty} <= replaced
    assert [part for part in before if part.lower not in replaced] == [
        part for part in parts if part.lower not in {one.lower for one in plan}
    ]
    for one in plan:
        first, last = one.instead_of[0], one.instead_of[-1]
        assert first.lower <= one.lower < one.upper <= last.upper
        same = len(one.instead_of) == 1 and (first.lower, first.upper) == (one.lower, one.upper)
        assert one.tables == (first.dirty if same else ALL_TABLES)


MOMENTS = st.integers(-300, 900).map(lambda hours: EPOCH + hours * HOUR)
ROUNDS = st.lists(
    st.lists(st.tuples(MOMENTS, st.sampled_from([1, 1, 1, 2, 12])), max_size=16), min_size=1, max_size=6
)


@given(ROUNDS, st.booleans())
@examples(60)
def test_ranges_leave_no_gap_and_do_not_overlap(
    shared: Planned, rounds: list[list[tuple[int, int]]], ascending: bool
) -> None:
    """Whatever comes in whichever order, from publication to publication."""
    if ascending:  # as most sessions come
        rounds = [sorted(some) for some in rounds]
        rounds.sort(key=lambda some: some[:1])
    shared.clear()
    for some in rounds:
        shared.add(*(at + n // 2 for at, count in some for n in range(count)))
        before = shared.parts()
        check(before, shared.publish(), shared)
        assert all(len(one.instead_of) > 1 for one in shared.plan())  # nothing is left but to put together


def test_nothing_stale_nothing_to_write(index: Planned) -> None:
    """Nor in an empty warehouse."""
    assert index.plan() == []
    index.add(EPOCH, EPOCH + DAY)
    index.publish()
    assert index.plan() == []


def test_a_month_that_fits_is_one_part(index: Planned) -> None:
    """However few sessions it has."""
    index.add(EPOCH, EPOCH + 40 * DAY)
    assert [(one.lower, one.upper, one.sessions) for one in index.publish()] == [
        (*month_of(EPOCH), 1),
        (*month_of(EPOCH + 40 * DAY), 1),
    ]


def test_a_busy_month_is_cut_where_it_is_busy(index: Planned) -> None:
    """Each part has about as many sessions, not as many days."""
    index.add(*(EPOCH + n * MINUTE for n in range(40)), EPOCH + 5 * DAY, EPOCH + 30 * DAY)
    index.publish()
    parts = index.parts()
    assert len([part for part in parts if part.upper <= EPOCH + HOUR]) >= 4
    assert max(index.sizes()) <= MOST


def test_the_newest_sessions_are_in_small_parts(index: Planned) -> None:
    """Where most changes are: a change of one of them writes little; what rests is in large ones."""
    newest = EPOCH + 20 * DAY
    old = [EPOCH + n * HOUR for n in range(MOST)]
    new = [newest - n * HOUR for n in range(10)]
    index.add(*old, *new)
    index.publish()
    for part in index.parts():
        if part.upper > newest - 9 * HOUR and part.lower >= newest - 9 * HOUR:
            assert part.sessions <= MOST_NEW
    assert max(index.sizes()) > MOST_NEW


def test_resting_and_new_sessions_that_do_not_fit_together_are_cut_between(index: Planned) -> None:
    """Each of the two would fit into a part."""
    newest = EPOCH + 20 * DAY
    index.add(*(EPOCH + n * HOUR for n in range(MOST)), newest, newest - HOUR)
    index.publish()
    assert index.sizes() == [MOST, 2]


def test_only_the_part_with_the_change_is_written(index: Planned) -> None:
    """And of it the tables that changed."""
    index.add(*(EPOCH + n * HOUR for n in range(40)))
    index.publish()
    untouched = index.parts()
    at = EPOCH + 17 * HOUR
    index.touch([(at, frozenset({"costs"}))])
    (only,) = index.publish()
    assert only.lower <= at < only.upper
    assert only.tables == {"costs"}
    assert index.parts() == untouched


def test_small_parts_are_put_together_when_they_rest(index: Planned) -> None:
    """Once the newest session is days ahead; as many as fit into one, and not across months."""
    moments = [EPOCH + n * HOUR for n in range(6)]
    for at in moments:
        index.add(at)
        index.publish()
    small = len(index.parts())
    assert small >= TOGETHER
    index.add(EPOCH + 40 * DAY)  # in another month
    written = index.publish()
    assert [one.sessions for one in written if one.lower == EPOCH] == [6]
    assert all(one.tables == ALL_TABLES for one in written)
    assert index.sizes() == [6, 1]


def test_parts_that_do_not_rest_or_do_not_fit_are_not_put_together() -> None:
    """Nor those of two months; nor few, which costs more than it saves."""

    def rows(parts: list[Part], resting: int) -> list[int]:
        return [len(row) for row in part_ranges._in_rows(parts, resting)]

    small = [Part(EPOCH + n * HOUR, EPOCH + (n + 1) * HOUR, 1, {}) for n in range(5)]
    assert rows(small, EPOCH + DAY) == [5]
    assert rows(small[: TOGETHER - 1], EPOCH + DAY) == [1] * (TOGETHER - 1)
    assert rows(small, EPOCH + 3 * HOUR) == [3, 1, 1]
    assert rows([Part(p.lower, p.upper, 4, {}) for p in small], EPOCH + DAY) == [1] * 5
    months = [Part(p.lower - 2 * HOUR, p.upper - 2 * HOUR, 1, {}) for p in small]
    assert rows(months, EPOCH + DAY) == [1, 1, 3]
    gap = [small[0], small[1], small[3], small[4]]
    assert rows(gap, EPOCH + DAY) == [1] * 4


def test_a_part_that_lost_all_its_sessions_stays(index: Planned) -> None:
    """So that ranges leave no gap."""
    index.add(EPOCH, EPOCH + 40 * DAY)
    index.publish()
    erase.from_index(index, ["s-0"])
    before = index.parts()
    check(before, index.publish(), index)
    assert index.sizes() == [0, 1]


def test_sessions_of_one_instant_are_in_one_part(index: Planned) -> None:
    """However many they are."""
    index.add(*[EPOCH + DAY] * 30, *(EPOCH + n * HOUR for n in range(20)))
    before = index.parts()
    check(before, index.publish(), index)
    assert max(index.sizes()) >= 30
    assert all(a.upper == b.lower for a, b in itertools.pairwise(index.parts()))
