"""What people open: a snapshot directory of Parquet files, and `vapi.duckdb`, a small database of views over it.

A snapshot is never touched again once it carries its name; unchanged files are linked into the next one. Readers keep
what they opened, so a publication never blocks them and is never blocked.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from vapi_sessions import faultpoints, resources, schema, timestamps
from vapi_sessions.errors import WarehouseError
from vapi_sessions.paths import literal, pattern
from vapi_sessions.warehouse.files import (
    PARTS,
    link_or_copy,
    make_private,
    opened,
    point_link,
    remove_directory,
    replace_derived,
    sync_directory,
    sync_file,
)
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.refusals import database_errors, disk_errors, link_in_our_place
from vapi_sessions.warehouse.store import Changes, Store

#: A file covers at most this many sessions (ties of one instant apart): what one change costs to publish.
SESSIONS_A_FILE: Final = 8_000
#: Files written side by side: DuckDB's reading and Parquet's writing need no interpreter.
THREADS: Final = 2
#: Columns whose values hardly ever repeat: building a dictionary for them is given up anyway, late.
_DISTINCT: Final = frozenset({"content", "arguments", "result", "content_hash", "tool_call_id"})
#: Rows that are read at a time, fewer where they are large, and bytes after which a row group ends: what is in memory for each
#: file that is being written.
_ROWS_AT_ONCE: Final = 8_192
_LARGE_ROWS_AT_ONCE: Final = 1_024
_GROUP_BYTES: Final = 16_000_000
KEEP: Final = 24 * timestamps.HOUR
KEEP_SNAPSHOTS: Final = 3
#: The fact of the state that says since when each snapshot has been shown, µs.
_SHOWN: Final = "shown"
#: The fact of the state that says that a person was told of what `parquet/latest` lacks.
_NO_LATEST: Final = "told_of_no_links"
#: Name of the DuckDB variable that overrides where the views of `vapi.duckdb` look for the warehouse. It is for those who moved
#: one and open that file directly: `connect` makes views of its own.
ROOT_VARIABLE: Final = "vapi_warehouse"
#: The oldest DuckDB whose file format `vapi.duckdb` has. Most tools have a DuckDB of their own, which opens no newer format.
OLDEST_DUCKDB: Final = "v1.0.0"


def publish(
    store: Store,
    layout: Layout,
    *,
    now: Callable[[], int],
    force: bool = False,
    note: Callable[[str], None] = lambda text: None,
) -> bool:
    """Publish the committed state; returns whether data files were written. `now` gives µs; `note` takes what to tell a person.

    Without changed data only `vapi.duckdb` is built anew, for the ledger's sake. Files of the current snapshot that
    are missing or torn are written again, in a new snapshot; `force` writes everything again, which also mends what
    rotted inside a file. A publication that fails leaves no snapshot behind. Raises WarehouseError.
    """
    faultpoints.reach("publish.begun")
    with disk_errors(layout.parquet):
        _remove_unfinished(store, layout)
    current = store.state().get("snapshot")
    missing = current is None or not _is_directory(layout.parquet / current)
    if force or missing:
        store.run("UPDATE sync.parts SET dirty = true")
    torn = not missing and _mark_torn(store, layout.parquet / str(current))
    changed = missing or torn or store.dirty()
    if changed:
        with disk_errors(layout.parquet):
            current = _publish_snapshot(store, layout, None if missing else current, now)
    with disk_errors(layout.published):
        _publish_views(store, layout, str(current))
        _remove_old_snapshots(store, layout, str(current), now())
        faultpoints.reach("publish.old_removed")
        _point_latest(store, layout, str(current), note)
    faultpoints.reach("publish.latest_swapped")
    return changed


def _publish_snapshot(store: Store, layout: Layout, previous: str | None, now: Callable[[], int]) -> str:
    # Snapshots that the store does not know of, because it was killed or rebuilt, may still be somebody's.
    taken = [_generation(snapshot.name) for snapshot in _snapshots(layout)]
    generation = 1 + max(int(store.state().get("generation", "0")), *taken, 0)
    name = f"{timestamps.to_datetime(now()):%Y%m%dT%H%M%SZ}-{generation:06d}"
    target, draft = layout.parquet / name, layout.parquet / f".{name}.tmp"
    try:
        written = _write_snapshot(store, layout, previous, draft, generation)
        faultpoints.reach("publish.snapshot_drafted")
        draft.rename(target)
        sync_directory(layout.parquet)
        faultpoints.reach("publish.snapshot_renamed")
        store.note_publication(
            written, {"snapshot": name, "generation": str(generation), "published_at": str(now())}
        )
    except BaseException:  # nobody has seen it; if it was noted all the same, the next publication misses it
        _discard(draft, target)
        raise
    faultpoints.reach("publish.snapshot_noted")
    return name


def _write_snapshot(
    store: Store, layout: Layout, previous: str | None, draft: Path, generation: int
) -> list[dict[str, object]]:
    """All files of a snapshot; returns the ranges that were written, as `note_publication` takes them."""
    draft.mkdir(mode=0o700)
    for table in schema.TABLES:
        (draft / table.name).mkdir(mode=0o700)
    _split_large_parts(store)
    faultpoints.reach("publish.split")
    parts = store.rows(
        "SELECT epoch_us(lower_bound), epoch_us(upper_bound), file, tables, dirty FROM sync.parts ORDER BY lower_bound"
    )
    stale: list[tuple[int, int]] = []
    for lower, upper, file, tables, dirty in parts:
        month = _month(lower)
        if not dirty and previous is not None:
            files = [Path(table, month, f"{file}.parquet") for table in tables.split(",") if table]
            if all((layout.parquet / previous / path).exists() for path in files):
                for path in files:
                    (draft / path).parent.mkdir(mode=0o700, exist_ok=True)
                    link_or_copy(layout.parquet / previous / path, draft / path)
                continue
        stale.append((lower, upper))

    heavy = store.heavy  # asked here, because the threads may use cursors of the store only

    def write(part: tuple[int, int]) -> dict[str, object]:
        return _write_part(store, draft, generation, *part, heavy=heavy)

    if len(stale) > 1 and THREADS > 1 and not heavy:
        with ThreadPoolExecutor(THREADS, "publish") as pool:
            written = list(pool.map(write, stale))
    else:
        written = [write(part) for part in stale]
    for table in schema.TABLES:
        if not any((draft / table.name).glob(PARTS)):  # a glob over the directory must find a schema
            _write_empty(table, draft / table.name / "created_month=1970-01" / "empty.parquet")
    for directory, _, _ in os.walk(draft):
        sync_directory(Path(directory))
    return written


def _is_directory(path: Path) -> bool:
    """Raises WarehouseError for a link: the files of the next snapshot would be linked from where it leads."""
    if path.is_symlink():
        raise link_in_our_place(path)
    return path.is_dir()


def _discard(*directories: Path) -> None:
    for directory in directories:
        if directory.name.startswith("."):
            shutil.rmtree(directory, ignore_errors=True)
        else:  # nobody must find half of it
            with contextlib.suppress(OSError):
                remove_directory(directory)


def torn_files(rows: Callable[[str], list[tuple[Any, ...]]], snapshot: Path) -> list[Path]:
    """Published files that are missing or torn, by what the ledger says of them; `rows(sql)` asks it."""
    return [
        path
        for file, tables, lower in rows(
            "SELECT file, tables, epoch_us(lower_bound) FROM sync.parts WHERE NOT dirty"
        )
        for table in tables.split(",")
        if table
        for path in (snapshot / table / _month(lower) / f"{file}.parquet",)
        if not _looks_whole(path)
    ]


def _mark_torn(store: Store, snapshot: Path) -> bool:
    """Mark the ranges whose published files are missing or torn as stale; returns whether any file is."""
    torn = {path.stem for path in torn_files(store.rows, snapshot)}
    for file in torn:
        store.run("UPDATE sync.parts SET dirty = true WHERE file = ?", [file])
    # A table without a row has a file all the same; where there is none at all, a glob finds no schema.
    return bool(torn) or not all(any((snapshot / t.name).glob(PARTS)) for t in schema.TABLES)


def _looks_whole(path: Path) -> bool:
    """Whether a Parquet file is there with its end, which names its own length: cheap enough to ask each time.

    Raises WarehouseError if the disk does not say: that is no reason to write the file again.
    """
    with disk_errors(path):
        try:
            with opened(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 8))
                end = file.read(8)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link, which is not ours
                return False
            raise
    return end[4:] == b"PAR1" and size >= 12 + int.from_bytes(end[:4], "little")


def _month(lower: int) -> str:
    return f"created_month={timestamps.to_datetime(lower):%Y-%m}"


def _split_large_parts(store: Store) -> None:
    """Cut dirty ranges that hold too many sessions into ranges of about half the bound each."""
    for lower, upper in store.rows(
        "SELECT epoch_us(lower_bound), epoch_us(upper_bound) FROM sync.parts WHERE dirty ORDER BY lower_bound"
    ):
        bounds = [timestamps.to_datetime(lower), timestamps.to_datetime(upper)]
        (count,) = store.rows(
            "SELECT count(*) FROM sessions WHERE created_at >= ? AND created_at < ?", bounds
        )[0]
        if count <= SESSIONS_A_FILE:
            continue
        pieces = -(-count // (SESSIONS_A_FILE // 2))
        cuts = store.rows(
            "SELECT DISTINCT epoch_us(min(created_at)) FROM (SELECT created_at, ntile(?) OVER (ORDER BY created_at) AS piece "
            "FROM sessions WHERE created_at >= ? AND created_at < ?) GROUP BY piece ORDER BY 1",
            [pieces, *bounds],
        )
        edges = [lower, *(cut for (cut,) in cuts if lower < cut < upper), upper]
        with store.transaction():
            store.run("DELETE FROM sync.parts WHERE epoch_us(lower_bound) = ?", [lower])
            for start, end in itertools.pairwise(edges):
                store.run(
                    "INSERT INTO sync.parts VALUES (?, ?, 0, NULL, NULL, true)",
                    [timestamps.to_datetime(start), timestamps.to_datetime(end)],
                )


def _write_part(
    store: Store, draft: Path, generation: int, lower: int, upper: int, *, heavy: bool
) -> dict[str, object]:
    """One file for each table that has rows in the range; returns the range as `note_publication` takes it."""
    file = f"{timestamps.to_datetime(lower):%Y%m%dT%H%M%S%f}-{generation:06d}"
    sessions = 0
    present: list[str] = []
    bounds = [timestamps.to_datetime(lower), timestamps.to_datetime(upper)]
    for table in schema.TABLES:
        columns = ", ".join(column.name for column in table.published)
        # In whatever order: sorting would take as long as all the rest.
        sql = f"SELECT {columns} FROM {table.name} WHERE {table.created_at} >= ? AND {table.created_at} < ?"
        # Sessions hold artifacts and metadata.
        large = table is schema.SESSIONS or heavy
        at_once = _LARGE_ROWS_AT_ONCE if large else _ROWS_AT_ONCE
        with store.batches(sql, bounds, at_once) as (columns_read, batches):
            count = _write(
                columns_read, batches, table, draft / table.name / _month(lower) / f"{file}.parquet"
            )
        if count:
            present.append(table.name)
        if table is schema.SESSIONS:
            sessions = count
    faultpoints.reach("publish.file_written")
    return {"lower": lower, "file": file, "tables": ",".join(present), "sessions": sessions}


def _write_empty(table: schema.Table, target: Path) -> None:
    empty = pa.schema([column.arrow for column in table.published]).empty_table()
    with _parquet(target, table, empty.schema) as writer:
        writer.write_table(empty)


def _write(columns: pa.Schema, batches: Iterator[pa.RecordBatch], table: schema.Table, target: Path) -> int:
    """A file of these rows, if there are any; returns how many. In memory is one row group, with the rows that end it."""
    count, waiting, size = 0, list[pa.RecordBatch](), 0
    first = next(batches, None)
    if first is None:
        return 0
    with _parquet(target, table, columns) as writer:
        for batch in itertools.chain((first,), batches):
            waiting.append(batch)
            size += batch.nbytes
            count += batch.num_rows
            if size >= _GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting, size = [], 0
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting))
    return count


@contextlib.contextmanager
def _parquet(target: Path, table: schema.Table, columns: pa.Schema) -> Iterator[pq.ParquetWriter]:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        with (
            pq.ParquetWriter(
                file,
                columns,
                compression="snappy",  # half of zstd's time for a fifth more bytes, and these are written again and again
                use_dictionary=[
                    c.name for c in table.published if c.type != "JSON" and c.name not in _DISTINCT
                ],
            ) as writer
        ):
            yield writer
        file.flush()
        os.fsync(file.fileno())


def _point_latest(store: Store, layout: Layout, name: str, note: Callable[[str], None]) -> None:
    """Let `parquet/latest` show the snapshot that `vapi.duckdb` shows. Where that is impossible, it is said once."""
    if not point_link(layout.parquet / "latest", name) and _NO_LATEST not in store.state():
        note(
            f"the file system has no symbolic links, so there is no {layout.parquet / 'latest'}: use vapi.duckdb"
        )
        store.note(Changes(state={_NO_LATEST: "true"}))


def _publish_views(store: Store, layout: Layout, snapshot: str) -> None:
    """Build `vapi.duckdb` aside and rename it over the old one."""
    draft = layout.scratch / "vapi.duckdb"
    for left in (draft, _log_of(draft)):  # by a process that died
        left.unlink(missing_ok=True)
    with database_errors(draft), _new_views(store, draft) as origin:
        make_private(draft)
        for table in schema.SYNC_TABLES:
            store.run(f"INSERT INTO sync.{table.name} BY NAME FROM {origin}.sync.{table.name}")
        for table in schema.TABLES:
            root = f"coalesce(getvariable('{ROOT_VARIABLE}'), {literal(pattern(layout.root))})"
            columns = [(column.name, column.type) for column in table.published]
            store.run(view_of(table.name, columns, f"{root} || {literal(below_root(snapshot, table.name))}"))
        store.checkpoint()  # on detaching, a full disk would go unnoticed
    sync_file(draft)
    faultpoints.reach("publish.views_built")
    # By somebody who opened the old one to write in it, and died or is still there: for the new one it would count as damage.
    _log_of(layout.published).unlink(missing_ok=True)
    replace_derived(draft, layout.published)
    sync_directory(layout.root)
    faultpoints.reach("publish.views_renamed")


def _log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}.wal")


@contextlib.contextmanager
def _new_views(store: Store, draft: Path) -> Iterator[str]:
    """A new `vapi.duckdb`, current while inside, with the tables of `sync`, empty, and the views of `sql/views`; yields the name
    of the store's own database.

    Those views name the tables dozens of times, and a view is bound when it is made: over the tables' own views that would
    open files each time. So they are made over empty tables of the same columns, which then give way.
    """
    with store.attached(draft, made_for=OLDEST_DUCKDB) as origin:
        store.run("CREATE SCHEMA sync")
        for table in schema.SYNC_TABLES:
            store.run(table.ddl("sync"))
        for table in schema.TABLES:
            columns = ", ".join(f"{c.name} {c.type}" for c in table.published)
            store.run(f"CREATE TABLE {table.name} ({columns})")
        for file in resources.sql_files("views"):
            store.run(file.read_text("utf-8"))
        for table in schema.TABLES:
            store.run(f"DROP TABLE {table.name}")
        yield origin


def view_of(table: str, columns: Iterable[tuple[str, str]], files: str) -> str:
    """The statement that makes a table's view: its columns with their types, and SQL for the pattern of its files."""
    selected = ", ".join(
        f'"{name}"::JSON AS "{name}"' if kind == "JSON" else f'"{name}"' for name, kind in columns
    )
    return f"CREATE OR REPLACE VIEW {table} AS SELECT {selected} FROM read_parquet({files}, hive_partitioning = false)"


