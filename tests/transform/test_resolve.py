"""Which state wins and which tables it changes, against the plain definition: the join of all that was observed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import EPOCH, observation, seen_first
from selection import examples
from vapi_sessions import schema
from vapi_sessions.core.timestamps import MINUTE
from vapi_sessions.operations.window_buffer import sightings
from vapi_sessions.transform.flatten import flatten, merge_growth, message_count
from vapi_sessions.transform.resolve import Known, Observation, Resolution, Tombstone, resolve, short
from vapi_sessions.warehouse.derive import version

moderate = examples(200)

Warehouse = dict[str, Known]


def resolved(batch: Sequence[Observation], warehouse: Mapping[str, Known], number: int = 1) -> Resolution:
    """The outcome of one batch."""
    return resolve(sightings(batch, {}), warehouse, batch=number)


def merge(batch: Sequence[Observation], warehouse: Warehouse, number: int = 1) -> Resolution:
    """Merge one batch into `warehouse` as the index does."""
    resolution = resolved(batch, dict(warehouse), number)
    warehouse.update(resolution.held)
    return resolution


def merged(*batches: Sequence[Observation]) -> Warehouse:
    """The warehouse after these batches, one after the other, which are numbered from 1."""
    warehouse: Warehouse = {}
    for number, batch in enumerate(batches, start=1):
        merge(batch, warehouse, number)
    return warehouse


def told(warehouse: Warehouse) -> dict[str, tuple[Any, ...]]:
    """What a reader can see of each session; the request that is remembered beside it is the machinery's own."""
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


def the_join(observations: Sequence[Observation]) -> dict[str, tuple[Any, ...]]:
    """The definition, without any cleverness."""
    result = {}
    for session_id in {o.session_id for o in observations}:
        seen = [o for o in observations if o.session_id == session_id and o.kind == "seen"]
        tombstones = [o for o in observations if o.session_id == session_id and o.kind != "seen"]
        if not seen:
            continue
        newest = max(seen, key=lambda o: (o.updated_at, o.seq))
        growth = merge_growth((), ((o.updated_at, message_count(o.body)) for o in seen))
        last = max(tombstones, key=lambda o: o.seq, default=None)
        stands = last is not None and all(o.seq < last.seq for o in seen)
        result[session_id] = (
            newest.updated_at,
            short(newest.content_hash),
            min(o.requested_at for o in seen),
            growth,
            Tombstone(last.kind, last.requested_at, last.seq) if stands and last is not None else None,
        )
    return result


CALL = {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}


def _observe(seq: int, telling: tuple[str, int, int, set[str], str]) -> Observation:
    session_id, updated, messages, variant, kind = telling
    said: list[dict[str, Any]] = [{"role": "user", "content": f"message {n}"} for n in range(messages)]
    fields: dict[str, Any] = {"status": "completed" if "status" in variant else "active"}
    if "costs" in variant:
        fields["costs"] = [{"type": "session", "cost": 0.5}]
    if "outputs" in variant:
        fields["artifact"] = {"structuredOutputs": {"o": {"name": "n", "result": 1}}}
    return observation(
        session_id,
        seq,
        updated=EPOCH + updated * MINUTE,
        messages=[*said, CALL] if "call" in variant else said,
        kind=kind,  # type: ignore[arg-type]  # one of three literals
        **fields,
    )


