"""Which version of a session wins, and which tables it changes. Pure.

What the warehouse holds of a session is the join of everything that was observed of it: the state is the maximum by
`(updatedAt, request order)`, the first reading a minimum, the growth a union, the mark the maximum by request order,
standing only against observations requested before it. So a batch can be merged twice, and batches in any order. Only a mark
needs the order of the requests, since it presupposes its session, which is why `recovery` sorts the files it finds by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

from vapi_sessions.transform.flatten import Head, head_of, merge_growth
from vapi_sessions.transform.headers import UnreadableRow

Kind: TypeAlias = Literal["seen", "deleted", "aged_out"]
#: What the name of an unreadable session begins with that has no id; the rest is the beginning of its content hash.
UNNAMED: Final = "unreadable-"

Growth: TypeAlias = tuple[tuple[int, int], ...]


#: Of a mark, which has no content.
NO_HEAD: Final = Head(0, 0, 0, 0)


def short(content_hash: str) -> int:
    """The first 64 bits of a content hash, which are enough to tell versions of one session apart."""
    return int(content_hash[:16], 16)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one request told of one session. Moments in microseconds; `body` is redacted JSON, empty for a mark."""

    session_id: str
    org_id: str
    created_at: int
    updated_at: int
    requested_at: int
    seq: int
    run_id: str
    kind: Kind
    body: bytes
    content_hash: str


class Sighting(NamedTuple):
    """An observation without its content: what it takes to decide which one wins. Moments in microseconds."""

    session_id: str
    created_at: int
    updated_at: int
    requested_at: int
    seq: int
    kind: Kind
    content_hash: int
    head: Head


def sighting(observation: Observation, head: Head = NO_HEAD) -> Sighting:
    """The same without its content."""
    return Sighting(
        observation.session_id,
        observation.created_at,
        observation.updated_at,
        observation.requested_at,
        observation.seq,
        observation.kind,
        short(observation.content_hash) if observation.content_hash else 0,
        head,
    )


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An element of a list that does not say what it is, kept aside until it reads well. Moments in microseconds.

    `session_id` is its id if it has one (`named`), else stands for it; `problem` names what is wrong. `body` is redacted.
    """

    session_id: str
    named: bool
    org_id: str | None
    created_at: int | None
    updated_at: int | None
    requested_at: int
    seq: int
    run_id: str
    body: bytes
    content_hash: str
    problem: str
    kind: Literal["unreadable"] = "unreadable"


def unreadable_name(row: UnreadableRow, content_hash: str) -> str:
    """The name under which a row that cannot be read is kept aside: its id, or one that is made from its content."""
    return row.session_id or f"{UNNAMED}{content_hash[:16]}"


def unreadable(
    row: UnreadableRow, body: bytes, content_hash: str, *, requested_at: int, seq: int, run_id: str
) -> Unreadable:
    """What one request told of a row that cannot be read; `body` and `content_hash`: redacted."""
    return Unreadable(
        session_id=unreadable_name(row, content_hash),
        named=row.session_id is not None,
        org_id=row.org_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        requested_at=requested_at,
        seq=seq,
        run_id=run_id,
        body=body,
        content_hash=content_hash,
        problem=row.problem,
    )


@dataclass(frozen=True, slots=True)
class Tombstone:
    """The source was found to list the session no longer."""

    kind: Kind
    requested_at: int
    seq: int


@dataclass(frozen=True, slots=True)
class Known:
    """What the warehouse holds of a session. `growth`: (updated_at, message_count) as `merge_growth` gives it, this version's included."""

    created_at: int
    updated_at: int
    seq: int
    batch: int
    content_hash: int
    head: Head
    first_synced_at: int
    growth: Growth
    tombstone: Tombstone | None


@dataclass(slots=True)
class Resolution:
    """The outcome for one batch.

    `held`: what the index holds from now on of each session that changed in any way (`batch` is the batch itself for those
    of `won`, whose new version wins). `dirty`: the tables, by name, whose published rows are then stale, for each of
    those. `unreadable`: what is kept aside from now on, `released`: what no longer is.
    """

    held: dict[str, Known] = field(default_factory=dict)
    won: set[str] = field(default_factory=set)
    dirty: dict[str, frozenset[str]] = field(default_factory=dict)
    unreadable: dict[str, Unreadable] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    new: int = 0
    changed: int = 0
    silent: int = 0


