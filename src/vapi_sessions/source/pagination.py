"""Read one window of `updatedAt` completely, although the list changes during the walk.

The source sorts by `createdAt` only and paginates by offset. A session that is updated between two pages leaves the window
and shifts all later rows, so page numbers lose rows. The walk therefore always requests the *first* page of
`updatedAt in window and createdAt >= c`, ordered by `createdAt`, and then sets `c` to the `createdAt` of the last row.

Why nothing is lost:

- `createdAt` never changes, and one response is one consistent snapshot.
- Claim: every session that stays in the window during the walk and has `createdAt < c` has been read. At the start there is
  no such session, so the claim holds.
- A response to `createdAt >= c` in ascending order contains all rows of `[c, c')`, where `c'` is the `createdAt` of the last
  row. Rows at `c'` itself may have been cut off, so the next request includes `c'` again. The claim then holds for `c'`.
- Sessions that leave the window or are deleted only shorten later responses. They cannot hide a session that stays.
- The order among sessions with the same `createdAt` may be unstable. This matters only at `c'`, which is read again.
- The walk ends when a response is short *and* its count says that there are no more rows. Each sign alone can be wrong. An
  empty response shows both signs and no rows, so several empty responses are required.

A window is closed before it is read: its end is a settling delay in the past, so no session enters it. The window that is
open to the right may grow; sessions that enter it during the walk are not claimed as read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import msgspec

from vapi_sessions.core.intervals import BEGINNING, Window
from vapi_sessions.core.timestamps import MILLISECOND, floor_ms, show
from vapi_sessions.errors import SourceInconsistentError, SourceRefusedError
from vapi_sessions.source.list_query import Order, Query
from vapi_sessions.source.page import Page
from vapi_sessions.transform.headers import Row, UnreadableRow

#: How often a response that contradicts itself is requested again (rows and count may come from two statements).
PATIENCE: Final = 3
#: Empty responses required before a result counts as empty. An empty list is a valid response to any request: a replica that
#: is still being filled returns it to some requests and not to others, and two such responses may come together.
EMPTY_RESPONSES: Final = 3
#: Ids in one `idAny`: 100 UUIDs make a URL of 4 kB, which servers and proxies commonly accept.
IDS_A_REQUEST: Final = 100
#: How often a block of sessions equal in both timestamps is collected before giving up; shuffled ties need several attempts.
COLLECTIONS: Final = 40
#: Ids of unreadable sessions that an error names.
IDS_NAMED: Final = 20

#: Every moment: for walks that do not filter on `updatedAt`.
ALWAYS: Final = Window(BEGINNING, None)

FetchPage: TypeAlias = Callable[[Query], Page]


@dataclass(frozen=True, slots=True)
class Cursor:
    """What is left of a window: `updatedAt in window and createdAt >= created_from` (µs; None: from the beginning).

    `tied` are the ids already read whose `createdAt`, in milliseconds, is `created_from`: the next response contains them again.
    `created_until` is an upper bound on `createdAt`, for walks that do not filter on `updatedAt`.
    """

    window: Window
    created_from: int | None = None
    tied: frozenset[str] = frozenset()
    created_until: int | None = None

    @property
    def created(self) -> Window | None:
        """The filter on `createdAt`."""
        if self.created_from is None and self.created_until is None:
            return None
        return Window(BEGINNING if self.created_from is None else self.created_from, self.created_until)


@dataclass(frozen=True, slots=True)
class PageRead:
    """One advance of a walk: the rows that it read for the first time, and the cursors that are left (none: complete).

    `unreadable` rows without a `createdAt` may come again with later pages.
    """

    rows: list[Row]
    left: tuple[Cursor, ...]
    page: Page
    unreadable: list[UnreadableRow] = field(default_factory=list)


def walk(
    fetch: FetchPage, cursors: Sequence[Cursor], *, limit: int | Callable[[], int]
) -> Iterator[PageRead]:
    """Read the cursors in order. After any page the walk can be abandoned, and resumed later from `left`.

    `limit` is the page size, or a function that gives it before each page. Raises SourceInconsistentError if responses
    contradict the request or each other for longer than a temporary fault would, and whatever `fetch` raises.
    """
    left = tuple(cursors)
    while left:
        cursor, rest = left[0], left[1:]
        size = limit if isinstance(limit, int) else limit()
        read = _advance(fetch, cursor, size)
        left = read.left + rest
        yield PageRead(read.rows, left, read.page, read.unreadable)
        del read  # otherwise its page stays in memory until the next one has arrived


def _advance(fetch: FetchPage, cursor: Cursor, limit: int) -> PageRead:
    """Read one page of one cursor. `left` of the result is what remains of this cursor alone."""
    contradiction, empty = "", 0
    for _ in range(1 + PATIENCE):
        page = fetch(Query(updated=cursor.window, created=cursor.created, limit=limit))
        rows = page.listed
        if problem := _violation(rows, cursor.window, cursor.created_from, cursor.created_until):
            contradiction = problem
            continue
        if page.count == 0 and (empty := empty + 1) < EMPTY_RESPONSES:
            contradiction = "some responses are empty, others are not"
            continue
        distinct = len({_key(row) for row in rows})
        if page.total < distinct or (distinct < len(rows) and page.total > distinct):
            contradiction = f"rows: {len(rows)}, distinct sessions: {distinct}, count: {page.total}"
            continue
        fresh = _fresh(page.rows, cursor.tied)
        odd = [row for row in page.unreadable if row.key not in cursor.tied]
        if _is_the_end(len(rows), distinct, page.total, limit):
            return PageRead(fresh, (), page, odd)
        if not rows:
            contradiction = f"no session, but a count of {page.total}"
            continue
        created = [floor_ms(row.created_at) for row in rows if row.created_at is not None]
        if not created:
            names = ", ".join(row.key for row in page.unreadable[:IDS_NAMED])
            contradiction = f"no session on a page has a createdAt, so the next page is unknown ({names})"
            continue
        position = created[-1]
        if cursor.created_from is None or position > cursor.created_from:
            if created[0] == position and _any_before(fetch, cursor, position, limit):
                # A page of ties cannot show this by itself.
                contradiction = "the sessions are not in the requested order"
                continue
            tied = frozenset(
                _key(row)
                for row in rows
                if row.created_at is not None and floor_ms(row.created_at) == position
            )
            return PageRead(fresh, (replace(cursor, created_from=position, tied=tied),), page, odd)
        # Every row is tied at the cursor, so the cursor cannot move.
        if len(rows) >= page.limit:
            return _cut(fetch, cursor, page, fresh, odd, limit)
        contradiction = f"rows: {len(rows)}, page size: {limit}, but a count of {page.total}"
    raise SourceInconsistentError(
        f"The source contradicts itself between {_name(cursor.window)}: {contradiction}.",
        "This window was not claimed as read. Run again; if it happens again, check what is between this machine and the source.",
    )


def _is_the_end(shown: int, distinct: int, total: int, limit: int) -> bool:
    """Whether a response is short and its count says that there are no more rows. Each sign alone can be wrong.

    The response has `shown` rows of `distinct` sessions on a page for `limit`, and a count of `total`.
    """
    return shown < limit and total <= distinct


def _any_before(fetch: FetchPage, cursor: Cursor, position: int, limit: int) -> bool:
    created = Window(BEGINNING if cursor.created_from is None else cursor.created_from, position)
    return count_rows(fetch, Query(updated=cursor.window, created=created, limit=1), limit)[0] > 0


def count_rows(fetch: FetchPage, query: Query, limit: int) -> tuple[int, Page]:
    """The number of sessions the source counts, and the response; a count of 0 is confirmed by further requests.

    A session without a `createdAt` was created neither before nor after anything, so it is not count_rows. If there is one, a page
    of `limit` rows is requested instead.
    """
    page = _confirmed(fetch, query)
    if any(row.created_at is None for row in page.unreadable):
        page = fetch(replace(query, limit=limit))
    return page.count - sum(row.created_at is None for row in page.unreadable), page


def _confirmed(fetch: FetchPage, query: Query) -> Page:
    """The first response that counts a session, or the last one if all of them are empty.

    One request fewer than `EMPTY_RESPONSES`, because the response that led to the question already implies that there is nothing.
    """
    page = fetch(query)
    for _ in range(EMPTY_RESPONSES - 2):
        page = page if page.count else fetch(query)
    return page


def _violation(
    rows: Sequence[Row | UnreadableRow],
    window: Window,
    created_from: int | None,
    created_until: int | None = None,
) -> str:
    """How a response ignores a filter or the order, compared in milliseconds; "" if it does not."""
    previous = created_from if created_from is not None else -(1 << 62)
    for row in rows:
        if row.updated_at is not None and (updated := floor_ms(row.updated_at)) not in window:
            return f"a session updated at {show(updated)} is outside the requested window"
        if row.created_at is None:
            continue
        created = floor_ms(row.created_at)
        if created_from is not None and created < created_from:
            return f"a session created at {show(created)} is before the requested range"
        if created_until is not None and created >= created_until:
            return f"a session created at {show(created)} is after the requested range"
        if created < previous:
            return "the sessions are not in the requested order"
        previous = created
    return ""


def _fresh(rows: Sequence[Row], known: frozenset[str]) -> list[Row]:
    """Rows not read before. If an id is repeated within one response, its newest version."""
    newest: dict[str, Row] = {}
    for row in rows:
        if row.session_id not in known:
            kept = newest.get(row.session_id)
            if kept is None or row.updated_at > kept.updated_at:
                newest[row.session_id] = row
    return list(newest.values())


def _key(row: Row | UnreadableRow) -> str:
    """Identifies a row within a walk."""
    return row.session_id if isinstance(row, Row) else row.key


def _cut(
    fetch: FetchPage, cursor: Cursor, page: Page, fresh: list[Row], odd: list[UnreadableRow], limit: int
) -> PageRead:
    """More sessions share one `createdAt` than fit on a page: cut the window on `updatedAt`, lower part first.

    Lower first, because a session that is updated meanwhile moves up, into the part that is read later.
    """
    window, position = cursor.window, cursor.created_from
    if position is None:
        raise AssertionError("a cursor without created_from can always move")
    tied = cursor.tied | {row.session_id for row in fresh} | {row.key for row in odd}
    inner = sorted({floor_ms(row.updated_at) for row in page.rows} - {window.lower})
    at = inner[len(inner) // 2] if inner else window.lower + MILLISECOND
    if window.upper is None or at < window.upper:
        lower, upper = Window(window.lower, at), Window(at, window.upper)
        halves = (replace(cursor, window=lower, tied=tied), replace(cursor, window=upper, tied=tied))
        return PageRead(fresh, halves, page, odd)
    # One millisecond wide in both timestamps: no filter separates these sessions.
    block = _collect_block(fetch, window, position, limit)
    rows = _fresh([row for row in block if isinstance(row, Row)], cursor.tied)
    odd = [row for row in block if isinstance(row, UnreadableRow) and row.key not in cursor.tied]
    rest = replace(cursor, created_from=position + MILLISECOND, tied=frozenset())
    done = cursor.created_until is not None and position + MILLISECOND >= cursor.created_until
    return PageRead(rows, () if done else (rest,), page, odd)


def _collect_block(fetch: FetchPage, updated: Window, created: int, limit: int) -> list[Row | UnreadableRow]:
    """All sessions equal in both timestamps: collected by page numbers in both orders, and accepted only with proof.

    Page numbers prove nothing. So the source itself counts the collected ids, in chunks, and that count is compared with its
    count of the whole block. Only if the two agree has every session been read. Raises SourceInconsistentError otherwise.
    """
    at = Window(created, created + MILLISECOND)
    found: dict[str, Row | UnreadableRow] = {}
    total = 0
    for collection in range(COLLECTIONS):
        number, more = 1, True
        while more:
            order: Order = "ASC" if collection % 2 == 0 else "DESC"
            try:
                page = fetch(Query(updated=updated, created=at, limit=limit, page=number, order=order))
            except SourceRefusedError:
                if number == 1:
                    raise
                break  # some sources refuse a page past the end
            if problem := _violation(page.listed, updated, at.lower, at.upper):
                raise SourceInconsistentError(
                    f"The source ignores a filter: {problem}.", "This window was not claimed as read."
                )
            found.update((_key(row), row) for row in page.listed)
            total, limit = page.total, min(limit, page.limit)
            more = bool(page.listed) and number * limit <= max(total, len(found))
            number += 1
        if found and len(found) >= total and _is_whole(fetch, updated, at, sorted(found)):
            return list(found.values())
        if not found and total == 0 and collection + 1 >= EMPTY_RESPONSES:
            return []  # all of them were updated or deleted meanwhile
    raise SourceInconsistentError(
        f"Of the sessions created at {show(created)} and updated at {show(updated.lower)}, the source counts {total}, "
        f"but {COLLECTIONS} attempts found {len(found)}.",
        "This window was not claimed as read. Run again with a larger --page-size.",
    )


def _is_whole(fetch: FetchPage, updated: Window, created: Window, ids: Sequence[str]) -> bool:
    """Whether the source counts as many sessions in the block as among these ids, and applies the filter on ids at all."""

    def count(some: Sequence[str] = ()) -> int:
        return fetch(Query(updated=updated, created=created, ids=some, limit=1)).total

    if len(ids) > 1 and count(ids[:1]) > 1:
        return False
    whole = count()
    return whole == sum(count(ids[i : i + IDS_A_REQUEST]) for i in range(0, len(ids), IDS_A_REQUEST))


def _name(window: Window) -> str:
    return f"{show(window.lower)} and {show(window.upper) if window.upper is not None else 'now'}"


def encode_cursors(cursors: tuple[Cursor, ...]) -> str:
    """The cursors as JSON, for the ledger."""
    return msgspec.json.encode(
        [(c.window.lower, c.window.upper, c.created_from, sorted(c.tied)) for c in cursors]
    ).decode()


def decode_cursors(stored: list[Any]) -> tuple[Cursor, ...]:
    """The inverse of `encode_cursors`, from decoded JSON."""
    return tuple(
        Cursor(Window(lower, upper), created_from, frozenset(tied))
        for lower, upper, created_from, tied in stored
    )