TELLINGS = st.tuples(
    st.sampled_from(["a", "b"]),
    st.integers(1, 3),
    st.integers(0, 2),
    st.sets(st.sampled_from(["status", "costs", "outputs", "call"]), max_size=2),
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
def test_any_batching_in_any_order_gives_the_state_of_the_join(
    observations: list[Observation], edges: list[int], shuffler: random.Random
) -> None:
    """The newest version, when the session was read first and how it grew: only marks need the order of the requests."""
    shuffled = list(observations)
    shuffler.shuffle(shuffled)
    found = {session_id: facts[:4] for session_id, facts in told(merged(*cut(shuffled, edges))).items()}
    assert found == {session_id: facts[:4] for session_id, facts in the_join(observations).items()}


@given(OBSERVATIONS, EDGES)
@moderate
def test_what_equals_what_is_held_may_be_dropped(observations: list[Observation], edges: list[int]) -> None:
    """Raw without it is enough to derive everything again, marks included: overlap costs no space."""
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
    assert told(merged(*raw)) == told(warehouse) == the_join(observations)


@given(OBSERVATIONS, EDGES)
@moderate
def test_merging_a_batch_again_changes_nothing(observations: list[Observation], edges: list[int]) -> None:
    """A batch whose commit was not acknowledged can be merged again, and dirties nothing."""
    warehouse: Warehouse = {}
    for number, batch in enumerate(cut(observations, edges)):
        merge(batch, warehouse, number)
        again = resolved(batch, warehouse, number + 100)
        assert (again.held, again.won, again.dirty) == ({}, set(), {})
        assert (again.new, again.changed, again.silent) == (0, 0, 0)


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


@given(OBSERVATIONS, EDGES, st.randoms(use_true_random=False))
@moderate
def test_the_batch_of_a_session_holds_its_newest_version(
    observations: list[Observation], edges: list[int], shuffler: random.Random
) -> None:
    """So its rows can be found: `won` are those whose batch is this one."""
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


# -- which tables differ -----------------------------------------------------------------------------------------------


def rows_of(known: Known, observations: Sequence[Observation], session_id: str) -> dict[str, pa.Table]:
    """The children's rows of a session, as they have to be published."""
    (body,) = {o.body for o in observations if (o.session_id, o.seq) == (session_id, known.seq)}
    one = version(next(o for o in observations if o.body is body))
    tables = flatten([one]).tables
    tables["messages"] = seen_first(tables["messages"], {session_id: known.growth})
    return {table.name: tables[table.name] for table in schema.CHILDREN}


@given(OBSERVATIONS, EDGES, st.randoms(use_true_random=False))
@moderate
def test_a_table_that_is_left_alone_has_the_rows_it_had(
    observations: list[Observation], edges: list[int], shuffler: random.Random
) -> None:
    """Whatever arrives in whichever order, an older version that only moves `first_seen_at` included."""
    shuffled = list(observations)
    shuffler.shuffle(shuffled)
    warehouse: Warehouse = {}
    for batch in cut(shuffled, edges):
        before = dict(warehouse)
        resolution = merge(batch, warehouse)
        assert resolution.dirty.keys() == resolution.held.keys()
        for name, known in warehouse.items():
            old = rows_of(before[name], observations, name) if name in before else {}
            new = rows_of(known, observations, name)
            differ = {t for t, rows in new.items() if not rows.equals(old.get(t, rows.slice(0, 0)))}
            assert differ <= resolution.dirty.get(name, frozenset())
            if name not in before or shown(known) != shown(before[name]):
                assert "sessions" in resolution.dirty[name]


def shown(known: Known) -> tuple[Any, ...]:
    """What a row of `sessions` has of the index, `synced_at` by its request."""
    return (
        known.updated_at,
        known.content_hash,
        known.seq,
        known.first_synced_at,
        known.tombstone and (known.tombstone.kind, known.tombstone.requested_at),
    )


TALK = [{"role": "user", "content": "Hi"}]
COST = [{"type": "session", "cost": 0.5}]
MESSAGES = {"sessions", "messages", "tool_calls"}


@pytest.mark.parametrize(
    ("changed", "tables"),
    [
        (observation("a", 2, updated=EPOCH + 1, messages=TALK, status="completed"), {"sessions"}),
        (observation("a", 2, messages=TALK, costs=COST), {"sessions", "costs"}),
        (observation("a", 2, messages=TALK, artifact={"a": 1}), {"sessions", "structured_outputs"}),
        (observation("a", 2, updated=EPOCH + 1, messages=[*TALK, *TALK]), MESSAGES),
        (observation("a", 2, updated=EPOCH + 1, messages=[{"role": "user", "content": "Ho"}]), MESSAGES),
        (observation("a", 2, kind="deleted"), {"sessions"}),
        (observation("a", 0, updated=EPOCH - 1, messages=TALK), {"sessions", "messages"}),
        (observation("a", 0, updated=EPOCH - 1), {"sessions", "messages"}),
        (observation("a", 2, updated=EPOCH - 1, messages=TALK), {"messages"}),
        (observation("new", 2), MESSAGES),  # it says that it has none
        (observation("new", 2, costs=COST), MESSAGES | {"costs"}),
    ],
    ids=["status", "costs", "outputs", "more messages", "others", "mark", "seen earlier", "older", "growth alone", "new", "new costs"],
)  # fmt: skip
def test_only_what_differs_is_dirty(changed: Observation, tables: set[str]) -> None:
    """Late costs, a status or a mark touch no message."""
    warehouse = merged([observation("a", 1, messages=TALK)])
    (dirty,) = resolved([changed], warehouse).dirty.values()
    assert dirty == tables


# -- one at a time -----------------------------------------------------------------------------------------------------


def test_the_same_content_again_changes_no_child() -> None:
    """Where it was not dropped before: the state shown was then read later, and nothing else is new."""
    warehouse = merged([observation("a", 1, messages=2)])
    resolution = resolved([observation("a", 2, messages=2)], warehouse)
    assert resolution.dirty == {"a": {"sessions"}}
    assert (resolution.new, resolution.changed, resolution.silent) == (0, 0, 0)


def test_a_later_reading_of_the_same_moment_wins() -> None:
    """Content that changed without its updatedAt is taken from the later request, and counted as silent."""
    warehouse = merged([observation("a", 1, cost=None)])
    resolution = resolved([observation("a", 2, cost=0.5)], warehouse)
    assert resolution.held["a"].seq == 2
    assert (resolution.new, resolution.changed, resolution.silent) == (0, 1, 1)


def test_an_earlier_reading_of_the_same_moment_loses() -> None:
    """A page that arrives late does not overwrite what was requested after it."""
    warehouse = merged([observation("a", 5, cost=0.5)])
    resolution = merge([observation("a", 4, cost=None)], warehouse)
    assert resolution.won == set()
    assert warehouse["a"].content_hash == short(observation("a", 5, cost=0.5).content_hash)


def test_an_older_version_that_shows_earlier_growth_moves_it() -> None:
    """An older version with as many messages dates them earlier: the state stays."""
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
    """The counts of a batch tell new sessions from changed ones."""
    warehouse = merged([observation("old", 1)])
    resolution = resolved([observation("old", 2, updated=EPOCH + 1), observation("new", 2)], warehouse)
    assert (resolution.new, resolution.changed, resolution.silent) == (1, 1, 0)


@pytest.mark.parametrize("kind", ["deleted", "aged_out"])
def test_a_mark_stands_against_older_observations(kind: str) -> None:
    """A proven departure marks a session that was last seen before the check."""
    warehouse = merged([observation("a", 1)])
    tombstone = observation("a", 2, kind=kind)  # type: ignore[arg-type]  # one of two literals
    assert merge([tombstone], warehouse).won == set()
    assert warehouse["a"].tombstone == Tombstone(kind, tombstone.requested_at, 2)  # type: ignore[arg-type]


def test_a_mark_older_than_the_last_observation_does_nothing() -> None:
    """A check that was requested before the session was seen proves nothing about now."""
    warehouse = merged([observation("a", 5)])
    assert merge([observation("a", 4, kind="deleted")], warehouse).held == {}
    assert warehouse["a"].tombstone is None


def test_a_row_requested_after_the_check_lifts_the_mark() -> None:
    """A session that is seen again is not deleted, although its content is what it was."""
    warehouse = merged([observation("a", 1)], [observation("a", 2, kind="deleted")])
    merge([observation("a", 3)], warehouse)
    assert warehouse["a"].tombstone is None


def test_a_row_requested_before_the_check_does_not_lift_the_mark() -> None:
    """A page on its way while the check was made does not undo it, though its content is newer."""
    warehouse = merged([observation("a", 1)], [observation("a", 5, kind="deleted")])
    merge([observation("a", 4, updated=EPOCH + MINUTE)], warehouse)
    assert warehouse["a"].updated_at == EPOCH + MINUTE
    assert warehouse["a"].tombstone == Tombstone("deleted", observation("a", 5).requested_at, 5)


def test_a_mark_for_a_session_nobody_saw_makes_no_row() -> None:
    """What was never read cannot be marked."""
    resolution = resolved([observation("a", 1, kind="deleted")], {})
    assert (resolution.held, resolution.dirty) == ({}, {})
