"""`store.duckdb`: the writer's own database. Rows, ledger and state change together, in one transaction, or not at all.

No primary key and no index: upserts through them are ten times slower and have open reports of corruption. A session's
rows are deleted and inserted as a set, pruned by `created_at`, and uniqueness is asserted inside the transaction.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import math
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import duckdb
import msgspec
import pyarrow as pa

from vapi_sessions import faultpoints, schema
from vapi_sessions.errors import VapiSessionsError, WarehouseBusyError, WarehouseError
from vapi_sessions.ledger import Ledger
from vapi_sessions.merge import UNNAMED, Growth, Known, Mark, Resolution, Unreadable
from vapi_sessions.paths import literal
from vapi_sessions.timestamps import DAY, month_of, to_datetime
from vapi_sessions.warehouse.files import make_ours, make_private
from vapi_sessions.warehouse.refusals import database_errors, disk_errors
from vapi_sessions.windows import IntervalSet

#: How long another process's DuckDB lock on the file is waited for, seconds.
LOCK_PATIENCE: Final = 10.0
#: What DuckDB may use, MiB; it keeps what it has written for as long as there is room.
MEMORY_LIMIT: Final = 72
#: What it needs beside that, MiB, for each row group in which something was deleted, until the next checkpoint: it can put that
#: nowhere else, and fails for want of it. One block, as measured.
_A_DELETION: Final = 0.25
#: It reads so many rows of a table at once, with all their texts, to write its log, to write their row group at a checkpoint,
#: and for whoever asks for some of them. Each thread that does needs the size of the heaviest and up to a third, and MiB beside
#: that, as measured with 10 to 200 KB a row.
_VECTOR: Final = 2_048
_OF_A_VECTOR: Final = 1.3
_BESIDE_A_VECTOR: Final = 32
#: The facts of the state that remember the heaviest, in bytes, and what was written last, where they are not small.
_HEAVIEST: Final = "heaviest_vector"
_LAST_WRITTEN: Final = "last_written"
_SMALL: Final = 8_000_000
#: Merges that are told apart among those: older ones are taken together.
_MERGES: Final = 16
#: Row groups with deletions after which there is a checkpoint in the middle of a run.
_MOST_DELETIONS: Final = 2_000
_GROUPS: Final = 8
#: Sessions that were replaced before the file is copied without them: at least so many, and this share of those alive.
COMPACT_FROM: Final = 500
_DEAD_SHARE: Final = 0.4
#: Rows. A batch fills many row groups, which go to the file at once; the remainder is written twice, by way of the log, and
#: what it took up first stays free in the file. A multiple of 2,048, DuckDB's vectors.
ROW_GROUP: Final = 12_288


class EarlierVersionError(WarehouseError):
    """An earlier version of this program made the file; what it holds has to be derived again."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What one transaction writes beside the sessions themselves.

    `claims`: intervals of updatedAt now read completely; `settled`: those of them that need no second reading;
    `unsettled`: what will need one, whatever is claimed there. `windows`: rows of the ledger (replaced by run and index).
    `batch`: the raw file merged, as a row of `sync.batches`. `state`: facts to set. `supersede`: windows that earlier
    runs left open are closed first (`windows` then holds those that go on).
    """

    org_id: str | None = None
    claims: IntervalSet = field(default_factory=IntervalSet)
    settled: IntervalSet = field(default_factory=IntervalSet)
    unsettled: IntervalSet = field(default_factory=IntervalSet)
    windows: Sequence[Mapping[str, Any]] = ()
    batch: Mapping[str, Any] | None = None
    state: Mapping[str, str] = field(default_factory=dict)
    supersede: bool = False


class Store:
    """An open store. One thread at a time; use as a context manager, inside the writer's lock."""

    def __init__(
        self,
        path: Path,
        scratch: Path,
        *,
        sleep: Callable[[float], None] = time.sleep,
        read_only: bool = False,
    ) -> None:
        """`read_only`: nothing is written, not even made of a log that a killed process left; without the writer's lock.

        Raises WarehouseError; EarlierVersionError if an earlier version of this program made the file.
        """
        self.path = path
        # `sync.state` and the claimed intervals, as committed or about to be; None: not read yet.
        self._facts: dict[str, str] | None = None
        self._claimed: IntervalSet | None = None
        self._memory = MEMORY_LIMIT
        self._deletions: dict[str, int] = {}  # row groups since the last checkpoint, at most, by table
        self._idle: deque[duckdb.DuckDBPyConnection] = deque()  # cursors that nobody uses
        # Rows and bytes of the last merges, by table; None: not read yet.
        self._written: dict[str, deque[tuple[int, int]]] | None = None
        # DuckDB makes its log, which holds conversations too, anew after each checkpoint, and takes no mode for it.
        self._umask = os.umask(0o077)
        try:
            self._db = _attach_to_read(path) if read_only else _open(path, scratch, sleep)
            try:
                with database_errors(path):
                    self._prepare()
            except BaseException:  # DuckDB would hand the open database to whoever opens this path next
                self._db.close()
                raise
        except BaseException:
            os.umask(self._umask)
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        with database_errors(self.path), contextlib.ExitStack() as stack:
            stack.callback(os.umask, self._umask)
            for db in (self._db, *self._idle):  # the file is let go when the last one is closed
                stack.callback(db.close)

    # -- state and ledger ----------------------------------------------------------------------------------------

    def state(self) -> dict[str, str]:
        """All facts of `sync.state`."""
        if self._facts is None:
            self._facts = dict(self.rows("SELECT key, value FROM sync.state"))
        return dict(self._facts)

    def ledger(self) -> Ledger:
        """Progress so far. Moments in microseconds."""
        facts = self.state()
        if self._claimed is None:
            self._claimed = IntervalSet(
                self.rows("SELECT epoch_us(lower_bound), epoch_us(upper_bound) FROM sync.intervals")
            )
        return Ledger(
            org_id=facts.get("org_id"),
            origin=int(facts["origin"]) if "origin" in facts else None,
            completed=self._claimed,
            unsettled=_spans(facts.get("unsettled")),
        )

    def open_windows(self) -> list[dict[str, Any]]:
        """Windows that an earlier run left in the middle: index, run, bounds (µs), still expected, `left_to_read` decoded.

        `claimed_until` is where the claim would have ended (µs), which an open window has as well.
        """
        found = self.rows(
            "SELECT run_id, window_index, epoch_us(lower_bound), epoch_us(upper_bound), greatest(0, expected - distinct_ids), "
            "epoch_us(claimed_until), left_to_read "
            "FROM sync.windows WHERE verdict = 'open' ORDER BY lower_bound"
        )
        names = ("run_id", "window_index", "lower", "upper", "expected", "claimed_until", "left")
        return [
            dict(zip(names, (*row[:6], msgspec.json.decode(row[6] or "[]")), strict=True)) for row in found
        ]

    def merged_files(self) -> set[str]:
        """Names of the raw files that the ledger knows."""
        return {name for (name,) in self.rows("SELECT file FROM sync.batches")}

    def dirty(self) -> bool:
        """Whether tables have changed since they were last published."""
        return bool(self.rows("SELECT count(*) FROM sync.parts WHERE dirty")[0][0])

    # -- sessions ------------------------------------------------------------------------------------------------

    def known(self, sessions: Mapping[str, int]) -> dict[str, Known]:
        """What is held of these sessions: id to createdAt (µs), which never changes and prunes the scan."""
        if not sessions:
            return {}
        # A cursor sees what is committed, and may ask while another thread merges.
        with database_errors(self.path), self._cursor() as db:
            found = db.execute(
                f"""
                SELECT session_id, epoch_us(created_at), epoch_us(updated_at), seq, content_hash, epoch_us(first_synced_at),
                       growth, message_count, mark_seq, epoch_us(deleted_at), epoch_us(aged_out_at)
                FROM sessions WHERE {_AMONG.format(created_at="created_at")}
                """,
                _among(sessions),
            ).fetchall()
        return {row[0]: _known(*row[1:]) for row in found}

    def unreadable(self) -> dict[str, Unreadable]:
        """The sessions that are kept aside, without their bodies."""
        found = self.rows(
            "SELECT session_id, epoch_us(created_at), epoch_us(updated_at), epoch_us(requested_at), seq, problem, content_hash "
            "FROM sync.unreadable"
        )
        return {
            name: Unreadable(
                session_id=name,
                named=not name.startswith(UNNAMED),
                org_id=None,
                created_at=created,
                updated_at=updated,
                requested_at=requested,
                seq=seq,
                run_id="",
                body=b"",
                content_hash=content_hash,
                problem=problem,
            )
            for name, created, updated, requested, seq, problem, content_hash in found
        }

    def merge(
        self,
        resolution: Resolution,
        tables: Mapping[str, pa.Table],
        known: Mapping[str, Known],
        changes: Changes,
    ) -> None:
        """One transaction: replace the sessions of `tables` with their children, move marks, note progress."""
        replaced = {
            v.session_id: known[v.session_id].created_at for v in resolution.versions if v.session_id in known
        }
        heaviest = self._heaviest_vector(tables if resolution.versions else {})
        self.make_room(len(replaced), heaviest)
        with self.transaction():
            faultpoints.reach("merge.begun")
            self._delete(replaced)
            faultpoints.reach("merge.deleted")
            if resolution.versions:
                for table in schema.TABLES:
                    self._insert(table.name, tables[table.name])
                self._assert_unique({v.session_id: v.created_at for v in resolution.versions})
            faultpoints.reach("merge.inserted")
            self._date_back(resolution.earlier, known)
            touched = {v.created_at for v in resolution.versions} | set(replaced.values())
            touched |= {
                known[session_id].created_at
                for session_id in (*resolution.earlier, *resolution.marks)
                if session_id in known
            }
            self._set_marks(resolution, known)
            self._set_aside(resolution)
            self.touch(touched)
            facts = self._weights(heaviest)
            if replaced:
                facts["dead_sessions"] = str(int(self.state().get("dead_sessions", "0")) + len(replaced))
            self._note(changes, facts)
            faultpoints.reach("merge.noted")
        faultpoints.reach("merge.committed")

    def note(self, changes: Changes) -> None:
        """One transaction that writes progress and state only."""
        with self.transaction():
            self._note(changes)

    def note_publication(self, parts: Sequence[Mapping[str, Any]], state: Mapping[str, str]) -> None:
        """One transaction: which files now hold which ranges (`lower`, `file`, `tables`, `sessions`), and the snapshot."""
        with self.transaction():
            for part in parts:
                self._db.execute(
                    "UPDATE sync.parts SET file = ?, tables = ?, sessions = ?, dirty = false WHERE epoch_us(lower_bound) = ?",
                    [part["file"], part["tables"], part["sessions"], part["lower"]],
                ).fetchall()
            self._set_state(state)

    def put_run(self, row: Mapping[str, Any]) -> None:
        """Write or replace one row of `sync.runs`."""
        with self.transaction():
            self._db.execute("DELETE FROM sync.runs WHERE run_id = ?", [row["run_id"]])
            self._insert_row("runs", row)

    def close_dead_runs(self) -> None:
        """Runs that a previous process left behind as running were killed."""
        if self.rows("SELECT 1 FROM sync.runs WHERE outcome = 'running' LIMIT 1"):
            self.run("UPDATE sync.runs SET outcome = 'killed' WHERE outcome = 'running'")

    # -- plumbing ------------------------------------------------------------------------------------------------

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, drained: DuckDB 2 refuses the next statement while a result is open."""
        with database_errors(self.path):
            return self._db.execute(sql, list(parameters)).fetchall()

    def run(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Execute one statement."""
        with database_errors(self.path):
            self._db.execute(sql, list(parameters)).fetchall()

    @contextlib.contextmanager
    def batches(
        self, sql: str, parameters: Sequence[object], rows: int
    ) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        """The rows of a query of what is committed, so many at a time, and their columns; thread-safe."""
        with (
            database_errors(self.path),
            self._cursor() as db,
            db.sql(sql, params=list(parameters)).to_arrow_reader(rows) as reader,
        ):
            yield reader.schema, _each(reader)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside becomes durable together, or not at all."""
        with database_errors(self.path):
            self._db.begin()
            try:
                yield
                self._db.commit()
            except BaseException:
                self._forget()
                with contextlib.suppress(duckdb.Error):
                    self._db.rollback()
                raise

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of the caller's own, who reads to the end what it asks for. The next caller gets the same one: to make
        one ready takes as long as a small query.
        """
        try:
            db, ready = self._idle.pop(), True
        except IndexError:
            db, ready = self._db.cursor(), False
        try:
            if not ready:
                db.execute("USE store").fetchall()
            yield db
        except BaseException:
            db.close()
            raise
        self._idle.append(db)

    @contextlib.contextmanager
    def attached(self, path: Path, *, made_for: str | None = None, read_only: bool = False) -> Iterator[str]:
        """Another database file, current while inside; yields the name of our own. A second process-wide instance of
        DuckDB would cost more than all that is written there. A new file can be opened by DuckDB `made_for` and later.
        """
        version = [f"STORAGE_VERSION '{made_for}'"] if made_for else []
        options = ", ".join([*version, *(["READ_ONLY"] if read_only else [])])
        self.run(f"ATTACH {literal(path)} AS attached_file{f' ({options})' if options else ''}")
        try:
            self.run("USE attached_file")
            yield "store"
        finally:
            self.run("USE store")
            self.run("DETACH attached_file")
            self._forget()  # whoever is inside may write to our tables by name

    def _forget(self) -> None:
        """What was read of the state and of the claims is read again."""
        self._facts = self._claimed = None

    def worth_compacting(self) -> bool:
        """Whether replaced sessions, which stay in the file until it is copied, make up a good part of it.

        Answers True once, whatever becomes of the copy: a later one is as good, and never trying again as bad as always.
        """
        dead = int(self.state().get("dead_sessions", "0"))
        ((alive,),) = self.rows("SELECT count(*) FROM sessions")
        if dead < COMPACT_FROM or dead < alive * _DEAD_SHARE:
            return False
        with self.transaction():
            self._set_state({"dead_sessions": "0"})
        return True

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file; once a run, because each one costs."""
        self.run("CHECKPOINT")
        self._deletions.clear()

    def make_room(self, replaced: int, heaviest: int | None = None) -> None:
        """Let DuckDB use as much memory as it may need to delete so many sessions, wherever they lie, and to write rows of
        which the heaviest vector takes `heaviest` bytes (None: no more than any before).
        """
        needed = _memory_for(self._heaviest() if heaviest is None else heaviest)
        if replaced:
            rows = self.rows(
                "SELECT table_name, estimated_size FROM duckdb_tables() WHERE database_name = 'store' AND schema_name = 'main'"
            )
            if sum(self._deletions.values()) > _MOST_DELETIONS:
                self.checkpoint()
            self._deletions = {
                table: min(size // ROW_GROUP + 1, self._deletions.get(table, 0) + replaced)
                for table, size in rows
            }
        needed += math.ceil(sum(self._deletions.values()) * _A_DELETION)
        if needed > self._memory:
            self.run(f"SET GLOBAL memory_limit = '{needed}MiB'")
            self._memory = needed

    @property
    def memory(self) -> int:
        """What DuckDB may use for this file's sake, MiB."""
        return self._memory

    @property
    def memory_to_copy(self) -> int:
        """What it needs to copy this file to another, MiB: what is read, beside what is written, and as much to spare."""
        return max(self._memory, _memory_for(self._heaviest(), threads=3))

    @property
    def heavy(self) -> bool:
        """Whether rows are so large that two threads should not read them at once: each has a vector of its own."""
        return _memory_for(self._heaviest(), threads=2) > MEMORY_LIMIT

    def _heaviest(self) -> int:
        return int(self.state().get(_HEAVIEST, "0"))

    def _heaviest_vector(self, tables: Mapping[str, pa.Table]) -> int:
        """Bytes of the heaviest vector so far, with the one that these rows will lie in, beside those of earlier runs."""
        if self._written is None:
            stored = msgspec.json.decode(
                self.state().get(_LAST_WRITTEN, "{}"), type=dict[str, list[tuple[int, int]]]
            )
            self._written = {name: deque(merges) for name, merges in stored.items()}
        found = self._heaviest()
        for name, table in tables.items():
            if not table.num_rows:
                continue
            written = self._written.setdefault(name, deque())
            written.append((table.num_rows, table.nbytes))
            while sum(rows for rows, _ in written) - written[0][0] >= _VECTOR:
                written.popleft()
            if len(written) > _MERGES:
                rows, size = written.popleft()
                written[0] = (written[0][0] + rows, written[0][1] + size)
            found = max(found, sum(size for _, size in written))
        return found

    def _weights(self, heaviest: int) -> dict[str, str]:
        """The facts that let a later run know how heavy vectors are; none as long as all are small."""
        written = {name: list(merges) for name, merges in (self._written or {}).items()}
        sums = [[sum(column) for column in zip(*merges, strict=True)] for merges in written.values()]
        if _LAST_WRITTEN not in self.state() and all(size * _VECTOR <= rows * _SMALL for rows, size in sums):
            return {}
        return {_HEAVIEST: str(heaviest), _LAST_WRITTEN: msgspec.json.encode(written).decode()}

    def _prepare(self) -> None:
        try:
            self.state()
        except duckdb.CatalogException:
            exists = False
        else:
            exists = True
        if exists:
            version = self.state().get("schema_version", "")
            fact = f"{self.path} has schema version {version}, this program has {schema.SCHEMA_VERSION}."
            if version.isdecimal() and int(version) < schema.SCHEMA_VERSION:
                raise EarlierVersionError(fact, "Run vapi-sessions sync: it takes the warehouse over.")
            if version != str(schema.SCHEMA_VERSION):
                raise WarehouseError(
                    fact,
                    "Use the program that made it, or run vapi-sessions rebuild: it derives all from raw/.",
                )
            self.make_room(0)
            return
        with self.transaction():
            self._db.execute("CREATE SCHEMA IF NOT EXISTS sync").fetchall()
            for table in schema.TABLES:
                self._db.execute(table.ddl()).fetchall()
            for table in schema.SYNC_TABLES:
                self._db.execute(table.ddl("sync")).fetchall()
            self._set_state({"schema_version": str(schema.SCHEMA_VERSION)})

    def _delete(self, sessions: Mapping[str, int]) -> None:
        for group in _by_creation(sessions):
            among = _among(dict(group))
            for table in schema.TABLES:
                where = _AMONG.format(created_at=table.created_at)
                self._db.execute(f"DELETE FROM {table.name} WHERE {where}", among).fetchall()

    def _insert(self, table: str, rows: pa.Table) -> None:
        if rows.num_rows:
            # DuckDB finds the variable by its name: to register it would take as long as to insert a few rows.
            self._db.execute(f"INSERT INTO {table} BY NAME SELECT * FROM rows").fetchall()

    def _insert_row(self, table: str, row: Mapping[str, Any]) -> None:
        self._db.execute(
            f"INSERT INTO sync.{table} ({', '.join(row)}) VALUES ({_marks(len(row))})", list(row.values())
        ).fetchall()

    def _assert_unique(self, written: Mapping[str, int]) -> None:
        where = _AMONG.format(created_at="created_at")
        ((count,),) = self._db.execute(
            f"SELECT count(*) FROM sessions WHERE {where}", _among(written)
        ).fetchall()
        if count != len(written):
            raise VapiSessionsError(
                f"A merge of {len(written)} sessions left {count} rows; it was rolled back.",
                "This is a bug: please report it. vapi-sessions rebuild repairs.",
            )

    def _date_back(self, earlier: Mapping[str, tuple[int, Growth]], known: Mapping[str, Known]) -> None:
        """Sessions whose state stays although an older version turned up: it may show messages seen earlier."""
        for session_id, (first, growth) in earlier.items():
            at = to_datetime(known[session_id].created_at)
            self._db.execute(
                "UPDATE sessions SET first_synced_at = ?, growth = ? WHERE created_at = ? AND session_id = ?",
                [
                    to_datetime(first),
                    msgspec.json.encode(growth).decode(),
                    at,
                    session_id,
                ],
            ).fetchall()
            for moment, count in reversed(growth):
                self._db.execute(
                    "UPDATE messages SET first_seen_at = ? WHERE session_created_at = ? AND session_id = ? AND message_index < ?",
                    [to_datetime(moment), at, session_id, count],
                ).fetchall()

    def _set_marks(self, resolution: Resolution, known: Mapping[str, Known]) -> None:
        written = {v.session_id: v.created_at for v in resolution.versions}
        for session_id, mark in resolution.marks.items():
            if mark is None and session_id in written:
                continue  # written anew, without a mark
            created = written[session_id] if session_id in written else known[session_id].created_at
            moment = to_datetime(mark.requested_at) if mark is not None else None
            self._db.execute(
                "UPDATE sessions SET deleted_at = ?, aged_out_at = ?, mark_seq = ? WHERE created_at = ? AND session_id = ?",
                [
                    moment if mark is not None and mark.kind == "deleted" else None,
                    moment if mark is not None and mark.kind == "aged_out" else None,
                    mark.seq if mark is not None else None,
                    to_datetime(created),
                    session_id,
                ],
            ).fetchall()

    def _set_aside(self, resolution: Resolution) -> None:
        changed = [*resolution.unreadable, *resolution.released]
        if changed:
            self._db.execute(
                f"DELETE FROM sync.unreadable WHERE session_id IN ({_marks(len(changed))})", changed
            ).fetchall()
        for name, one in resolution.unreadable.items():
            created, updated = (
                to_datetime(at) if at is not None else None for at in (one.created_at, one.updated_at)
            )
            row = {
                "session_id": name,
                "created_at": created,
                "updated_at": updated,
                "problem": one.problem,
                "requested_at": to_datetime(one.requested_at),
                "seq": one.seq,
                "content_hash": one.content_hash,
            }
            self._insert_row("unreadable", row)

    def touch(self, created: Collection[int]) -> None:
        """Note which published ranges are stale; a month seen for the first time gets a range of its own."""
        if not created:
            return
        parts = self.rows(
            "SELECT epoch_us(lower_bound), epoch_us(upper_bound), dirty FROM sync.parts ORDER BY lower_bound"
        )
        lowers = [lower for lower, _, _ in parts]
        stale: set[int] = set()
        fresh: dict[int, int] = {}
        for moment in created:
            at = bisect.bisect_right(lowers, moment) - 1
            if at >= 0 and moment < parts[at][1]:
                if not parts[at][2]:
                    stale.add(lowers[at])
            else:
                lower, upper = month_of(moment)
                fresh[lower] = upper
        if stale:
            self._db.execute(
                f"UPDATE sync.parts SET dirty = true WHERE epoch_us(lower_bound) IN ({_marks(len(stale))})",
                list(stale),
            ).fetchall()
        for lower, upper in fresh.items():
            part = {"lower_bound": to_datetime(lower), "upper_bound": to_datetime(upper)}
            self._insert_row("parts", {**part, "sessions": 0, "file": None, "tables": None, "dirty": True})

    def _note(self, changes: Changes, state: Mapping[str, str] = MappingProxyType({})) -> None:
        """`state`: facts beside those of the changes."""
        if changes.supersede:
            self._db.execute(
                "UPDATE sync.windows SET verdict = 'superseded' WHERE verdict = 'open'"
            ).fetchall()
        for window in changes.windows:
            self._db.execute(
                "DELETE FROM sync.windows WHERE run_id = ? AND window_index = ?",
                [window["run_id"], window["window_index"]],
            ).fetchall()
            self._insert_row("windows", window)
        if changes.batch is not None:
            self._insert_row("batches", changes.batch)
        if changes.claims and changes.org_id is not None:
            self._claim(changes.org_id, changes.claims)
        facts = {**changes.state, **state}
        if (
            "next_seq" in facts
        ):  # files are merged in the order of their first requests, not in that of their ends
            facts["next_seq"] = str(max(int(facts["next_seq"]), int(self.state().get("next_seq", "0"))))
        if changes.settled or changes.unsettled:
            before = _spans(self.state().get("unsettled"))
            after = (before | changes.unsettled) - changes.settled
            if after != before:
                facts["unsettled"] = msgspec.json.encode(list(after)).decode()
        self._set_state(facts)

    def _claim(self, org_id: str, claims: IntervalSet) -> None:
        before = self.ledger().completed
        after = before | claims
        if after == before:
            return
        self._db.execute("DELETE FROM sync.intervals").fetchall()
        for lower, upper in after:
            bounds = {"lower_bound": to_datetime(lower), "upper_bound": to_datetime(upper)}
            self._insert_row("intervals", {"org_id": org_id, **bounds})
        self._claimed = after

    def _set_state(self, facts: Mapping[str, str]) -> None:
        before = self.state()
        changed = {key: value for key, value in facts.items() if key not in before or before[key] != value}
        if not changed:
            return
        self._db.execute(
            f"DELETE FROM sync.state WHERE key IN ({_marks(len(changed))})", list(changed)
        ).fetchall()
        self._db.execute(
            f"INSERT INTO sync.state (key, value) VALUES {', '.join(['(?, ?)'] * len(changed))}",
            [text for fact in changed.items() for text in fact],
        ).fetchall()
        self._facts = before | changed


