"""Decides which version of a session wins, and which tables change.

The state of a session in the warehouse is the join of all its observations: the version is the maximum by `(updated_at, seq)`, the
first reading a minimum, the growth a union, the tombstone the maximum by `seq`, valid only if no version was requested after
it. So a batch can be merged twice, and batches in any order. Only tombstones need the order of requests, because a tombstone
requires an existing session; so `recovery` sorts the files that it finds by request order.
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
#: Prefix of the name of an unreadable session without an id; the start of its content hash follows.
UNNAMED: Final = "unreadable-"

Growth: TypeAlias = tuple[tuple[int, int], ...]

#: For tombstones, which have no content.
NO_HEAD: Final = Head(0, 0, 0, 0)


def short(content_hash: str) -> int:
    """The first 64 bits of a content hash, enough to distinguish the versions of one session."""
    return int(content_hash[:16], 16)


@dataclass(frozen=True, slots=True)
class Observation:
    """A session in one response. Times are microseconds. `body`: redacted JSON, empty for a tombstone."""

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
    """An observation without its body: enough to decide which one wins. Times are microseconds."""

    session_id: str
    created_at: int
    updated_at: int
    requested_at: int
    seq: int
    kind: Kind
    content_hash: int
    head: Head


def sighting(observation: Observation, head: Head = NO_HEAD) -> Sighting:
    """An observation without its body."""
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
    """A session whose id, organisation or times are missing or invalid. It is stored separately until it becomes readable.

    `session_id`: its id if it has one (`named`), else a substitute. `problem`: what is wrong. `body`: redacted JSON. Times are
    microseconds.
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
    """The id under which an unreadable row is stored: its own, or one made from its content."""
    return row.session_id or f"{UNNAMED}{content_hash[:16]}"


def unreadable(
    row: UnreadableRow, body: bytes, content_hash: str, *, requested_at: int, seq: int, run_id: str
) -> Unreadable:
    """An unreadable row of a response, to be stored. `body` and `content_hash`: of the redacted JSON."""
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
    """Records that the source no longer lists the session: it was deleted, or aged out."""

    kind: Kind
    requested_at: int
    seq: int


@dataclass(frozen=True, slots=True)
class Known:
    """The state of a session in the warehouse. `growth`: as `merge_growth` returns it, including this version."""

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
    """The result of merging one batch.

    `held`: the new state of each session that changed. `won`: those of which a version in the batch wins; their `batch` is this one.
    `dirty`: for each changed session, the tables whose published rows are stale. `unreadable`: sessions to store separately;
    `released`: those that have become readable. `silent`: changed without a new `updated_at`.
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
    """Joins the sightings of a batch with the known state.

    `sightings`: in any order, repeats allowed. `aside`: the unreadable sessions that are stored. `batch`: its number.
    """
    result = Resolution()
    unreadable: dict[str, Unreadable] = {}
    readable: list[Sighting] = []
    for one in sightings:
        if isinstance(one, Sighting):
            readable.append(one)
        elif one.session_id not in unreadable or one.seq > unreadable[one.session_id].seq:
            unreadable[one.session_id] = one
    readable.sort(key=lambda s: (s.session_id, s.updated_at, s.seq))
    for session_id, group in groupby(readable, key=lambda s: s.session_id):
        latest = _resolve_one(session_id, list(group), known.get(session_id), batch, result)
        if session_id in unreadable and unreadable[session_id].seq < latest:
            del unreadable[session_id]  # readable in a later request
        elif session_id in aside and aside[session_id].seq < latest:
            result.released.add(session_id)
    for session_id, one in unreadable.items():
        stored = aside.get(session_id)
        if (stored is None or (stored.content_hash != one.content_hash and stored.seq < one.seq)) and (
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
    """Adds one session to the result; returns the number of the last request in which it was readable."""
    tombstones = [Tombstone(s.kind, s.requested_at, s.seq) for s in group if s.kind != "seen"]
    if before is not None and before.tombstone is not None:
        tombstones.append(before.tombstone)
    tombstone = max(tombstones, key=lambda t: t.seq, default=None)
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
    valid_tombstone = tombstone if tombstone is not None and tombstone.seq > last_seen else None
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
            valid_tombstone,
        )
        result.won.add(session_id)
        if before is None:
            result.new += 1
        elif winner.content_hash != before.content_hash:
            result.changed += 1
            result.silent += winner.updated_at == before.updated_at
    elif before is not None and first is not None:
        held = replace(before, first_synced_at=first, growth=growth, tombstone=valid_tombstone)
    else:
        held = None  # a tombstone of an unknown session
    if held is not None and held != before:
        result.held[session_id] = held
        result.dirty[session_id] = _dirty(before, held)
    return max(one.seq for one in group)


def _shown(known: Known) -> tuple[object, ...]:
    """What a row of `sessions` depends on: the version, and the other facts in the index."""
    return known.updated_at, known.seq, known.first_synced_at, known.tombstone


def _dirty(before: Known | None, held: Known) -> frozenset[str]:
    """The tables in which the session's rows may differ."""
    old, new = before.head if before is not None else _EMPTY, held.head
    tables = set[str]()
    if before is None or _shown(before) != _shown(held):
        tables.add("sessions")
    if (old.message_count, old.messages_hash) != (new.message_count, new.messages_hash):
        tables |= {"messages", "tool_calls"}
    elif before is not None and before.growth != held.growth:
        tables.add("messages")  # only first_seen_at changes
    if old.costs_hash != new.costs_hash:
        tables.add("costs")
    if old.outputs_hash != new.outputs_hash:
        tables.add("structured_outputs")
    return frozenset(tables)


_EMPTY: Final = head_of(b"{}")


def _is_later(one: Sighting, position: tuple[int, int]) -> bool:
    """Whether a sighting is later than `position` (`updated_at`, `seq`). Request order decides if a change did not move `updatedAt`."""
    return (one.updated_at, one.seq) > position


def set_aside(aside: dict[str, Unreadable], resolution: Resolution) -> None:
    """Updates `aside`, the unreadable sessions that are stored, with a resolution."""
    aside.update(resolution.unreadable)
    for session_id in resolution.released:
        aside.pop(session_id, None)