def resolve(
    sightings: Iterable[Sighting | Unreadable],
    known: Mapping[str, Known],
    aside: Mapping[str, Unreadable] = MappingProxyType({}),
    *,
    batch: int,
) -> Resolution:
    """Join `sightings` (any order, repeats allowed) of batch number `batch` with what is `known`, and with what is kept `aside`."""
    result = Resolution()
    odd: dict[str, Unreadable] = {}
    readable: list[Sighting] = []
    for one in sightings:
        if isinstance(one, Sighting):
            readable.append(one)
        elif one.session_id not in odd or one.seq > odd[one.session_id].seq:
            odd[one.session_id] = one
    readable.sort(key=lambda s: (s.session_id, s.updated_at, s.seq))
    for session_id, group in groupby(readable, key=lambda s: s.session_id):
        latest = _resolve_one(session_id, list(group), known.get(session_id), batch, result)
        if session_id in odd and odd[session_id].seq < latest:
            del odd[session_id]  # it read well later
        elif session_id in aside and aside[session_id].seq < latest:
            result.released.add(session_id)
    for session_id, one in odd.items():
        held = aside.get(session_id)
        if (held is None or (held.content_hash != one.content_hash and held.seq < one.seq)) and (
            session_id not in known or known[session_id].seq < one.seq
        ):
            result.released.discard(session_id)
            result.unreadable[session_id] = one
    return result


def _resolve_one(
    session_id: str,
    group: list[Sighting],
    before: Known | None,
    batch: int,
    result: Resolution,
) -> int:
    """Adds one session to the result; returns the order of the last request that could read it."""
    tombstones = [Tombstone(s.kind, s.requested_at, s.seq) for s in group if s.kind != "seen"]
    if before is not None and before.tombstone is not None:
        tombstones.append(before.tombstone)
    tombstone = max(tombstones, key=lambda m: m.seq, default=None)
    winner: Sighting | None = None
    position = (before.updated_at, before.seq) if before is not None else (-1, -1)
    growth: Growth = before.growth if before is not None else ()
    first = before.first_synced_at if before is not None else None
    last_seen = before.seq if before is not None else -1
    for one in group:
        if one.kind != "seen":
            continue
        growth = merge_growth(growth, ((one.updated_at, one.head.message_count),))
        first = one.requested_at if first is None else min(first, one.requested_at)
        last_seen = max(last_seen, one.seq)
        if _is_later(one, position):
            winner, position = one, (one.updated_at, one.seq)
    stands = tombstone if tombstone is not None and tombstone.seq > last_seen else None
    if winner is not None and first is not None:
        held = Known(
            winner.created_at,
            winner.updated_at,
            winner.seq,
            batch,
            winner.content_hash,
            winner.head,
            first,
            growth,
            stands,
        )
        result.won.add(session_id)
        if before is None:
            result.new += 1
        elif winner.content_hash != before.content_hash:
            result.changed += 1
            result.silent += winner.updated_at == before.updated_at
    elif before is not None and first is not None:
        held = replace(before, first_synced_at=first, growth=growth, tombstone=stands)
    else:
        held = None  # a mark of what is not held
    if held is not None and held != before:
        result.held[session_id] = held
        result.dirty[session_id] = _dirty(before, held)
    return max(one.seq for one in group)


def _shown(known: Known) -> tuple[object, ...]:
    """What tells one row of `sessions` from another: the version, and what the index knows beside it."""
    return known.updated_at, known.seq, known.first_synced_at, known.tombstone


def _dirty(before: Known | None, held: Known) -> frozenset[str]:
    """The tables in which the session's rows differ, or may."""
    old, new = before.head if before is not None else _NOTHING, held.head
    tables = set[str]()
    if before is None or _shown(before) != _shown(held):
        tables.add("sessions")
    if (old.message_count, old.messages_hash) != (new.message_count, new.messages_hash):
        tables |= {"messages", "tool_calls"}
    elif before is not None and before.growth != held.growth:
        tables.add("messages")  # of which first_seen_at moves, and nothing else
    if old.costs_hash != new.costs_hash:
        tables.add("costs")
    if old.outputs_hash != new.outputs_hash:
        tables.add("structured_outputs")
    return frozenset(tables)


_NOTHING: Final = head_of(b"{}")


def _is_later(one: Sighting, position: tuple[int, int]) -> bool:
    """Whether it shows a later state than the one of `position`: by `updatedAt`, and by the order of the requests where that
    is the same, as after a change that did not move it.
    """
    return (one.updated_at, one.seq) > position


def set_aside(aside: dict[str, Unreadable], resolution: Resolution) -> None:
    """What is kept aside once the resolution is merged; changes `aside`."""
    aside.update(resolution.unreadable)
    for session_id in resolution.released:
        aside.pop(session_id, None)
