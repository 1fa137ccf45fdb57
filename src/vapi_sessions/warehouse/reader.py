"""Reading what was published, without locks and without touching the writer's database."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import duckdb

from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.publish import ROOT_VARIABLE
from vapi_sessions.warehouse.refusals import database_errors, disk_errors, published_errors


def connect(warehouse: str | os.PathLike[str] | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that shows one published state of the warehouse, in UTC.

    `warehouse` defaults to `VAPI_WAREHOUSE`, then `./warehouse`. All tables and views are in the search path
    (`FROM sessions`, `FROM sync.runs`); tables of your own can be created beside them. The state shown stays the same
    for at least a day (as long as its snapshot is kept), blocks no sync, and works in a warehouse that was moved or copied.
    Raises ConfigurationError if nothing was published there, WarehouseError if it is no directory or cannot be read.
    """
    root = Path(
        warehouse if warehouse is not None else os.environ.get("VAPI_WAREHOUSE") or "warehouse"
    ).resolve()
    layout = Layout(root)
    layout.check()
    published = layout.published
    with disk_errors(published):
        found = published.is_file()
    if not found:
        raise ConfigurationError(
            f"There is no published warehouse in {root}.",
            "Run vapi-sessions sync first, or give another directory.",
        )
    db = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    try:
        with database_errors(published):
            db.execute("SET TimeZone = 'UTC'").fetchall()
            path = str(published).replace("'", "''")
            db.execute(f"ATTACH '{path}' AS vapi (READ_ONLY)").fetchall()
            db.execute(f"SET VARIABLE {ROOT_VARIABLE} = ?", [str(root)]).fetchall()
            db.execute("CREATE SCHEMA sync").fetchall()
            for (name,) in db.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = 'vapi' AND schema_name = 'sync'"
            ).fetchall():
                db.execute(f"CREATE VIEW sync.{name} AS FROM vapi.sync.{name}").fetchall()
            db.execute("SET search_path = 'memory.main,vapi.main'").fetchall()
    except BaseException:
        db.close()
        raise
    return db


@contextlib.contextmanager
def reading(warehouse: str | os.PathLike[str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """`connect`, closed at the end, with errors of files told as such. Raises WarehouseError."""
    with connect(warehouse) as db, published_errors(warehouse):
        yield db


def sessions_published(warehouse: Path) -> int:
    """How many sessions readers see; 0 if nothing is published, or what is cannot be understood.

    Raises WarehouseError if the disk refuses: that says nothing of what is published.
    """
    try:
        with reading(warehouse) as db:
            ((sessions,),) = db.execute("SELECT coalesce(sum(sessions), 0) FROM sync.parts").fetchall()
    except (ConfigurationError, WarehouseDamagedError, duckdb.Error):
        return 0
    return int(sessions)
