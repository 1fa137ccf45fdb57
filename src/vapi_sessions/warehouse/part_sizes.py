"""Which parts a publication writes: where ranges of createdAt are cut, and which small parts are merged."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from vapi_sessions.core.intervals import Window
from vapi_sessions.core.records import Part
from vapi_sessions.core.timestamps import month_of, to_datetime
from vapi_sessions.schema import TABLE_NAMES
from vapi_sessions.warehouse.index import Index

#: The most sessions in a part, which limits what one change costs. Sessions of one instant are never separated.
SESSIONS_A_PART: Final = 8_000
#: The same among the newest sessions, where most changes happen. Each publication writes the parts with a change again, and all
#: of them stay on disk as long as their snapshots.
SESSIONS_A_NEW_PART: Final = 500
#: How many sessions count as the newest.
NEW_SESSIONS: Final = 4_000
#: This many neighbouring small parts are merged when none of their sessions is new any more.
PUT_TOGETHER: Final = 8


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A part that is to be written. `replaced`: the parts with its rows now; `tables`: those to write, the others are linked.

    `sessions`: how many the index has in the range.
    """

    lower: int
    upper: int
    sessions: int
    replaced: tuple[Part, ...]
    tables: frozenset[str]


def plan_parts(index: Index, parts: Sequence[Part]) -> list[Rewrite]:
    """The parts that have to be written, in the order of createdAt."""
    newest_from = _newest_from(index)
    plan: list[Rewrite] = []
    for group in _groups(parts, newest_from):
        dirty = [part for part in group if part.dirty]
        if len(group) > 1:
            plan += _cut(index, group, newest_from)
        elif dirty:
            plan += _cut(index, dirty, newest_from)
    return plan


def _newest_from(index: Index) -> int:
    """The createdAt (µs) of the first of the newest sessions; 0 without a session."""
    ((since,),) = index.rows(
        "SELECT epoch_us(min(created_at)) FROM (SELECT created_at FROM sessions ORDER BY created_at DESC LIMIT ?)",
        [NEW_SESSIONS],
    )
    return int(since or 0)


def _groups(parts: Sequence[Part], newest_from: int) -> Iterator[list[Part]]:
    """Each part alone, except neighbouring small parts of one month that are to be merged."""
    group: list[Part] = []
    for part in sorted(parts, key=lambda part: part.lower):
        fits = (
            group
            and group[-1].upper == part.lower
            and month_of(group[0].lower) == month_of(part.lower)
            and sum(one.sessions for one in group) + part.sessions <= SESSIONS_A_PART
        )
        if group and not (fits and part.upper <= newest_from):
            yield from _together_or_alone(group)
            group = []
        group.append(part)
    yield from _together_or_alone(group)


def _together_or_alone(group: list[Part]) -> Iterator[list[Part]]:
    if len(group) >= PUT_TOGETHER:
        yield group
    else:
        yield from ([part] for part in group)


def _cut(index: Index, group: Sequence[Part], newest_from: int) -> Iterator[Rewrite]:
    """The range of the group, as one part or, if it has too many sessions, as several."""
    lower, upper = group[0].lower, group[-1].upper
    edges = [lower, *_edges(index, lower, min(upper, max(lower, newest_from)), SESSIONS_A_PART)]
    if upper > newest_from:
        start = max(lower, newest_from)
        newer = _edges(index, start, upper, SESSIONS_A_NEW_PART)
        older = index.count(Window(edges[-1], start)) if start > lower else 0
        if older and (newer or older + index.count(Window(start, upper)) > SESSIONS_A_PART):
            edges.append(start)
        edges += newer
    edges.append(upper)
    for start, end in itertools.pairwise(sorted(set(edges))):
        sessions = index.count(Window(start, end))
        same = len(group) == 1 and (start, end) == (lower, upper)
        yield Rewrite(start, end, sessions, tuple(group), group[0].dirty if same else TABLE_NAMES)


def _edges(index: Index, lower: int, upper: int, most: int) -> list[int]:
    """Where to cut inside [lower, upper), so that no range has more than `most` sessions (except sessions of one instant)."""
    if lower >= upper:
        return []
    count = index.count(Window(lower, upper))
    if count <= most:
        return []
    cuts = index.rows(
        "SELECT DISTINCT epoch_us(min(created_at)) FROM (SELECT created_at, ntile(?) OVER (ORDER BY created_at) AS tile "
        "FROM sessions WHERE created_at >= ? AND created_at < ?) GROUP BY tile ORDER BY 1",
        [-(-count // most), to_datetime(lower), to_datetime(upper)],
    )
    return [cut for (cut,) in cuts if lower < cut < upper]
