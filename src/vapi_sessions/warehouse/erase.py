"""Takes sessions out of every file of the warehouse, and puts every file through a stricter treatment.

All of it is repeatable: a file that is done is recognised and left alone, so an erasure that was killed is completed by
beginning it again. Only inside the writer's lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from vapi_sessions import schema
from vapi_sessions.core import faultpoints
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import PARTS, remove_directory, sync_directory, visible
from vapi_sessions.core.paths import pattern
from vapi_sessions.errors import WarehouseDamagedError, WarehouseError
from vapi_sessions.privacy.sanitizer import STATE, Sanitizer
from vapi_sessions.transform.resolve import Observation, Unreadable
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.customers import CUSTOMER_COLUMNS
from vapi_sessions.warehouse.database_errors import published_errors
from vapi_sessions.warehouse.index import ALL_TABLES, Index
from vapi_sessions.warehouse.layout import Layout


def observations(path: Path) -> list[Observation | Unreadable]:
    """All rows of a raw file."""
    return [observation for part in raw.read(path) for observation in part]


def bodies(layout: Layout) -> Iterator[Observation | Unreadable]:
    """All observations in `raw/` that have a body; torn files are passed over. Raises WarehouseError."""
    for path in raw.files(layout.raw):
        with contextlib.suppress(WarehouseDamagedError):
            for part in raw.read(path):
                yield from (one for one in part if one.body)


def from_raw(layout: Layout, doomed: Callable[[str], bool], ids: Iterable[str] = ()) -> int:
    """Write the raw files that hold such sessions again without them; returns how many rows went.

    Names and progress stay, so nothing is read again; a window that was left in the middle at one of `ids` is read anew.
    Torn files, of which nobody knows what they hold, are emptied and keep their names, which say that something lacks.
    """
    erased = 0
    names = set(ids)
    for path in raw.files(layout.raw):
        try:
            progress = raw.read_progress(path)
            held = {name for name in raw.session_ids(path) if doomed(name)}
            if not held and _without_ids(progress, names) == progress:
                continue
            rows = observations(path)
        except WarehouseDamagedError:  # nobody can tell what it holds: put aside, and emptied below
            raw.put_aside(path)
            continue
        kept = [row for row in rows if row.session_id not in held]
        names |= held
        raw.write(layout.raw, path.name, kept, _without_ids(progress, names))
        erased += len(rows) - len(kept)
        faultpoints.reach("erase.raw_written")
    raw.empty_torn(layout.raw)
    return erased


def _without_ids(progress: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    windows = [
        {**window, "verdict": "superseded", "left_to_read": None}
        if any(name in (window.get("left_to_read") or "") for name in names)
        else window
        for window in progress.get("windows", ())
    ]
    return {**progress, "windows": windows} if "windows" in progress else dict(progress)


def sanitize_raw(layout: Layout, sanitizer: Sanitizer) -> int:
    """Put every raw file that went through less through this treatment; returns how many were written again.

    The newest is the last: as long as it is as it was, the whole is known not to be done.
    """
    done = 0
    for _, path in sorted((raw.first_request(path), path) for path in raw.files(layout.raw)):
        progress = raw.read_progress(path)
        state = progress.get("state", {})
        if not sanitizer.is_stricter(state.get(STATE)):
            continue
        rows = observations(path)
        bodies = iter(sanitizer.page([row.body for row in rows if row.body]))
        sanitized = [replace(row, body=next(bodies)) if row.body else row for row in rows]
        raw.write(layout.raw, path.name, sanitized, {**progress, "state": {**state, **sanitizer.state}})
        done += 1
        faultpoints.reach("tighten.raw_written")
    return done


def from_index(index: Index, ids: Sequence[str]) -> int:
    """Delete sessions; returns how many there were. What they were published in becomes stale."""
    held = index.rows(
        "SELECT session_id, epoch_us(created_at) FROM sessions WHERE session_id IN (SELECT unnest(?::VARCHAR[]))",
        [list(ids)],
    )
    with index.transaction():
        for table in ("sessions", "sync.unreadable"):
            index.run(f"DELETE FROM {table} WHERE session_id IN (SELECT unnest(?::VARCHAR[]))", [list(ids)])
        index.touch((created, ALL_TABLES) for _, created in held)
        for session_id in ids:
            index.run(
                "UPDATE sync.windows SET verdict = CASE verdict WHEN 'open' THEN 'superseded' ELSE verdict END, "
                "left_to_read = NULL WHERE contains(left_to_read, ?)",
                [session_id],
            )
    return len(held)


#: What an index knows and `raw/` does not. The rest of it, its batches and parts among them, is derived.
_LEDGER = (schema.RUNS, schema.WINDOWS, schema.INTERVALS, schema.STATE)


def adopt_ledger(index: Index, other: Path, tables: Sequence[schema.Table] = _LEDGER) -> None:
    """Take these tables over from another database, which may be of an earlier version: rows are derived from raw, these are not."""
    with index.attached(other, read_only=True) as home, index.transaction():
        for table in tables:
            index.run(f"DELETE FROM {home}.sync.{table.name}")
            index.run(f"INSERT INTO {home}.sync.{table.name} BY NAME FROM sync.{table.name}")
        index.run(
            f"UPDATE {home}.sync.state SET value = ? WHERE key = 'schema_version'",
            [str(schema.SCHEMA_VERSION)],
        )


def adopt_runs(index: Index, others: Iterable[Path]) -> None:
    """Take the record of runs over from the first of these databases that is there and can be read."""
    for other in others:
        if not other.exists():
            continue
        with contextlib.suppress(WarehouseError, duckdb.Error):
            adopt_ledger(index, other, [schema.RUNS])
            return


def customers(layout: Layout, snapshot: str | None) -> Iterator[tuple[Any, ...]]:
    """session_id, created_at (µs) and the customer's columns of all sessions in a snapshot; damaged files are passed over."""
    columns = ["session_id", "created_at", *CUSTOMER_COLUMNS.values()]
    for path in visible((layout.parquet / snapshot / schema.SESSIONS.name).glob(PARTS)) if snapshot else ():
        with contextlib.suppress(pa.ArrowException, OSError):
            table = pq.read_table(path, columns=columns)
            created = table.column("created_at").cast(pa.int64())
            table = table.set_column(1, "created_at", created)
            yield from zip(*(column.to_pylist() for column in table.columns), strict=True)


