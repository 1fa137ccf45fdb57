"""Which observations are kept and which state wins, against the plain definition: the join of all that was observed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import EPOCH, observation
from selection import examples
from vapi_sessions.flatten import merge_growth, message_count
from vapi_sessions.merge import Known, Mark, Observation, after, resolve
from vapi_sessions.timestamps import MINUTE

moderate = examples(200)

Warehouse = dict[str, Known]


def merge(batch: Iterable[Observation], warehouse: Warehouse) -> list[Observation]:
    """Merge one batch into `warehouse` as the store does; returns what goes to raw."""
    resolution = resolve(batch, dict(warehouse))
    marks = dict(resolution.marks)
    for version in resolution.versions:
        own = (version.updated_at, message_count(version.body))
        warehouse[version.session_id] = Known(
            version.created_at,
            version.updated_at,
            version.seq,
            version.content_hash,
            version.first_synced_at,
            merge_growth(version.growth, (own,)),
            None,
        )
    for session_id, (first, growth) in resolution.earlier.items():
        known = warehouse[session_id]
        warehouse[session_id] = _with(known, first_synced_at=first, growth=growth)
    for session_id, mark in marks.items():
        warehouse[session_id] = _with(warehouse[session_id], mark=mark)
    return resolution.keep


def _with(known: Known, **changes: Any) -> Known:
    fields = {name: getattr(known, name) for name in Known.__slots__}
    return Known(**(fields | changes))


def merged(*batches: Iterable[Observation]) -> Warehouse:
    """The warehouse after these batches, one after the other."""
    warehouse: Warehouse = {}
    for batch in batches:
        merge(batch, warehouse)
    return warehouse


def told(warehouse: Warehouse) -> dict[str, tuple[Any, ...]]:
    """What a reader can see of each session; the request that is remembered beside it is the machinery's own."""
    return {
        session_id: (known.updated_at, known.content_hash, known.first_synced_at, known.growth, known.mark)
        for session_id, known in warehouse.items()
    }


def the_join(observations: Sequence[Observation]) -> dict[str, tuple[Any, ...]]:
    """The definition, without any cleverness."""
    result = {}
    for session_id in {o.session_id for o in observations}:
        seen = [o for o in observations if o.session_id == session_id and o.kind == "seen"]
        marks = [o for o in observations if o.session_id == session_id and o.kind != "seen"]
        if not seen:
            continue
        newest = max(seen, key=lambda o: (o.updated_at, o.seq))
        growth = merge_growth((), ((o.updated_at, message_count(o.body)) for o in seen))
        last = max(marks, key=lambda o: o.seq, default=None)
        stands = last is not None and all(o.seq < last.seq for o in seen)
        result[session_id] = (
            newest.updated_at,
            newest.content_hash,
            min(o.requested_at for o in seen),
            growth,
            Mark(last.kind, last.requested_at, last.seq) if stands and last is not None else None,
        )
    return result


def _observe(seq: int, telling: tuple[str, int, int, int, str]) -> Observation:
    session_id, updated, messages, variant, kind = telling
    return observation(
        session_id,
        seq,
        updated=EPOCH + updated * MINUTE,
        messages=messages,
        status="completed" if variant else "active",
        kind=kind,  # type: ignore[arg-type]  # one of three literals
    )


TELLINGS = st.tuples(
    st.sampled_from(["a", "b"]),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(0, 1),
    st.sampled_from(["seen", "seen", "seen", "deleted", "aged_out"]),
)
#: Observations in the order of their requests.
OBSERVATIONS = st.lists(TELLINGS, max_size=8).map(
    lambda tellings: [_observe(seq, telling) for seq, telling in enumerate(tellings, start=1)]
)


def cut(observations: Sequence[Observation], edges: Iterable[int]) -> list[list[Observation]]:
    """The same observations in batches."""
    inner = sorted({min(edge, len(observations)) for edge in edges})
    bounds = [0, *inner, len(observations)]
    return [list(observations[a:b]) for a, b in itertools.pairwise(bounds)]


EDGES = st.lists(st.integers(0, 8), max_size=4)


