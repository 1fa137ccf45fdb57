"""Observations of sessions, drawn by hypothesis; merging them as the index does; and the plain definition of the result."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from batches import observation
from constants import EPOCH
from vapi_sessions.core.timestamps import MINUTE
from vapi_sessions.operations.window_buffer import sightings
from vapi_sessions.transform.flatten import merge_growth, message_count
from vapi_sessions.transform.resolve import Known, Observation, Resolution, Tombstone, resolve, short

#: The state of each session.
Warehouse = dict[str, Known]


def resolved(batch: Sequence[Observation], warehouse: Mapping[str, Known], number: int = 1) -> Resolution:
    """The result of merging one batch, which is not applied."""
    return resolve(sightings(batch, {}), warehouse, batch=number)


def merge(batch: Sequence[Observation], warehouse: Warehouse, number: int = 1) -> Resolution:
    """Merges one batch into `warehouse`, as the index does."""
    resolution = resolved(batch, dict(warehouse), number)
    warehouse.update(resolution.held)
    return resolution


def merged(*batches: Sequence[Observation]) -> Warehouse:
    """The warehouse after these batches in order, numbered from 1."""
    warehouse: Warehouse = {}
    for number, batch in enumerate(batches, start=1):
        merge(batch, warehouse, number)
    return warehouse


def the_join(observations: Sequence[Observation]) -> dict[str, tuple[Any, ...]]:
    """The plain definition: for each session updated_at, content hash, first_synced_at, growth and tombstone."""
    result = {}
    for session_id in {o.session_id for o in observations}:
        seen = [o for o in observations if o.session_id == session_id and o.kind == "seen"]
        tombstones = [o for o in observations if o.session_id == session_id and o.kind != "seen"]
        if not seen:
            continue
        newest = max(seen, key=lambda o: (o.updated_at, o.seq))
        growth = merge_growth((), ((o.updated_at, message_count(o.body)) for o in seen))
        last = max(tombstones, key=lambda o: o.seq, default=None)
        valid = last is not None and all(o.seq < last.seq for o in seen)
        result[session_id] = (
            newest.updated_at,
            short(newest.content_hash),
            min(o.requested_at for o in seen),
            growth,
            Tombstone(last.kind, last.requested_at, last.seq) if valid and last is not None else None,
        )
    return result


CALL = {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}


def _observe(seq: int, event: tuple[str, int, int, set[str], str]) -> Observation:
    session_id, updated, messages, variant, kind = event
    texts: list[dict[str, Any]] = [{"role": "user", "content": f"message {n}"} for n in range(messages)]
    fields: dict[str, Any] = {"status": "completed" if "status" in variant else "active"}
    if "costs" in variant:
        fields["costs"] = [{"type": "session", "cost": 0.5}]
    if "outputs" in variant:
        fields["artifact"] = {"structuredOutputs": {"o": {"name": "n", "result": 1}}}
    return observation(
        session_id,
        seq,
        updated=EPOCH + updated * MINUTE,
        messages=[*texts, CALL] if "call" in variant else texts,
        kind=kind,  # type: ignore[arg-type]  # one of three literals
        **fields,
    )


EVENTS = st.tuples(
    st.sampled_from(["a", "b"]),
    st.integers(1, 3),
    st.integers(0, 2),
    st.sets(st.sampled_from(["status", "costs", "outputs", "call"]), max_size=2),
    st.sampled_from(["seen", "seen", "seen", "deleted", "aged_out"]),
)
#: Observations in the order of their requests.
OBSERVATIONS = st.lists(EVENTS, max_size=8).map(
    lambda events: [_observe(seq, event) for seq, event in enumerate(events, start=1)]
)


def cut(observations: Sequence[Observation], edges: Iterable[int]) -> list[list[Observation]]:
    """The observations in batches that end at these edges."""
    inner = sorted({min(edge, len(observations)) for edge in edges})
    bounds = [0, *inner, len(observations)]
    return [list(observations[a:b]) for a, b in itertools.pairwise(bounds)]


EDGES = st.lists(st.integers(0, 8), max_size=4)
