"""The published tables and views as an export shows them: without paths of this machine and without the writer's own facts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb

from vapi_sessions import schema
from vapi_sessions.core.paths import literal
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.privacy.sanitizer import KEY_STATE
from vapi_sessions.warehouse.catalog import advice
from vapi_sessions.warehouse.index_schema import SYNC_TABLES

#: The tables, and those of the ledger.
TABLES: Final = tuple(table.name for table in schema.TABLES)
_LEDGER: Final = tuple(f"sync.{table.name}" for table in SYNC_TABLES)
#: DuckDB's memory limit for tables, MiB, and its threads, each of which needs a part of it. More memory would only be a larger cache.
_MEMORY_LIMIT: Final = 256
_THREADS: Final = 2
#: Facts in `sync.state` that only a writer needs. They are derived from a key and from the list of forgotten people.
_WRITERS_OWN: Final = (KEY_STATE, "forgotten_compared")


def prepare(db: duckdb.DuckDBPyConnection, warehouse: Path, scratch: Path, *, tables_only: bool) -> None:
    """Make a connection of `reader.connect` ready for an export. It spills to `scratch`.

    The connection's copies of `sync.runs` and `sync.state` lose what an export leaves out. `tables_only`: tables are copied in
    little memory. The rows of a view have to be aggregated, which may need more.
    """
    limits = [f"SET memory_limit = '{_MEMORY_LIMIT}MiB'", f"SET threads = {_THREADS}"] if tables_only else []
    without_paths = f"replace(replace(error, {literal(warehouse)}, 'warehouse'), {literal(Path.home())}, '~')"
    own = ", ".join(map(literal, _WRITERS_OWN))
    for statement in (
        *limits,
        f"SET temp_directory = {literal(scratch)}",
        "SET preserve_insertion_order = false",  # else rows wait in memory for those before them
        f"UPDATE memory.sync.runs SET error = {without_paths} WHERE error IS NOT NULL",
        f"DELETE FROM memory.sync.state WHERE key IN ({own})",
    ):
        db.execute(statement).fetchall()


def chosen(db: duckdb.DuckDBPyConnection, names: Sequence[str]) -> list[str]:
    """The tables and views of these names, each once; without names the five tables. Case does not matter.

    Raises ConfigurationError for a name that does not exist.
    """
    if not names:
        return list(TABLES)
    there = {name.lower(): name for name in (*TABLES, *_views(db), *_LEDGER)}
    found = []
    for name in names:
        known = there.get(name.lower().removeprefix("main."))
        if known is None:
            raise ConfigurationError(f"There is no table or view {name}.", advice(name, there.values()))
        found.append(known)
    return list(dict.fromkeys(found))


def _views(db: duckdb.DuckDBPyConnection) -> list[str]:
    found = db.execute(
        "SELECT view_name FROM duckdb_views() WHERE database_name = 'memory' AND schema_name = 'main' AND NOT internal "
        "ORDER BY view_name"
    ).fetchall()
    return [name for (name,) in found if name not in TABLES]
