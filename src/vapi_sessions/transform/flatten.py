"""Flattens versions of sessions into the rows of every table, as Arrow.

`sessions`, `messages`, `costs` and `structured_outputs` declare the members and make columns of them; `decoders` reads the JSON. This
module adds the columns that do not come from the body. Bodies are well-formed JSON, as `json_text.normalised` returns it.
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
from vapi_sessions.transform.columns import Columns, positions, repeat_each
from vapi_sessions.transform.costs import costs as cost_rows
from vapi_sessions.transform.decoders import ObjectColumns, ObjectDecoder, with_part
from vapi_sessions.transform.messages import messages as message_rows
from vapi_sessions.transform.sessions import SESSION
from vapi_sessions.transform.sessions import sessions as session_columns
from vapi_sessions.transform.shapes import ABSENT, RETYPED
from vapi_sessions.transform.structured_outputs import outputs as output_rows

Growth = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Version:
    """One observed state of a session, to be stored. Times are microseconds since the epoch, UTC."""

    session_id: str
    org_id: str
    created_at: int
    updated_at: int
    #: Time and number of the request.
    requested_at: int
    seq: int
    content_hash: str
    #: Redacted JSON of the session.
    body: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Summary of a version. Comparing two of them shows which tables differ.

    Unsigned 64-bit hashes of JSON text, equal in every process: of `messages` (the only source of messages and tool calls), of `costs`,
    and of `artifact` (structured outputs).
    """

    message_count: int
    messages_hash: int
    costs_hash: int
    outputs_hash: int


@dataclass(frozen=True, slots=True)
class Flat:
    """The rows of a batch: an Arrow table for each of `schema.TABLES`, in the order of the versions, and of the positions in each.

    `drift`: counts of members without a column, by name. `heads`: one for each version.
    """

    tables: dict[str, pa.Table]
    drift: Counter[str]
    heads: list[Head]


# ---------------------------------------------------------------------------------------------------------------------
# Growth: chat messages have no time, so the time when a session was first seen with that many messages is used instead.


def merge_growth(
    growth_a: Iterable[tuple[int, int]] | None, growth_b: Iterable[tuple[int, int]] | None
) -> Growth:
    """The pairs (updated_at, message_count) of both that ascend in time and count.

    A pair is dropped if another one is not later and has at least as many messages. The operation is commutative, associative and
    idempotent, so the result does not depend on the order in which versions arrive.
    """
    merged: list[tuple[int, int]] = []
    for at, count in sorted({*(growth_a or ()), *(growth_b or ())}, key=lambda pair: (pair[0], -pair[1])):
        if not merged or count > merged[-1][1]:
            merged.append((at, count))
    return tuple(merged)


class _Counted(msgspec.Struct, gc=False):
    messages: list[msgspec.Raw] | None = None


_counted: Final = msgspec.json.Decoder(_Counted).decode


def message_count(body: bytes) -> int:
    """The number of messages in a session's JSON, as `flatten` counts them; 0 if `messages` is not an array."""
    try:
        return len(_counted(body).messages or ())
    except (ValueError, RecursionError):
        return 0


# ---------------------------------------------------------------------------------------------------------------------
# Arrow.


def flatten(versions: Sequence[Version]) -> Flat:
    """The rows of these versions in all tables, with the columns of `schema.TABLES`.

    Columns that depend on other observations are null: `first_synced_at`, `first_seen_at`, `deleted_at`, `aged_out_at`.
    """
    return flatten_with(ObjectDecoder(), versions)


