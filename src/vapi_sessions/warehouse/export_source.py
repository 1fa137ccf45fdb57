"""The published tables and views as an export shows them: without paths of this machine and without the writer's own facts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import duckdb

from vapi_sessions import schema
from vapi_sessions.core.paths import literal
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.privacy.sanitizer import KEY_STATE
from vapi_sessions.warehouse.index_schema import SYNC_TABLES

#: DuckDB's memory limit, MiB. An export streams, so more would only be a larger cache.
MEMORY_LIMIT: Final = 256
#: Facts in `sync.state` that only a writer needs. They are derived from a key and from the list of forgotten people.
_WRITERS_OWN: Final = (KEY_STATE, "forgotten_compared")


def prepare(db: duckdb.DuckDBPyConnection, warehouse: Path, scratch: Path) -> None:
    """Make a connection of `reader.connect` ready for an export. It spills to `scratch`.

    `memory.sync.runs` and `memory.sync.state` become views without what an export leaves out.
    """
    without_paths = f"replace(replace(error, {literal(warehouse)}, 'warehouse'), {literal(Path.home())}, '~')"
    own = ", ".join(map(literal, _WRITERS_OWN))
    for statement in (
        f"SET temp_directory = {literal(scratch)}",
        f"SET memory_limit = '{MEMORY_LIMIT}MiB'",
        "SET preserve_insertion_order = false",  # else rows wait in memory for those before them
        f"CREATE OR REPLACE VIEW memory.sync.runs AS SELECT * REPLACE ({without_paths} AS error) FROM vapi.sync.runs",
        f"CREATE OR REPLACE VIEW memory.sync.state AS FROM vapi.sync.state WHERE key NOT IN ({own})",
    ):
        db.execute(statement).fetchall()


def chosen(db: duckdb.DuckDBPyConnection, names: Sequence[str]) -> list[str]:
    """The tables and views of these names, each once; without names the five tables.

    Raises ConfigurationError for a name that does not exist.
    """
    if not names:
        return [table.name for table in schema.TABLES]
    there = _names(db)
    for name in names:
        if name not in there:
            close = difflib.get_close_matches(name, there, n=3, cutoff=0.5)
            raise ConfigurationError(
                f"There is no table or view '{name}'.",
                f"Did you mean {_either(close)}?" if close else f"Choose from: {', '.join(there)}.",
            )
    return list(dict.fromkeys(names))


def _names(db: duckdb.DuckDBPyConnection) -> list[str]:
    """Everything that can be exported: tables, then views, then the tables of `sync`."""
    tables = [table.name for table in schema.TABLES]
    views = db.execute(
        "SELECT view_name FROM duckdb_views() WHERE database_name = 'memory' AND schema_name = 'main' AND NOT internal "
        "ORDER BY view_name"
    ).fetchall()
    ledger = [f"sync.{table.name}" for table in SYNC_TABLES]
    return [*tables, *(name for (name,) in views if name not in tables), *ledger]


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)
