"""Mistakes in what is committed, in which order, and with which numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock
from weakref import WeakKeyDictionary

from vapi_sessions.core import ledger
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.operations import recovery, window_buffer
from vapi_sessions.operations.coordinator import Coordinator
from vapi_sessions.operations.recovery import Recovery
from vapi_sessions.source.pagination import PageRead
from vapi_sessions.source.windows import PlannedWindow
from vapi_sessions.transform import resolve as resolving
from vapi_sessions.transform.resolve import Known, Resolution
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout

from .planting import Planting, mutant

# -- what a batch claims


@dataclass(slots=True)
class _Taken:
    """The lowest bound of the windows that a coordinator has taken in, and their newest `updatedAt`."""

    lowest: int | None = None
    newest: int = 0


@mutant("the newest value seen is the watermark")
def newest_value(planting: Planting) -> None:
    taken: WeakKeyDictionary[Coordinator, _Taken] = WeakKeyDictionary()

    def add(
        inner: Any, coordinator: Coordinator, number: int, planned: PlannedWindow, page_read: PageRead
    ) -> None:
        one = taken.setdefault(coordinator, _Taken())
        lower = planned.window.lower
        one.lowest = lower if one.lowest is None else min(one.lowest, lower)
        one.newest = max([one.newest, *(row.updated_at for row in page_read.rows)])
        inner(coordinator, number, planned, page_read)

    def changes(inner: Any, coordinator: Coordinator, window: Any) -> Changes:
        right: Changes = inner(coordinator, window)
        one = taken.get(coordinator)
        if one is None or one.lowest is None:
            return right
        return planting.swap(right, replace(right, claims=IntervalSet([(one.lowest, one.newest)])))

    planting.around(Coordinator, "add", add)
    planting.around(Coordinator, "_changes", changes)


@mutant("a window is claimed before it is read to its end", "stops in batches")
def claimed_before_its_end(planting: Planting) -> None:
    def changes(inner: Any, coordinator: Coordinator, window: Any) -> Changes:
        right: Changes = inner(coordinator, window)
        if window is None or window.planned.claim is None:
            return right
        claims = IntervalSet([window.planned.claim])
        return planting.swap(right, replace(right, claims=claims, settled=claims - right.unsettled))

    planting.around(Coordinator, "_changes", changes)


@mutant("a window is claimed although its rows could not be stored", "stops")
def claimed_after_a_loss(planting: Planting) -> None:
    """Storing goes on after a batch that failed, and the next batch claims the window without the lost rows."""

    def store(inner: Any, coordinator: Coordinator, *given: Any) -> None:
        planting.changed(when=coordinator._broken is not None)
        coordinator._broken = None
        inner(coordinator, *given)

    def flush(inner: Any, coordinator: Coordinator) -> None:
        planting.changed(when=coordinator._broken is not None)
        coordinator._broken = None
        inner(coordinator)

    planting.around(Coordinator, "_store", store)
    planting.around(Coordinator, "flush", flush)


# -- the order in which things become durable


@mutant("the watermark is written before the rows", "stops")
def watermark_first(planting: Planting) -> None:
    """A window is claimed before its rows are stored."""

    def changes(inner: Any, coordinator: Coordinator, window: Any) -> Changes:
        made: Changes = inner(coordinator, window)
        planting.changed(when=bool(made.claims))
        coordinator._index.record(made)
        return made

    planting.around(Coordinator, "_changes", changes)


class _Raw:
    """The module `raw` with another `write`."""

    def __init__(self, write: Callable[..., Any]) -> None:
        self.write = write

    def __getattr__(self, name: str) -> Any:
        return getattr(raw, name)


def _after_the_commit(planting: Planting, later: list[Callable[[], Any]]) -> None:
    """Put the calls of `later` off until the rows of the batch are committed to the index."""

    def store(inner: Any, *given: Any) -> Any:
        later.clear()
        stored = inner(*given)
        planting.changed(when=bool(later))
        return stored

    def commit(inner: Any, *given: Any) -> None:
        inner(*given)
        for rest in later:
            rest()
        later.clear()

    planting.around(window_buffer.WindowBuffer, "store", store)
    planting.around(Coordinator, "_commit", commit)


@mutant("raw written after the merge", "stops")
def raw_after_merge(planting: Planting) -> None:
    later: list[Callable[[], Any]] = []
    planting.instead(window_buffer, "raw", _Raw(lambda *given: later.append(lambda: raw.write(*given))))
    _after_the_commit(planting, later)


@mutant("the index is committed before the raw file has its name", "stops")
def named_after_merge(planting: Planting) -> None:
    """After a kill in between, the file is removed as unfinished."""
    later: list[Callable[[], Any]] = []

    def write(directory: Any, name: str, *given: Any) -> Any:
        path = raw.write(directory, name, *given)
        unnamed = path.rename(directory / f".{name}.tmp")
        later.append(lambda: unnamed.rename(path))
        return path

    planting.instead(window_buffer, "raw", _Raw(write))
    _after_the_commit(planting, later)


@mutant("raw files that were not merged are ignored", "stops")
def unmerged_ignored(planting: Planting) -> None:
    def recover(inner: Any, index: Index, layout: Layout, **named: Any) -> Recovery:
        unmerged = {path.name for path in raw.files(layout.raw)} - index.merged_files()
        planting.changed(when=bool(unmerged))
        with mock.patch.object(raw, "files", return_value=[]):
            found: Recovery = inner(index, layout, **named)
        return found

    planting.around(recovery, "recover", recover)


# -- numbers


@mutant("request numbers start again in each run")
def requests_start_again(planting: Planting) -> None:
    def begin(inner: Any, numbers: ledger.RequestNumbers, first: int) -> None:
        inner(numbers, planting.swap(first, 1))

    planting.around(ledger.RequestNumbers, "__init__", begin)


@mutant("the next request number is stored once a run")
def next_number_stored_once(planting: Planting) -> None:
    first: WeakKeyDictionary[Coordinator, str] = WeakKeyDictionary()

    def changes(inner: Any, coordinator: Coordinator, window: Any) -> Changes:
        right: Changes = inner(coordinator, window)
        number = first.setdefault(coordinator, right.state["next_seq"])
        return planting.swap(right, replace(right, state={**right.state, "next_seq": number}))

    planting.around(Coordinator, "_changes", changes)


@mutant("batch numbers start again in each run")
def batches_start_again(planting: Planting) -> None:
    def next_batch(inner: Any, index: Index) -> int:
        if index._next_batch is None:
            index._next_batch = planting.swap(inner(index), 1)
        return index._next_batch

    planting.around(Index, "next_batch", next_batch)


@mutant("all batches of a run have the same number")
def batches_of_one_number(planting: Planting) -> None:
    """The first number is used for all."""
    first: WeakKeyDictionary[Index, int] = WeakKeyDictionary()

    def next_batch(inner: Any, index: Index) -> int:
        right: int = inner(index)
        return planting.swap(right, first.setdefault(index, right))

    planting.around(Index, "next_batch", next_batch)


# -- what a transaction contains

Touched = Iterable[tuple[int, frozenset[str]]]


@mutant("rows and progress in separate transactions", "stops")
def two_transactions(planting: Planting) -> None:
    merging: list[Index] = []

    def merge_rows(inner: Any, index: Index, *given: Any) -> None:
        merging.append(index)
        try:
            inner(index, *given)
        finally:
            merging.clear()

    def touch(inner: Any, index: Index, changes: Touched) -> None:
        inner(index, changes)
        if merging:  # the last write before the progress
            planting.changed()
            index._db.commit()
            index._db.begin()

    planting.around(Index, "merge", merge_rows)
    planting.around(Index, "touch", touch)


@mutant("tombstones are not published", "published")
def tombstones_unpublished(planting: Planting) -> None:
    def resolve(inner: Any, sightings: Any, known: Mapping[str, Known], *given: Any, **named: Any) -> Any:
        result: Resolution = inner(sightings, known, *given, **named)
        for name in result.dirty.keys() - result.won:
            if result.held[name] == replace(known[name], tombstone=result.held[name].tombstone):
                planting.changed()
                del result.dirty[name]
        return result

    planting.around(resolving, "resolve", resolve)


@mutant("a changed file is not published again", "published")
def changed_file_unpublished(planting: Planting) -> None:
    def touch(inner: Any, index: Index, changes: Touched) -> None:
        parts = index.parts()
        new: list[tuple[int, frozenset[str]]] = []
        for moment, tables in changes:
            within = [part for part in parts if part.lower <= moment < part.upper]
            planting.changed(when=any(tables - part.dirty for part in within))
            if not within:
                new.append((moment, tables))
        inner(index, new)

    planting.around(Index, "touch", touch)
