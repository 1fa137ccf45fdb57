"""Mistakes in reading a window: paging, filters, ends, ties."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from vapi_sessions.core.intervals import BEGINNING, Window
from vapi_sessions.core.timestamps import MILLISECOND, floor_ms
from vapi_sessions.errors import SourceInconsistentError
from vapi_sessions.source import page, pagination
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.page import Page
from vapi_sessions.source.pagination import Cursor, FetchPage, PageRead
from vapi_sessions.transform.headers import read_session

from .planting import Planting, mutant

Limit = int | Callable[[], int]


def _size(limit: Limit) -> int:
    return limit if isinstance(limit, int) else limit()


# -- another walk


@mutant("page numbers instead of a keyset")
def page_numbers(planting: Planting) -> None:
    def walk_by_numbers(
        inner: Any, fetch: FetchPage, cursors: Sequence[Cursor], *, limit: Limit
    ) -> Iterator[PageRead]:
        for place, cursor in enumerate(cursors):
            number, read, total = 0, 0, 1
            while read < total:
                number, size = number + 1, _size(limit)
                answer = fetch(Query(updated=cursor.window, created=cursor.created, limit=size, page=number))
                read, total = number * size, answer.total
                planting.changed()
                rest = tuple(cursors[place + 1 :])
                left = rest if read >= total else (cursor, *rest)
                yield PageRead(answer.rows, left, answer, answer.unreadable)

    planting.around(pagination, "walk", walk_by_numbers)


@mutant("reading backwards, exclusively, with ties")
def backwards(planting: Planting) -> None:
    def walk_backwards(
        inner: Any, fetch: FetchPage, cursors: Sequence[Cursor], *, limit: Limit
    ) -> Iterator[PageRead]:
        for place, cursor in enumerate(cursors):
            upper, done, empty = cursor.created_until, False, 0
            while not done:
                bounded = upper is not None or cursor.created_from is not None
                created = Window(cursor.created_from or BEGINNING, upper) if bounded else None
                size = _size(limit)
                answer = fetch(Query(updated=cursor.window, created=created, limit=size, order="DESC"))
                done = len(answer.rows) < size and answer.total <= len(answer.rows)
                planting.changed()
                empty += not done and not answer.rows
                if empty > pagination.PATIENCE:
                    raise SourceInconsistentError("The source counts sessions and shows none.", "Run again.")
                upper = floor_ms(answer.rows[-1].created_at) if answer.rows else upper
                rest = tuple(cursors[place + 1 :])
                yield PageRead(answer.rows, rest if done else (cursor, *rest), answer, answer.unreadable)

    planting.around(pagination, "walk", walk_backwards)


# -- filters


@mutant("Gt instead of Ge on createdAt")
def created_exclusively(planting: Planting) -> None:
    _exclusively(planting, "createdAt")


@mutant("Gt instead of Ge on updatedAt")
def updated_exclusively(planting: Planting) -> None:
    _exclusively(planting, "updatedAt")


def _exclusively(planting: Planting, name: str) -> None:
    def params(inner: Any, query: Query) -> list[tuple[str, str]]:
        right = inner(query)
        return planting.swap(
            right, [(f"{name}Gt" if key == f"{name}Ge" else key, text) for key, text in right]
        )

    planting.around(Query, "params", params)


@mutant("filter violations ignored", "faults")
def violations_ignored(planting: Planting) -> None:
    planting.around(pagination, "_violation", lambda inner, *given: planting.swap(inner(*given), ""))


@mutant("the order of a page is not checked", "faults")
def order_ignored(planting: Planting) -> None:
    def violation(inner: Any, rows: Sequence[Any], *bounds: Any) -> str:
        in_order = sorted(rows, key=lambda row: BEGINNING if row.created_at is None else row.created_at)
        return planting.swap(inner(rows, *bounds), inner(in_order, *bounds))

    planting.around(pagination, "_violation", violation)


# -- the cursor


def _advanced(planting: Planting, move: Callable[[Cursor, PageRead], Cursor]) -> None:
    """Change where the cursor moves when it advances to an instant whose rows were read."""

    def advance(inner: Any, fetch: FetchPage, cursor: Cursor, limit: int) -> PageRead:
        page_read: PageRead = inner(fetch, cursor, limit)
        left = page_read.left
        if len(left) == 1 and left[0].window == cursor.window and left[0].tied:
            return replace(page_read, left=planting.swap(left, (move(left[0], page_read),)))
        return page_read

    planting.around(pagination, "_advance", advance)


@mutant("the cursor moves past its own instant")
def past_its_instant(planting: Planting) -> None:
    def move(left: Cursor, page_read: PageRead) -> Cursor:
        return replace(left, created_from=(left.created_from or BEGINNING) + MILLISECOND)

    _advanced(planting, move)


@mutant("no floor to the millisecond", "micro")
def no_floor(planting: Planting) -> None:
    def move(left: Cursor, page_read: PageRead) -> Cursor:
        cursor = next(row.created_at for row in reversed(page_read.page.listed) if row.created_at is not None)
        return replace(
            left, created_from=cursor, tied=left.tied if cursor == left.created_from else frozenset()
        )

    _advanced(planting, move)


# -- the end


def _end(planting: Planting, rule: Callable[[int, int, int, int], bool]) -> None:
    planting.around(
        pagination, "_is_the_end", lambda inner, *given: planting.swap(inner(*given), rule(*given))
    )


@mutant("a short page is the end", "faults")
def short_is_the_end(planting: Planting) -> None:
    _end(planting, lambda shown, distinct, total, limit: shown < limit)


@mutant("totalItems alone is the end", "faults")
def total_is_the_end(planting: Planting) -> None:
    _end(planting, lambda shown, distinct, total, limit: total <= distinct)


@mutant("an empty page is the end", "faults")
def empty_is_the_end(planting: Planting) -> None:
    _end(planting, lambda shown, distinct, total, limit: not shown or (shown < limit and total <= distinct))


@mutant("one empty list is enough", "faults")
def one_witness(planting: Planting) -> None:
    _witnesses(planting, 1)


@mutant("two empty lists are enough", "faults")
def two_witnesses(planting: Planting) -> None:
    _witnesses(planting, 2)


def _witnesses(planting: Planting, enough: int) -> None:
    """Stop asking after `enough` empty lists: the last one is used again."""

    def advance(inner: Any, fetch: FetchPage, cursor: Cursor, limit: int) -> PageRead:
        empty: list[Page] = []

        def asked(query: Query) -> Page:
            if (query.updated, query.created, query.limit) != (cursor.window, cursor.created, limit):
                return fetch(query)
            if len(empty) >= enough:
                planting.changed()
                return empty[-1]
            answer = fetch(query)
            if answer.count == 0:
                empty.append(answer)
            return answer

        page_read: PageRead = inner(asked, cursor, limit)
        return page_read

    planting.around(pagination, "_advance", advance)


@mutant("a body that does not parse means no rows", "faults")
def broken_means_empty(planting: Planting) -> None:
    def split(inner: Any, body: bytes) -> tuple[page.Metadata, list[bytes]]:
        try:
            metadata, bodies = inner(body)
            for one in bodies:
                read_session(one)
        except (ValueError, RecursionError):
            planting.changed()
            return page.Metadata(totalItems=0, itemsPerPage=0), []
        return metadata, bodies

    planting.around(page, "split", split)


# -- ties and repetitions


@mutant("the older state of a repeated row is kept", "faults")
def older_state(planting: Planting) -> None:
    def fresh(inner: Any, rows: Sequence[Any], known: frozenset[str]) -> list[Any]:
        oldest: dict[str, Any] = {}
        for row in rows:
            kept = oldest.get(row.session_id)
            if kept is None or row.updated_at < kept.updated_at:
                oldest[row.session_id] = row
        return planting.swap(inner(rows, known), inner(list(oldest.values()), known))

    planting.around(pagination, "_fresh", fresh)


@mutant("the upper part of a cut window first", "traffic")
def upper_first(planting: Planting) -> None:
    def cut(inner: Any, *given: Any) -> PageRead:
        page_read: PageRead = inner(*given)
        return replace(page_read, left=planting.swap(page_read.left, page_read.left[::-1]))

    planting.around(pagination, "_cut", cut)


class _EnoughError(Exception):
    pass


@mutant("a block of ties accepted without proof")
def ties_without_proof(planting: Planting) -> None:
    def collect(inner: Any, fetch: FetchPage, updated: Window, created: int, limit: int) -> list[Any]:
        found: dict[str, Any] = {}

        def until_read_once(query: Query) -> Page:
            if found and query.page == 1:  # the proof begins, or the collection starts again
                raise _EnoughError
            answer = fetch(query)
            found.update((getattr(row, "key", row.session_id), row) for row in answer.listed)
            return answer

        try:
            return list(inner(until_read_once, updated, created, limit))
        except _EnoughError:
            planting.changed()
            return list(found.values())

    planting.around(pagination, "_collect_block", collect)
