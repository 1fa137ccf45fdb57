"""Simpler readers lose rows in the same model, so the model can detect a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from walks import PAGE, WINDOW, lost, plain, read, source

import source_faults
from source_model import SourceModel, busy
from vapi_sessions.core.intervals import Window
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.page import Page


def page_numbers(fetch: Callable[[Query], Page], limit: int) -> set[str]:
    """A reader by page numbers: 1, 2, 3, … until a page is short."""
    ids: set[str] = set()
    for number in range(1, 1000):
        page = fetch(Query(updated=WINDOW, limit=limit, page=number))
        ids |= {row.session_id for row in page.rows}
        if len(page.rows) < limit:
            break
    return ids


def keyset(fetch: Callable[[Query], Page], limit: int, *, ends: Callable[[Page], bool]) -> set[str]:
    """A reader by createdAt that relies on one sign of the end."""
    ids: set[str] = set()
    cursor: Window | None = None
    for _ in range(1000):
        page = fetch(Query(updated=WINDOW, created=cursor, limit=limit))
        ids |= {row.session_id for row in page.rows}
        if ends(page):
            break
        if page.rows:
            cursor = Window(page.rows[-1].created_at, None)
    return ids


def losses(reader: Callable[[SourceModel], Iterable[str]], **switches: object) -> int:
    """The number of sources, of 40, in which the reader loses a session that stayed."""
    return sum(
        lost(model, reader(model)) > 0 for model in (source(seed, plain, **switches) for seed in range(40))
    )


def test_page_numbers_lose_rows_under_traffic() -> None:
    """Nearly always, under traffic in which the walk loses none."""
    assert losses(lambda model: page_numbers(model.fetch, PAGE), traffic=busy()) > 35
    assert losses(lambda model: page_numbers(model.fetch, PAGE)) == 0
    assert losses(read, traffic=busy()) == 0


def test_ending_on_a_short_page_loses_rows() -> None:
    """A page size capped by the server, or a truncated page, ends such a reader early."""

    def reader(model: SourceModel) -> set[str]:
        return keyset(model.fetch, PAGE, ends=lambda page: len(page.rows) < PAGE)

    assert losses(reader) == 0
    assert losses(reader, page_cap=PAGE - 1) == 40
    assert losses(reader, faults=[source_faults.short_page], fault_rate=0.2) > 30
    assert losses(read, page_cap=PAGE - 1) == 0


def test_ending_on_an_empty_page_loses_rows() -> None:
    """One response without its rows ends such a reader early."""

    def reader(model: SourceModel) -> set[str]:
        return keyset(model.fetch, PAGE, ends=lambda page: not page.rows or page.total <= len(page.rows))

    assert losses(reader) == 0
    assert losses(reader, faults=[source_faults.empty_page], fault_rate=0.2) > 30


def test_ending_on_the_count_alone_loses_rows() -> None:
    """A count that is too small ends such a reader early."""

    def reader(model: SourceModel) -> set[str]:
        return keyset(model.fetch, PAGE, ends=lambda page: page.total <= len(page.rows))

    assert losses(reader) == 0
    assert losses(reader, faults=[source_faults.low_total], fault_rate=0.2) > 10
    assert losses(read, faults=[source_faults.low_total], fault_rate=0.2) == 0
