"""Removes sessions from every file of the warehouse, and rewrites `raw/` with a stricter sanitizer.

Each function can be repeated: files that are done are recognised and skipped. So an erasure that was killed is completed by
starting it again. Only inside the writer's lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout

# ---------------------------------------------------------------------------------------------------------------------
# raw/


def observations(path: Path) -> list[Observation | Unreadable]:
    """All rows of a raw file."""
    return [observation for rows in raw.read(path) for observation in rows]


def bodies(layout: Layout) -> Iterator[Observation | Unreadable]:
    """All observations in `raw/` that have a body. Torn files are skipped. Raises WarehouseError."""
    for path in raw.files(layout.raw):
        with contextlib.suppress(WarehouseDamagedError):
            for rows in raw.read(path):
                yield from (one for one in rows if one.body)


def in_raw(layout: Layout, forgotten: Callable[[str], bool]) -> set[str]:
    """The forgotten sessions in `raw/`. Torn files are skipped. Raises WarehouseError."""
    found = set[str]()
    for path in raw.files(layout.raw):
        with contextlib.suppress(WarehouseDamagedError):
            found |= {name for name in raw.session_ids(path) if forgotten(name)}
    return found


def from_raw(layout: Layout, doomed: Callable[[str], bool], ids: Iterable[str] = ()) -> int:
    """Rewrite the raw files with such sessions without them; returns the number of removed rows.

    Names and progress stay, so nothing is downloaded again. Only an open window whose cursors name one of `ids` has to be read
    again. A torn file may hold anything, so it is emptied; its name stays, to show that observations are missing.
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
        except WarehouseDamagedError:
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
    """The progress with windows superseded whose cursors name one of these sessions."""
    windows = [
        {**window, "verdict": "superseded", "left_to_read": None}
        if any(name in (window.get("left_to_read") or "") for name in names)
        else window
        for window in progress.get("windows", ())
    ]
    return {**progress, "windows": windows} if "windows" in progress else dict(progress)


def sanitize_raw(layout: Layout, sanitizer: Sanitizer) -> tuple[int, tuple[str, ...]]:
    """Rewrite every raw file that was sanitized less strictly, and put torn ones aside; returns the number of files, and the torn ones.

    The newest file is the last, so while that one is unchanged, the rewriting is known to be incomplete.
    """
    done = 0
    whole: list[tuple[int, Path]] = []
    torn: list[str] = []
    for path in raw.files(layout.raw):
        try:
            whole.append((raw.first_request(path), path))
        except WarehouseDamagedError:
            torn.append(raw.put_aside(path).name)
    for _, path in sorted(whole):
        try:
            progress = raw.read_progress(path)
            if not sanitizer.is_stricter(progress.get("state", {}).get(STATE)):
                continue
            _write_sanitized(path, layout.raw, sanitizer, progress)
        except WarehouseDamagedError:
            torn.append(raw.put_aside(path).name)
            continue
        done += 1
        faultpoints.reach("tighten.raw_written")
    return done, tuple(torn)


def sanitized_copies(
    raw_files: Iterable[Path], directory: Path, sanitizer: Sanitizer, forgotten: Callable[[str], bool]
) -> None:
    """Write these raw files to another directory, sanitized and without forgotten sessions. Those that are missing are skipped.

    Raises WarehouseError.
    """
    for path in raw_files:
        try:
            _write_sanitized(path, directory, sanitizer, raw.read_progress(path), forgotten)
        except WarehouseError:
            if path.exists():  # else it is missing, or a writer has removed it meanwhile
                raise


def _write_sanitized(
    path: Path,
    directory: Path,
    sanitizer: Sanitizer,
    progress: Mapping[str, Any],
    forgotten: Callable[[str], bool] = lambda session_id: False,
) -> None:
    rows = [row for row in observations(path) if not forgotten(row.session_id)]
    sanitized = iter(sanitizer.page([row.body for row in rows if row.body]))
    rows = [replace(row, body=next(sanitized)) if row.body else row for row in rows]
    state = {**progress.get("state", {}), **sanitizer.state}
    raw.write(directory, path.name, rows, {**progress, "state": state})


