"""Which observations are worth keeping, and which state of a session wins. Pure.

A session's row is the join of everything that was observed of it: the state is the maximum by `(updatedAt, request
order)`, the first reading a minimum, the growth a union, the mark the maximum by request order, standing only against
observations requested before it. So a batch can be merged twice, and batches of one run, in which a session shows each
`updatedAt` once, in any order. Only two things need the order of the requests, which is why `load.recover` sorts the
files it finds by it: content that came back at the same `updatedAt`, and a mark, which presupposes its session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from vapi_sessions.flatten import Version, merge_growth, message_count
from vapi_sessions.page import UnreadableRow

Kind: TypeAlias = Literal["seen", "deleted", "aged_out"]
#: What the name of an unreadable session begins with that has no id; the rest is the beginning of its content hash.
UNNAMED: Final = "unreadable-"

Growth: TypeAlias = tuple[tuple[int, int], ...]


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


def unreadable(
    row: UnreadableRow, body: bytes, content_hash: str, *, requested_at: int, seq: int, run_id: str
) -> Unreadable:
    """What one request told of a row that cannot be read; `body` and `content_hash`: redacted."""
    return Unreadable(
        session_id=row.session_id or f"{UNNAMED}{content_hash[:16]}",
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
class Mark:
    """The source was found to list the session no longer."""

    kind: Kind
    requested_at: int
    seq: int


@dataclass(frozen=True, slots=True)
class Known:
    """What the warehouse holds of a session."""

    created_at: int
    updated_at: int
    seq: int
    content_hash: str
    first_synced_at: int
    growth: Growth
    mark: Mark | None


@dataclass(slots=True)
class Resolution:
    """The outcome for one batch.

    `keep`: observations that tell something new, to be stored in raw. `versions`: states to be written, whole.
    `earlier`: sessions whose state stays, but which were seen growing earlier than known. `marks`: the mark to stand
    (None: lifted) for each session whose mark changes or whose row is written anew. `unreadable`: what is kept aside from
    now on, `released`: what no longer is.
    """

    keep: list[Observation | Unreadable]
    versions: list[Version]
    earlier: dict[str, tuple[int, Growth]]
    marks: dict[str, Mark | None]
    unreadable: dict[str, Unreadable] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    new: int = 0
    changed: int = 0
    silent: int = 0


def resolve(
    observations: Iterable[Observation | Unreadable],
    known: Mapping[str, Known],
    aside: Mapping[str, Unreadable] = MappingProxyType({}),
) -> Resolution:
    """Join `observations` (any order, repeats allowed) with what is `known`, and with what is kept `aside`."""
    result = Resolution([], [], {}, {})
    odd: dict[str, Unreadable] = {}
    readable: list[Observation] = []
    for one in observations:
        if isinstance(one, Observation):
            readable.append(one)
        elif one.session_id not in odd or one.seq > odd[one.session_id].seq:
            odd[one.session_id] = one
    ordered = sorted(readable, key=lambda o: (o.session_id, o.updated_at, o.seq))
    for session_id, group in groupby(ordered, key=lambda o: o.session_id):
        latest = _resolve_one(session_id, list(group), known.get(session_id), aside.get(session_id), result)
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
            result.keep.append(one)
    return result


def _resolve_one(
    session_id: str,
    group: list[Observation],
    before: Known | None,
    aside: Unreadable | None,
    result: Resolution,
) -> int:
    """Adds one session to the result; returns the order of the last request that could read it."""
    marks = [Mark(o.kind, o.requested_at, o.seq) for o in group if o.kind != "seen"]
    if before is not None and before.mark is not None:
        marks.append(before.mark)
    mark = max(marks, key=lambda m: m.seq, default=None)
    winner: Observation | None = None
    position = (before.updated_at, before.seq) if before is not None else None
    current_hash = before.content_hash if before is not None else None
    growth: Growth = before.growth if before is not None else ()
    first = before.first_synced_at if before is not None else None
    last_seen = before.seq if before is not None else -1
    for observation in group:
        if observation.kind != "seen":
            continue
        lifts = any(
            standing is not None and observation.seq > standing.seq > last_seen for standing in (mark, aside)
        )
        if observation.content_hash == current_hash and not lifts:
            continue
        wins = position is None or _is_later(observation, position)
        alone = before is None and len(group) == 1  # flatten counts the messages of a lone version itself
        grown = (
            growth
            if alone
            else merge_growth(growth, ((observation.updated_at, message_count(observation.body)),))
        )
        if not wins and grown == growth and not lifts:
            continue
        result.keep.append(observation)
        growth = grown
        first = observation.requested_at if first is None else min(first, observation.requested_at)
        last_seen = max(last_seen, observation.seq)
        if wins:
            winner, position, current_hash = (
                observation,
                (observation.updated_at, observation.seq),
                observation.content_hash,
            )
    stands = mark if mark is not None and mark.seq > last_seen else None
    if stands is not None and (before is None or stands != before.mark):
        result.keep += [o for o in group if o.kind != "seen" and o.seq == stands.seq]
    if winner is not None and first is not None:
        result.versions.append(
            Version(
                session_id=session_id,
                org_id=winner.org_id,
                created_at=winner.created_at,
                updated_at=winner.updated_at,
                requested_at=winner.requested_at,
                seq=winner.seq,
                content_hash=winner.content_hash,
                first_synced_at=first,
                growth=growth,
                body=winner.body,
            )
        )
        result.marks[session_id] = stands
        if before is None:
            result.new += 1
        elif winner.content_hash != before.content_hash:
            result.changed += 1
            result.silent += winner.updated_at == before.updated_at
    elif before is not None:
        if first is not None and (growth != before.growth or first != before.first_synced_at):
            result.earlier[session_id] = (first, growth)
        if stands != before.mark:
            result.marks[session_id] = stands
    return max(observation.seq for observation in group)


def _is_later(observation: Observation, position: tuple[int, int]) -> bool:
    """Whether it shows a later state than the one of `position`: by `updatedAt`, and by the order of the requests where that
    is the same, as after a change that did not move it.
    """
    return (observation.updated_at, observation.seq) > position


def set_aside(aside: dict[str, Unreadable], resolution: Resolution) -> None:
    """What is kept aside once the resolution is merged; changes `aside`."""
    aside.update(resolution.unreadable)
    for session_id in resolution.released:
        aside.pop(session_id, None)


def after(resolution: Resolution, known: Mapping[str, Known], ids: Iterable[str]) -> dict[str, Known]:
    """What will be held of these sessions once the resolution is merged into what was `known`; only those it touches."""
    wanted = set(ids)
    held = {session_id: known[session_id] for session_id in wanted if session_id in known}
    touched: dict[str, Known] = {}
    for version in resolution.versions:
        if version.session_id in wanted:
            count = message_count(version.body)
            touched[version.session_id] = Known(
                version.created_at,
                version.updated_at,
                version.seq,
                version.content_hash,
                version.first_synced_at,
                merge_growth(version.growth, ((version.updated_at, count),)),
                None,
            )
    for session_id in wanted & resolution.earlier.keys():
        first, growth = resolution.earlier[session_id]
        touched[session_id] = replace(held[session_id], first_synced_at=first, growth=growth)
    for session_id in wanted & resolution.marks.keys():
        touched[session_id] = replace(
            touched.get(session_id) or held[session_id], mark=resolution.marks[session_id]
        )
    return touched
