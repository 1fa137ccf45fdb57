"""Observed versions of sessions to the rows of every table, as Arrow. Pure: no database, no network.

The rules are in `flatten_generic`, which takes any shape; `flatten_fast` does the same for many ordinary sessions at once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vapi_sessions import schema
from vapi_sessions.flatten_columns import Children, Columns, repeat_each, starts
from vapi_sessions.flatten_fast import batches
from vapi_sessions.flatten_generic import (
    ASSISTANT_ROLES,
    COST_COLUMNS,
    MESSAGE_COLUMNS,
    OUTPUT_COLUMNS,
    SESSION_COLUMNS,
    TOOL_CALL_COLUMNS,
    session_rows,
)  # fmt: skip
from vapi_sessions.flatten_reader import Drift
from vapi_sessions.json_text import elements, members

Growth = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Version:
    """One observed state of a session that is to be stored; times in microseconds since the epoch, UTC."""

    session_id: str
    org_id: str
    created_at: int
    updated_at: int
    #: When, and in which order, it was requested.
    requested_at: int
    seq: int
    content_hash: str
    first_synced_at: int
    #: (updated_at, message_count) of other versions seen, as `merge_growth` gives it; None: only this one is known.
    growth: Growth | None
    #: Redacted JSON of the session.
    body: bytes


@dataclass(frozen=True, slots=True)
class Flat:
    """The rows of a batch, one Arrow table for each of `schema.TABLES`, and what had no column, by name."""

    tables: dict[str, pa.Table]
    drift: Counter[str]


# ---------------------------------------------------------------------------------------------------------------------
# Growth: the only clock for when a chat message was written is when the session was first seen with that many.


def merge_growth(
    growth_a: Iterable[tuple[int, int]] | None, growth_b: Iterable[tuple[int, int]] | None
) -> Growth:
    """The staircase of (updated_at, message_count) over both, ascending in both.

    An entry is left out if another is no later and has no fewer messages. So the result is that of the set of all
    versions seen, in whatever order they arrive: the operation is commutative, associative and idempotent.
    """
    steps: list[tuple[int, int]] = []
    for at, count in sorted({*(growth_a or ()), *(growth_b or ())}, key=lambda step: (step[0], -step[1])):
        if not steps or count > steps[-1][1]:
            steps.append((at, count))
    return tuple(steps)


class _Counted(msgspec.Struct, gc=False):
    messages: list[msgspec.Raw] | None = None


_counted: Final = msgspec.json.Decoder(_Counted).decode


def message_count(body: bytes) -> int:
    """Number of messages in a session's JSON, as `flatten` counts them: 0 if there is no array of them."""
    try:
        return len(_counted(body).messages or ())
    except (ValueError, RecursionError, msgspec.DecodeError):
        pass  # an unexpected shape
    try:
        text = dict(members(body.decode())).get("messages", "")
        return len(elements(text)) if text.startswith("[") else 0
    except (ValueError, RecursionError, msgspec.DecodeError):
        return 0


# ---------------------------------------------------------------------------------------------------------------------
# Arrow.


def flatten(versions: Sequence[Version]) -> Flat:
    """The rows of all tables for these versions, in the order of `schema.TABLES`' columns. Raises for no JSON object."""
    drift = Drift()
    done, odd = batches(versions, drift)
    parts = [_tables(batch.versions, batch.sessions, batch.children) for batch in done]
    if odd or not parts:
        parts.append(_generic(odd, drift))
    return Flat(
        {table.name: pa.concat_tables([part[table.name] for part in parts]) for table in schema.TABLES},
        drift.counts,
    )


