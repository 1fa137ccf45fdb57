"""Which observations are worth keeping, and which state of a session wins. Pure.

A session's row is the join of everything that was observed of it: the state is the maximum by `(updatedAt, request
order)`, the first reading a minimum, the growth a union, the mark the maximum by request order, standing only against
observations requested before it. So a batch can be merged twice, and batches of one run, in which a session shows each
`updatedAt` once, in any order. Only two things need the order of the requests, which is why `load.recover` sorts the
files it finds by it: content that came back at the same `updatedAt`, and a mark, which presupposes its session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal, TypeAlias

from vapi_sessions.flatten import Version, merge_growth, message_count

Kind: TypeAlias = Literal["seen", "deleted", "aged_out"]
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
    (None: lifted) for each session whose mark changes or whose row is written anew.
    """

    keep: list[Observation]
    versions: list[Version]
    earlier: dict[str, tuple[int, Growth]]
    marks: dict[str, Mark | None]
    new: int = 0
    changed: int = 0
    silent: int = 0


def resolve(observations: Iterable[Observation], known: Mapping[str, Known]) -> Resolution:
    """Join `observations` (any order, repeats allowed) with what is `known`."""
    result = Resolution([], [], {}, {})
    ordered = sorted(observations, key=lambda o: (o.session_id, o.updated_at, o.seq))
    for session_id, group in groupby(ordered, key=lambda o: o.session_id):
        _resolve_one(session_id, list(group), known.get(session_id), result)
    return result


def _resolve_one(session_id: str, group: list[Observation], before: Known | None, result: Resolution) -> None:
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
        lifts = mark is not None and observation.seq > mark.seq > last_seen
        if observation.content_hash == current_hash and not lifts:
            continue
        wins = position is None or (observation.updated_at, observation.seq) > position
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
        return
    if before is not None:
        if first is not None and (growth != before.growth or first != before.first_synced_at):
            result.earlier[session_id] = (first, growth)
        if stands != before.mark:
            result.marks[session_id] = stands


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
