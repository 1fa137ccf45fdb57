"""Takes sessions out of every file of the warehouse, and puts every file through a stricter treatment.

All of it is repeatable: a file that is done is recognised and left alone, so an erasure that was killed is completed by
beginning it again. Only inside the writer's lock.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from vapi_sessions import faultpoints, schema
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.merge import Observation, Unreadable
from vapi_sessions.paths import pattern
from vapi_sessions.timestamps import to_datetime
from vapi_sessions.treatment import STATE, Treatment
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.files import sync_directory, visible
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.refusals import disk_errors, published_errors
from vapi_sessions.warehouse.store import Store


def observations(path: Path) -> list[Observation | Unreadable]:
    """All rows of a raw file."""
    return [observation for part in raw.read(path) for observation in part]


def from_raw(
    layout: Layout, doomed: Callable[[Observation | Unreadable], bool], ids: Iterable[str] = ()
) -> int:
    """Write the raw files that hold such rows again without them; returns how many rows went.

    Names and progress stay, so nothing is read again; a window that was left in the middle at one of `ids` is read anew.
    Torn files, of which nobody knows what they hold, are emptied and keep their names, which say that something lacks.
    """
    erased = 0
    names = set(ids)
    for path in raw.files(layout.raw):
        try:
            rows = observations(path)
            progress = raw.read_progress(path)
        except WarehouseDamagedError:  # nobody can tell what it holds: put aside, and emptied below
            raw.put_aside(path)
            continue
        kept = [row for row in rows if not doomed(row)]
        names |= {row.session_id for row in rows} - {row.session_id for row in kept}
        scrubbed = _without_ids(progress, names)
        if len(kept) < len(rows) or scrubbed != progress:
            raw.write(layout.raw, path.name, kept, scrubbed)
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


def treat_raw(layout: Layout, treatment: Treatment) -> int:
    """Put every raw file that went through less through this treatment; returns how many were written again.

    The newest is the last: as long as it is as it was, the whole is known not to be done.
    """
    done = 0
    for _, path in sorted((raw.first_request(path), path) for path in raw.files(layout.raw)):
        progress = raw.read_progress(path)
        state = progress.get("state", {})
        if not treatment.is_stricter(state.get(STATE)):
            continue
        rows = observations(path)
        bodies = iter(treatment.page([row.body for row in rows if row.body]))
        treated = [replace(row, body=next(bodies)) if row.body else row for row in rows]
        raw.write(layout.raw, path.name, treated, {**progress, "state": {**state, **treatment.state}})
        done += 1
        faultpoints.reach("tighten.raw_written")
    return done


def from_store(store: Store, ids: Sequence[str]) -> int:
    """Delete sessions with all their rows; returns how many there were. What they were published in becomes stale."""
    held = store.rows(
        "SELECT session_id, epoch_us(created_at) FROM sessions WHERE session_id IN (SELECT unnest(?::VARCHAR[]))",
        [list(ids)],
    )
    store.make_room(len(held))
    with store.transaction():
        for table in schema.TABLES:
            store.run(
                f"DELETE FROM {table.name} WHERE session_id IN (SELECT unnest(?::VARCHAR[]))", [list(ids)]
            )
        store.run(
            "DELETE FROM sync.unreadable WHERE session_id IN (SELECT unnest(?::VARCHAR[]))", [list(ids)]
        )
        for created in {created for _, created in held}:
            store.run(
                "UPDATE sync.parts SET dirty = true WHERE lower_bound <= ? AND upper_bound > ?",
                [to_datetime(created), to_datetime(created)],
            )
        for session_id in ids:
            store.run(
                "UPDATE sync.windows SET verdict = CASE verdict WHEN 'open' THEN 'superseded' ELSE verdict END, "
                "left_to_read = NULL WHERE contains(left_to_read, ?)",
                [session_id],
            )
    return len(held)


def adopt_ledger(store: Store, other: Path, keep: Callable[[str], bool] | None = None) -> list[str]:
    """Take runs, windows, batches, intervals and facts over from another database: rows are derived from raw, these are not.

    `other` may be of an earlier version. Of the sessions that only it has, `keep` chooses those that are taken over as they
    are (None: none); returns their ids.
    """
    lost: dict[str, int] = {}
    with store.attached(other) as home, store.transaction():
        for table in schema.SYNC_TABLES:
            if table not in (schema.PARTS, schema.UNREADABLE):
                store.run(f"DELETE FROM {home}.sync.{table.name}")
                store.run(f"INSERT INTO {home}.sync.{table.name} BY NAME FROM sync.{table.name}")
        store.run(
            f"UPDATE {home}.sync.state SET value = ? WHERE key = 'schema_version'",
            [str(schema.SCHEMA_VERSION)],
        )
        if keep is not None:
            found = store.rows(
                "SELECT session_id, epoch_us(created_at) FROM sessions "
                f"WHERE session_id NOT IN (SELECT session_id FROM {home}.sessions) ORDER BY session_id"
            )
            lost = {session_id: created for session_id, created in found if keep(session_id)}
        for table in schema.TABLES if lost else ():
            store.run(
                f"INSERT INTO {home}.{table.name} BY NAME "
                f"SELECT * FROM {table.name} WHERE session_id IN (SELECT unnest(?::VARCHAR[]))",
                [list(lost)],
            )
    store.touch(set(lost.values()))
    return list(lost)


def snapshots_with(layout: Layout, forgotten: Callable[[str], bool]) -> list[Path]:
    """The published snapshots that hold a session, or are damaged, which is treated as if they did. Raises WarehouseError."""
    found = []
    for snapshot in snapshots(layout):
        files = [pattern(path) for path in visible(snapshot.glob("sessions/*/*.parquet"))]
        try:
            with published_errors(layout.root), duckdb.connect() as db:
                ids = db.execute("SELECT session_id FROM read_parquet(?)", [files]).fetchall()
        except (WarehouseDamagedError, duckdb.Error):
            found.append(snapshot)
            continue
        if any(forgotten(session_id) for (session_id,) in ids):
            found.append(snapshot)
    return found


def snapshots(layout: Layout) -> list[Path]:
    """The published snapshots, oldest first, and copies of them under other names; nothing else that somebody put there."""
    return sorted(
        path
        for path in layout.parquet.iterdir()
        if not path.is_symlink() and any((path / table.name).is_dir() for table in schema.TABLES)
    )


def by_products(layout: Layout, unwanted: Iterable[Path] = ()) -> list[str]:
    """Remove these snapshots, databases that were put aside, and drafts; returns the names of what went."""
    removed = []
    with disk_errors(layout.root):
        for path in unwanted:
            shutil.rmtree(path)
            removed.append(str(path.relative_to(layout.root)))
        for path in sorted(layout.root.glob("store.*.duckdb.old*")):
            path.unlink()
            removed.append(path.name)
        for draft in (*layout.parquet.glob(".*.tmp"), *layout.raw.glob(".*.tmp"), *layout.scratch.glob("*")):
            with contextlib.suppress(FileNotFoundError):
                if draft.is_dir() and not draft.is_symlink():
                    shutil.rmtree(draft)
                else:
                    draft.unlink()
        sync_directory(layout.parquet)
        sync_directory(layout.root)
    return removed