@given(OBSERVATIONS, st.randoms(use_true_random=False))
@moderate
def test_one_batch_in_any_order_is_the_join(observations: list[Observation], shuffler: random.Random) -> None:
    """Within a batch the order of arrival does not matter."""
    shuffled = list(observations)
    shuffler.shuffle(shuffled)
    assert told(merged(shuffled)) == the_join(observations)


@given(OBSERVATIONS, EDGES)
@moderate
def test_any_batching_in_the_order_of_requests_is_the_join(
    observations: list[Observation], edges: list[int]
) -> None:
    """Where a batch ends does not matter."""
    assert told(merged(*cut(observations, edges))) == the_join(observations)


@given(OBSERVATIONS, EDGES, st.randoms(use_true_random=False))
@moderate
def test_any_batching_in_any_order_gives_the_newest_state(
    observations: list[Observation], edges: list[int], shuffler: random.Random
) -> None:
    """As long as no content comes back, the state does not depend on the order of the batches."""
    seen = [o for o in observations if o.kind == "seen"]
    distinct = [observation(o.session_id, o.seq, updated=o.updated_at, name=str(o.seq)) for o in seen]
    shuffled = list(distinct)
    shuffler.shuffle(shuffled)
    found = {session_id: facts[:2] for session_id, facts in told(merged(*cut(shuffled, edges))).items()}
    assert found == {session_id: facts[:2] for session_id, facts in the_join(distinct).items()}


@given(OBSERVATIONS, EDGES, st.randoms(use_true_random=False))
@moderate
def test_any_batching_in_any_order_gives_the_growth_of_the_join(
    observations: list[Observation], edges: list[int], shuffler: random.Random
) -> None:
    """When a conversation grew does not depend on the order of its versions."""
    shuffled = list(observations)
    shuffler.shuffle(shuffled)
    found = {session_id: known.growth for session_id, known in merged(*cut(shuffled, edges)).items()}
    assert found == {session_id: facts[3] for session_id, facts in the_join(observations).items()}


@given(OBSERVATIONS, EDGES)
@moderate
def test_what_will_be_held_is_known_before_it_is_written(
    observations: list[Observation], edges: list[int]
) -> None:
    """So the next batch can be prepared while this one is still being committed."""
    warehouse: Warehouse = {}
    for batch in cut(observations, edges):
        before = dict(warehouse)
        touched = after(resolve(batch, before), before, [o.session_id for o in batch])
        merge(batch, warehouse)
        assert before | touched == warehouse


@given(OBSERVATIONS, EDGES)
@moderate
def test_raw_alone_gives_the_same_warehouse(observations: list[Observation], edges: list[int]) -> None:
    """What is kept of the batches is enough to derive everything again, marks included."""
    warehouse: Warehouse = {}
    raw = [merge(batch, warehouse) for batch in cut(observations, edges)]
    assert told(merged(*raw)) == told(warehouse)


@given(OBSERVATIONS, EDGES)
@moderate
def test_merging_a_batch_again_changes_and_keeps_nothing(
    observations: list[Observation], edges: list[int]
) -> None:
    """A batch whose commit was not acknowledged can be merged again."""
    warehouse: Warehouse = {}
    for batch in cut(observations, edges):
        merge(batch, warehouse)
        resolution = resolve(batch, warehouse)
        assert (resolution.versions, resolution.earlier) == ([], {})
        before = dict(warehouse)
        merge(batch, warehouse)
        assert warehouse == before


@given(OBSERVATIONS, EDGES, st.randoms(use_true_random=False))
@moderate
def test_a_state_never_goes_backwards(
    observations: list[Observation], edges: list[int], shuffler: random.Random
) -> None:
    """Whatever arrives, a session's updatedAt and its place in the order of requests only grow."""
    shuffled = list(observations)
    shuffler.shuffle(shuffled)
    warehouse: Warehouse = {}
    for batch in cut(shuffled, edges):
        before = dict(warehouse)
        merge(batch, warehouse)
        for session_id, known in before.items():
            now = warehouse[session_id]
            assert (now.updated_at, now.seq) >= (known.updated_at, known.seq)


@given(OBSERVATIONS)
@moderate
def test_only_what_was_observed_is_kept_and_each_once(observations: list[Observation]) -> None:
    """Raw receives observations of the batch, none twice, the winners among them."""
    resolution = resolve(observations, {})
    kept = [o.seq for o in resolution.keep]
    assert len(kept) == len(set(kept))
    assert {v.seq for v in resolution.versions} <= set(kept) <= {o.seq for o in observations}


