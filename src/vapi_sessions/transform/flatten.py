"""Observed versions of sessions to the rows of every table, as Arrow. Pure: no database, no network.

`flatten_shapes` reads a body into structs by the declared mapping, `flatten_rows` makes columns of them; here come the columns that
are not the body's own. Bodies are well-formed JSON, as `json_text.normalised` leaves them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vapi_sessions import schema
from vapi_sessions.core.json_text import quote
from vapi_sessions.core.timestamps import parse
from vapi_sessions.transform import columns as rows
from vapi_sessions.transform.decoders import Gathered, Reader, mark
from vapi_sessions.transform.mapping import ABSENT, SESSION
from vapi_sessions.transform.messages import messages as message_rows

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
    #: Redacted JSON of the session.
    body: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """What one version's children derive from, as numbers: which of its tables differ from another version's follows from these.

    Unsigned 64-bit hashes of JSON text, the same in every process: of `messages` (messages and tool calls derive from
    nothing else of the body), of `costs`, and of `artifact` (structured outputs).
    """

    message_count: int
    messages_hash: int
    costs_hash: int
    outputs_hash: int


@dataclass(frozen=True, slots=True)
class Flat:
    """The rows of a batch, one Arrow table for each of `schema.TABLES`, in order of the versions; children of a version in order of
    their positions. `drift`: what had no column, by name. `heads`: one for each version.
    """

    tables: dict[str, pa.Table]
    drift: Counter[str]
    heads: list[Head]


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
    except (ValueError, RecursionError):
        return 0


# ---------------------------------------------------------------------------------------------------------------------
# Arrow.


def flatten(versions: Sequence[Version]) -> Flat:
    """The rows of all tables for these versions, in their order, with the columns of `schema.TABLES`.

    What follows from when versions were observed is null: `first_synced_at`, `first_seen_at`, and the marks.
    """
    return flatten_with(Reader(), versions)


def flatten_with(reader: Reader, versions: Sequence[Version]) -> Flat:
    """The same by a decoder of one's own, which then knows how many objects it read the lenient way."""
    found = reader.gather(SESSION, [[_read(reader, version.body) for version in versions]])
    messages, costs, outputs = message_rows(found), rows.costs(found), rows.outputs(found)
    created_at = [version.created_at for version in versions]
    _compare(found, versions)
    sessions = rows.sessions(found, created_at, costs)
    counts = messages.rows[0]
    sessions |= {
        "session_id": [version.session_id for version in versions],
        "org_id": [version.org_id for version in versions],
        "created_at": created_at,
        "updated_at": [version.updated_at for version in versions],
        "message_count": counts,
        "user_message_count": messages.user_counts,
        "assistant_message_count": messages.assistant_counts,
        "tool_call_count": messages.tool_calls[0],
        "content_hash": [version.content_hash for version in versions],
        "synced_at": [version.requested_at for version in versions],
    }
    messages.rows[1]["message_index"] = rows.positions(counts)
    tables = {"sessions": _table(schema.SESSIONS, sessions, len(versions))}
    ids, created = tables["sessions"]["session_id"], tables["sessions"]["created_at"]
    for table, (own, columns) in {
        schema.MESSAGES: messages.rows,
        schema.TOOL_CALLS: messages.tool_calls,
        schema.COSTS: costs,
        schema.STRUCTURED_OUTPUTS: outputs,
    }.items():
        owner = rows.repeat_each(own)
        columns |= {"session_id": ids.take(owner), "session_created_at": created.take(owner)}
        tables[table.name] = _table(table, columns, len(owner))
    heads = [
        Head(count, *map(_hash, texts))
        for count, *texts in zip(
            counts, *(found.values[n] for n in ("messages", "costs", "artifact")), strict=True
        )
    ]
    return Flat(tables, reader.drift.counts, heads)


class _Texts(msgspec.Struct, gc=False):
    """What children derive from."""

    messages: msgspec.Raw = ABSENT
    costs: msgspec.Raw = ABSENT
    artifact: msgspec.Raw = ABSENT


_texts: Final = msgspec.json.Decoder(_Texts).decode


def head_of(body: bytes) -> Head:
    """The head of a version that is not flattened."""
    try:
        texts = _texts(body)
    except (ValueError, RecursionError):
        texts = _Texts()
    return Head(message_count(body), *map(_hash, (texts.messages, texts.costs, texts.artifact)))


_NULL: Final = msgspec.Raw(b"null")


def _hash(text: msgspec.Raw) -> int:
    """No secret is behind it: what counts is that it is quick."""
    there = b"" if text == _NULL else text  # as good as absent
    return int.from_bytes(hashlib.sha1(there, usedforsecurity=False).digest()[:8], "little")


def _read(reader: Reader, body: bytes) -> Any:
    """The session; whatever its body is, there is a row for it."""
    try:
        return reader.one(SESSION, body)
    except (ValueError, RecursionError):
        item = SESSION.struct()
        item.rest = mark(None, "$unreadable", '"not JSON"')
        reader.drift.add(SESSION.where, "$unreadable")
        return item


def _compare(found: Gathered, versions: Sequence[Version]) -> None:
    """What the versions say already is kept only where a body says otherwise."""
    values = found.values
    for at, (version, session_id, org_id) in enumerate(zip(versions, values["id"], values["orgId"], strict=True)):  # fmt: skip
        for name, said, known in (("id", session_id, version.session_id), ("orgId", org_id, version.org_id)):
            if said != known and said is not None:
                found.keep(at, name, quote(said), ":retyped")
    for name, moments in (
        ("createdAt", [version.created_at for version in versions]),
        ("updatedAt", [version.updated_at for version in versions]),
    ):
        texts = values[name]
        odd: Iterable[int] = range(len(texts))
        try:
            said = pa.array(texts, pa.string()).cast(_MOMENT).cast(pa.int64())
            odd = pc.indices_nonzero(pc.not_equal(said, pa.array(moments, pa.int64()))).to_pylist()
        except pa.ArrowInvalid:  # another way to write a timestamp, or none
            pass
        for at in odd:
            if texts[at] is not None and _moment(texts[at]) != moments[at]:
                found.keep(at, name, quote(texts[at]), ":retyped")


_MOMENT: Final = pa.timestamp("us", "UTC")


def _moment(text: str) -> int | None:
    """A timestamp of the source in microseconds; None if it is none."""
    try:
        return parse(text)
    except (ValueError, OverflowError):
        return None


def _table(table: schema.Table, columns: rows.Columns, count: int) -> pa.Table:
    """A table with the columns given; the others are null."""
    return pa.Table.from_arrays(
        [_array(columns.get(f.name), f.type, count) for f in table.arrow], schema=table.arrow
    )


def _array(values: Any, type_: pa.DataType, count: int) -> pa.Array:
    if values is None:
        return pa.nulls(count, type_)
    if not isinstance(values, (pa.Array, pa.ChunkedArray)):
        values = pa.array(values, type_)
    elif values.type != type_:
        values = values.cast(type_)
    # Zeros have no sign: decoders do not agree about -0.
    return pc.add(values, 0.0) if type_ == pa.float64() else values
