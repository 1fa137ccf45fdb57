"""Reads published tables. `vapi_sessions.connect` has its own tests."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import duckdb

from vapi_sessions.core.paths import literal, pattern
from vapi_sessions.schema import TABLES
from vapi_sessions.warehouse import views

#: The function that makes the views of each snapshot. A fixture replaces it, because it takes long.
NEW_VIEWS: Final = views.new_views


@functools.cache
def _observer() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1, "enable_external_file_cache": "false"})


@contextlib.contextmanager
def looking(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the published tables, in UTC. All tests share it: opening one takes longer than most queries."""
    db = _observer()
    db.execute("SET TimeZone = 'UTC'")
    db.execute(f"SET VARIABLE {views.ROOT_VARIABLE} = ?", [pattern(warehouse.resolve())])
    db.execute(f"ATTACH {literal(warehouse.resolve() / 'vapi.duckdb')} AS looked_at (READ_ONLY)")
    db.execute("USE looked_at")
    try:
        yield db
    finally:
        db.execute("USE memory")
        db.execute("DETACH looked_at")


def tables_of(warehouse: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All published rows of the five tables, by table."""
    with looking(warehouse) as db:
        return {table.name: db.execute(f"FROM {table.name} ORDER BY ALL").fetchall() for table in TABLES}
