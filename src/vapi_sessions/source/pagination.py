"""Read one window of `updatedAt` completely, although the list changes while it is read.

The source sorts on `createdAt` only and pages by offset, so a session that is updated between two pages leaves the
window and shifts all later rows: page numbers lose rows. The walk instead asks, again and again, for the *first* page
of `updatedAt in window and createdAt >= c, in order of createdAt`, and moves `c` to the last row's `createdAt`.

Why nothing is lost. `createdAt` never changes, and one response is one snapshot. Claim: every session that stays in
the window during the walk and has `createdAt < c` has been read. It holds at the start. A response to `createdAt >= c`
in ascending order returns all rows of `[c, c')`, where `c'` is the last row's `createdAt` (rows at `c'` itself may have
been cut off, which is why `c'` is asked for again, inclusively). Sessions that leave the window or are deleted only
shorten later responses; they cannot hide one that stays. Unstable order among equal `createdAt` matters only at `c'`.
The walk ends when a response is short *and* says itself that there is no more; each alone can be wrong. An empty one says
both and shows nothing, so it takes several.

A window is closed before it is read (its end lies a settling delay in the past), so nothing enters it; the window that
is open to the right may grow, and what enters it during the walk is not claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import msgspec

from vapi_sessions.core.intervals import BEGINNING, Window
from vapi_sessions.core.timestamps import MILLISECOND, floor_ms, show
from vapi_sessions.errors import SourceInconsistentError, SourceRefusedError
from vapi_sessions.source.client import Order, Page, Query
from vapi_sessions.transform.headers import Row, UnreadableRow

#: How often an answer that contradicts itself is asked for again (rows and count may come from two statements).
PATIENCE: Final = 3
#: So many answers have to say that there is nothing before it is believed, because an empty list fits any question: a replica
#: that is being filled gives it to some requests and not to others. Two that are wrong may come together.
WITNESSES: Final = 3
#: Ids in one `idAny`: 100 UUIDs make a URL of 4 kB, which servers and proxies commonly accept.
IDS_A_REQUEST: Final = 100
#: How often a block of sessions equal in both timestamps is collected before giving up; shuffled ties need several.
COLLECTIONS: Final = 40

#: How many are named where nothing can be read for their sake.
IDS_NAMED: Final = 20

#: Every moment: for readings that are not about `updatedAt`.
ALWAYS: Final = Window(BEGINNING, None)

FetchPage: TypeAlias = Callable[[Query], Page]


@dataclass(frozen=True, slots=True)
class Cursor:
    """What is left of a window: `updatedAt in window and createdAt >= created_from` (µs; None: from the beginning).

    `tied` are the ids already read whose `createdAt`, to the millisecond, is `created_from`: they come again.
    `created_until` bounds `createdAt` from above, for readings that are not about `updatedAt` at all.
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
    """One advance: the rows read for the first time in this walk, and all that is then left (empty: complete).

    `unreadable` rows come again with each page if they have no `createdAt`.
    """

    rows: list[Row]
    left: tuple[Cursor, ...]
    page: Page
    unreadable: list[UnreadableRow] = field(default_factory=list)


def walk(
    fetch: FetchPage, cursors: Sequence[Cursor], *, limit: int | Callable[[], int]
) -> Iterator[PageRead]:
    """Read the pieces in order. After any step the walk can be abandoned and resumed later from `left`.

    `limit` is the page size asked for, or what gives it before each step. Raises SourceInconsistentError when answers
    contradict the request or each other for longer than a passing fault would, and whatever `fetch` raises.
    """
    left = tuple(cursors)
    while left:
        cursor, rest = left[0], left[1:]
        size = limit if isinstance(limit, int) else limit()
        step = _advance(fetch, cursor, size)
        left = step.left + rest
        yield PageRead(step.rows, left, step.page, step.unreadable)
        del step  # its page need not stay in memory until the next one has arrived


