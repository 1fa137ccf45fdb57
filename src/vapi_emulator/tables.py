"""The two tables of the store in SQLite, and the statements that change their rows.

Bodies have a table of their own, which keeps the table of filterable columns small to scan.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vapi_emulator.stored import StoredSession

_APPLICATION_ID: Final = 0x56415049  # "VAPI"
_FORMAT: Final = 1

COLUMNS: Final = StoredSession._fields[:-1]  # all but the body
_TYPES: Final = {
    "created_us": "INTEGER NOT NULL",
    "updated_us": "INTEGER NOT NULL",
    "expires_us": "INTEGER NOT NULL",
    "cost": "REAL",
    "duration": "REAL",
    "pending": "INTEGER NOT NULL",
    "customer_e164": "INTEGER",
    "id": "TEXT NOT NULL UNIQUE",
    "org_id": "TEXT NOT NULL",
}
_SCHEMA: Final = f"""
CREATE TABLE sessions (seq INTEGER PRIMARY KEY, {", ".join(f"{c} {_TYPES.get(c, 'TEXT')}" for c in COLUMNS)});
CREATE TABLE bodies (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE INDEX by_created ON sessions (org_id, created_us, updated_us);
CREATE INDEX by_updated ON sessions (org_id, updated_us, created_us);
CREATE INDEX by_expiry ON sessions (expires_us) WHERE status = 'active';
CREATE INDEX by_pending ON sessions (org_id, updated_us) WHERE pending = 1;
"""
_INSERT: Final = f"INSERT INTO sessions (seq, {', '.join(COLUMNS)}) VALUES (?{', ?' * len(COLUMNS)})"
_UPDATE: Final = f"UPDATE sessions SET {', '.join(f'{c} = ?' for c in COLUMNS)} WHERE seq = ?"


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection that several threads may use. Raises sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("PRAGMA mmap_size = 4294967296")
    except BaseException:  # the file is not a database
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection) -> int:
    """Create the tables of a new file and return the next `seq`. Raises sqlite3.DatabaseError for another database."""
    connection.execute("PRAGMA page_size = 16384")  # a body of 6 KB fits without overflow pages
    found = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and (found, version) != (_APPLICATION_ID, _FORMAT):
        raise sqlite3.DatabaseError("it is another database")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    if not tables:
        connection.executescript(
            f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_FORMAT}; COMMIT;"
        )
    following: int = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM sessions").fetchone()[0]
    return following


class Transaction:
    """A context manager: BEGIN … COMMIT, or ROLLBACK after an exception. Inside another one it does nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._nested = connection.in_transaction

    def __enter__(self) -> sqlite3.Connection:
        if not self._nested:
            self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if not self._nested:
            self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


def insert(connection: sqlite3.Connection, first_seq: int, rows: Sequence[StoredSession]) -> None:
    """Add rows, numbered from `first_seq` on."""
    connection.executemany(_INSERT, [(first_seq + n, *row[:-1]) for n, row in enumerate(rows)])
    connection.executemany(
        "INSERT INTO bodies VALUES (?, ?)", [(first_seq + n, row.body) for n, row in enumerate(rows)]
    )


def replace(connection: sqlite3.Connection, seq: int, row: StoredSession) -> None:
    """Overwrite a row."""
    connection.execute(_UPDATE, (*row[:-1], seq))
    connection.execute("UPDATE bodies SET body = ? WHERE seq = ?", (row.body, seq))


def delete(connection: sqlite3.Connection, seq: int) -> None:
    """Remove a row."""
    connection.execute("DELETE FROM sessions WHERE seq = ?", (seq,))
    connection.execute("DELETE FROM bodies WHERE seq = ?", (seq,))
