"""`vapi-sessions describe`: the tables and views of a warehouse and their columns, as the comments in the database explain them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from vapi_sessions import schema
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.warehouse import reader

_SENTENCES: Final = re.compile(r"(?<=[.?!])\s+")
_LEDGER: Final = "sync."
KINDS: Final = ("tables", "views", "runs and state")


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A table or a view. `kind`: one of `KINDS`; the names of tables of the schema `sync` begin with it."""

    name: str
    kind: str
    comment: str

    @property
    def summary(self) -> str:
        """What one row is, after the question that a view answers."""
        first, *others = _SENTENCES.split(self.comment)
        return f"{first} {others[0]}" if first.endswith("?") and others else first


@dataclass(frozen=True, slots=True)
class CatalogColumn:
    """A column: its name, its type in SQL, and its meaning."""

    name: str
    type: str
    comment: str


def relations(warehouse: Path) -> list[CatalogEntry]:
    """All tables and views, by kind."""
    with reader.reading(warehouse) as db:
        return _relations(db)


def relation(warehouse: Path, name: str) -> tuple[CatalogEntry, list[CatalogColumn]]:
    """One of them and its columns; case does not matter. Raises ConfigurationError if there is none of this name."""
    with reader.reading(warehouse) as db:
        known = {one.name.lower(): one for one in _relations(db)}
        found = known.get(name.lower().removeprefix("main."))
        if found is None:
            raise ConfigurationError(f"There is no table or view {name}.", advice(name, known))
        of, _, table = found.name.rpartition(".")
        columns = db.execute(
            "SELECT column_name, data_type, coalesce(comment, '') FROM duckdb_columns() "
            "WHERE database_name = 'memory' AND schema_name = ? AND table_name = ? ORDER BY column_index",
            [of or "main", table],
        ).fetchall()
    return found, [
        CatalogColumn(column, kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ"), comment)
        for column, kind, comment in columns
    ]


def _relations(db: duckdb.DuckDBPyConnection) -> list[CatalogEntry]:
    tables = [table.name for table in schema.TABLES]
    found = db.execute(
        "SELECT schema_name, view_name, coalesce(comment, '') FROM duckdb_views() "
        "WHERE database_name = 'memory' AND NOT internal "
        "UNION ALL SELECT schema_name, table_name, coalesce(comment, '') FROM duckdb_tables() "
        "WHERE database_name = 'memory' ORDER BY ALL"
    ).fetchall()
    every = [
        CatalogEntry(name, "tables" if name in tables else "views", comment)
        if of == "main"
        else CatalogEntry(f"{of}.{name}", "runs and state", comment)
        for of, name, comment in found
    ]
    order = {name: position for position, name in enumerate(tables)}
    return sorted(every, key=lambda one: (KINDS.index(one.kind), order.get(one.name, 0)))


def advice(asked: str, known: Iterable[str]) -> str:
    """The names closest to one that does not exist; a table of `sync` may be given without its schema."""
    short = {name.removeprefix(_LEDGER): name for name in known}
    close = difflib.get_close_matches(asked.lower().removeprefix(_LEDGER), short)
    meant = f"Did you mean {' or '.join(short[name] for name in close)}? " if close else ""
    return f"{meant}vapi-sessions describe lists all."
