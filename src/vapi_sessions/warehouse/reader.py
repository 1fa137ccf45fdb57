"""`connect` and `frame`: read the published tables, without locks and without the writer's database."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from vapi_sessions import schema
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.paths import literal, pattern, warehouse_root
from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError
from vapi_sessions.warehouse import migrations, query_data
from vapi_sessions.warehouse.database_errors import database_errors, published_errors
from vapi_sessions.warehouse.layout import Layout, is_locked
from vapi_sessions.warehouse.views import files_of, rows_of, view_of

if TYPE_CHECKING:
    import polars
    from duckdb.sqltypes import DuckDBPyType


def connect(warehouse: str | os.PathLike[str] | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that shows one published state; `vapi_sessions.connect` says more.

    Raises ConfigurationError if nothing was published there, WarehouseError if it is not a directory or cannot be read.
    """
    layout = Layout(_root(warehouse))
    db = _attached(layout)
    try:
        with published_errors(layout.root):
            _show(db, layout)
    except BaseException:
        db.close()
        raise
    return db


def frame(
    query: str,
    warehouse: str | os.PathLike[str] | None = None,
    parameters: Sequence[object] | Mapping[str, object] | None = None,
) -> polars.DataFrame:
    """The rows of one query; `vapi_sessions.frame` says more."""
    with reading(warehouse) as db:
        relation = db.sql(query, params=parameters)
        if relation is None:
            raise without_statement()
        for name, kind in zip(relation.columns, relation.types, strict=True):
            _check_type(name, kind)
        rows: polars.DataFrame = relation.pl()
    return rows


def _check_type(name: str, kind: DuckDBPyType) -> None:
    """Raises ConfigurationError for a column that polars cannot read."""
    found = {part.id for part in query_data.parts(kind)}
    if absent := found & {"interval", "union"}:
        seconds = f"EPOCH({name}) for seconds, or " if kind.id == "interval" else ""
        raise ConfigurationError(
            f"The column {name} is of type {kind}, and polars has no {absent.pop().upper()}.",
            f"Select {seconds}CAST({name} AS VARCHAR) for text.",
        )


def without_statement() -> ConfigurationError:
    """The error for a query that is empty, or has only comments."""
    return ConfigurationError("The query contains no statement.", 'Try: "FROM session_summary LIMIT 5".')


def _root(warehouse: str | os.PathLike[str] | None) -> Path:
    return warehouse_root(
        warehouse if warehouse is not None else os.environ.get("VAPI_WAREHOUSE") or "warehouse"
    )


def _attached(layout: Layout) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with `vapi.duckdb` attached as `vapi`. Its ledger can be read even if data files are missing."""
    layout.check()
    published = layout.published
    with disk_errors(published):
        found = published.is_file()
    if not found:
        raise ConfigurationError(
            f"There is no published warehouse in {layout.root}.",
            "A run is writing to it: wait until it has published something; vapi-sessions status shows its progress."
            if is_locked(layout)
            else "Run vapi-sessions sync first, or give another directory.",
        )
    db = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    try:
        with database_errors(published):
            db.execute("SET GLOBAL TimeZone = 'UTC'").fetchall()  # GLOBAL: for cursors too
            db.execute(f"ATTACH {literal(published)} AS vapi (READ_ONLY)").fetchall()
    except BaseException:
        db.close()
        raise
    return db


def _show(db: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Create the tables and views of `vapi` in the in-memory database, so that cursors find them without a search path.

    All views are copied, with their comments, and without being bound: binding would open files dozens of times. They find their files
    in the warehouse's directory, because a macro of the in-memory database says so: `vapi` has the path at the time of the publication.
    The ledger is copied with its few rows: views over it, with comments, would take as long as all the rest.
    """
    db.execute("COPY FROM DATABASE vapi TO memory").fetchall()
    ((snapshot,),) = db.execute("SELECT value FROM sync.state WHERE key = 'snapshot'").fetchall()
    of_earlier_version = not _has_macro(db)
    db.execute(files_of(literal(pattern(layout.root)), snapshot)).fetchall()
    for table in schema.TABLES:  # missing files are an error now, not only at the first query
        there = _columns(db, rows_of(table))
        if of_earlier_version:
            db.execute(view_of(table, there)).fetchall()


def _columns(db: duckdb.DuckDBPyConnection, source: str) -> list[str]:
    """The names of the columns of a table, a view or a table function."""
    return [name for name, *_ in db.execute(f"FROM {source} LIMIT 0").description]


def _has_macro(db: duckdb.DuckDBPyConnection) -> bool:
    """Whether the published database has the macro of `files_of`. An earlier version wrote the path into each view."""
    try:
        db.execute("SELECT memory.main.published_files('')").fetchall()
    except duckdb.CatalogException:
        return False
    return True


@contextlib.contextmanager
def reading(warehouse: str | os.PathLike[str] | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """`connect` as a context manager. Errors about files become WarehouseError."""
    root = _root(warehouse)
    with connect(root) as db, published_errors(root):
        yield db


def check_version(db: duckdb.DuckDBPyConnection, warehouse: str | os.PathLike[str]) -> None:
    """Raises WarehouseError if another version of this program published the warehouse: columns may be missing."""
    found = db.execute("SELECT value FROM sync.state WHERE key = 'schema_version'").fetchall()
    version = str(found[0][0]) if found else ""
    if version != str(schema.SCHEMA_VERSION):
        made_by = db.execute(
            "SELECT program_version FROM sync.runs ORDER BY started_at DESC LIMIT 1"
        ).fetchall()
        what = f"The published database of {warehouse}"
        raise migrations.refusal(what, version, made_by[0][0] if made_by else None)


def sessions_published(warehouse: Path) -> int:
    """The number of published sessions by the published ledger; 0 if there is none or it cannot be understood.

    The data files are not read. Raises WarehouseError if the disk fails: then the number is unknown.
    """
    try:
        with _attached(Layout(warehouse)) as db:
            columns = {name for name, *_ in db.execute("DESCRIBE vapi.sync.parts").fetchall()}
            # Version 0.1.0 had one row per part, not one per part and table.
            condition = "WHERE table_name = 'sessions'" if "table_name" in columns else ""
            ((sessions,),) = db.execute(
                f"SELECT coalesce(sum(sessions), 0) FROM vapi.sync.parts {condition}"
            ).fetchall()
    except (ConfigurationError, WarehouseDamagedError, duckdb.Error):
        return 0
    return int(sessions)