def _advance(fetch: FetchPage, cursor: Cursor, limit: int) -> PageRead:
    """One step of one piece; `left` of the result is what remains of this piece alone."""
    contradiction, empty = "", 0
    for _ in range(1 + PATIENCE):
        page = fetch(
            Query(
                updated=cursor.window,
                created=cursor.created,
                limit=limit,
            )
        )
        rows = page.listed
        if problem := _violation(rows, cursor.window, cursor.created_from, cursor.created_until):
            contradiction = problem
            continue
        if page.count == 0 and (empty := empty + 1) < WITNESSES:
            contradiction = "now and then an empty list"
            continue
        distinct = len({_key(row) for row in rows})
        if page.total < distinct or (distinct < len(rows) and page.total > distinct):
            contradiction = f"{len(rows)} rows of {distinct} sessions, and a count of {page.total}"
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
            contradiction = f"a page of {len(rows)} sessions without createdAt hides all others ({names})"
            continue
        position = created[-1]
        if cursor.created_from is None or position > cursor.created_from:
            if created[0] == position and _any_before(fetch, cursor, position, limit):
                contradiction = (
                    "the sessions are not in the order asked for"  # which a page of ties cannot show
                )
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
        contradiction = f"{len(rows)} sessions on a page for {limit}, but a count of {page.total}"
    raise SourceInconsistentError(
        f"The source contradicts itself between {_name(cursor.window)}: {contradiction}.",
        "Nothing of this window was claimed. Run again; if it stays, something between here and the source is at fault.",
    )


def _is_the_end(shown: int, distinct: int, total: int, limit: int) -> bool:
    """Whether a response is short and says itself that there is no more: each alone can be wrong.

    `shown` rows of `distinct` sessions on a page for `limit`, and a count of `total`.
    """
    return shown < limit and total <= distinct


def _any_before(fetch: FetchPage, cursor: Cursor, position: int, limit: int) -> bool:
    created = Window(BEGINNING if cursor.created_from is None else cursor.created_from, position)
    return counted(fetch, Query(updated=cursor.window, created=created, limit=1), limit)[0] > 0


def counted(fetch: FetchPage, query: Query, limit: int) -> tuple[int, Page]:
    """How many sessions the source counts there, by several witnesses if none; and the answer.

    What has no `createdAt` was created neither before nor after anything, and does not count: of such a source a page of
    `limit` rows is asked for.
    """
    page = witnessed(lambda: fetch(query))
    if any(row.created_at is None for row in page.unreadable):
        page = fetch(replace(query, limit=limit))
    return page.count - sum(row.created_at is None for row in page.unreadable), page


def witnessed(ask: Callable[[], Page]) -> Page:
    """An answer that counts something, or the last one when all witnesses agree that there is nothing.

    That nothing should be there is what another answer means: the first witness.
    """
    page = ask()
    for _ in range(WITNESSES - 2):
        page = page if page.count else ask()
    return page


def _violation(
    rows: Sequence[Row | UnreadableRow],
    window: Window,
    created_from: int | None,
    created_until: int | None = None,
) -> str:
    """What is wrong with a response that ignores a filter or the order, to the millisecond; "" if nothing is."""
    previous = created_from if created_from is not None else -(1 << 62)
    for row in rows:
        if row.updated_at is not None and (updated := floor_ms(row.updated_at)) not in window:
            return f"a session updated at {show(updated)} lies outside the window asked for"
        if row.created_at is None:
            continue
        created = floor_ms(row.created_at)
        if created_from is not None and created < created_from:
            return f"a session created at {show(created)} lies before the bound asked for"
        if created_until is not None and created >= created_until:
            return f"a session created at {show(created)} lies behind the bound asked for"
        if created < previous:
            return "the sessions are not in the order asked for"
        previous = created
    return ""


def _fresh(rows: Sequence[Row], known: frozenset[str]) -> list[Row]:
    """Rows not read before; of an id repeated within one response the newest version."""
    newest: dict[str, Row] = {}
    for row in rows:
        if row.session_id not in known:
            kept = newest.get(row.session_id)
            if kept is None or row.updated_at > kept.updated_at:
                newest[row.session_id] = row
    return list(newest.values())


