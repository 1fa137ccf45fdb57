"""The rows that have to be published for some observations, computed without an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from publications import Tables, by_key

from batches import seen_first
from sample_observations import the_join
from vapi_sessions import schema
from vapi_sessions.transform.flatten import flatten
from vapi_sessions.transform.resolve import Observation
from vapi_sessions.warehouse.derive import version


def expected_tables(observations: Sequence[Observation]) -> Tables:
    """The rows of each session's newest version, with the columns that the index knows."""
    tombstones: dict[str, Any] = {}
    growth: dict[str, Any] = {}
    first_synced: dict[str, int] = {}
    versions = []
    for session_id, (updated, _, first, grown, tombstone) in the_join(observations).items():
        seen = [
            o for o in observations if (o.session_id, o.updated_at, o.kind) == (session_id, updated, "seen")
        ]
        versions.append(version(max(seen, key=lambda o: o.seq)))
        growth[session_id], first_synced[session_id], tombstones[session_id] = grown, first, tombstone
    flat = flatten(versions).tables
    ids = [one.session_id for one in versions]
    flat["sessions"] = _with(flat["sessions"], "first_synced_at", [first_synced[name] for name in ids])
    flat["messages"] = seen_first(flat["messages"], growth)
    for kind, column in (("deleted", "deleted_at"), ("aged_out", "aged_out_at")):
        times = [t.requested_at if (t := tombstones[name]) and t.kind == kind else None for name in ids]
        flat["sessions"] = _with(flat["sessions"], column, times)
    return {table.name: by_key(table, flat[table.name]) for table in schema.TABLES}


def _with(rows: pa.Table, name: str, times: Sequence[int | None]) -> pa.Table:
    place = rows.schema.get_field_index(name)
    field = rows.schema.field(place)
    return rows.set_column(place, field, pa.array(times, field.type))
