"""Mistakes in what is committed, in which order, and in what is published."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock
from weakref import WeakKeyDictionary

from vapi_sessions import ledger, load, schema
from vapi_sessions.load import Loader, Recovery
from vapi_sessions.merge import Known, Resolution
from vapi_sessions.plan import PlannedWindow
from vapi_sessions.warehouse import publish, raw
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.store import Changes, Store
from vapi_sessions.windows import IntervalSet

from .planting import Planting, mutant

# -- what a batch claims


@dataclass(slots=True)
class _Taken:
    """What a loader took in: all windows so far, and of the batch that it collects now the windows and the newest value."""

    every: list[PlannedWindow] = field(default_factory=list)
    windows: list[PlannedWindow] = field(default_factory=list)
    newest: int = 0


def _claims(planting: Planting, wrong: Any) -> None:
    """Each batch claims `wrong(changes, taken)`."""
    taken: WeakKeyDictionary[Loader, _Taken] = WeakKeyDictionary()

    def add(inner: Any, loader: Loader, index: int, planned: PlannedWindow, treated: Any) -> None:
        one = taken.setdefault(loader, _Taken())
        one.every.append(planned)
        one.windows.append(planned)
        one.newest = max(
            [one.newest, *(o.updated_at for o in treated.observations if o.updated_at is not None)]
        )
        inner(loader, index, planned, treated)

    def changes(inner: Any, loader: Loader) -> Changes:
        right: Changes = inner(loader)
        one = taken.get(loader, _Taken())
        made: Changes = planting.swap(right, wrong(right, one))
        one.windows, one.newest = [], 0
        return made

    planting.around(Loader, "add", add)
    planting.around(Loader, "_changes", changes)


@mutant("the newest value seen is the watermark")
def newest_value(planting: Planting) -> None:
    def wrong(changes: Changes, taken: _Taken) -> Changes:
        lowest = min((planned.window.lower for planned in taken.every), default=taken.newest)
        return replace(changes, claims=IntervalSet([(lowest, taken.newest)]))

    _claims(planting, wrong)


@mutant("a window is claimed before it is read to its end", "stops in batches")
def claimed_before_its_end(planting: Planting) -> None:
    def wrong(changes: Changes, taken: _Taken) -> Changes:
        claims = IntervalSet(planned.claim for planned in taken.windows if planned.claim is not None)
        return replace(changes, claims=claims, settled=claims - changes.unsettled)

    _claims(planting, wrong)


# -- in which order things become durable


@mutant("the watermark is written before the rows", "stops")
def watermark_first(planting: Planting) -> None:
    def commit(inner: Any, loader: Loader, batch: Any) -> None:
        planting.changed(when=bool(batch.changes.claims))
        loader._store.note(batch.changes)
        inner(loader, batch)

    planting.around(Loader, "_commit", commit)


@mutant("raw written after the merge", "stops")
def raw_after_merge(planting: Planting) -> None:
    later: list[tuple[Any, ...]] = []

    class Raw:
        """The module, but for `write`."""

        def __getattr__(self, name: str) -> Any:
            return getattr(raw, name)

        def write(self, *given: Any) -> None:
            later.append(given)

    def commit(inner: Any, loader: Loader, batch: Any) -> None:
        later.clear()
        inner(loader, batch)
        for given in later:
            planting.changed()
            raw.write(*given)

    planting.instead(load, "raw", Raw())
    planting.around(Loader, "_commit", commit)


@mutant("raw files that were not merged are left alone", "stops")
def unmerged_left_alone(planting: Planting) -> None:
    def recover(inner: Any, store: Store, layout: Layout, **named: Any) -> Recovery:
        unmerged = {path.name for path in raw.files(layout.raw)} - store.merged_files()
        planting.changed(when=bool(unmerged))
        with mock.patch.object(raw, "files", return_value=[]):
            recovery: Recovery = inner(store, layout, **named)
        return recovery

    planting.around(load, "recover", recover)


@mutant("requests are numbered anew in each run")
def numbered_anew(planting: Planting) -> None:
    def begin(inner: Any, numbers: ledger.RequestNumbers, first: int) -> None:
        inner(numbers, planting.swap(first, 1))

    planting.around(ledger.RequestNumbers, "__init__", begin)


# -- what a transaction holds


def _on_touching(planting: Planting, wrong: Any) -> None:
    """While a batch is merged, `wrong(inner, store, created, resolution, known)` notes which ranges became stale: the last thing
    before its progress is noted.
    """
    merging: list[tuple[Resolution, Mapping[str, Known]]] = []

    def merge(
        inner: Any, store: Store, resolution: Resolution, tables: Any, known: Any, changes: Any
    ) -> None:
        merging.append((resolution, known))
        try:
            inner(store, resolution, tables, known, changes)
        finally:
            merging.clear()

    def touch(inner: Any, store: Store, created: Collection[int]) -> None:
        if merging:
            wrong(inner, store, created, *merging[-1])
        else:
            inner(store, created)

    planting.around(Store, "merge", merge)
    planting.around(Store, "touch", touch)


@mutant("rows and progress in separate transactions", "stops")
def two_transactions(planting: Planting) -> None:
    def touch(inner: Any, store: Store, created: Collection[int], *given: Any) -> None:
        inner(store, created)
        planting.changed()
        store._db.commit()
        store._db.begin()

    _on_touching(planting, touch)


@mutant("marks are not published", "published")
def marks_unpublished(planting: Planting) -> None:
    def touch(
        inner: Any, store: Store, created: Collection[int], resolution: Resolution, known: Mapping[str, Known]
    ) -> None:
        others = {version.created_at for version in resolution.versions}
        rewritten = {version.session_id for version in resolution.versions} | resolution.earlier.keys()
        others |= {known[key].created_at for key in rewritten if key in known}
        inner(store, planting.swap(set(created), set(created) & others))

    _on_touching(planting, touch)


@mutant("a changed file is not published again", "published")
def changed_file_unpublished(planting: Planting) -> None:
    def touch(inner: Any, store: Store, created: Collection[int]) -> None:
        parts = store.rows("SELECT epoch_us(lower_bound), epoch_us(upper_bound), dirty FROM sync.parts")
        planting.changed(
            when=any(lower <= at < upper and not dirty for at in created for lower, upper, dirty in parts)
        )
        inner(store, {at for at in created if not any(lower <= at < upper for lower, upper, _ in parts)})

    planting.around(Store, "touch", touch)


@mutant("children are not replaced as a set")
def children_stay(planting: Planting) -> None:
    def delete(inner: Any, store: Store, sessions: Mapping[str, int]) -> None:
        planting.changed(when=bool(sessions))
        with mock.patch.object(schema, "TABLES", schema.TABLES[:1]):
            inner(store, sessions)

    planting.around(Store, "_delete", delete)


# -- what is published


@mutant("publication in place", "published")
def in_place(planting: Planting) -> None:
    """The files of a new snapshot take the place of those that are shown."""

    def snapshot(inner: Any, store: Store, layout: Layout, previous: str | None, now: Any) -> str:
        name: str = inner(store, layout, previous, now)
        if previous is None:
            return name
        planting.changed()
        shutil.rmtree(layout.parquet / previous)
        (layout.parquet / name).rename(layout.parquet / previous)
        store.note(Changes(state={"snapshot": previous}))
        return previous

    planting.around(publish, "_publish_snapshot", snapshot)


@mutant("rows are published twice")
def published_twice(planting: Planting) -> None:
    def write(inner: Any, columns: Any, batches: Iterator[Any], table: schema.Table, target: Path) -> int:
        count: int = inner(columns, (batch for batch in batches for _ in range(2)), table, target)
        planting.changed(when=count > 0)
        return count // 2

    planting.around(publish, "_write", write)


@mutant("a snapshot goes when three are newer", "published")
def snapshot_goes_early(planting: Planting) -> None:
    def remove(inner: Any, store: Store, layout: Layout, *given: Any) -> None:
        before = publish._snapshots(layout)
        with mock.patch.object(publish, "KEEP", -(10**18)):  # longer ago than in the future
            inner(store, layout, *given)
        planting.changed(when=len(publish._snapshots(layout)) < len(before))

    planting.around(publish, "_remove_old_snapshots", remove)
