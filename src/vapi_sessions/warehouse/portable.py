"""One portable DuckDB file: the published tables as native tables, the ledger, and the views, with all comments."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Final

import duckdb

from vapi_sessions import schema
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import make_private, sync_file
from vapi_sessions.core.paths import literal
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.warehouse.database_errors import database_errors
from vapi_sessions.warehouse.descriptions import COLUMNS, comments
from vapi_sessions.warehouse.index_schema import SYNC_TABLES
from vapi_sessions.warehouse.time_zone import time_zone
from vapi_sessions.warehouse.view_files import view_files
from vapi_sessions.warehouse.views import OLDEST_DUCKDB

#: DuckDB 1.3 reads null where 2.0 has compressed texts in this way, without an error; 1.4 reads them. Earlier formats do not have it.
_MISREAD: Final = "dict_fsst"
#: Where the bytes DUCK are, after a checksum.
_MAGIC: Final = slice(8, 12)
_VERSION: Final = re.compile(r"v?(\d+\.\d+\.\d+)")


def storage_version(db: duckdb.DuckDBPyConnection, given: str | None) -> str:
    """The oldest DuckDB that has to open the file; by default the one that `vapi.duckdb` is made for.

    Raises ConfigurationError for one that DuckDB does not know, or that is too old.
    """
    if given is None:
        return OLDEST_DUCKDB
    found = _VERSION.fullmatch(given.strip())
    if found is None:
        raise ConfigurationError(f"--storage-version: '{given}' is not a version of DuckDB.", _EXAMPLES)
    if _numbers(found[1]) < _numbers(OLDEST_DUCKDB):
        raise ConfigurationError(
            f"--storage-version: DuckDB {found[1]} is too old for the views.",
            f"Give {OLDEST_DUCKDB} or a later version.",
        )
    version = f"v{found[1]}"
    try:
        db.execute(f"ATTACH ':memory:' AS attempt (STORAGE_VERSION '{version}')").fetchall()
    except duckdb.InvalidInputException:
        raise ConfigurationError(
            f"--storage-version: DuckDB {duckdb.__version__} does not know version {version}.", _EXAMPLES
        ) from None
    db.execute("DETACH attempt").fetchall()
    return version


def is_database(path: Path) -> bool:
    """Whether a file begins as DuckDB's do, or is empty. Raises WarehouseError."""
    with disk_errors(path), path.open("rb") as file:
        start = file.read(_MAGIC.stop)
    return not start or start[_MAGIC] == b"DUCK"


def write_database(db: duckdb.DuckDBPyConnection, draft: Path, version: str | None) -> None:
    """Write the file. `db`: see `export_source.prepare`; `version`: of `storage_version`. Raises WarehouseError."""
    zone = time_zone(dict(db.execute("FROM memory.sync.state").fetchall()))
    version = version or OLDEST_DUCKDB
    with database_errors(draft):
        if version.startswith("v1.3."):
            db.execute(f"SET disabled_compression_methods = '{_MISREAD}'").fetchall()
        db.execute(f"ATTACH {literal(draft)} AS export_file (STORAGE_VERSION '{version}')").fetchall()
        make_private(draft)
        try:
            db.execute("USE export_file").fetchall()
            _fill(db, zone)
            db.execute("CHECKPOINT export_file").fetchall()  # detaching would not report a full disk
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                _detach(db)
            raise
        _detach(db)
    sync_file(draft)


def _fill(db: duckdb.DuckDBPyConnection, zone: str) -> None:
    """Create everything in the current database, then copy the rows."""
    db.execute("CREATE SCHEMA sync").fetchall()
    for table in schema.TABLES:
        columns = ", ".join(f"{c.name} {c.type}{' NOT NULL' if c.required else ''}" for c in table.columns)
        db.execute(f"CREATE TABLE {table.name} ({columns})").fetchall()
    for table in SYNC_TABLES:
        db.execute(table.ddl("sync")).fetchall()
    for view in view_files():
        db.execute(view.statement(zone)).fetchall()
    db.execute(comments(db.execute(COLUMNS).fetchall(), "TABLE")).fetchall()
    for name in (*(t.name for t in schema.TABLES), *(f"sync.{t.name}" for t in SYNC_TABLES)):
        source = name if "." in name else f"main.{name}"
        db.execute(f"INSERT INTO {name} BY NAME FROM memory.{source}").fetchall()


def _detach(db: duckdb.DuckDBPyConnection) -> None:
    db.execute("USE memory").fetchall()
    db.execute("DETACH export_file").fetchall()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.removeprefix("v").split(".")))


_EXAMPLES: Final = "Give a version such as v1.0.0, v1.2.0 or v1.4.0; later versions can read the file, too."