def _generic(versions: Sequence[Version], drift: Drift) -> dict[str, pa.Table]:
    rows = [session_rows(v.session_id, v.org_id, v.created_at, v.updated_at, v.body, drift) for v in versions]
    messages = [row for session in rows for row in session.messages]
    return _tables(
        versions,
        _columns(SESSION_COLUMNS, (session.session for session in rows))
        | {
            "user_message_count": [sum(row[0] == "user" for row in session.messages) for session in rows],
            "assistant_message_count": [
                sum(row[0] in ASSISTANT_ROLES for row in session.messages) for session in rows
            ],
        },
        {
            schema.MESSAGES: (
                [len(session.messages) for session in rows],
                _columns(MESSAGE_COLUMNS, messages),
            ),
            schema.TOOL_CALLS: _children(TOOL_CALL_COLUMNS, [session.tool_calls for session in rows]),
            schema.COSTS: _children(COST_COLUMNS, [session.costs for session in rows]),
            schema.STRUCTURED_OUTPUTS: _children(OUTPUT_COLUMNS, [session.outputs for session in rows]),
        },
    )


def _columns(names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> Columns:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return dict(zip(names, columns, strict=True))


def _children(names: Sequence[str], rows: list[list[tuple[Any, ...]]]) -> Children:
    """How many rows each session has, and the columns of all of them."""
    return [len(own) for own in rows], _columns(names, (row for own in rows for row in own))


def _tables(
    versions: Sequence[Version],
    sessions: Columns,
    children: dict[schema.Table, Children],
) -> dict[str, pa.Table]:
    """Adds what does not come from the body, and repeats what is the session's on each of its children's rows.

    Children are in the order of their sessions; with each table comes how many rows each session has in it.
    """
    message_counts = children[schema.MESSAGES][0]
    growth = [
        merge_growth(version.growth, ((version.updated_at, count),))
        if version.growth
        else ((version.updated_at, count),)
        for version, count in zip(versions, message_counts, strict=True)
    ]
    sessions |= {
        "session_id": [version.session_id for version in versions],
        "org_id": [version.org_id for version in versions],
        "created_at": [version.created_at for version in versions],
        "updated_at": [version.updated_at for version in versions],
        "message_count": message_counts,
        "tool_call_count": children[schema.TOOL_CALLS][0],
        "content_hash": [version.content_hash for version in versions],
        "first_synced_at": [version.first_synced_at for version in versions],
        "synced_at": [version.requested_at for version in versions],
        "seq": [version.seq for version in versions],
        "growth": [
            None if steps == ((version.updated_at, count),) else json.dumps(steps, separators=(",", ":"))
            for version, count, steps in zip(versions, message_counts, growth, strict=True)
        ],
    }
    tables = {"sessions": _table(schema.SESSIONS, sessions, len(versions))}
    ids, created = tables["sessions"]["session_id"], tables["sessions"]["created_at"]
    for table, (counts, columns) in children.items():
        owner = repeat_each(counts)
        columns |= {"session_id": ids.take(owner), "session_created_at": created.take(owner)}
        if table is schema.MESSAGES:
            columns["message_index"] = _positions(counts, owner)
            columns["first_seen_at"] = _first_seen(growth, counts)
        tables[table.name] = _table(table, columns, len(owner))
    return tables


def _table(table: schema.Table, columns: Columns, rows: int) -> pa.Table:
    """A table with the columns given; the others are null."""
    return pa.Table.from_arrays(
        [_array(columns.get(f.name), f.type, rows) for f in table.arrow], schema=table.arrow
    )


def _array(values: Any, type_: pa.DataType, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, type_)
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values if values.type == type_ else values.cast(type_)
    return pa.array(values, type_)


def _positions(counts: Sequence[int], owner: pa.Array) -> pa.Array:
    """[2, 0, 1] to 0, 1, 0: each row's place among those of its session."""
    first = pa.array(starts(counts), pa.int64()).take(owner)
    return pc.subtract(pa.array(range(len(owner)), pa.int64()), first).cast(pa.int32())


def _first_seen(growth: Sequence[Growth], counts: Sequence[int]) -> pa.Array:
    """For each message, the earliest step of its session's staircase that is above its position."""
    times: list[int] = []
    lengths: list[int] = []
    for steps, count in zip(growth, counts, strict=True):
        reached = 0
        for at, total in steps:
            above = min(total, count)
            if above > reached:
                times.append(at)
                lengths.append(above - reached)
                reached = above
    return pa.array(times, schema.MESSAGES.arrow.field("first_seen_at").type).take(repeat_each(lengths))
