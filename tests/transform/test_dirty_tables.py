"""Merging a batch marks exactly the tables as dirty in which a session's rows may differ."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches import observation, seen_first
from constants import EPOCH
from sample_observations import EDGES, OBSERVATIONS, Warehouse, cut, merge, merged, resolved
from selection import examples
from vapi_sessions import schema
from vapi_sessions.transform.flatten import flatten
from vapi_sessions.transform.resolve import Known, Observation
from vapi_sessions.warehouse.derive import version


def rows_of(known: Known, observations: Sequence[Observation], session_id: str) -> dict[str, pa.Table]:
    """The rows of a session in the child tables, as they must be published."""
    (body,) = {o.body for o in observations if (o.session_id, o.seq) == (session_id, known.seq)}
    one = version(next(o for o in observations if o.body is body))
    tables = flatten([one]).tables
    tables["messages"] = seen_first(tables["messages"], {session_id: known.growth})
    return {table.name: tables[table.name] for table in schema.CHILDREN}


@given(OBSERVATIONS, EDGES, st.randoms(use_true_random=False))
@examples(200)
def test_rows_of_tables_that_are_not_dirty_are_unchanged(
    observations: list[Observation], edges: list[int], shuffler: random.Random
) -> None:
    """For any batches in any order, including an older version that changes only `first_seen_at`."""
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
    """The facts from the index in a row of `sessions`."""
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
        (observation("new", 2), MESSAGES),  # its list of messages is empty
        (observation("new", 2, costs=COST), MESSAGES | {"costs"}),
    ],
    ids=["status", "costs", "outputs", "more messages", "other messages", "tombstone", "seen earlier", "older", "growth only", "new", "new costs"],
)  # fmt: skip
def test_only_tables_that_differ_are_dirty(changed: Observation, tables: set[str]) -> None:
    """Late costs, a status or a tombstone do not affect messages."""
    warehouse = merged([observation("a", 1, messages=TALK)])
    (dirty,) = resolved([changed], warehouse).dirty.values()
    assert dirty == tables


def test_equal_content_in_a_later_request_makes_only_sessions_dirty() -> None:
    """Only `synced_at` changes, and the session counts neither as new nor as changed."""
    warehouse = merged([observation("a", 1, messages=2)])
    resolution = resolved([observation("a", 2, messages=2)], warehouse)
    assert resolution.dirty == {"a": {"sessions"}}
    assert (resolution.new, resolution.changed, resolution.silent) == (0, 0, 0)