def test_unchanged_content_is_not_kept() -> None:
    """Overlap costs no space: the same content read again goes nowhere."""
    warehouse = merged([observation("a", 1, messages=2)])
    resolution = resolve([observation("a", 2, messages=2)], warehouse)
    assert (resolution.keep, resolution.versions, resolution.earlier, resolution.marks) == ([], [], {}, {})
    assert (resolution.new, resolution.changed) == (0, 0)


def test_a_later_reading_of_the_same_moment_wins() -> None:
    """Content that changed without its updatedAt is taken from the later request, and counted as silent."""
    warehouse = merged([observation("a", 1, cost=None)])
    resolution = resolve([observation("a", 2, cost=0.5)], warehouse)
    assert [v.seq for v in resolution.versions] == [2]
    assert (resolution.new, resolution.changed, resolution.silent) == (0, 1, 1)


def test_an_earlier_reading_of_the_same_moment_loses() -> None:
    """A page that arrives late does not overwrite what was requested after it."""
    warehouse = merged([observation("a", 5, cost=0.5)])
    assert resolve([observation("a", 4, cost=None)], warehouse).versions == []


def test_an_older_version_that_shows_earlier_growth_is_kept() -> None:
    """An older version with as many messages dates them earlier: it is stored, the state stays."""
    warehouse = merged([observation("a", 5, updated=EPOCH + 9 * MINUTE, messages=3)])
    older = observation("a", 4, updated=EPOCH + MINUTE, messages=2)
    resolution = resolve([older], warehouse)
    assert (resolution.keep, resolution.versions) == ([older], [])
    assert resolution.earlier["a"] == (
        older.requested_at,
        ((EPOCH + MINUTE, 2), (EPOCH + 9 * MINUTE, 3)),
    )


def test_new_and_changed_sessions_are_counted() -> None:
    """The counts of a batch tell new sessions from changed ones."""
    warehouse = merged([observation("old", 1)])
    resolution = resolve([observation("old", 2, updated=EPOCH + 1), observation("new", 2)], warehouse)
    assert (resolution.new, resolution.changed, resolution.silent) == (1, 1, 0)


@pytest.mark.parametrize("kind", ["deleted", "aged_out"])
def test_a_mark_stands_against_older_observations(kind: str) -> None:
    """A proven departure marks a session that was last seen before the check, and is kept in raw."""
    warehouse = merged([observation("a", 1)])
    mark = observation("a", 2, kind=kind)  # type: ignore[arg-type]  # one of two literals
    assert merge([mark], warehouse) == [mark]
    assert warehouse["a"].mark == Mark(kind, mark.requested_at, 2)  # type: ignore[arg-type]


def test_a_mark_older_than_the_last_observation_does_nothing() -> None:
    """A check that was requested before the session was seen proves nothing about now."""
    warehouse = merged([observation("a", 5)])
    assert merge([observation("a", 4, kind="deleted")], warehouse) == []
    assert warehouse["a"].mark is None


def test_a_row_requested_after_the_check_lifts_the_mark() -> None:
    """A session that is seen again is not deleted, although its content is what it was."""
    warehouse = merged([observation("a", 1)], [observation("a", 2, kind="deleted")])
    again = observation("a", 3)
    assert merge([again], warehouse) == [again]
    assert warehouse["a"].mark is None


def test_a_row_requested_before_the_check_does_not_lift_the_mark() -> None:
    """A page on its way while the check was made does not undo it, though its content is newer."""
    warehouse = merged([observation("a", 1)], [observation("a", 5, kind="deleted")])
    merge([observation("a", 4, updated=EPOCH + MINUTE)], warehouse)
    assert warehouse["a"].updated_at == EPOCH + MINUTE
    assert warehouse["a"].mark == Mark("deleted", observation("a", 5).requested_at, 5)


def test_a_mark_for_a_session_nobody_saw_makes_no_row() -> None:
    """What was never read cannot be marked."""
    resolution = resolve([observation("a", 1, kind="deleted")], {})
    assert (resolution.versions, resolution.marks) == ([], {})
