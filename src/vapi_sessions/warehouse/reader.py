"""Reading what was published, without locks and without touching the writer's database."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import duckdb

from vapi_sessions import schema
from vapi_sessions.errors import (
    ConfigurationError,
    VapiSessionsError,
    WarehouseDamagedError,
    WarehouseError,
)
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.publish import ROOT_VARIABLE
from vapi_sessions.warehouse.store import database_errors


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
    if not published.is_file():
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
    """`connect`, closed at the end, with damage of the published files told as such. Raises WarehouseDamagedError."""
    with connect(warehouse) as db:
        try:
            yield db
        except duckdb.Error as error:
            text = " ".join(str(error).split())
            if isinstance(error, duckdb.IOException) or "arquet" in text:
                raise WarehouseDamagedError(
                    f"The published files in {warehouse} are missing or damaged: {text[:160]}",
                    "Run vapi-sessions rebuild: it publishes everything again.",
                ) from error
            raise


def check_version(db: duckdb.DuckDBPyConnection, warehouse: str | os.PathLike[str]) -> None:
    """Raises WarehouseError if another version of this program published it: columns may be missing."""
    found = db.execute("SELECT value FROM sync.state WHERE key = 'schema_version'").fetchall()
    if found != [(str(schema.SCHEMA_VERSION),)]:
        version = found[0][0] if found else "unknown"
        earlier = version.isdecimal() and int(version) < schema.SCHEMA_VERSION
        raise WarehouseError(
            f"What is published in {warehouse} has schema version {version}, this program has {schema.SCHEMA_VERSION}.",
            "Run vapi-sessions sync: it derives everything again from raw/, without a download."
            if earlier
            else "Use the program that made it, or run vapi-sessions rebuild.",
        )


def sessions_published(warehouse: Path) -> int:
    """How many sessions readers see; 0 if that cannot be told."""
    try:
        with connect(warehouse) as db:
            ((sessions,),) = db.execute("SELECT coalesce(sum(sessions), 0) FROM sync.parts").fetchall()
    except (VapiSessionsError, duckdb.Error):
        return 0
    return int(sessions)