# ---------------------------------------------------------------------------------------------------------------------
# Snapshots and databases that were put aside


def customers(layout: Layout, snapshot: str | None) -> Iterator[tuple[Any, ...]]:
    """session_id, created_at (µs) and the customer's columns of all sessions in a snapshot. Damaged files are skipped."""
    columns = ["session_id", "created_at", *CUSTOMER_COLUMNS.values()]
    for path in visible((layout.parquet / snapshot / schema.SESSIONS.name).glob(PARTS)) if snapshot else ():
        with contextlib.suppress(pa.ArrowException, OSError):
            table = pq.read_table(path, columns=columns)
            created = table.column("created_at").cast(pa.int64())
            table = table.set_column(1, "created_at", created)
            yield from zip(*(column.to_pylist() for column in table.columns), strict=True)


def in_database(index: Index, path: Path, forgotten: Callable[[str], bool]) -> bool:
    """Whether a database that was put aside holds a forgotten session, or cannot be read."""
    if path.suffix == ".wal":  # the log of such a database
        return False
    try:
        with index.attached(path, read_only=True):
            return any(
                forgotten(session_id) for (session_id,) in index.rows("SELECT session_id FROM sessions")
            )
    except (WarehouseError, duckdb.Error):
        return True


def files_held(layout: Layout) -> str:
    """A hash of the files that can hold a session. It changes when such a file is added, removed or replaced."""
    known = [f"{path.name} {path.stat().st_size}" for path in raw.files(layout.raw)]
    known += [path.name for path in (*snapshots(layout), *put_aside(layout))]
    return hashlib.sha256("\n".join(known).encode("utf-8", "surrogateescape")).hexdigest()


def snapshots_with(layout: Layout, forgotten: Callable[[str], bool]) -> list[Path]:
    """The snapshots that hold a forgotten session in any table, or are damaged. Raises WarehouseError."""
    verdicts: dict[tuple[int, int], bool] = {}  # by file: one file is linked into many snapshots
    found = []
    with published_errors(layout.root), duckdb.connect() as db:
        for snapshot in snapshots(layout):
            for path in visible(snapshot.glob("*/*/*.parquet")):
                try:
                    stat = path.stat()
                except FileNotFoundError:  # a caller without the lock: a writer has removed it
                    continue
                if (file := (stat.st_dev, stat.st_ino)) not in verdicts:
                    ids = _ids(db, layout, path)
                    verdicts[file] = ids is None or any(map(forgotten, ids))
                if verdicts[file]:
                    found.append(snapshot)
                    break
    return found


def _ids(db: duckdb.DuckDBPyConnection, layout: Layout, path: Path) -> list[str] | None:
    """The sessions in a published file; None if it is damaged."""
    try:
        with published_errors(layout.root):
            found = db.execute("SELECT DISTINCT session_id FROM read_parquet(?)", [pattern(path)]).fetchall()
    except (WarehouseDamagedError, duckdb.Error):
        return None
    return [session_id for (session_id,) in found]


def snapshots(layout: Layout) -> list[Path]:
    """The snapshots and copies of them under other names, sorted by name. Other directories do not count."""
    return sorted(
        path
        for path in layout.parquet.iterdir()
        if not path.is_symlink() and any((path / table.name).is_dir() for table in schema.TABLES)
    )


def put_aside(layout: Layout) -> list[Path]:
    """Databases that version 0.1.0 put aside when it rebuilt, with their logs."""
    return sorted(layout.root.glob("store.*.duckdb.old*"))


def by_products(layout: Layout, unwanted: Iterable[Path] = ()) -> list[str]:
    """Remove these snapshots, databases that were put aside, and drafts; returns the names of the removed files."""
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
