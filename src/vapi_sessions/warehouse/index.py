"""`index.duckdb`, the writer's own database: which version of each session wins, the ledger and the state.

They change together, in one transaction. It holds no row of a published table. Tables have no primary key and no DuckDB index:
upserts through them are ten times slower, and there are open reports of corruption. Instead, rows are deleted and inserted as
a set, in scans that `created_at` prunes, and the transaction checks that ids are unique.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from vapi_sessions import schema
from vapi_sessions.core import faultpoints
from vapi_sessions.core.intervals import IntervalSet, Window
from vapi_sessions.core.records import Batch, WindowRecord
from vapi_sessions.core.timestamps import DAY, to_datetime
from vapi_sessions.errors import VapiSessionsError
from vapi_sessions.transform.resolve import Known, Resolution
from vapi_sessions.warehouse import migrations
from vapi_sessions.warehouse.database import window_bounds
from vapi_sessions.warehouse.index_rows import COLUMNS, IndexRow, to_arrow
from vapi_sessions.warehouse.index_schema import INDEX, SYNC_TABLES
from vapi_sessions.warehouse.index_tables import IndexTables

#: A DELETE scans at most this many ranges of createdAt.
_GROUPS: Final = 8
#: A condition for some sessions whose createdAt is known, so that the scan is pruned; `_among` gives its parameters.
_AMONG: Final = "created_at BETWEEN ? AND ? AND session_id IN (SELECT unnest(?::VARCHAR[]))"
_AND_UNREADABLE: Final = "(SELECT session_id FROM sessions UNION SELECT session_id FROM sync.unreadable)"


@dataclass(frozen=True, slots=True)
class Changes:
    """The ledger's part of a transaction.

    `claims`: intervals of updatedAt that are now read completely; `settled`: those of them that need no second reading;
    `unsettled`: intervals that need one, claimed or not. `windows`: rows that replace those of the same run and position.
    `batch`: the merged raw file. `state`: facts to set. `supersede`: first close the windows that earlier runs left open.
    """

    org_id: str | None = None
    claims: IntervalSet = field(default_factory=IntervalSet)
    settled: IntervalSet = field(default_factory=IntervalSet)
    unsettled: IntervalSet = field(default_factory=IntervalSet)
    windows: Sequence[WindowRecord] = ()
    batch: Batch | None = None
    state: Mapping[str, str] = field(default_factory=dict)
    supersede: bool = False


class Index(IndexTables):
    """An open index. For one thread at a time; use as a context manager, inside the writer's lock."""

    #: Whether a migration changed it when it was opened.
    migrated = False

    def _prepare(self, *, read_only: bool) -> None:
        tables = (
            "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND table_name = 'state'"
        )
        if not self.rows(f"{tables} LIMIT 1"):
            self._create_tables()
            return
        version = self.state().get("schema_version", "")
        if not (read_only and migrations.may_read(version)):
            self.migrated = migrations.migrate(self, version, self.path)
            self._forget_cached()

    def _create_tables(self) -> None:
        with self.transaction():
            self._db.execute("CREATE SCHEMA IF NOT EXISTS sync").fetchall()
            self._db.execute(INDEX.ddl()).fetchall()
            for table in SYNC_TABLES:
                self._db.execute(table.ddl("sync")).fetchall()
            self._set_state({"schema_version": str(schema.SCHEMA_VERSION)})

    # -- which sessions are there --------------------------------------------------------------------------------

    def is_empty(self) -> bool:
        """Whether there is no session. Unreadable sessions do not count."""
        return not self.rows("SELECT 1 FROM sessions LIMIT 1")

    def count(self, window: Window | None = None) -> int:
        """The number of sessions, or of those created in the (closed) window."""
        if window is None:
            return int(self.rows("SELECT count(*) FROM sessions")[0][0])
        sql = "SELECT count(*) FROM sessions WHERE created_at >= ? AND created_at < ?"
        return int(self.rows(sql, window_bounds(window))[0][0])

    def session_ids(self) -> list[str]:
        """The ids of all sessions, unreadable ones included."""
        return [session_id for (session_id,) in self.rows(f"FROM {_AND_UNREADABLE}")]

    def holds_any(self, session_ids: Collection[str]) -> bool:
        """Whether one of these sessions is there, readable or not."""
        sql = f"SELECT 1 FROM {_AND_UNREADABLE} WHERE session_id IN (SELECT unnest(?::VARCHAR[])) LIMIT 1"
        return bool(self.rows(sql, [list(session_ids)]))

    def sessions_not_in(self, files: Collection[str]) -> list[str]:
        """The sessions whose newest version came from none of these raw files."""
        sql = (
            "SELECT session_id FROM sessions WHERE batch NOT IN "
            "(SELECT batch FROM sync.batches WHERE file IN (SELECT unnest(?::VARCHAR[]))) ORDER BY 1"
        )
        return [session_id for (session_id,) in self.rows(sql, [list(files)])]

    def created_at(self, session_ids: Collection[str]) -> dict[str, int]:
        """The createdAt (µs) of those of these sessions that are there."""
        sql = "SELECT session_id, epoch_us(created_at) FROM sessions WHERE session_id IN (SELECT unnest(?::VARCHAR[]))"
        return dict(self.rows(sql, [list(session_ids)]))

    # -- versions ------------------------------------------------------------------------------------------------

    def known(self, sessions: Mapping[str, int]) -> dict[str, Known]:
        """What the index holds of these sessions. They come with their createdAt (µs), which prunes the scan."""
        if not sessions:
            return {}
        found = self.rows(f"SELECT {COLUMNS} FROM sessions WHERE {_AMONG}", _among(sessions))
        return {row[0]: IndexRow._make(row).known for row in found}

    def contents(self, window: Window, column: str = "updated_at") -> dict[str, int]:
        """Id and short content hash of the sessions without a tombstone whose newest version is in the window."""
        upper = "" if window.upper is None else f" AND {column} < ?"
        bounds = [to_datetime(at) for at in (window.lower, window.upper) if at is not None]
        return dict(
            self.rows(
                f"SELECT session_id, content_hash FROM sessions WHERE mark_seq IS NULL AND {column} >= ?{upper}",
                bounds,
            )
        )

    # -- transactions --------------------------------------------------------------------------------------------

    def merge(self, resolution: Resolution, known: Mapping[str, Known], changes: Changes) -> None:
        """One transaction: replace the sessions that changed, set the dirty flags of their parts, write the ledger."""
        held = resolution.held
        with self.transaction():
            faultpoints.reach("merge.begun")
            self._delete(
                {session_id: known[session_id].created_at for session_id in held if session_id in known}
            )
            faultpoints.reach("merge.deleted")
            if held:
                self._insert(to_arrow(held))
                self._assert_unique({session_id: one.created_at for session_id, one in held.items()})
            faultpoints.reach("merge.inserted")
            self._set_aside(resolution)
            self.touch(
                (held[session_id].created_at, tables) for session_id, tables in resolution.dirty.items()
            )
            self._record(changes)
            faultpoints.reach("merge.noted")
        faultpoints.reach("merge.committed")

    def record(self, changes: Changes) -> None:
        """One transaction that writes only the ledger."""
        with self.transaction():
            self._record(changes)

    def erase(self, session_ids: Collection[str]) -> int:
        """One transaction: delete these sessions and set the dirty flags of their parts. Returns how many there were.

        An open window whose cursors name one of them has to be read again from its beginning.
        """
        held = self.created_at(session_ids)
        self._aside = None
        with self.transaction():
            for table in ("sessions", "sync.unreadable"):
                self.run(
                    f"DELETE FROM {table} WHERE session_id IN (SELECT unnest(?::VARCHAR[]))",
                    [list(session_ids)],
                )
            self.touch((created_at, schema.TABLE_NAMES) for created_at in held.values())
            for session_id in session_ids:
                self.run(
                    "UPDATE sync.windows SET verdict = CASE verdict WHEN 'open' THEN 'superseded' ELSE verdict END, "
                    "left_to_read = NULL WHERE contains(left_to_read, ?)",
                    [session_id],
                )
        return len(held)

    # -- inside --------------------------------------------------------------------------------------------------

    def _delete(self, sessions: Mapping[str, int]) -> None:
        for group in _by_creation(sessions):
            self._db.execute(f"DELETE FROM sessions WHERE {_AMONG}", _among(dict(group))).fetchall()

    def _insert(self, rows: pa.Table) -> None:
        # DuckDB finds the variable by its name: registering it would take as long as inserting a few rows.
        self._db.execute("INSERT INTO sessions SELECT * FROM rows").fetchall()

    def _assert_unique(self, written: Mapping[str, int]) -> None:
        ((count,),) = self.rows(f"SELECT count(*) FROM sessions WHERE {_AMONG}", _among(written))
        if count != len(written):
            raise VapiSessionsError(
                f"A merge of {len(written)} sessions left {count} rows; it was rolled back.",
                "This is a bug: please report it. vapi-sessions rebuild repairs.",
            )

    def _record(self, changes: Changes) -> None:
        if changes.supersede:
            self._supersede_windows()
        for window in changes.windows:
            self._put_window(window)
        if changes.batch is not None:
            self._insert_batch(changes.batch)
        if changes.claims and changes.org_id is not None:
            self._claim(changes.org_id, changes.claims)
        facts = dict(changes.state)
        if "next_seq" in facts:  # batches are not merged in the order of their request numbers
            facts["next_seq"] = str(max(int(facts["next_seq"]), int(self.state().get("next_seq", "0"))))
        if changes.settled or changes.unsettled:
            facts |= self._settle(changes.settled, changes.unsettled)
        self._set_state(facts)


def _among(sessions: Mapping[str, int]) -> list[object]:
    """The parameters of `_AMONG`, from ids and createdAt (µs)."""
    created = sessions.values()
    return [to_datetime(min(created)), to_datetime(max(created)), list(sessions)]


def _by_creation(sessions: Mapping[str, int]) -> list[list[tuple[str, int]]]:
    """The sessions in at most `_GROUPS` groups of neighbouring createdAt, cut at the widest gaps, so that scans are pruned."""
    ordered = sorted(sessions.items(), key=lambda item: item[1])
    if not ordered:
        return []
    wide = [i for i in range(1, len(ordered)) if ordered[i][1] - ordered[i - 1][1] > DAY]
    gaps = sorted(wide, key=lambda i: ordered[i - 1][1] - ordered[i][1])[: _GROUPS - 1]
    edges = [0, *sorted(gaps), len(ordered)]
    return [ordered[start:end] for start, end in itertools.pairwise(edges)]