def below_root(snapshot: str, table: str) -> str:
    """The pattern of a table's files, from the warehouse on."""
    return f"/parquet/{snapshot}/{table}/{PARTS}"


def _remove_unfinished(store: Store, layout: Layout) -> None:
    """Drop what a process that died had not shown to anybody: drafts, and snapshots newer than the one that `vapi.duckdb` shows.

    The snapshot that the state names stays, shown or not. Where nobody can say what is shown, nothing goes.
    """
    for draft in layout.parquet.glob(".*.tmp"):
        if draft.is_dir() and not draft.is_symlink():
            _discard(draft)
    facts = store.state()
    newest = max(map(_generation, _times_shown(facts)), default=0)
    newer = [
        s for s in _snapshots(layout) if _generation(s.name) > newest and s.name != facts.get("snapshot")
    ]
    if newer and (shown := _shown(store, layout)):
        _discard(*(snapshot for snapshot in newer if _generation(snapshot.name) > _generation(shown)))


def _times_shown(facts: Mapping[str, str]) -> dict[str, int]:
    """Since when each snapshot has been shown, µs."""
    return msgspec.json.decode(facts.get(_SHOWN, "{}"), type=dict[str, int])


def _shown(store: Store, layout: Layout) -> str | None:
    """The snapshot that `vapi.duckdb` shows; None if there is none, or that cannot be told."""
    try:
        with store.attached(layout.published, read_only=True):
            return str(store.rows("SELECT value FROM sync.state WHERE key = 'snapshot'")[0][0])
    except (WarehouseError, duckdb.Error, IndexError):
        return None