def _key(row: Row | UnreadableRow) -> str:
    """What tells a row from the others of a walk."""
    return row.session_id if isinstance(row, Row) else row.key


def _cut(
    fetch: FetchPage, cursor: Cursor, page: Page, fresh: list[Row], odd: list[UnreadableRow], limit: int
) -> PageRead:
    """More sessions share one `createdAt` than fit on a page: cut the window on `updatedAt`, lower part first.

    Lower first, because a session updated meanwhile moves up, into the part that is still to be read.
    """
    window, position = cursor.window, cursor.created_from
    if position is None:
        raise AssertionError("a piece without a cursor always advances")
    tied = cursor.tied | {row.session_id for row in fresh} | {row.key for row in odd}
    inner = sorted({floor_ms(row.updated_at) for row in page.rows} - {window.lower})
    at = inner[len(inner) // 2] if inner else window.lower + MILLISECOND
    if window.upper is None or at < window.upper:
        lower, upper = Window(window.lower, at), Window(at, window.upper)
        parts = (replace(cursor, window=lower, tied=tied), replace(cursor, window=upper, tied=tied))
        return PageRead(fresh, parts, page, odd)
    # One millisecond wide in both timestamps: no filter separates these sessions.
    block = _collect_block(fetch, window, position, limit)
    rows = _fresh([row for row in block if isinstance(row, Row)], cursor.tied)
    odd = [row for row in block if isinstance(row, UnreadableRow) and row.key not in cursor.tied]
    rest = replace(cursor, created_from=position + MILLISECOND, tied=frozenset())
    done = cursor.created_until is not None and position + MILLISECOND >= cursor.created_until
    return PageRead(rows, () if done else (rest,), page, odd)


def _collect_block(fetch: FetchPage, updated: Window, created: int, limit: int) -> list[Row | UnreadableRow]:
    """All sessions equal in both timestamps: collected by page numbers in both orders, accepted only on proof.

    Page numbers prove nothing, so the ids collected are counted by the source itself, in chunks, against its count of
    the whole block. Only if the two agree has every session been read. Raises SourceInconsistentError otherwise.
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
                    f"The source ignores a filter: {problem}.", "Nothing of this window was claimed."
                )
            found.update((_key(row), row) for row in page.listed)
            total, limit = page.total, min(limit, page.limit)
            more = bool(page.listed) and number * limit <= max(total, len(found))
            number += 1
        if found and len(found) >= total and _is_whole(fetch, updated, at, sorted(found)):
            return list(found.values())
        if not found and total == 0 and collection + 1 >= WITNESSES:
            return []  # all of them were updated or deleted meanwhile
    raise SourceInconsistentError(
        f"{total} sessions were created at {show(created)} and updated at {show(updated.lower)}, and reading them "
        f"{COLLECTIONS} times found {len(found)}.",
        "Nothing of this window was claimed. Run again with a larger --page-size.",
    )


def _is_whole(fetch: FetchPage, updated: Window, created: Window, ids: Sequence[str]) -> bool:
    """Whether the source counts as many sessions in the block as among these ids, and looks at ids at all."""

    def count(some: Sequence[str] = ()) -> int:
        return fetch(Query(updated=updated, created=created, ids=some, limit=1)).total

    if len(ids) > 1 and count(ids[:1]) > 1:
        return False
    whole = count()
    return whole == sum(count(ids[i : i + IDS_A_REQUEST]) for i in range(0, len(ids), IDS_A_REQUEST))


def _name(window: Window) -> str:
    return f"{show(window.lower)} and {show(window.upper) if window.upper is not None else 'now'}"


def encode_cursors(cursors: tuple[Cursor, ...]) -> str:
    """What is left of a window, as JSON."""
    return msgspec.json.encode(
        [(p.window.lower, p.window.upper, p.created_from, sorted(p.tied)) for p in cursors]
    ).decode()


def decode_cursors(stored: list[Any]) -> tuple[Cursor, ...]:
    """The inverse of `encode_pieces`, after JSON decoding."""
    return tuple(
        Cursor(Window(lower, upper), created_from, frozenset(tied))
        for lower, upper, created_from, tied in stored
    )