def in_raw(layout: Layout, forgotten: Callable[[str], bool]) -> set[str]:
    """The sessions in `raw/` that were forgotten; torn files are passed over. Raises WarehouseError."""
    found = set[str]()
    for path in raw.files(layout.raw):
        with contextlib.suppress(WarehouseDamagedError):
            found |= {name for name in raw.session_ids(path) if forgotten(name)}
    return found


def in_database(index: Index, path: Path, forgotten: Callable[[str], bool]) -> bool:
    """Whether a database that was put aside holds a session that was forgotten, or cannot be read."""
    if path.suffix == ".wal":  # belongs to another one
        return False
    try:
        with index.attached(path, read_only=True):
            return any(
                forgotten(session_id) for (session_id,) in index.rows("SELECT session_id FROM sessions")
            )
    except (WarehouseError, duckdb.Error):
        return True


def files_held(layout: Layout) -> str:
    """A hash of which files could hold a session: changes when one comes, goes or is replaced, by whomever."""
    known = [f"{path.name} {path.stat().st_size}" for path in raw.files(layout.raw)]
    known += [path.name for path in (*snapshots(layout), *put_aside(layout))]
    return hashlib.sha256("\n".join(known).encode("utf-8", "surrogateescape")).hexdigest()


def snapshots_with(layout: Layout, forgotten: Callable[[str], bool]) -> list[Path]:
    """The published snapshots of which any table holds a session, or is damaged, which is treated as if it did.

    Raises WarehouseError.
    """
    verdicts: dict[tuple[int, int], bool] = {}  # a file is linked into many snapshots
    found = []
    with published_errors(layout.root), duckdb.connect() as db:
        for snapshot in snapshots(layout):
            for path in visible(snapshot.glob("*/*/*.parquet")):
                try:
                    stat = path.stat()
                except FileNotFoundError:  # removed meanwhile, where no lock is held
                    continue
                if (file := (stat.st_dev, stat.st_ino)) not in verdicts:
                    ids = _ids(db, layout, path)
                    verdicts[file] = ids is None or any(map(forgotten, ids))
                if verdicts[file]:
                    found.append(snapshot)
                    break
    return found


def _ids(db: duckdb.DuckDBPyConnection, layout: Layout, path: Path) -> list[str] | None:
    """The sessions of which a published file holds rows; None if it is damaged."""
    try:
        with published_errors(layout.root):
            found = db.execute("SELECT DISTINCT session_id FROM read_parquet(?)", [pattern(path)]).fetchall()
    except (WarehouseDamagedError, duckdb.Error):
        return None
    return [session_id for (session_id,) in found]


def snapshots(layout: Layout) -> list[Path]:
    """The published snapshots, oldest first, and copies of them under other names; nothing else that somebody put there."""
    return sorted(
        path
        for path in layout.parquet.iterdir()
        if not path.is_symlink() and any((path / table.name).is_dir() for table in schema.TABLES)
    )


def put_aside(layout: Layout) -> list[Path]:
    """Databases of before a rebuild, with their logs."""
    return sorted(layout.root.glob("store.*.duckdb.old*"))


def by_products(layout: Layout, unwanted: Iterable[Path] = ()) -> list[str]:
    """Remove these snapshots, databases that were put aside, and drafts; returns the names of what went."""
    removed = []
    with disk_errors(layout.root):
        for path in unwanted:
            remove_directory(path)
            removed.append(str(path.relative_to(layout.root)))
            faultpoints.reach("erase.snapshot_removed")
        for path in put_aside(layout):
            path.unlink()
            removed.append(path.name)
        for draft in (
            *layout.parquet.glob(".*.tmp"),
            *layout.raw.glob(".*.tmp"),
            *layout.scratch.glob("*"),
            *layout.staging.glob("*"),
        ):
            with contextlib.suppress(FileNotFoundError):
                if draft.is_dir() and not draft.is_symlink():
                    shutil.rmtree(draft)
                else:
                    draft.unlink()
        sync_directory(layout.parquet)
        sync_directory(layout.root)
    return removed
