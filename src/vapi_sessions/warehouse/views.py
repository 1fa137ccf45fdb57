"""`vapi.duckdb`: a small database with views over the files of a snapshot and a copy of the ledger. This is what people open."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Final

import duckdb

from vapi_sessions import schema
from vapi_sessions.core import faultpoints
from vapi_sessions.core.files import PARTS, make_private, replace_derived, sync_directory, sync_file
from vapi_sessions.core.paths import literal, pattern
from vapi_sessions.warehouse.database_errors import database_errors
from vapi_sessions.warehouse.descriptions import COLUMNS, comments
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.index_schema import SYNC_TABLES
from vapi_sessions.warehouse.layout import KEPT, Layout
from vapi_sessions.warehouse.time_zone import time_zone
from vapi_sessions.warehouse.view_files import view_files

#: The DuckDB variable that tells the views of `vapi.duckdb` where a warehouse was moved to. Only people who open that file
#: directly need it: `connect` sets the place for its own views.
ROOT_VARIABLE: Final = "vapi_warehouse"
#: The oldest DuckDB that can open `vapi.duckdb`. Most tools bring their own DuckDB, which opens no newer file format.
OLDEST_DUCKDB: Final = "v1.0.0"


def publish_views(index: Index, layout: Layout, snapshot: str) -> None:
    """Build a new `vapi.duckdb` and rename it over the old one. Raises WarehouseError, OSError."""
    draft = layout.scratch / "vapi.duckdb"
    for leftover in (draft, _log_of(draft)):  # of a process that was killed
        leftover.unlink(missing_ok=True)
    root = f"coalesce(getvariable('{ROOT_VARIABLE}'), {literal(pattern(layout.root))})"
    with (
        database_errors(draft),
        new_views(index, draft, files_of(root, snapshot), time_zone(index.state())) as origin,
    ):
        make_private(draft)
        for table in SYNC_TABLES:
            index.run(f"INSERT INTO sync.{table.name} BY NAME FROM {origin}.sync.{table.name}")
        index.checkpoint()  # detaching would not report a full disk
    sync_file(draft)
    faultpoints.reach("publish.views_built")
    # A program that wrote to the old file may have left a log. DuckDB would take it for a log of the new file, and fail.
    _log_of(layout.published).unlink(missing_ok=True)
    replace_derived(draft, layout.published)
    sync_directory(layout.root)
    faultpoints.reach("publish.views_renamed")


def _log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}.wal")


@contextlib.contextmanager
def new_views(index: Index, draft: Path, files: str, zone: str) -> Iterator[str]:
    """A new database file, current while inside: the empty tables of `sync`, the tables' views over the files (see `files_of`), the
    views of `sql/views` with the days of the time zone, and all comments. Yields the name of the index.

    Making these takes several times as long as the rest of a publication without changes, so a copy without files is kept
    beside the draft.
    """
    kept = draft.with_name(f"{KEPT}{_fingerprint(zone)}.duckdb")
    with index.attached(draft, made_for=OLDEST_DUCKDB) as origin:
        if not index.copy_schema_from(kept):
            _make_views(index, files, zone)
            for outdated in kept.parent.glob(f"{KEPT}*"):
                outdated.unlink()
            index.copy_schema_to(kept)
        index.run(files)
        yield origin


def _make_views(index: Index, files: str, zone: str) -> None:
    """The views use the published tables dozens of times, and DuckDB binds a view when it is created. Over the tables' own views
    that would open files each time, so the views are created over empty tables with the same columns, which are then dropped.
    """
    index.run("CREATE SCHEMA sync")
    for table in SYNC_TABLES:
        index.run(table.ddl("sync"))
    for table in schema.TABLES:
        columns = ", ".join(f"{c.name} {c.type}" for c in table.columns)
        index.run(f"CREATE TABLE {table.name} ({columns})")
    for view in view_files():
        index.run(view.statement(zone))
    described = index.rows(COLUMNS)
    index.run(files)
    for table in schema.TABLES:
        index.run(f"DROP TABLE {table.name}")
        index.run(view_of(table, table.arrow.names))
    index.run(comments(described))


def _fingerprint(zone: str) -> str:
    """Another one for another DuckDB, time zone, declaration or form of the views."""
    tables = [view_of(table, table.arrow.names) for table in schema.TABLES]
    declared = (duckdb.__version__, zone, SYNC_TABLES, schema.TABLES, tables, view_files())
    return hashlib.sha256(repr(declared).encode()).hexdigest()[:16]


def files_of(root: str, snapshot: str) -> str:
    """The statement that says where the tables' views find their files. `root`: SQL for the pattern of the warehouse's directory.

    The views call a macro, because that can be replaced without creating them, and their comments, again.
    """
    return (
        f"CREATE OR REPLACE MACRO published_files(name) AS {root} || {literal(f'/parquet/{snapshot}/')} || name || "
        f"{literal(f'/{PARTS}')}"
    )


def view_of(table: schema.Table, names: Container[str], rows: str | None = None) -> str:
    """The statement that creates a table's view with these of its columns. `rows`: SQL for other rows than `rows_of` gives."""
    selected = ", ".join(
        f"{c.name}::JSON AS {c.name}" if c.type == "JSON" else c.name
        for c in table.columns
        if c.name in names
    )
    return f"CREATE OR REPLACE VIEW {table.name} AS SELECT {selected} FROM {rows or rows_of(table)}"


def rows_of(table: schema.Table) -> str:
    """The rows of a table's files, as the macro finds them."""
    return f"read_parquet(published_files({literal(table.name)}), hive_partitioning = false)"