def _each(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The reader's batches; errors of DuckDB, which come through it as Arrow's, as DuckDB's again."""
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (OSError, pa.ArrowException) as error:
            kind = duckdb.OutOfMemoryException if "Out of Memory" in str(error) else duckdb.Error
            raise kind(str(error)) from error
        yield batch


#: Rows of some sessions, in a scan that their createdAt prunes.
_AMONG: Final = "{created_at} BETWEEN ? AND ? AND session_id IN (SELECT unnest(?))"


def _among(sessions: Mapping[str, int]) -> list[object]:
    """The parameters of `_AMONG`: id to createdAt (µs)."""
    created = sessions.values()
    return [to_datetime(min(created)), to_datetime(max(created)), list(sessions)]


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _known(
    created: int,
    updated: int,
    seq: int,
    content_hash: str,
    first: int,
    growth: str | None,
    messages: int,
    mark_seq: int | None,
    deleted: int | None,
    aged_out: int | None,
) -> Known:
    mark = None
    if mark_seq is not None:
        mark = (
            Mark("deleted", deleted, mark_seq)
            if deleted is not None
            else Mark("aged_out", aged_out or 0, mark_seq)
        )
    steps: Growth = (
        tuple((u, n) for u, n in msgspec.json.decode(growth)) if growth else ((updated, messages),)
    )
    return Known(created, updated, seq, content_hash, first, steps, mark)


def _spans(text: str | None) -> IntervalSet:
    return IntervalSet((lower, upper) for lower, upper in msgspec.json.decode(text or "[]"))


def _by_creation(sessions: Mapping[str, int]) -> list[list[tuple[str, int]]]:
    """Sessions in at most `_GROUPS` groups of neighbouring createdAt, cut at the widest gaps, so that scans prune."""
    ordered = sorted(sessions.items(), key=lambda item: item[1])
    if not ordered:
        return []
    wide = [i for i in range(1, len(ordered)) if ordered[i][1] - ordered[i - 1][1] > DAY]
    gaps = sorted(wide, key=lambda i: ordered[i - 1][1] - ordered[i][1])[: _GROUPS - 1]
    edges = [0, *sorted(gaps), len(ordered)]
    return [ordered[start:end] for start, end in itertools.pairwise(edges)]


def _memory_for(heaviest: int, threads: int = 1) -> int:
    """MiB, for so many threads that each read a vector of `heaviest` bytes at a time."""
    return max(MEMORY_LIMIT, math.ceil(_BESIDE_A_VECTOR + threads * _OF_A_VECTOR * heaviest / 2**20))


def _attach(path: Path, scratch: Path) -> duckdb.DuckDBPyConnection:
    """The file as the current database `store` of a DuckDB of its own: only so can it be told the row groups' size."""
    db = duckdb.connect(
        config={
            "memory_limit": f"{MEMORY_LIMIT}MiB",
            "temp_directory": str(scratch),
            "threads": 1,  # each of its own would hold a vector as well; the others of this process have enough to do
            "preserve_insertion_order": "false",
            "checkpoint_threshold": "1GB",
            "autoinstall_known_extensions": "false",
        }
    )
    try:
        db.execute(f"ATTACH {literal(path)} AS store (ROW_GROUP_SIZE {ROW_GROUP})").fetchall()
        db.execute("USE store").fetchall()
        db.execute("SET GLOBAL TimeZone = 'UTC'").fetchall()  # for cursors as well
    except BaseException:
        db.close()
        raise
    return db


def _attach_to_read(path: Path) -> duckdb.DuckDBPyConnection:
    """The same, for whoever changes nothing on the disk: DuckDB reads the log into memory."""
    with database_errors(path):
        db = duckdb.connect(config={"temp_directory": "", "autoinstall_known_extensions": "false"})
        try:
            db.execute(f"ATTACH {literal(path)} AS store (READ_ONLY)").fetchall()
            made = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'store' AND schema_name = 'sync'"
            if not db.execute(made).fetchall():  # a process died before there was anything in it
                db.execute("DETACH store").fetchall()
                db.execute("ATTACH ':memory:' AS store").fetchall()
            db.execute("USE store").fetchall()
            db.execute("SET GLOBAL TimeZone = 'UTC'").fetchall()
        except BaseException:
            db.close()
            raise
    return db


def _open(path: Path, scratch: Path, sleep: Callable[[float], None]) -> duckdb.DuckDBPyConnection:
    waited = 0.0
    with disk_errors(path):  # DuckDB writes in place
        for file in (path, path.with_name(f"{path.name}.wal")):
            make_ours(file, scratch / f"{file.name}.copy")
    while True:
        try:
            with database_errors(path):
                db = _attach(path, scratch)
        except WarehouseBusyError:
            if waited >= LOCK_PATIENCE:
                raise
            sleep(0.5)
            waited += 0.5
        else:
            break
    try:
        with disk_errors(path):
            make_private(path)
    except BaseException:  # see Store.__init__
        db.close()
        raise
    return db
