"""The sessions, in SQLite: filterable columns beside ready-made JSON, so that a page is a join of blobs.

One process owns a store. Writes go through one connection under a lock; each reading thread has its own connection
(WAL: readers see a snapshot and do not wait). Bodies live in a table of their own, which keeps the one that is
scanned small.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, cast

from vapi_emulator import EmulatorError
from vapi_emulator.stored import Session, StoredSession, decode, make_row
from vapi_emulator.times import SECOND_US, Clock, parse_iso, system_clock, to_us

#: Half-open, in microseconds; None: without end.
Interval = tuple[int | None, int | None]
SortBy = Literal["createdAt", "duration", "cost"]

_APPLICATION_ID: Final = 0x56415049  # "VAPI"
_FORMAT: Final = 1
_MAX_OFFSET: Final = 2**62
_FEW: Final = 5_000


_COLUMNS: Final = StoredSession._fields[:-1]
_TYPES: Final = {
    "created_us": "INTEGER NOT NULL",
    "updated_us": "INTEGER NOT NULL",
    "expires_us": "INTEGER NOT NULL",
} | {
    "cost": "REAL",
    "duration": "REAL",
    "pending": "INTEGER NOT NULL",
    "customer_e164": "INTEGER",
    "id": "TEXT NOT NULL UNIQUE",
    "org_id": "TEXT NOT NULL",
}
_SCHEMA: Final = f"""
CREATE TABLE sessions (seq INTEGER PRIMARY KEY, {", ".join(f"{c} {_TYPES.get(c, 'TEXT')}" for c in _COLUMNS)});
CREATE TABLE bodies (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE INDEX by_created ON sessions (org_id, created_us, updated_us);
CREATE INDEX by_updated ON sessions (org_id, updated_us, created_us);
CREATE INDEX by_expiry ON sessions (expires_us) WHERE status = 'active';
CREATE INDEX by_pending ON sessions (org_id, updated_us) WHERE pending = 1;
"""
_INSERT: Final = f"INSERT INTO sessions (seq, {', '.join(_COLUMNS)}) VALUES (?{', ?' * len(_COLUMNS)})"
_UPDATE: Final = f"UPDATE sessions SET {', '.join(f'{c} = ?' for c in _COLUMNS)} WHERE seq = ?"


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A page to read: half-open intervals of microseconds, and further conditions.

    `where` is made of our own column names (` AND name = ?`), its values are parameters; `by_id` says that it names ids.
    """

    org_id: str
    created: Interval = (None, None)
    updated: Interval = (None, None)
    where: str = ""
    values: tuple[Any, ...] = ()
    sort_by: SortBy = "createdAt"
    ascending: bool = False
    limit: int = 100
    offset: int = 0
    by_id: bool = False
    shuffle_ties: bool = False


class ListPage(NamedTuple):
    """Rows and total of one snapshot."""

    bodies: list[bytes]
    total: int


def _within(column: str, interval: Interval) -> tuple[str, tuple[int, ...]]:
    """The condition of a half-open interval, beginning with AND, and its values."""
    low, high = interval
    sql = (f" AND {column} >= ?" if low is not None else "") + (
        f" AND {column} < ?" if high is not None else ""
    )
    return sql, tuple(bound for bound in interval if bound is not None)


class _Delayed(NamedTuple):
    """A write that reads do not see yet; `row` None is a deletion."""

    visible_us: int
    id: str
    row: StoredSession | None


class Store:
    """All sessions of all organisations. Thread-safe; `close()` it."""

    def __init__(
        self,
        path: Path | str,
        *,
        clock: Clock = system_clock,
        sub_millisecond: bool = True,
        commit_delay_seconds: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.path = Path(path)
        self.sub_millisecond = sub_millisecond
        self.commit_delay_seconds = commit_delay_seconds
        self._clock = clock
        self._random = random.Random(seed)
        self._lock = threading.RLock()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._delayed: list[_Delayed] = []
        try:
            self._writer = self._connect()
            try:
                self._next_seq = self._prepare()
            except BaseException:
                self._writer.close()
                raise
        except sqlite3.Error as error:
            raise EmulatorError(
                f"Cannot use {self.path} as a store of the emulator: {error}.",
                "Give another path, or remove the file.",
            ) from error

    # -- opening and closing

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
        try:
            connection.execute("PRAGMA cache_size = -65536")
            connection.execute("PRAGMA mmap_size = 4294967296")
        except BaseException:  # where the file is no database
            connection.close()
            raise
        return connection

    def _prepare(self) -> int:
        """Make the tables where there are none; returns the next `seq`."""
        connection = self._writer
        connection.execute("PRAGMA page_size = 16384")  # a body of 6 KB fits without overflow pages
        found = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and (found, version) != (_APPLICATION_ID, _FORMAT):
            raise sqlite3.DatabaseError("it holds something else")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if not tables:
            connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_FORMAT}; COMMIT;"
            )
        following: int = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM sessions").fetchone()[0]
        return following

    def close(self) -> None:
        """Commit what was delayed and close every connection."""
        with self._lock:
            self._land(None)
            for reader in self._readers:
                reader.close()
            self._readers.clear()
            self._writer.close()

    def _reader(self) -> sqlite3.Connection:
        connection = cast("sqlite3.Connection | None", getattr(self._local, "connection", None))
        if connection is None:
            connection = self._connect()
            self._local.connection = connection
            with self._lock:
                self._readers.append(connection)
        return connection

    # -- time

    def now_us(self) -> int:
        """The clock's time, at the store's precision."""
        return self._stored(to_us(self._clock()))

    def _stored(self, us: int) -> int:
        return us if self.sub_millisecond else us - us % 1000

    # -- reading

    def get(self, org_id: str, session_id: str) -> bytes | None:
        """The body of one session; None if this organisation has none of that id."""
        self._land(self.now_us())
        row = (
            self._reader()
            .execute(
                "SELECT body FROM sessions JOIN bodies USING (seq) WHERE id = ? AND org_id = ?",
                (session_id, org_id),
            )
            .fetchone()
        )
        return None if row is None else bytes(row[0])

    def created_us(self, org_id: str, session_id: str) -> int | None:
        """When a session was created; None if there is none."""
        row = (
            self._reader()
            .execute("SELECT created_us FROM sessions WHERE id = ? AND org_id = ?", (session_id, org_id))
            .fetchone()
        )
        return None if row is None else int(row[0])

    def query(self, query: ListQuery) -> ListPage:
        """A page and the number of all rows that match, both from one snapshot."""
        self._land(self.now_us())
        reader = self._reader()
        reader.execute("BEGIN")
        try:
            source, values = self._source(reader, query)
            total = reader.execute(f"SELECT count(*) FROM {source}", values).fetchone()[0]
            if query.limit <= 0 or query.offset >= total:
                return ListPage([], total)
            order, extra = self._order(query)
            found = reader.execute(
                f"SELECT seq FROM {source} ORDER BY {order} LIMIT ? OFFSET ?",
                (*values, *extra, query.limit, min(query.offset, _MAX_OFFSET)),
            ).fetchall()
            return ListPage(self._bodies(reader, [seq for (seq,) in found]), total)
        finally:
            reader.execute("COMMIT")

    def _source(self, reader: sqlite3.Connection, query: ListQuery) -> tuple[str, tuple[Any, ...]]:
        """`sessions` by the index that suits, with the WHERE clause, and the values for it."""
        created, created_values = _within("created_us", query.created)
        updated, updated_values = _within("updated_us", query.updated)
        everything = f"{created}{updated}{query.where}"
        values = (query.org_id, *created_values, *updated_values, *query.values)
        if query.by_id:  # the plus keeps SQLite from finding the organisation first
            return f"sessions WHERE +org_id = ?{everything}", values
        # Few by time of change: find them so, and sort. Otherwise walk in order of creation until the page is full.
        index = "by_created"
        if updated:
            few = self._few(reader, "by_updated", updated, (query.org_id, *updated_values))
            if few < _FEW and few <= self._few(
                reader, "by_created", created, (query.org_id, *created_values)
            ):
                index = "by_updated"
        return f"sessions INDEXED BY {index} WHERE org_id = ?{everything}", values

    @staticmethod
    def _few(reader: sqlite3.Connection, index: str, where: str, values: tuple[Any, ...]) -> int:
        """How many rows an interval holds, counted no further than `_FEW`."""
        sql = f"SELECT count(*) FROM (SELECT 1 FROM sessions INDEXED BY {index} WHERE org_id = ?{where} LIMIT {_FEW})"
        return int(reader.execute(sql, values).fetchone()[0])

    def _order(self, query: ListQuery) -> tuple[str, tuple[int, ...]]:
        direction = "ASC" if query.ascending else "DESC"
        if query.sort_by == "createdAt":
            first = f"created_us {direction}"
        else:  # PostgreSQL's rule: null sorts as the largest value
            first = f"{query.sort_by} {direction} NULLS {'LAST' if query.ascending else 'FIRST'}"
        if not query.shuffle_ties:
            return f"{first}, seq {direction}", ()
        with self._lock:
            salt = self._random.randrange(1, 1_000_003)
        return f"{first}, (seq * ?) % 1000003", (salt,)

    @staticmethod
    def _bodies(reader: sqlite3.Connection, wanted: Sequence[int]) -> list[bytes]:
        marks = ",".join("?" * len(wanted))
        found = dict(
            reader.execute(f"SELECT seq, body FROM bodies WHERE seq IN ({marks})", wanted).fetchall()
        )
        return [found[seq] for seq in wanted]

    def count(self, org_id: str | None = None) -> int:
        """How many sessions there are."""
        self._land(self.now_us())
        sql = "SELECT count(*) FROM sessions"
        if org_id is None:
            return int(self._reader().execute(sql).fetchone()[0])
        return int(self._reader().execute(f"{sql} WHERE org_id = ?", (org_id,)).fetchone()[0])

    def ids(
        self, org_id: str, where: str = "1", order: str = "created_us, seq", limit: int = -1, offset: int = 0
    ) -> list[str]:
        """Ids of an organisation's sessions; `where` and `order` are SQL over the columns, for tests and traffic."""
        self._land(self.now_us())
        rows = self._reader().execute(
            f"SELECT id FROM sessions WHERE org_id = ? AND {where} ORDER BY {order} LIMIT ? OFFSET ?",
            (org_id, limit, offset),
        )
        return [session_id for (session_id,) in rows]

    def sessions(self, org_id: str) -> list[Session]:
        """All sessions of an organisation in order of creation: what a perfect reader would have seen."""
        self._land(self.now_us())
        rows = self._reader().execute(
            "SELECT body FROM sessions JOIN bodies USING (seq) WHERE org_id = ? ORDER BY created_us, seq",
            (org_id,),
        )
        return [decode(body) for (body,) in rows]

    # -- writing

    def insert_many(self, rows: Iterable[StoredSession]) -> int:
        """Store new sessions in one transaction, visible at once; returns how many. An id that exists is an error."""
        with self._lock:
            batch = [self._precise(row) for row in rows]
            first = self._next_seq
            with self._transaction() as connection:
                connection.executemany(_INSERT, [(first + n, *row[:-1]) for n, row in enumerate(batch)])
                connection.executemany(
                    "INSERT INTO bodies VALUES (?, ?)", [(first + n, row.body) for n, row in enumerate(batch)]
                )
            self._next_seq = first + len(batch)
        return len(batch)

    def add(self, session: Session, *, created_us: int | None = None, updated_us: int | None = None) -> bytes:
        """Store one new session and return its body.

        Times: the arguments, else the session's own `createdAt` and `updatedAt`, else now.
        """
        if created_us is None:
            created_us = parse_iso(session["createdAt"]) if "createdAt" in session else self.now_us()
        if updated_us is None:
            updated_us = parse_iso(session["updatedAt"]) if "updatedAt" in session else created_us
        row = self._precise(make_row(session, created_us, updated_us))
        with self._lock:
            self._write(row.id, row)
        return row.body

    def update(
        self,
        org_id: str,
        session_id: str,
        change: Callable[[Session], object],
        *,
        touch: bool = True,
        at_us: int | None = None,
    ) -> bytes | None:
        """Let `change` alter a session in place; returns the new body, None if there is no such session.

        `touch` moves `updatedAt` to now (or `at_us`), never backwards.
        """
        with self._lock:
            old = self._latest(org_id, session_id)
            if old is None:
                return None
            now = self.now_us() if at_us is None else self._stored(at_us)
            session = decode(old.body)
            change(session)
            updated = max(now, old.updated_us) if touch else old.updated_us
            duration = (updated - old.created_us) / SECOND_US if touch else old.duration
            row = make_row(session, old.created_us, updated, duration)
            self._write(session_id, row)
            return row.body

    def update_many(self, org_id: str, ids: Sequence[str], change: Callable[[Session], object]) -> int:
        """Alter several sessions with one and the same `updatedAt`, in one transaction; returns how many there were."""
        with self._lock:
            now = self.now_us()
            with self._transaction():
                return sum(
                    self.update(org_id, session_id, change, at_us=now) is not None for session_id in ids
                )

    def delete(self, org_id: str, session_id: str) -> bytes | None:
        """Remove a session without a trace; returns its last body, None if there is none."""
        with self._lock:
            old = self._latest(org_id, session_id)
            if old is None:
                return None
            self._write(session_id, None)
            return old.body

    def clear(self) -> None:
        """Remove every session of every organisation."""
        with self._lock:
            self._delayed.clear()
            with self._transaction() as connection:
                connection.execute("DELETE FROM sessions")
                connection.execute("DELETE FROM bodies")

    def expire(self, *, touch: bool, idle: bool = False) -> int:
        """Complete the active sessions whose time is over; returns how many. `idle`: it begins anew with each change."""
        ends = "expires_us - created_us + updated_us" if idle else "expires_us"
        with self._lock:
            self._land(self.now_us())
            waiting = {write.id for write in self._delayed}  # already done, if not yet visible
            found = self._writer.execute(
                f"SELECT org_id, id FROM sessions WHERE status = 'active' AND {ends} <= ?",
                (self.now_us(),),
            ).fetchall()
            due = [(org_id, session_id) for org_id, session_id in found if session_id not in waiting]
            if due:
                with self._transaction():
                    for org_id, session_id in due:
                        self.update(org_id, session_id, _complete, touch=touch)
            return len(due)

    def _precise(self, row: StoredSession) -> StoredSession:
        if self.sub_millisecond:
            return row
        return row._replace(created_us=self._stored(row.created_us), updated_us=self._stored(row.updated_us))

    def _latest(self, org_id: str, session_id: str) -> StoredSession | None:
        """The state a writer sees: its own delayed writes included."""
        for waiting in reversed(self._delayed):
            if waiting.id == session_id:
                return waiting.row if waiting.row is not None and waiting.row.org_id == org_id else None
        found = self._writer.execute(
            f"SELECT {', '.join(_COLUMNS)}, body FROM sessions JOIN bodies USING (seq) WHERE id = ? AND org_id = ?",
            (session_id, org_id),
        ).fetchone()
        return None if found is None else StoredSession(*found)

    def _write(self, session_id: str, row: StoredSession | None) -> None:
        if self.commit_delay_seconds > 0:
            visible = self.now_us() + int(self.commit_delay_seconds * SECOND_US)
            self._delayed.append(_Delayed(visible, session_id, row))
        else:
            self._commit(session_id, row)

    def _commit(self, session_id: str, row: StoredSession | None) -> None:
        with self._transaction() as connection:
            found = connection.execute("SELECT seq FROM sessions WHERE id = ?", (session_id,)).fetchone()
            if row is None:
                if found is not None:
                    connection.execute("DELETE FROM sessions WHERE seq = ?", found)
                    connection.execute("DELETE FROM bodies WHERE seq = ?", found)
            elif found is None:
                connection.execute(_INSERT, (self._next_seq, *row[:-1]))
                connection.execute("INSERT INTO bodies VALUES (?, ?)", (self._next_seq, row.body))
                self._next_seq += 1
            else:
                connection.execute(_UPDATE, (*row[:-1], found[0]))
                connection.execute("UPDATE bodies SET body = ? WHERE seq = ?", (row.body, found[0]))

    def _land(self, now_us: int | None) -> None:
        """Commit the delayed writes that are due; all of them without a time."""
        if not self._delayed:
            return
        with self._lock:
            while self._delayed and (now_us is None or self._delayed[0].visible_us <= now_us):
                landed = self._delayed.pop(0)
                self._commit(landed.id, landed.row)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._writer)


class _Transaction:
    """BEGIN … COMMIT on the writer's connection; inside another one it does nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._outer = connection.in_transaction

    def __enter__(self) -> sqlite3.Connection:
        if not self._outer:
            self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if not self._outer:
            self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


def _complete(session: Session) -> None:
    session["status"] = "completed"