def flatten_with(decoder: ObjectDecoder, versions: Sequence[Version]) -> Flat:
    """Like `flatten`, with a given decoder, which afterwards has the number of objects that it read leniently."""
    found = decoder.columns_of(SESSION, [[_decoded(decoder, version.body) for version in versions]])
    messages, costs, outputs = message_rows(found), cost_rows(found), output_rows(found)
    created_at = [version.created_at for version in versions]
    _keep_contradictions(found, versions)
    sessions = session_columns(found, created_at, costs)
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
    messages.rows[1]["message_index"] = positions(counts)
    tables = {"sessions": _table(schema.SESSIONS, sessions, len(versions))}
    ids, created = tables["sessions"]["session_id"], tables["sessions"]["created_at"]
    for table, (own, columns) in {
        schema.MESSAGES: messages.rows,
        schema.TOOL_CALLS: messages.tool_calls,
        schema.COSTS: costs,
        schema.STRUCTURED_OUTPUTS: outputs,
    }.items():
        owner = repeat_each(own)
        columns |= {"session_id": ids.take(owner), "session_created_at": created.take(owner)}
        tables[table.name] = _table(table, columns, len(owner))
    heads = [
        Head(count, *map(_hash, texts))
        for count, *texts in zip(
            counts, *(found.values[n] for n in ("messages", "costs", "artifact")), strict=True
        )
    ]
    return Flat(tables, decoder.drift.counts, heads)


class _Texts(msgspec.Struct, gc=False):
    """The members that child tables come from."""

    messages: msgspec.Raw = ABSENT
    costs: msgspec.Raw = ABSENT
    artifact: msgspec.Raw = ABSENT


_texts: Final = msgspec.json.Decoder(_Texts).decode


def head_of(body: bytes) -> Head:
    """The head of a version, without flattening it."""
    try:
        texts = _texts(body)
    except (ValueError, RecursionError):
        texts = _Texts()
    return Head(message_count(body), *map(_hash, (texts.messages, texts.costs, texts.artifact)))


_NULL: Final = msgspec.Raw(b"null")


def _hash(text: msgspec.Raw) -> int:
    """SHA-1, because it is fast: the hash protects no secret."""
    present = b"" if text == _NULL else text  # null equals absent
    return int.from_bytes(hashlib.sha1(present, usedforsecurity=False).digest()[:8], "little")


def _decoded(decoder: ObjectDecoder, body: bytes) -> Any:
    """A session. If its body cannot be decoded, `extra` says so, and there is a row all the same."""
    try:
        return decoder.one(SESSION, body)
    except (ValueError, RecursionError):
        item = SESSION.struct()
        item.extra_parts = with_part(None, "$unreadable", '"not JSON"')
        decoder.drift.add(SESSION.drift_prefix, "$unreadable")
        return item


def _keep_contradictions(found: ObjectColumns, versions: Sequence[Version]) -> None:
    """Ids and times come from the version. Those in a body are kept in `extra` only if they differ."""
    values = found.values
    for at, (version, session_id, org_id) in enumerate(zip(versions, values["id"], values["orgId"], strict=True)):  # fmt: skip
        for name, own, known in (("id", session_id, version.session_id), ("orgId", org_id, version.org_id)):
            if own != known and own is not None:
                found.keep(at, name, quote(own), RETYPED)
    for name, times in (
        ("createdAt", [version.created_at for version in versions]),
        ("updatedAt", [version.updated_at for version in versions]),
    ):
        texts = values[name]
        suspects: Iterable[int] = range(len(texts))
        try:
            parsed = pa.array(texts, pa.string()).cast(_TIMESTAMP).cast(pa.int64())
            suspects = pc.indices_nonzero(pc.not_equal(parsed, pa.array(times, pa.int64()))).to_pylist()
        except pa.ArrowInvalid:  # an unusual format, or not a timestamp
            pass
        for at in suspects:
            if texts[at] is not None and _parsed_time(texts[at]) != times[at]:
                found.keep(at, name, quote(texts[at]), RETYPED)


_TIMESTAMP: Final = pa.timestamp("us", "UTC")


def _parsed_time(text: str) -> int | None:
    """A timestamp of the source in microseconds; None if it is not a timestamp."""
    try:
        return parse(text)
    except (ValueError, OverflowError):
        return None


def _table(table: schema.Table, columns: Columns, count: int) -> pa.Table:
    """A table with these columns; other columns of the schema are null."""
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
    # Removes the sign of -0, about which the decoders differ.
    return pc.add(values, 0.0) if type_ == pa.float64() else values
