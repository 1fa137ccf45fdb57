"""`index.duckdb`, the writer's own: which version of each session wins, the ledger and the state, and no row of a published table.

They change together, in one transaction, or not at all. No primary key and no DuckDB index: upserts through them are ten
times slower and have open reports of corruption. Rows are deleted and inserted as a set, pruned by `created_at`, and
uniqueness is asserted inside the transaction.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec
import pyarrow as pa

from vapi_sessions import schema
from vapi_sessions.core import faultpoints
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import make_ours, make_private
from vapi_sessions.core.intervals import IntervalSet, Window
from vapi_sessions.core.ledger import Ledger
from vapi_sessions.core.paths import literal
from vapi_sessions.core.records import Batch, OpenWindow, Part, RunRecord, WindowRecord, columns_of
from vapi_sessions.core.timestamps import DAY, month_of, to_datetime
from vapi_sessions.errors import VapiSessionsError, WarehouseBusyError, WarehouseError
from vapi_sessions.transform.flatten import Head
from vapi_sessions.transform.resolve import UNNAMED, Growth, Known, Resolution, Tombstone, Unreadable
from vapi_sessions.warehouse.database_errors import database_errors

#: How long another process's DuckDB lock on the file is waited for, seconds.
LOCK_PATIENCE: Final = 10.0
#: What DuckDB may use, MiB; it keeps what it has written for as long as there is room.
MEMORY_LIMIT: Final = 72
_GROUPS: Final = 8
#: Their names.
ALL_TABLES: Final = frozenset(table.name for table in schema.TABLES)


@dataclass(frozen=True, slots=True)
class Changes:
    """What one transaction writes beside the sessions themselves.

    `claims`: intervals of updatedAt now read completely; `settled`: those of them that need no second reading;
    `unsettled`: what will need one, whatever is claimed there. `windows`: rows of the ledger (replaced by run and index).
    `batch`: the raw file merged. `state`: facts to set. `supersede`: windows that earlier
    runs left open are closed first (`windows` then holds those that go on).
    """

    org_id: str | None = None
    claims: IntervalSet = field(default_factory=IntervalSet)
    settled: IntervalSet = field(default_factory=IntervalSet)
    unsettled: IntervalSet = field(default_factory=IntervalSet)
    windows: Sequence[WindowRecord] = ()
    batch: Batch | None = None
    state: Mapping[str, str] = field(default_factory=dict)
    supersede: bool = False


def parts_of(rows: Callable[[str], list[tuple[Any, ...]]]) -> list[Part]:
    """What is published, by range; `rows(sql)` asks the index, or what was published of it."""
    found: dict[tuple[int, int], Part] = {}
    for lower, upper, table, sessions, file, dirty in rows(
        "SELECT epoch_us(lower_bound), epoch_us(upper_bound), table_name, sessions, file, dirty FROM sync.parts ORDER BY lower_bound"
    ):
        part = found.get((lower, upper)) or Part(lower, upper, sessions, {})
        found[lower, upper] = Part(
            lower,
            upper,
            sessions,
            {**part.files, table: file} if file is not None else part.files,
            part.dirty | {table} if dirty else part.dirty,
        )
    return list(found.values())


class Index:
    """An open index. One thread at a time; use as a context manager, inside the writer's lock."""

    def __init__(
        self,
        path: Path,
        scratch: Path,
        *,
        sleep: Callable[[float], None] = time.sleep,
        read_only: bool = False,
    ) -> None:
        """`read_only`: nothing is written, not even made of a log that a killed process left; without the writer's lock.

        Raises WarehouseError.
        """
        self.path = path
        # `sync.state` and the claimed intervals, as committed or about to be; None: not read yet.
        self._facts: dict[str, str] | None = None
        self._claimed: IntervalSet | None = None
        self._next_batch: int | None = None
        # DuckDB makes its log, which holds conversations too, anew after each checkpoint, and takes no mode for it.
        self._umask = os.umask(0o077)
        try:
            self._db = _attach_to_read(path) if read_only else _open(path, scratch, sleep)
            try:
                with database_errors(path):
                    self._prepare(read_only=read_only)
            except BaseException:  # DuckDB would hand the open database to whoever opens this path next
                self._db.close()
                raise
        except BaseException:
            os.umask(self._umask)
            raise

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *exc: object) -> None:
        with database_errors(self.path), contextlib.ExitStack() as stack:
            stack.callback(os.umask, self._umask)
            stack.callback(self._db.close)

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

    def open_windows(self) -> list[OpenWindow]:
        """Windows that an earlier run left in the middle."""
        found = self.rows(
            "SELECT run_id, window_index, epoch_us(lower_bound), epoch_us(upper_bound), greatest(0, expected - distinct_ids), "
            "epoch_us(claimed_until), left_to_read "
            "FROM sync.windows WHERE verdict = 'open' ORDER BY lower_bound"
        )
        return [OpenWindow._make((*row[:6], msgspec.json.decode(row[6] or "[]"))) for row in found]

    def merged_files(self) -> set[str]:
        """Names of the raw files that the ledger knows."""
        return {name for (name,) in self.rows("SELECT file FROM sync.batches")}

    def next_batch(self) -> int:
        """The number of the next batch."""
        if self._next_batch is None:
            self._next_batch = 1 + self.rows("SELECT coalesce(max(batch), 0) FROM sync.batches")[0][0]
        return self._next_batch

    def unpublished(self) -> dict[int, str]:
        """The batches that the published files do not hold: number to name in raw/."""
        return dict(self.rows("SELECT batch, file FROM sync.batches WHERE NOT published ORDER BY batch"))

    def parts(self) -> list[Part]:
        """What is published, by range."""
        return parts_of(self.rows)

    # -- sessions ------------------------------------------------------------------------------------------------

    def known(self, sessions: Mapping[str, int]) -> dict[str, Known]:
        """What is held of these sessions: id to createdAt (µs), which never changes and prunes the scan."""
        if not sessions:
            return {}
        found = self.rows(
            "SELECT session_id, epoch_us(created_at), epoch_us(updated_at), seq, batch, content_hash, message_count, messages_hash, "
            "costs_hash, outputs_hash, epoch_us(first_synced_at), growth, mark_seq, epoch_us(deleted_at), epoch_us(aged_out_at) "
            f"FROM sessions WHERE {_AMONG}",
            _among(sessions),
        )
        return {row[0]: known(*row[1:]) for row in found}

    def contents(self, window: Window, column: str = "updated_at") -> dict[str, int]:
        """The sessions without a mark whose newest version lies in the window: id to `merge.short` of its content hash."""
        upper = "" if window.upper is None else f" AND {column} < ?"
        bounds = [to_datetime(at) for at in (window.lower, window.upper) if at is not None]
        return dict(
            self.rows(
                f"SELECT session_id, content_hash FROM sessions WHERE mark_seq IS NULL AND {column} >= ?{upper}",
                bounds,
            )
        )

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

    def merge(self, resolution: Resolution, known: Mapping[str, Known], changes: Changes) -> None:
        """One transaction: replace what is held of the sessions that changed, say which published files are stale, note progress."""
        held = resolution.held
        with self.transaction():
            faultpoints.reach("merge.begun")
            self._delete(
                {session_id: known[session_id].created_at for session_id in held if session_id in known}
            )
            faultpoints.reach("merge.deleted")
            if held:
                self._insert(_rows(held))
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
        """One transaction that writes progress and state only."""
        with self.transaction():
            self._record(changes)

    def record_publication(
        self,
        parts: Sequence[Part],
        instead_of: Sequence[Part],
        batches: Iterable[int],
        state: Mapping[str, str],
    ) -> None:
        """One transaction: these parts are published instead of those, with all that these batches changed, as a snapshot."""
        with self.transaction():
            gone = sorted({to_datetime(part.lower) for part in instead_of})
            self._db.execute(
                "DELETE FROM sync.parts WHERE lower_bound IN (SELECT unnest(?::TIMESTAMPTZ[]))", [gone]
            ).fetchall()
            self._insert_parts(parts)
            self._db.execute(
                "UPDATE sync.batches SET published = true WHERE batch IN (SELECT unnest(?::BIGINT[]))",
                [sorted(batches)],
            ).fetchall()
            self._set_state(state)

    def put_run(self, run: RunRecord) -> None:
        """Write or replace one row of `sync.runs`."""
        with self.transaction():
            self._db.execute("DELETE FROM sync.runs WHERE run_id = ?", [run.run_id])
            self._insert_row("runs", columns_of(run))

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

    def table(self, sql: str, parameters: Sequence[object] = ()) -> pa.Table:
        """All rows of a query."""
        with database_errors(self.path):
            return self._db.sql(sql, params=list(parameters)).to_arrow_table()

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
    def attached(self, path: Path, *, made_for: str | None = None, read_only: bool = False) -> Iterator[str]:
        """Another database file, current while inside; yields the name of our own. A second process-wide instance of
        DuckDB would cost more than all that is written there. A new file can be opened by DuckDB `made_for` and later.
        """
        version = [f"STORAGE_VERSION '{made_for}'"] if made_for else []
        options = ", ".join([*version, *(["READ_ONLY"] if read_only else [])])
        with database_errors(path):
            self._db.execute(
                f"ATTACH {literal(path)} AS attached_file{f' ({options})' if options else ''}"
            ).fetchall()
        own = self.path
        if read_only:  # whatever is found damaged is what is read
            self.path = path
        try:
            self.run("USE attached_file")
            yield "index"
        finally:
            self.path = own
            self.run("USE index")
            self.run("DETACH attached_file")
            self._forget()  # whoever is inside may write to our tables by name

    def _forget(self) -> None:
        """What was read of the state and of the claims is read again."""
        self._facts = self._claimed = self._next_batch = None

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file; once a run, because each one costs."""
        self.run("CHECKPOINT")

    def _prepare(self, *, read_only: bool) -> None:
        try:
            self.state()
        except duckdb.CatalogException:
            exists = False
        else:
            exists = True
        if exists:
            version = self.state().get("schema_version", "")
            earlier = version.isdecimal() and int(version) < schema.SCHEMA_VERSION  # has the same ledger
            if version != str(schema.SCHEMA_VERSION) and not (read_only and earlier):
                raise WarehouseError(
                    f"{self.path} has schema version {version}, this program has {schema.SCHEMA_VERSION}.",
                    "Use the program that made it, or run vapi-sessions rebuild: it derives all from raw/.",
                )
            return
        with self.transaction():
            self._db.execute("CREATE SCHEMA IF NOT EXISTS sync").fetchall()
            self._db.execute(schema.INDEX.ddl()).fetchall()
            for table in schema.SYNC_TABLES:
                self._db.execute(table.ddl("sync")).fetchall()
            self._set_state({"schema_version": str(schema.SCHEMA_VERSION)})

    def _delete(self, sessions: Mapping[str, int]) -> None:
        for group in _by_creation(sessions):
            self._db.execute(f"DELETE FROM sessions WHERE {_AMONG}", _among(dict(group))).fetchall()

    def _insert(self, rows: pa.Table) -> None:
        # DuckDB finds the variable by its name: to register it would take as long as to insert a few rows.
        self._db.execute("INSERT INTO sessions SELECT * FROM rows").fetchall()

    def _insert_row(self, table: str, row: Mapping[str, Any]) -> None:
        self._db.execute(
            f"INSERT INTO sync.{table} ({', '.join(row)}) VALUES ({_marks(len(row))})", list(row.values())
        ).fetchall()

    def _assert_unique(self, written: Mapping[str, int]) -> None:
        ((count,),) = self._db.execute(
            f"SELECT count(*) FROM sessions WHERE {_AMONG}", _among(written)
        ).fetchall()
        if count != len(written):
            raise VapiSessionsError(
                f"A merge of {len(written)} sessions left {count} rows; it was rolled back.",
                "This is a bug: please report it. vapi-sessions rebuild repairs.",
            )

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

    def touch(self, changes: Iterable[tuple[int, frozenset[str]]]) -> None:
        """Note which published files are stale: createdAt (µs) and tables. A month seen for the first time becomes a part."""
        parts = self.parts()
        lowers = [part.lower for part in parts]
        stale: dict[str, set[int]] = {}
        fresh: dict[int, Part] = {}
        for moment, tables in changes:
            at = bisect.bisect_right(lowers, moment) - 1
            if at >= 0 and moment < parts[at].upper:
                for table in tables - parts[at].dirty:
                    stale.setdefault(table, set()).add(lowers[at])
            else:
                lower, upper = month_of(moment)
                fresh[lower] = Part(lower, upper, 0, {}, ALL_TABLES)
        for table, at_lower in stale.items():
            self._db.execute(
                "UPDATE sync.parts SET dirty = true WHERE table_name = ? AND lower_bound IN (SELECT unnest(?::TIMESTAMPTZ[]))",
                [table, [to_datetime(lower) for lower in sorted(at_lower)]],
            ).fetchall()
        self._insert_parts(fresh.values())

    def _insert_parts(self, parts: Iterable[Part]) -> None:
        rows = [
            (
                to_datetime(part.lower),
                to_datetime(part.upper),
                table.name,
                part.sessions,
                part.files.get(table.name),
                table.name in part.dirty,
            )
            for part in parts
            for table in schema.TABLES
        ]
        if rows:
            values = ", ".join([f"({_marks(6)})"] * len(rows))
            self._db.execute(
                f"INSERT INTO sync.parts VALUES {values}", [value for row in rows for value in row]
            ).fetchall()

    def _record(self, changes: Changes) -> None:
        if changes.supersede:
            self._db.execute(
                "UPDATE sync.windows SET verdict = 'superseded' WHERE verdict = 'open'"
            ).fetchall()
        for window in changes.windows:
            self._db.execute(
                "DELETE FROM sync.windows WHERE run_id = ? AND window_index = ?",
                [window.run_id, window.window_index],
            ).fetchall()
            self._insert_row("windows", columns_of(window))
        if changes.batch is not None:
            batch = changes.batch
            self._insert_row(
                "batches",
                {
                    "batch": batch.number,
                    "file": batch.file,
                    "run_id": batch.run_id,
                    "observations": batch.observations,
                    "merged_at": to_datetime(batch.merged_at),
                    "published": False,
                },
            )
            self._next_batch = batch.number + 1
        if changes.claims and changes.org_id is not None:
            self._claim(changes.org_id, changes.claims)
        facts = dict(changes.state)
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


#: Rows of some sessions, in a scan that their createdAt prunes.
_AMONG: Final = "created_at BETWEEN ? AND ? AND session_id IN (SELECT unnest(?::VARCHAR[]))"


def _among(sessions: Mapping[str, int]) -> list[object]:
    """The parameters of `_AMONG`: id to createdAt (µs)."""
    created = sessions.values()
    return [to_datetime(min(created)), to_datetime(max(created)), list(sessions)]


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def known(
    created: int,
    updated: int,
    seq: int,
    batch: int,
    content_hash: int,
    messages: int,
    messages_hash: int,
    costs_hash: int,
    outputs_hash: int,
    first: int,
    growth: str | None,
    mark_seq: int | None,
    deleted: int | None,
    aged_out: int | None,
) -> Known:
    """A row of the index, without its id; moments in µs."""
    tombstone = None
    if mark_seq is not None:
        tombstone = (
            Tombstone("deleted", deleted, mark_seq)
            if deleted is not None
            else Tombstone("aged_out", aged_out or 0, mark_seq)
        )
    head = Head(messages, messages_hash, costs_hash, outputs_hash)
    return Known(
        created, updated, seq, batch, content_hash, head, first, steps(growth, updated, messages), tombstone
    )


def steps(growth: str | None, updated: int, messages: int) -> Growth:
    """The column `growth` as the steps that it stands for."""
    return tuple((u, n) for u, n in msgspec.json.decode(growth)) if growth else ((updated, messages),)


def _rows(held: Mapping[str, Known]) -> pa.Table:
    """Rows of the index, in the order of createdAt, so that scans prune."""
    ordered = sorted(held.items(), key=lambda item: item[1].created_at)
    ones = [one for _, one in ordered]
    columns: list[list[Any]] = [
        [session_id for session_id, _ in ordered],
        [one.created_at for one in ones],
        [one.updated_at for one in ones],
        [one.seq for one in ones],
        [one.batch for one in ones],
        [one.head.message_count for one in ones],
        [one.content_hash for one in ones],
        [one.head.messages_hash for one in ones],
        [one.head.costs_hash for one in ones],
        [one.head.outputs_hash for one in ones],
        [one.first_synced_at for one in ones],
        [_text_of(one) for one in ones],
        [one.tombstone.seq if one.tombstone is not None else None for one in ones],
        [
            one.tombstone.requested_at
            if one.tombstone is not None and one.tombstone.kind == "deleted"
            else None
            for one in ones
        ],
        [
            one.tombstone.requested_at
            if one.tombstone is not None and one.tombstone.kind == "aged_out"
            else None
            for one in ones
        ],
    ]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema.INDEX.arrow, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema.INDEX.arrow)


def _text_of(one: Known) -> str | None:
    """The column `growth`."""
    if one.growth == ((one.updated_at, one.head.message_count),):
        return None
    return msgspec.json.encode(one.growth).decode()


def copy_alive(path: Path, draft: Path) -> None:
    """Copy what is alive in a closed database to a new file: rows that were deleted do not leave one by themselves.

    Raises WarehouseError.
    """
    mask = os.umask(0o077)
    try:
        with database_errors(path), duckdb.connect(config={"autoinstall_known_extensions": "false"}) as db:
            db.execute("SET temp_directory = ''").fetchall()
            db.execute(f"ATTACH {literal(path)} AS old (READ_ONLY)").fetchall()
            db.execute(f"ATTACH {literal(draft)} AS new").fetchall()
            db.execute("COPY FROM DATABASE old TO new").fetchall()
            db.execute("CHECKPOINT new").fetchall()  # on closing, a full disk would go unnoticed
    finally:
        os.umask(mask)


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


def _attach(path: Path, scratch: Path) -> duckdb.DuckDBPyConnection:
    """The file as the current database `index` of a DuckDB of its own."""
    db = duckdb.connect(
        config={
            "memory_limit": f"{MEMORY_LIMIT}MiB",
            "temp_directory": str(scratch),
            "threads": 1,  # the others of this process have enough to do
            "preserve_insertion_order": "false",
            "checkpoint_threshold": "1GB",
            "autoinstall_known_extensions": "false",
        }
    )
    try:
        db.execute(f"ATTACH {literal(path)} AS index").fetchall()
        db.execute("USE index").fetchall()
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
            db.execute(f"ATTACH {literal(path)} AS index (READ_ONLY)").fetchall()
            made = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'index' AND schema_name = 'sync'"
            if not db.execute(made).fetchall():  # a process died before there was anything in it
                db.execute("DETACH index").fetchall()
                db.execute("ATTACH ':memory:' AS index").fetchall()
            db.execute("USE index").fetchall()
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
    except BaseException:  # see Index.__init__
        db.close()
        raise
    return db
