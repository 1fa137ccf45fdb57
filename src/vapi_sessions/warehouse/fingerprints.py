"""Fingerprints of a session's rows, to compare the published rows with those that the source's JSON gives now.

DuckDB computes both, so that equal rows have equal fingerprints. They are compared within one process and never stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import duckdb
import pyarrow as pa

from vapi_sessions import schema
from vapi_sessions.core.intervals import Window
from vapi_sessions.warehouse.database import window_bounds

#: For each of `schema.TABLES`: the number of the session's rows, and the exclusive or of their hashes.
Fingerprint: TypeAlias = tuple[tuple[int, int], ...]

#: Columns that do not follow from the session's JSON, but from when it was read.
_OBSERVED: Final = frozenset({"first_synced_at", "synced_at", "deleted_at", "aged_out_at", "first_seen_at"})
_NO_ROWS: Final = ((0, 0),) * len(schema.TABLES)


def of_rows(db: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> dict[str, Fingerprint]:
    """The fingerprints of the sessions in one flattened batch, by id."""
    found: dict[str, list[tuple[int, int]]] = {}
    for place, table in enumerate(schema.TABLES):
        db.register("incoming", tables[table.name])
        _add(found, place, db.execute(f"{_select(table)} FROM incoming GROUP BY ALL").fetchall())
        db.unregister("incoming")
    return {session_id: tuple(prints) for session_id, prints in found.items()}


def of_published(db: duckdb.DuckDBPyConnection, window: Window) -> dict[str, Fingerprint]:
    """The fingerprints of the published sessions created in the (closed) window, by id."""
    bounds = window_bounds(window)
    found: dict[str, list[tuple[int, int]]] = {}
    for place, table in enumerate(schema.TABLES):
        within = f"{table.created_at} >= ? AND {table.created_at} < ?"
        _add(
            found,
            place,
            db.execute(f"{_select(table)} FROM {table.name} WHERE {within} GROUP BY ALL", bounds).fetchall(),
        )
    return {session_id: tuple(prints) for session_id, prints in found.items()}


def _select(table: schema.Table) -> str:
    columns = [c for c in table.columns if c.name not in _OBSERVED]
    hashed = ", ".join(f"{column.name}::{column.storage_type}" for column in columns)
    return f"SELECT session_id, count(*), bit_xor(hash({hashed}))"


def _add(found: dict[str, list[tuple[int, int]]], place: int, rows: Sequence[tuple[str, int, int]]) -> None:
    for session_id, count, hashes in rows:
        found.setdefault(session_id, list(_NO_ROWS))[place] = count, hashes
