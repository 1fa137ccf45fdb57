"""Reading one page of the list, and counting what matches, in one snapshot of the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

#: Half-open, in microseconds; None: unbounded.
Interval = tuple[int | None, int | None]
SortBy = Literal["createdAt", "duration", "cost"]

_MAX_OFFSET: Final = 2**62
#: An index that finds fewer rows than this is read and sorted.
_FEW: Final = 5_000


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A page to read: half-open intervals of microseconds, and further conditions.

    `where` uses our own column names (` AND name = ?`), with its values in `values`. `by_id`: it names ids.
    """

    org_id: str
    created: Interval = (None, None)
    updated: Interval = (None, None)
    where: str = ""
    values: tuple[Any, ...] = ()
    sort_by: SortBy = "createdAt"
    ascending: bool = False
    limit: int = 100
    offset: int = 0
    by_id: bool = False
    shuffle_ties: bool = False


class ListPage(NamedTuple):
    """The bodies of a page, and the number of all rows that match, from one snapshot."""

    bodies: list[bytes]
    total: int


def read_page(reader: sqlite3.Connection, query: ListQuery, *, salt: int) -> ListPage:
    """Run a query. `salt` decides the order of shuffled ties."""
    reader.execute("BEGIN")
    try:
        source, values = _source(reader, query)
        total = reader.execute(f"SELECT count(*) FROM {source}", values).fetchone()[0]
        if query.limit <= 0 or query.offset >= total:
            return ListPage([], total)
        order, extra = _order(query, salt)
        found = reader.execute(
            f"SELECT seq FROM {source} ORDER BY {order} LIMIT ? OFFSET ?",
            (*values, *extra, query.limit, min(query.offset, _MAX_OFFSET)),
        ).fetchall()
        return ListPage(_bodies(reader, [seq for (seq,) in found]), total)
    finally:
        reader.execute("COMMIT")


def _source(reader: sqlite3.Connection, query: ListQuery) -> tuple[str, tuple[Any, ...]]:
    """`sessions` with the best index and the WHERE clause, and its values."""
    created, created_values = _within("created_us", query.created)
    updated, updated_values = _within("updated_us", query.updated)
    everything = f"{created}{updated}{query.where}"
    values = (query.org_id, *created_values, *updated_values, *query.values)
    if query.by_id:  # the plus keeps SQLite from using the organisation's index
        return f"sessions WHERE +org_id = ?{everything}", values
    # Few rows by time of change: find and sort them. Otherwise read in order of creation until the page is full.
    index = "by_created"
    if updated:
        few = _few(reader, "by_updated", updated, (query.org_id, *updated_values))
        if few < _FEW and few <= _few(reader, "by_created", created, (query.org_id, *created_values)):
            index = "by_updated"
    return f"sessions INDEXED BY {index} WHERE org_id = ?{everything}", values


def _within(column: str, interval: Interval) -> tuple[str, tuple[int, ...]]:
    """The condition of a half-open interval, beginning with AND, and its values."""
    lower, upper = interval
    sql = f" AND {column} >= ?" if lower is not None else ""
    sql += f" AND {column} < ?" if upper is not None else ""
    return sql, tuple(bound for bound in interval if bound is not None)


def _few(reader: sqlite3.Connection, index: str, where: str, values: tuple[Any, ...]) -> int:
    """How many rows an interval holds, counted up to `_FEW`."""
    sql = f"SELECT count(*) FROM (SELECT 1 FROM sessions INDEXED BY {index} WHERE org_id = ?{where} LIMIT {_FEW})"
    return int(reader.execute(sql, values).fetchone()[0])


def _order(query: ListQuery, salt: int) -> tuple[str, tuple[int, ...]]:
    direction = "ASC" if query.ascending else "DESC"
    if query.sort_by == "createdAt":
        first = f"created_us {direction}"
    else:  # PostgreSQL's rule: null sorts as the largest value
        first = f"{query.sort_by} {direction} NULLS {'LAST' if query.ascending else 'FIRST'}"
    if query.shuffle_ties:
        return f"{first}, (seq * ?) % 1000003", (salt,)
    return f"{first}, seq {direction}", ()


def _bodies(reader: sqlite3.Connection, wanted: Sequence[int]) -> list[bytes]:
    placeholders = ",".join("?" * len(wanted))
    found = dict(
        reader.execute(f"SELECT seq, body FROM bodies WHERE seq IN ({placeholders})", wanted).fetchall()
    )
    return [found[seq] for seq in wanted]
