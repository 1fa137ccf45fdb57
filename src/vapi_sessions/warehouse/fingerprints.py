"""The rows that a session has in each table, as one number a table: what is published against what the source's JSON gives.

DuckDB makes both, so that equal rows have equal numbers; they are compared within one process and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import duckdb
import pyarrow as pa

from vapi_sessions import schema
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import to_datetime

#: For each of `schema.TABLES`, how many rows a session has there, and the exclusive or of their hashes.
Fingerprint: TypeAlias = tuple[tuple[int, int], ...]

#: What tells when something was observed follows from history, not from the session's JSON.
_OBSERVED: Final = frozenset({"first_synced_at", "synced_at", "deleted_at", "aged_out_at", "first_seen_at"})
_NO_ROWS: Final = ((0, 0),) * len(schema.TABLES)


def of_rows(db: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> dict[str, Fingerprint]:
    """Of the rows of one flattened batch: session id to fingerprint."""
    found: dict[str, list[tuple[int, int]]] = {}
    for place, table in enumerate(schema.TABLES):
        db.register("incoming", tables[table.name])
        _add(found, place, db.execute(f"{_select(table)} FROM incoming GROUP BY ALL").fetchall())
        db.unregister("incoming")
    return {session_id: tuple(prints) for session_id, prints in found.items()}


def of_published(db: duckdb.DuckDBPyConnection, window: Window) -> dict[str, Fingerprint]:
    """Of what is published of the sessions created in the (closed) window."""
    if window.upper is None:
        raise ValueError("a closed window is needed")
    bounds: Sequence[object] = [to_datetime(window.lower), to_datetime(window.upper)]
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
