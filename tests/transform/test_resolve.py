"""The winning state of a session is the join of all observations, however they are batched and ordered."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batches import observation
from constants import EPOCH
from sample_observations import EDGES, OBSERVATIONS, Warehouse, cut, merge, merged, resolved, the_join
from selection import examples
from vapi_sessions.core.timestamps import MINUTE
from vapi_sessions.transform.resolve import Observation, short

MODERATE = examples(200)


def visible(warehouse: Warehouse) -> dict[str, tuple[Any, ...]]:
    """The published facts of each session, without request and batch numbers."""
    return {
        session_id: (
            known.updated_at,
            known.content_hash,
            known.first_synced_at,
            known.growth,
            known.tombstone,
        )
        for session_id, known in warehouse.items()
    }


@given(OBSERVATIONS, st.randoms(use_true_random=False))
@MODERATE
def test_one_batch_in_any_order_is_the_join(observations: list[Observation], shuffler: random.Random) -> None:
    """The order of observations within a batch does not matter."""
    shuffled = list(observations)
    shuffler.shuffle(shuffled)
    assert visible(merged(shuffled)) == the_join(observations)


@given(OBSERVATIONS, EDGES)
@MODERATE
def test_any_batching_in_the_order_of_requests_is_the_join(
    observations: list[Observation], edges: list[int]
) -> None:
    """The boundaries of batches do not matter."""
    assert visible(merged(*cut(observations, edges))) == the_join(observations)


@given(OBSERVATIONS, EDGES, st.randoms(use_true_random=False))
@MODERATE
def test_any_batching_in_any_order_gives_the_state_of_the_join(
    observations: list[Observation], edges: list[int], shuffler: random.Random
) -> None:
    """Only tombstones need the order of requests; version, first reading and growth do not."""
    shuffled = list(observations)
    shuffler.shuffle(shuffled)
    found = {session_id: facts[:4] for session_id, facts in visible(merged(*cut(shuffled, edges))).items()}
    assert found == {session_id: facts[:4] for session_id, facts in the_join(observations).items()}


@given(OBSERVATIONS, EDGES)
@MODERATE
def test_observations_that_equal_the_known_state_need_no_space_in_raw(
    observations: list[Observation], edges: list[int]
) -> None:
    """Everything, including tombstones, can be derived again without them."""
    raw: list[list[Observation]] = []
    warehouse: Warehouse = {}
    for batch in cut(observations, edges):
        held = {name: known.content_hash for name, known in warehouse.items() if known.tombstone is None}
        kept = []
        for one in batch:
            if one.kind == "seen":
                content = short(one.content_hash)
                if held.get(one.session_id) == content:
                    continue
                held[one.session_id] = content
            else:
                held.pop(one.session_id, None)
            kept.append(one)
        raw.append(kept)
        merge(kept, warehouse)
    assert visible(merged(*raw)) == visible(warehouse) == the_join(observations)


@given(OBSERVATIONS, EDGES)
@MODERATE
def test_merging_a_batch_again_changes_nothing(observations: list[Observation], edges: list[int]) -> None:
    """A batch whose commit was not acknowledged can be merged again, and makes no table dirty."""
    warehouse: Warehouse = {}
    for number, batch in enumerate(cut(observations, edges)):
        merge(batch, warehouse, number)
        again = resolved(batch, warehouse, number + 100)
        assert (again.held, again.won, again.dirty) == ({}, set(), {})
        assert (again.new, again.changed, again.silent) == (0, 0, 0)


@given(OBSERVATIONS, EDGES, st.randoms(use_true_random=False))
@MODERATE
def test_a_state_never_goes_backwards(
    observations: list[Observation], edges: list[int], shuffler: random.Random
) -> None:
    """A session's `updated_at` and request number never decrease."""
    shuffled = list(observations)
    shuffler.shuffle(shuffled)
    warehouse: Warehouse = {}
    for batch in cut(shuffled, edges):
        before = dict(warehouse)
        merge(batch, warehouse)
        for session_id, known in before.items():
            now = warehouse[session_id]
            assert (now.updated_at, now.seq) >= (known.updated_at, known.seq)


@given(OBSERVATIONS, EDGES, st.randoms(use_true_random=False))
@MODERATE
def test_the_batch_of_a_session_holds_its_newest_version(
    observations: list[Observation], edges: list[int], shuffler: random.Random
) -> None:
    """So that its rows can be found. `won` has the sessions whose batch is this one."""
    shuffled = list(observations)
    shuffler.shuffle(shuffled)
    warehouse: Warehouse = {}
    batches = cut(shuffled, edges)
    for number, batch in enumerate(batches):
        resolution = merge(batch, warehouse, number)
        assert resolution.won == {name for name, known in resolution.held.items() if known.batch == number}
    for name, known in warehouse.items():
        (held,) = [o for o in batches[known.batch] if o.session_id == name and o.seq == known.seq]
        assert (held.updated_at, short(held.content_hash)) == (known.updated_at, known.content_hash)


def test_of_versions_with_equal_updated_at_the_later_request_wins() -> None:
    """A change that did not move `updatedAt` is counted as silent."""
    warehouse = merged([observation("a", 1, cost=None)])
    resolution = resolved([observation("a", 2, cost=0.5)], warehouse)
    assert resolution.held["a"].seq == 2
    assert (resolution.new, resolution.changed, resolution.silent) == (0, 1, 1)


def test_of_versions_with_equal_updated_at_the_earlier_request_loses() -> None:
    """A page that arrives late does not overwrite a page that was requested after it."""
    warehouse = merged([observation("a", 5, cost=0.5)])
    resolution = merge([observation("a", 4, cost=None)], warehouse)
    assert resolution.won == set()
    assert warehouse["a"].content_hash == short(observation("a", 5, cost=0.5).content_hash)


def test_an_older_version_changes_only_growth_and_first_reading() -> None:
    """It shows that its messages existed earlier. The newer version still wins."""
    warehouse = merged([observation("a", 5, updated=EPOCH + 9 * MINUTE, messages=3)])
    older = observation("a", 4, updated=EPOCH + MINUTE, messages=2)
    resolution = merge([older], warehouse, 2)
    assert resolution.won == set()
    known = warehouse["a"]
    assert (known.first_synced_at, known.growth) == (
        older.requested_at,
        ((EPOCH + MINUTE, 2), (EPOCH + 9 * MINUTE, 3)),
    )
    assert (known.seq, known.batch) == (5, 1)


def test_new_and_changed_sessions_are_counted() -> None:
    """Separately, for each batch."""
    warehouse = merged([observation("old", 1)])
    resolution = resolved([observation("old", 2, updated=EPOCH + 1), observation("new", 2)], warehouse)
    assert (resolution.new, resolution.changed, resolution.silent) == (1, 1, 0)
