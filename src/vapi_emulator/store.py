"""The sessions of the emulator, in SQLite: filterable columns beside ready-made JSON.

One process owns a store. Writes go through one connection under a lock. Each reading thread has a connection of its own;
in WAL mode readers see a snapshot and do not wait.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from vapi_emulator import EmulatorError, tables
from vapi_emulator.listing import ListPage, ListQuery, read_page
from vapi_emulator.stored import Session, StoredSession, decode, make_row
from vapi_emulator.times import SECOND_US, Clock, parse_iso, system_clock, to_us


class _Delayed(NamedTuple):
    """A write that is not visible to reads yet; `row` None is a deletion."""

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
            self._writer = tables.connect(self.path)
            try:
                self._next_seq = tables.prepare(self._writer)
            except BaseException:
                self._writer.close()
                raise
        except sqlite3.Error as error:
            raise EmulatorError(
                f"Cannot use {self.path} as a store of the emulator: {error}.",
                "Give another path, or remove the file.",
            ) from error

    def close(self) -> None:
        """Commit the delayed writes and close every connection."""
        with self._lock:
            self._commit_delayed(None)
            for reader in self._readers:
                reader.close()
            self._readers.clear()
            self._writer.close()

    def now_us(self) -> int:
        """The clock's time, at the store's precision."""
        return self._precise_us(to_us(self._clock()))

    def _precise_us(self, us: int) -> int:
        return us if self.sub_millisecond else us - us % 1000

    # -- reading

    def _reader(self) -> sqlite3.Connection:
        """The connection of this thread, after the delayed writes that are due."""
        self._commit_delayed(self.now_us())
        connection = cast("sqlite3.Connection | None", getattr(self._local, "connection", None))
        if connection is None:
            connection = tables.connect(self.path)
            self._local.connection = connection
            with self._lock:
                self._readers.append(connection)
        return connection

    def get(self, org_id: str, session_id: str) -> bytes | None:
        """The body of one session; None if this organisation has none with that id."""
        sql = "SELECT body FROM sessions JOIN bodies USING (seq) WHERE id = ? AND org_id = ?"
        row = self._reader().execute(sql, (session_id, org_id)).fetchone()
        return None if row is None else bytes(row[0])

    def created_us(self, org_id: str, session_id: str) -> int | None:
        """When a session was created; None if there is none."""
        sql = "SELECT created_us FROM sessions WHERE id = ? AND org_id = ?"
        row = self._reader().execute(sql, (session_id, org_id)).fetchone()
        return None if row is None else int(row[0])

    def query(self, query: ListQuery) -> ListPage:
        """A page and the number of all rows that match, both from one snapshot."""
        with self._lock:
            salt = self._random.randrange(1, 1_000_003) if query.shuffle_ties else 0
        return read_page(self._reader(), query, salt=salt)

    def count(self, org_id: str | None = None) -> int:
        """How many sessions there are."""
        sql, values = ("", ()) if org_id is None else (" WHERE org_id = ?", (org_id,))
        return int(self._reader().execute(f"SELECT count(*) FROM sessions{sql}", values).fetchone()[0])

    def ids(
        self, org_id: str, where: str = "1", order: str = "created_us, seq", limit: int = -1, offset: int = 0
    ) -> list[str]:
        """Ids of an organisation's sessions; `where` and `order` are SQL over the columns, for tests and traffic."""
        rows = self._reader().execute(
            f"SELECT id FROM sessions WHERE org_id = ? AND {where} ORDER BY {order} LIMIT ? OFFSET ?",
            (org_id, limit, offset),
        )
        return [session_id for (session_id,) in rows]

    def sessions(self, org_id: str) -> list[Session]:
        """All sessions of an organisation in order of creation, as a perfect exporter would see them."""
        rows = self._reader().execute(
            "SELECT body FROM sessions JOIN bodies USING (seq) WHERE org_id = ? ORDER BY created_us, seq",
            (org_id,),
        )
        return [decode(body) for (body,) in rows]

    # -- writing

    def insert_many(self, rows: Iterable[StoredSession]) -> int:
        """Store new sessions in one transaction, visible at once; returns how many. An existing id is an error."""
        with self._lock:
            batch = [self._precise(row) for row in rows]
            with tables.Transaction(self._writer) as connection:
                tables.insert(connection, self._next_seq, batch)
            self._next_seq += len(batch)
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
        """Let `change` alter a session in place; returns the new body, or None if there is no such session.

        `touch` moves `updatedAt` to now (or `at_us`), never backwards.
        """
        with self._lock:
            old = self._latest(org_id, session_id)
            if old is None:
                return None
            now = self.now_us() if at_us is None else self._precise_us(at_us)
            session = decode(old.body)
            change(session)
            updated = max(now, old.updated_us) if touch else old.updated_us
            duration = (updated - old.created_us) / SECOND_US if touch else old.duration
            row = make_row(session, old.created_us, updated, duration)
            self._write(session_id, row)
            return row.body

    def update_many(self, org_id: str, ids: Sequence[str], change: Callable[[Session], object]) -> int:
        """Alter several sessions with the same `updatedAt`, in one transaction; returns how many existed."""
        with self._lock:
            now = self.now_us()
            with tables.Transaction(self._writer):
                return sum(
                    self.update(org_id, session_id, change, at_us=now) is not None for session_id in ids
                )

    def delete(self, org_id: str, session_id: str) -> bytes | None:
        """Remove a session; returns its last body, or None if there is none."""
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
            with tables.Transaction(self._writer) as connection:
                connection.execute("DELETE FROM sessions")
                connection.execute("DELETE FROM bodies")

    def expire(self, *, touch: bool, idle: bool = False) -> int:
        """Complete the active sessions that have expired; returns how many. `idle`: their time restarts with each change."""
        ends = "expires_us - created_us + updated_us" if idle else "expires_us"
        with self._lock:
            self._commit_delayed(self.now_us())
            waiting = {write.id for write in self._delayed}  # expired already, but not visible yet
            found = self._writer.execute(
                f"SELECT org_id, id FROM sessions WHERE status = 'active' AND {ends} <= ?",
                (self.now_us(),),
            ).fetchall()
            due = [(org_id, session_id) for org_id, session_id in found if session_id not in waiting]
            if due:
                with tables.Transaction(self._writer):
                    for org_id, session_id in due:
                        self.update(org_id, session_id, _complete, touch=touch)
            return len(due)

    def _precise(self, row: StoredSession) -> StoredSession:
        return row._replace(
            created_us=self._precise_us(row.created_us), updated_us=self._precise_us(row.updated_us)
        )

    def _latest(self, org_id: str, session_id: str) -> StoredSession | None:
        """The state of a session with its delayed writes."""
        for waiting in reversed(self._delayed):
            if waiting.id == session_id:
                return waiting.row if waiting.row is not None and waiting.row.org_id == org_id else None
        found = self._writer.execute(
            f"SELECT {', '.join(tables.COLUMNS)}, body FROM sessions JOIN bodies USING (seq) WHERE id = ? AND org_id = ?",
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
        with tables.Transaction(self._writer) as connection:
            found = connection.execute("SELECT seq FROM sessions WHERE id = ?", (session_id,)).fetchone()
            if row is None:
                if found is not None:
                    tables.delete(connection, found[0])
            elif found is None:
                tables.insert(connection, self._next_seq, [row])
                self._next_seq += 1
            else:
                tables.replace(connection, found[0], row)

    def _commit_delayed(self, now_us: int | None) -> None:
        """Commit the delayed writes that are due; all of them if `now_us` is None."""
        if not self._delayed:
            return
        with self._lock:
            while self._delayed and (now_us is None or self._delayed[0].visible_us <= now_us):
                due = self._delayed.pop(0)
                self._commit(due.id, due.row)


def _complete(session: Session) -> None:
    session["status"] = "completed"