def _remove_old_snapshots(store: Store, layout: Layout, current: str, now: int) -> None:
    """Drop snapshots that nobody can have opened for a day, except the newest three.

    A snapshot is opened until another one is shown, however old it is by then: where little changes, or where runs die
    between a snapshot and its views, for days. So the state remembers since when `vapi.duckdb` has shown each.
    """
    present = _snapshots(layout)
    noted = _times_shown(store.state())
    shown = {current: now} | {s.name: noted[s.name] for s in present if s.name in noted}
    if shown != noted:
        store.note(Changes(state={_SHOWN: msgspec.json.encode(shown).decode()}))
    opened = max((_generation(name) for name, since in shown.items() if since < now - KEEP), default=0)
    for snapshot in present[:-KEEP_SNAPSHOTS]:
        if snapshot.name != current and _generation(snapshot.name) < opened:
            _discard(snapshot)


def _snapshots(layout: Layout) -> list[Path]:
    """Ours, oldest first: others' directories are left alone, and are none of those that are kept."""
    return sorted(
        p for p in layout.parquet.iterdir() if _is_ours(p.name) and p.is_dir() and not p.is_symlink()
    )


def _generation(name: str) -> int:
    number = name.partition("-")[2]
    return int(number) if number.isdecimal() else 0


def _is_ours(name: str) -> bool:
    """Whether a snapshot of that name can be one: others are left alone."""
    try:
        datetime.strptime(name.split("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True
