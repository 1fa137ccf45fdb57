"""Copies the writer's database, because rows that were deleted do not leave its file by themselves."""

from __future__ import annotations

import os
from collections.abc import Callable

import duckdb

from vapi_sessions import faultpoints
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.paths import literal
from vapi_sessions.warehouse.files import make_private, replace_derived, sync_directory, sync_file
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.refusals import database_errors, disk_errors
from vapi_sessions.warehouse.store import ROW_GROUP, Store


def compact(layout: Layout, *, sleep: Callable[[float], None]) -> int:
    """Copy what is alive beside the old file and rename it over that; returns the bytes saved.

    Only inside the writer's lock, with no store open in this process. Killed at any instant there is one whole
    database; a draft that stays is removed by the next writer. Raises WarehouseError.
    """
    with Store(
        layout.store, layout.scratch, sleep=sleep
    ) as store:  # folds a log in that a killed process left
        store.checkpoint()
        memory = store.memory_to_copy
    log = layout.store.with_name(layout.store.name + ".wal")
    if log.exists():  # it would be replayed on the copy
        raise WarehouseDamagedError(
            f"{log} stays after the database was closed.",
            "Run vapi-sessions rebuild: it derives the database again.",
        )
    draft = layout.scratch / "compacted.duckdb"
    with disk_errors(draft):
        draft.unlink(missing_ok=True)
        before = layout.store.stat().st_size
    mask = os.umask(0o077)
    try:
        with database_errors(layout.store), duckdb.connect(config=_CONFIG) as db:
            db.execute(f"SET memory_limit = '{memory}MiB'").fetchall()
            db.execute("SET temp_directory = ?", [str(layout.scratch)]).fetchall()
            db.execute(f"ATTACH {literal(layout.store)} AS old (READ_ONLY)").fetchall()
            db.execute(f"ATTACH {literal(draft)} AS new (ROW_GROUP_SIZE {ROW_GROUP})").fetchall()
            db.execute("COPY FROM DATABASE old TO new").fetchall()
            db.execute("CHECKPOINT new").fetchall()  # on closing, a full disk would go unnoticed
    finally:
        os.umask(mask)
    with disk_errors(layout.store):
        make_private(draft)
        sync_file(draft)
        faultpoints.reach("compact.copied")
        replace_derived(draft, layout.store)
        sync_directory(layout.root)
        faultpoints.reach("compact.swapped")
        return before - layout.store.stat().st_size


_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "threads": 1,  # each would have long texts of its own in memory
}
