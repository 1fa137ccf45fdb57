"""Mistakes in what is published: which rows a part has, and which snapshots are kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from vapi_sessions import schema
from vapi_sessions.warehouse import parts, retention, staging
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Keep, Layout
from vapi_sessions.warehouse.parts import Heads, PartInputs
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.staging import StagedBatch, Staging

from .planting import Planting, mutant

#: The engine compares the row counts of these tables with the index and derives what differs, so mistakes show only in others.
_COUNTED = (schema.SESSIONS, schema.MESSAGES)

Rows = Iterator[pa.RecordBatch]


# -- the rows of a part


@mutant("children are not replaced as a set", "published")
def children_stay(planting: Planting) -> None:
    """Old children stay beside the new ones in a part that is written again."""

    def rows(
        inner: Any, table: schema.Table, heads: Heads, lower: int, upper: int, source: PartInputs
    ) -> Rows:
        yield from inner(table, heads, lower, upper, source)
        if table in _COUNTED or source.old is None:
            return
        replaced = {
            name: at for batch, places in heads.places.items() if batch for name, at in places.items()
        }
        for path in source.old.get(table.name, ()):
            for batch in parts._read(path, table):
                for old in parts._chosen(table, batch, replaced, heads):
                    planting.changed()
                    yield old

    planting.around(parts, "_rows", rows)


@mutant("a part is written again without its unchanged rows", "published")
def unchanged_left_out(planting: Planting) -> None:
    def rows(
        inner: Any, table: schema.Table, heads: Heads, lower: int, upper: int, source: PartInputs
    ) -> Rows:
        old = source.old.get(table.name, ()) if source.old is not None else ()
        if table in _COUNTED or not old:
            return inner(table, heads, lower, upper, source)  # type: ignore[no-any-return]
        planting.changed(when=0 in heads.places)
        return inner(table, heads, lower, upper, replace(source, old={}))  # type: ignore[no-any-return]

    planting.around(parts, "_rows", rows)


@mutant("staged rows of a losing version are published", "published")
def loser_published(planting: Planting) -> None:
    """The rows of the first batch are used if several batches have staged a session."""

    def rows(
        inner: Any, table: schema.Table, heads: Heads, lower: int, upper: int, source: PartInputs
    ) -> Rows:
        if table in _COUNTED:
            return inner(table, heads, lower, upper, source)  # type: ignore[no-any-return]
        staged: dict[str, int] = {}
        for batch in sorted(source.staged.keys() & heads.unpublished):
            for name in _staged(source.staged[batch], lower, upper):
                staged.setdefault(name, batch)
        right = heads.column("batch").to_pylist()
        names = heads.column("session_id").to_pylist()
        wrong = [
            staged.get(name, batch) if batch in heads.unpublished else batch
            for name, batch in zip(names, right, strict=True)
        ]
        at = heads.table.schema.get_field_index("batch")
        column = pa.array(planting.swap(right, wrong), heads.table.schema.field(at).type)
        other = replace(heads, table=heads.table.set_column(at, "batch", column))
        return inner(table, other, lower, upper, source)  # type: ignore[no-any-return]

    planting.around(parts, "_rows", rows)


def _staged(staged: Iterable[StagedBatch], lower: int, upper: int) -> Iterator[str]:
    for staged_batch in staged:
        for batch in staged_batch.rows(schema.SESSIONS, lower, upper):
            yield from batch.column("session_id").to_pylist()


@mutant("rows are published twice")
def published_twice(planting: Planting) -> None:
    def write(inner: Any, batches: Rows, table: schema.Table, target: Path) -> bool:
        written: bool = inner((batch for batch in batches for _ in range(2)), table, target)
        planting.changed(when=written)
        return written

    planting.around(parts, "_write", write)


@mutant("staged files of a dead run are used", "stops")
def stale_staging_used(planting: Planting) -> None:
    """Staging is not emptied, and a missing file means that there are no rows."""

    def begin(inner: Any, cls: type[Staging], directory: Path) -> Staging:
        if not directory.exists():
            return inner(cls, directory)  # type: ignore[no-any-return]
        for derived in directory.glob("derived-*"):  # named by a number alone, without a run
            derived.unlink()
        return cls(directory)

    def publish_all(inner: Any, publisher: Publisher, **named: Any) -> bool:
        held = publisher.staging
        for batch, file in publisher.index.unpublished().items():
            if batch not in held.batches and (found := _found(held.directory, file.removesuffix(".parquet"))):
                planting.changed()
                held.add(batch, found)
        return inner(publisher, **named)  # type: ignore[no-any-return]

    planting.around(Staging, "begin", begin)
    planting.around(Publisher, "publish", publish_all)


def _found(directory: Path, name: str) -> StagedBatch | None:
    """A staged batch of the files that exist."""
    files: dict[str, Path] = {}
    ends: dict[str, Any] = {}
    for table in schema.TABLES:
        path = directory / f"{name}.{table.name}.arrow"
        if path.exists():
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                rows = reader.read_all()
            if table is schema.SESSIONS:
                owners = rows.column("session_id")
                created = rows.column("created_at").cast(pa.int64()).to_pylist()
            files[table.name] = path
            counts = staging._counts(rows.column("session_id"), owners)
            ends[table.name] = staging.array("q", staging.accumulate(counts))
    if schema.SESSIONS.name not in files:
        return None
    return StagedBatch(
        files, staging.array("q", created), ends, sum(path.stat().st_size for path in files.values())
    )


# -- snapshots


@mutant("publication in place", "published")
def in_place(planting: Planting) -> None:
    """The files of a new snapshot replace those of the old one."""

    def snapshot(inner: Any, publisher: Publisher, previous: str | None, *given: Any) -> str:
        name: str = inner(publisher, previous, *given)
        if previous is None:
            return name
        planting.changed()
        parquet = publisher.layout.parquet
        shutil.rmtree(parquet / previous)
        (parquet / name).rename(parquet / previous)
        publisher.index.record(Changes(state={"snapshot": previous}))
        return previous

    planting.around(Publisher, "_snapshot", snapshot)


@mutant("a snapshot is removed when three are newer", "published")
def snapshot_removed_early(planting: Planting) -> None:
    def remove(inner: Any, index: Index, layout: Layout, *given: Any) -> None:
        before = retention.snapshots(layout)
        inner(index, replace(layout, keep=Keep(span=-(10**18))), *given)  # every snapshot is too old
        planting.changed(when=len(retention.snapshots(layout)) < len(before))

    planting.around(retention, "remove_old_snapshots", remove)
