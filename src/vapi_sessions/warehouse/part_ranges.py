"""Which parts a publication writes: where ranges of createdAt are cut, and which of them are put together again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from vapi_sessions.core.records import Part
from vapi_sessions.core.timestamps import DAY, month_of, to_datetime
from vapi_sessions.warehouse.index import ALL_TABLES, Index

#: A part covers at most so many sessions (ties of one instant apart): what one change costs to publish.
SESSIONS_A_PART: Final = 8_000
#: Among the newest sessions, where most changes are: so many. These are the newest so many, as far as they began within that time.
SESSIONS_A_NEW_PART: Final = 1_000
NEW_SESSIONS: Final = 4_000
NEW: Final = 2 * DAY
#: So many small parts in a row become one when they rest.
PUT_TOGETHER: Final = 8


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A part that is to be written. `instead_of`: the parts that have its rows now; `tables`: those written, the others are linked.

    `sessions`: how many the index has in the range.
    """

    lower: int
    upper: int
    sessions: int
    instead_of: tuple[Part, ...]
    tables: frozenset[str]


def plan_parts(index: Index, parts: Sequence[Part]) -> list[Rewrite]:
    """What has to be written, in the order of createdAt."""
    resting = _resting(index)
    done: list[Rewrite] = []
    for row in _in_rows(parts, resting):
        dirty = [part for part in row if part.dirty]
        if len(row) > 1:
            done += _cut(index, row, resting)
        elif dirty:
            done += _cut(index, dirty, resting)
    return done


def _resting(index: Index) -> int:
    """Since when there are the newest sessions, µs."""
    ((newest,),) = index.rows("SELECT max(created_at) FROM sessions")
    if newest is None:
        return 0
    ((since,),) = index.rows(
        "SELECT epoch_us(min(created_at)) FROM "
        "(SELECT created_at FROM sessions WHERE created_at >= ? ORDER BY created_at DESC LIMIT ?)",
        [newest - timedelta(microseconds=NEW), NEW_SESSIONS],
    )
    return int(since)


def _in_rows(parts: Sequence[Part], resting: int) -> Iterator[list[Part]]:
    """The parts one by one, but for small ones of one month that rest and are to be put together."""
    row: list[Part] = []
    for part in sorted(parts, key=lambda part: part.lower):
        fits = (
            row
            and row[-1].upper == part.lower
            and month_of(row[0].lower) == month_of(part.lower)
            and sum(one.sessions for one in row) + part.sessions <= SESSIONS_A_PART
        )
        if row and not (fits and part.upper <= resting):
            yield from _whole_or_single(row)
            row = []
        row.append(part)
    yield from _whole_or_single(row)


def _whole_or_single(row: list[Part]) -> Iterator[list[Part]]:
    if len(row) >= PUT_TOGETHER:
        yield row
    else:
        yield from ([part] for part in row)


def _cut(index: Index, row: Sequence[Part], resting: int) -> Iterator[Rewrite]:
    """One range, as one part or, if it has too many sessions, as several."""
    lower, upper = row[0].lower, row[-1].upper
    edges = [lower, *_edges(index, lower, min(upper, max(lower, resting)), SESSIONS_A_PART)]
    if upper > resting:
        start = max(lower, resting)
        newer = _edges(index, start, upper, SESSIONS_A_NEW_PART)
        if start > lower and (newer or _count(index, edges[-1], upper) > SESSIONS_A_PART):
            edges.append(start)
        edges += newer
    edges.append(upper)
    for start, end in itertools.pairwise(sorted(set(edges))):
        sessions = _count(index, start, end)
        same = len(row) == 1 and (start, end) == (lower, upper)
        yield Rewrite(start, end, sessions, tuple(row), row[0].dirty if same else ALL_TABLES)


def _count(index: Index, lower: int, upper: int) -> int:
    """Sessions created in [lower, upper)."""
    bounds = [to_datetime(lower), to_datetime(upper)]
    ((found,),) = index.rows("SELECT count(*) FROM sessions WHERE created_at >= ? AND created_at < ?", bounds)
    return int(found)


def _edges(index: Index, lower: int, upper: int, most: int) -> list[int]:
    """Where to cut [lower, upper) inside, so that no piece has more than `most` sessions, ties apart; nowhere if all fit into one."""
    if lower >= upper:
        return []
    count = _count(index, lower, upper)
    if count <= most:
        return []
    cuts = index.rows(
        "SELECT DISTINCT epoch_us(min(created_at)) FROM (SELECT created_at, ntile(?) OVER (ORDER BY created_at) AS piece "
        "FROM sessions WHERE created_at >= ? AND created_at < ?) GROUP BY piece ORDER BY 1",
        [-(-count // most), to_datetime(lower), to_datetime(upper)],
    )
    return [cut for (cut,) in cuts if lower < cut < upper]
