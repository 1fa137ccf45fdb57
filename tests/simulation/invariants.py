"""What must hold after every run, whatever went wrong in it, and what must be equal in the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

import vapi_sessions
from vapi_sessions import schema
from vapi_sessions.core import resources
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.timestamps import HOUR, floor_ms, show
from vapi_sessions.errors import (
    CircuitBreakerError,
    ConfigurationError,
    SourceInconsistentError,
    VapiSessionsError,
)
from vapi_sessions.privacy import redaction

from . import expected
from .connections import Parsed
from .model import Session, Version

if TYPE_CHECKING:
    from .world import RunRecord, World


class Violation(AssertionError):  # noqa: N818  # what it is called in the reports
    """An invariant does not hold. `name` says which."""

    def __init__(self, name: str, what: str = "") -> None:
        super().__init__(f"{name}: {what}" if what else name)
        self.name = name


def _of_each_table(*wanted: Callable[[schema.Table], str]) -> str:
    parts = [
        f"SELECT '{table.name}' AS part, {', '.join(column(table) for column in wanted)} FROM {table.name}"
        for table in schema.TABLES
    ]
    return " UNION ALL ".join(parts) + " ORDER BY part"


def _hashed(table: schema.Table) -> str:
    columns = ", ".join(f"{c.name}::VARCHAR" if c.type == "JSON" else c.name for c in table.columns)
    return f"count(*), sum(hash({columns})::HUGEINT)::VARCHAR"


def _excess(table: schema.Table) -> str:
    return f"count(*) - count(DISTINCT ({', '.join(table.key)}))"


_DIGEST: Final = _of_each_table(_hashed)
_KEYS: Final = _of_each_table(_excess)
#: What the index and the published sessions both say.
_HEADS: Final = (
    "SELECT count(*), count(DISTINCT session_id), sum(hash(session_id, created_at, updated_at, message_count, first_synced_at, "
    "deleted_at, aged_out_at, {content}::UBIGINT)::HUGEINT)::VARCHAR FROM sessions"
)
_HEADS_HELD: Final = _HEADS.format(content="content_hash")
_HEADS_PUBLISHED: Final = _HEADS.format(content="('0x' || content_hash[:16])")


@cache
def _observer() -> Parsed:
    """One connection for all looks from outside: opening one costs more than looking."""
    db = Parsed(duckdb.connect(config={"threads": 1}))
    db.execute("SET TimeZone = 'UTC'")
    return db


@contextmanager
def observing(file: Path) -> Iterator[Parsed]:
    """A database of the warehouse, read-only, and let go at once: the engine must be able to open it."""
    db = _observer()
    if file.name == "vapi.duckdb":
        db.execute("SET VARIABLE vapi_warehouse = ?", [str(file.parent)])
    db.execute(f"ATTACH '{file}' AS observed (READ_ONLY)")
    db.execute("USE observed")
    try:
        yield db
    finally:
        db.execute("USE memory")
        db.execute("DETACH observed")


def _spans(db: Parsed) -> IntervalSet:
    return IntervalSet(
        db.execute("SELECT epoch_us(lower_bound), epoch_us(upper_bound) FROM sync.intervals").fetchall()
    )


@dataclass(frozen=True, slots=True)
class Held:
    """What the warehouse holds of a session."""

    created_at: int
    updated_at: int
    content_hash: str
    deleted: bool
    aged_out: bool


class Invariants:
    """Watches one world from outside: it reads the files that the engine leaves, and the model."""

    def __init__(self, world: World) -> None:
        self.world = world
        #: Sessions for which the source answered 404 by id.
        self.proven_absent: set[str] = set()
        self._held: dict[str, Held] = {}
        #: What the warehouse names as unreadable.
        self._aside: set[str] = set()
        #: Whether an answer of this run may have shown another state than the newest: of what cannot be read nobody can tell
        #: which is newer.
        self._unsure = False
        #: The newest `updatedAt` that was merged of each session.
        self._read: dict[str, int] = {}
        self._completed = IntervalSet()
        self._digest: Any = None
        self._published: list[Any] = []
        self._readers: list[tuple[duckdb.DuckDBPyConnection, Any, int]] = []
        #: (start, bound) of each sync so far.
        self._bounds: list[tuple[int, int]] = []
        self._since: int | None = None  # start of the first run after the last successful sync
        self._hashes: dict[bytes, str] = {}
        self.published_states: list[Any] = []
        self._raw = expected.Files(world.warehouse / "raw")
        #: The snapshot that was compared last, in every table.
        self._compared: Any = None

    # -- after every run -------------------------------------------------------------------------------------------

    def after(self, record: RunRecord, stopped: str) -> None:
        """Everything that must hold now."""
        world = self.world
        foreign = world.key != "key"
        self._typed(record, stopped, foreign)
        if record.command == "sync" and record.bound is not None and not foreign:
            self._bounds.append((record.started, record.bound))
        if self._since is None:
            self._since = record.started
        if not (world.warehouse / "index.duckdb").exists():
            return
        before = self._held, self._completed, self._digest
        self._unsure = bool(stopped or record.faulty or world.lag or world.reordering)
        with observing(world.warehouse / "index.duckdb") as db:
            try:
                ((count, distinct, digest),) = db.execute(_HEADS_HELD).fetchall()
            except duckdb.CatalogException as error:
                if self._held or self._completed:
                    raise Violation("no table disappears", str(error)[:200]) from error
                return  # stopped before it had made its tables
            if count != distinct:
                raise Violation("ids are unique", f"{count - distinct} rows too many in the index")
            self._digest = (count, distinct, digest)
            if stopped:
                self._rows_are_of_noted_files(db)
            self._completed = _spans(db)
            self._held = {
                row[0]: Held(*row[1:3], f"{row[3]:016x}", *row[4:])
                for row in db.execute(
                    "SELECT session_id, epoch_us(created_at), epoch_us(updated_at), content_hash, "
                    "deleted_at IS NOT NULL, aged_out_at IS NOT NULL FROM sessions"
                ).fetchall()
            }
            self._aside = {
                name for (name,) in db.execute("SELECT session_id FROM sync.unreadable").fetchall()
            }
        if foreign:
            if (
                before != (self._held, self._completed, self._digest)
                and before[2] is not None
                and not stopped
            ):
                raise Violation("another organisation changes nothing")
            if self._completed - before[1]:
                raise Violation("nothing is claimed from an empty or foreign source")
        self._rows_are_states_of_the_source(before[0])
        self._marks_are_proven()
        marked = sum(h.deleted and not before[0].get(i, h).deleted for i, h in self._held.items())
        if marked > world.knobs["breaker_least"] and not world.healthy:
            raise Violation("not more is marked at once than is believable", str(marked))
        self._ledger(record, before[1], foreign)
        if record.succeeded and record.command == "sync" and not foreign:
            self._nothing_missed(record)
            self._budget(record)
            self._since = None
        if world.publishing and not world.concluding:
            self._publication(record, stopped)
        if record.succeeded and not foreign:
            self._count(record)

    def _rows_are_of_noted_files(self, db: Parsed) -> None:
        """A row and the ledger's line for the raw file that it is from were committed together, or neither was."""
        raw = self.world.warehouse / "raw"
        noted = [str(raw / name) for (name,) in db.execute("SELECT file FROM sync.batches").fetchall()]
        if absent := [name for name in noted if not Path(name).exists()]:
            raise Violation("what is merged is in raw", repr(absent))
        origin = f"ANTI JOIN read_parquet({noted}) USING (session_id, seq)" if noted else ""
        found = db.execute(f"SELECT session_id FROM sessions {origin}").fetchall()
        if found:
            raise Violation("rows and ledger agree", f"{len(found)} sessions are of no file that is noted")

    def _typed(self, record: RunRecord, stopped: str, foreign: bool) -> None:
        error = record.error
        if error is None:
            if foreign and self.world.key == "another-key":
                raise Violation("another organisation is refused")
            return
        if isinstance(error, VapiSessionsError) and type(error).exit_code == 1:
            raise Violation("every stop is a typed error", str(error)) from error
        if stopped or record.faulty or foreign:
            return
        shape = self.world.model.shape
        if isinstance(error, ConfigurationError) and record.command == "reconcile":
            return  # nothing was synced yet
        if isinstance(error, CircuitBreakerError) and not self.world.healthy:
            gone = sum(
                s.deleted(self.world.clock.true) or bool(s.gone) for s in self.world.model.sessions.values()
            )
            aged = sum(
                s.created_at < self.world.model.oldest_kept() for s in self.world.model.sessions.values()
            )
            if gone + aged > self.world.knobs["breaker_least"]:
                self.world.fired["recovery: circuit breaker"] += 1
                return
        model = self.world.model
        first = [min((s.created_at for s, _ in model.listed(at)), default=0) for at in (record.started, None)]
        if isinstance(error, SourceInconsistentError) and first[0] != first[1]:
            return  # what is listed as the oldest changed between two requests
        if shape.page_cap is not None and not shape.cap_said:
            return  # a cap that is not admitted cannot be told from a contradiction where sessions are tied
        raise Violation("a run without a fault succeeds", f"{record.command}: {error!r}") from error

    def _rows_are_states_of_the_source(self, before: dict[str, Held]) -> None:
        for session_id, held in self._held.items():
            session = self.world.model.sessions.get(session_id)
            if session is None:
                raise Violation("every row is a session of the source", session_id)
            if not any(
                floor_ms(held.updated_at) == floor_ms(v.updated_at) and held.content_hash == self._hash(v)
                for v in session.versions
            ):
                raise Violation("every row is a state that the source had", session_id)
        for session_id, newest in self._read.items():
            if self._held[session_id].updated_at < newest:
                raise Violation("the state held is the newest that was read", session_id)
        for session_id, earlier in before.items():
            now = self._held.get(session_id)
            if now is None:
                raise Violation("no row disappears", f"{session_id}, {earlier}")
            if now.updated_at < earlier.updated_at:
                raise Violation("no version goes backwards", session_id)

    def _marks_are_proven(self) -> None:
        model = self.world.model
        for session_id, held in self._held.items():
            session = model.sessions[session_id]
            if held.deleted:
                if not session.gone:
                    raise Violation("what is marked deleted is gone", f"{session_id} was never deleted")
                if session_id not in self.proven_absent:
                    raise Violation("what is marked deleted was asked for by id", session_id)
            if (
                held.aged_out
                and not session.gone
                and not any(session.created_at < oldest for _, oldest in model.retention)
            ):
                raise Violation("what is marked aged out is no longer listed", session_id)

    def _ledger(self, record: RunRecord, before: IntervalSet, foreign: bool) -> None:
        completed = self._completed
        if completed.end is not None:
            latest = max((bound for _, bound in self._bounds), default=0)
            if completed.end > latest:
                raise Violation("the ledger claims no future", f"{show(completed.end)} > {show(latest)}")
        if before - completed:
            raise Violation("a claim does not disappear", repr(before - completed))
        held = {session_id: one.updated_at for session_id, one in self._held.items()}
        self._claims_are_read(completed - before, held, record.ended, "the ledger claims only what was read")

    def _claims_are_read(self, new: IntervalSet, held: Mapping[str, int], now: int, name: str) -> None:
        """What was listed before, and changed inside what is newly claimed, is there in that state or a newer one. `held`:
        id to updatedAt, µs.
        """
        if not new or self._since is None:
            return
        lag = self.world.lag
        for session, version in self.world.model.listed(self._since - lag):
            if (
                floor_ms(version.updated_at) in new
                and session.visible(now) is version
                and self._stays_listed(session, self._since - lag, now)
                and not self._excused(session, version)
            ):
                self._require(session, version, held, name)

    def _nothing_missed(self, record: RunRecord) -> None:
        bound = record.result.bound
        if bound is None:
            return
        lag = self.world.lag
        held = {session_id: one.updated_at for session_id, one in self._held.items()}
        for session, version in self.world.model.listed(record.started - lag):
            last = session.visible(record.ended)
            if lag and last is not None and last.updated_at >= bound:
                continue  # moved beyond the bound, where a replica that lags need not show it yet
            if self.world.reordering and last is not version:
                continue  # changed while we read: it may have left for a window that had been read before
            if (
                version.updated_at < bound
                and self._stays_listed(session, record.started - lag, record.ended)
                and not self._excused(session, version)
            ):
                self._require(session, version, held, "nothing is missed")

    def _stays_listed(self, session: Session, start: int, end: int) -> bool:
        return (
            session.visible(end) is not None
            and session.created_at >= self.world.model.oldest_kept(end)
            and session.created_at >= self.world.model.oldest_kept(start)
            and not any(start <= since <= end for since, _ in session.gone)
        )

    def _excused(self, session: Session, version: Version) -> bool:
        """Late beyond the promise, or listed again after having been gone: a reconcile's business."""
        if session.returned_at >= version.visible_at:
            return True
        seen = version.visible_at + self.world.lag
        frontier = max((bound for start, bound in self._bounds if start < seen), default=0)
        return version.updated_at < frontier - self.world.lookback

    def _require(self, session: Session, version: Version, held: Mapping[str, int], name: str) -> None:
        updated = held.get(session.session_id)
        if updated is None or floor_ms(updated) < floor_ms(version.updated_at):
            if session.session_id in self._aside or (version.spoilt and self._unsure):
                return
            name = "what cannot be read is named" if version.spoilt else name
            state = "not there" if updated is None else f"at {show(updated)}"
            raise Violation(name, f"{session.session_id} of {show(version.updated_at)} is {state}")

    def _budget(self, record: RunRecord) -> None:
        """1.3 pages for each full page, and what does not depend on the number of sessions.

        A probe; two counts for each window planned, and four to begin with (`plan_windows` stops halving after that);
        for each window a page that tells the end, one that is cut short by it, and one that was asked twice.
        """
        world = self.world
        shape = world.model.shape
        if record.faulty or world.page < 5 or shape.page_cap is not None or record.tied:
            return
        result = record.result
        # What cannot be read is asked for several times, and what comes first by whole pages.
        spoilt = sum(v.spoilt for s in world.model.sessions.values() for v in s.versions)
        gone = sum(
            world.model.sessions[key].deleted(record.ended) for key in record.listed
        )  # planned for, too
        budget = 1.3 * (result.counts.sessions_read + gone) / world.page + 5 + 5 * result.windows + 4 * spoilt
        if result.requests > budget:
            raise Violation(
                "requests stay within 1.3 N / page + a constant",
                f"{result.requests} for {result.counts.sessions_read} sessions in {result.windows} windows of pages of {world.page}",
            )
        world.fired["budget: checked"] += 1

    def _count(self, record: RunRecord) -> None:
        counts = record.result.counts
        for name in ("late_rows", "silent_changes", "deleted", "aged_out", "restored"):
            if getattr(counts, name):
                self.world.fired[f"recovery: {name}"] += 1

    # -- what is published -----------------------------------------------------------------------------------------

    def _publication(self, record: RunRecord, stopped: str) -> None:
        if not (self.world.warehouse / "vapi.duckdb").exists():
            if record.succeeded and self.world.publishing:
                raise Violation("a successful run is published")
            return
        with observing(self.world.warehouse / "vapi.duckdb") as db:
            (digest,) = db.execute(_HEADS_PUBLISHED).fetchall()
            for name, excess in db.execute(_KEYS).fetchall():
                if excess:
                    raise Violation("ids are unique", f"{excess} rows too many in {name}")
            spans = _spans(db)
            self._is_what_raw_says(db)
        if record.succeeded and (digest != self._digest or spans != self._completed):
            raise Violation("what is published is what was committed")
        if not record.succeeded and digest not in (self._digest, *self._published, *self.published_states):
            raise Violation("what is published is one committed state", record.command)
        if digest not in self._published:
            self._published.append(digest)
        self._readers_keep()
        for db, *_ in self._readers[:-1]:
            db.close()
        self._readers = self._readers[-1:]

    def merged(self, resolution: Any) -> None:
        """These versions were committed, in whatever order they came."""
        for session_id in resolution.won:
            newest = max(self._read.get(session_id, 0), resolution.held[session_id].updated_at)
            self._read[session_id] = newest

    def committed(self, index: Any) -> None:
        """A publication begins with this state."""
        (digest,) = index.rows(_HEADS_HELD)
        if digest in self.published_states:
            self.published_states.remove(digest)
        self.published_states.append(digest)

    def shown(self, record: RunRecord) -> None:
        """A publication of this run, which may go on, is over: it shows the state that it began with, and its own ledger fits it."""
        if self._since is None:
            self._since = record.started
        aside, self._unsure = self._aside, bool(record.faulty or self.world.lag or self.world.reordering)
        with observing(self.world.warehouse / "vapi.duckdb") as db:
            (digest,) = db.execute(_HEADS_PUBLISHED).fetchall()
            if digest != self.published_states[-1]:
                raise Violation("what is published is what was committed", "while a run goes on")
            self._is_what_raw_says(db)
            held = dict(db.execute("SELECT session_id, epoch_us(updated_at) FROM sessions").fetchall())
            spans = _spans(db)
            self._aside = {
                name for (name,) in db.execute("SELECT session_id FROM sync.unreadable").fetchall()
            }
        for session_id, earlier in self._held.items():
            if held.get(session_id, 0) < earlier.updated_at:
                raise Violation("no version goes backwards", f"{session_id}, in what is shown")
        name = "a snapshot claims only what it holds"
        if self.world.key == "key":
            self._claims_are_read(spans - self._completed, held, self.world.clock.true, name)
        self._aside = aside

    def _is_what_raw_says(self, db: Parsed) -> None:
        """Every table is, in every column, what the raw files say that the snapshot's own ledger names."""
        files = {name for (name,) in db.execute("SELECT file FROM sync.batches").fetchall()}
        of = "SELECT value FROM sync.state WHERE key IN ('snapshot', 'published_at') ORDER BY key"
        snapshot = db.execute(of).fetchall()
        if (snapshot, files) != self._compared:
            self._tables_are(db, self._raw.histories(files))
            self._compared = snapshot, files

    def open_reader(self) -> None:
        """Somebody opens the warehouse, in the middle of a run."""
        if not (self.world.warehouse / "vapi.duckdb").exists():
            return
        db = vapi_sessions.connect(self.world.warehouse)
        digest = db.execute(_DIGEST).fetchall()
        self._readers.append((db, digest, self.world.clock.ours()))
        self.world.fired["reader holds files"] += 1
        self._is_what_raw_says(Parsed(db))
        (heads,) = db.execute(_HEADS_PUBLISHED).fetchall()
        if heads not in self._published and heads not in self.published_states:
            raise Violation("what is published is one committed state", "seen by a reader during a run")

    def release(self) -> None:
        """Close what is open."""
        for db, *_ in self._readers:
            db.close()
        self._readers = []

    # -- in the end ------------------------------------------------------------------------------------------------

    def equal(self) -> None:
        """Warehouse and model are equal: every table, every column, the marks, and raw. Tables are read where they are
        published.
        """
        world = self.world
        listed = {session.session_id: version for session, version in world.model.listed()}
        raw = self._raw.histories()
        self._raw_is_whole(raw)
        spoilt = {session_id for session_id, version in listed.items() if version.spoilt}
        if self._aside != spoilt:
            raise Violation("what cannot be read is named, and nothing else", repr(self._aside ^ spoilt))
        for session_id, version in listed.items():
            if session_id in spoilt:
                continue
            held = self._held.get(session_id)
            if held is None or held.deleted or held.aged_out:
                raise Violation("every listed session is there, without a mark", f"{session_id}: {held}")
            if held.content_hash != self._hash(version):
                raise Violation("every listed session has the source's content", session_id)
            if raw[session_id].newest["body"].encode() != stored(version):
                raise Violation("raw holds the newest state", session_id)
        for session_id, held in self._held.items():
            if session_id not in listed and not (held.deleted or held.aged_out):
                raise Violation("what is no longer listed is marked", session_id)
            session = world.model.sessions[session_id]
            unseen = held.deleted and session.created_at < world.model.oldest_kept(session.returned_at)
            if unseen:  # it came back when it was too old to be listed
                continue
            if session_id not in listed and not session.deleted(world.clock.true) and not held.aged_out:
                raise Violation("what aged out is not marked deleted", session_id)
        with observing(world.warehouse / "vapi.duckdb") as db:
            if _spans(db) != self._completed:
                raise Violation("what is published is what was committed", "the claims")
            self._tables_are(db, raw)
            # What is equal passes them: a seed now and then shows that they agree.
            for check in resources.sql_files("checks") if world.seed % 20 == 0 else ():
                found = db.execute(check.read_text()).fetchall()
                if found:
                    raise Violation(f"the check {check.stem} finds no row", repr(found[0]))

    def _raw_is_whole(self, raw: dict[str, expected.History]) -> None:
        if raw.keys() != self._held.keys():
            raise Violation("raw and tables hold the same sessions", repr(raw.keys() ^ self._held.keys()))
        requests: dict[int, tuple[str, int]] = {}
        for session_id, history in raw.items():
            bodies = {stored(v) for v in self.world.model.sessions[session_id].versions}
            for row in (*history.seen, *history.marks):
                if requests.setdefault(row["seq"], (row["run_id"], row["requested_at"])) != (
                    row["run_id"],
                    row["requested_at"],
                ):
                    raise Violation("a request has a number of its own", str(row["seq"]))
            if any(row["body"].encode() not in bodies for row in history.seen):
                raise Violation("raw holds what the source said", session_id)

    def _tables_are(self, db: Parsed, raw: dict[str, expected.History]) -> None:
        sessions = self.world.model.sessions
        odd = {session_id for session_id in raw if any(v.odd for v in sessions[session_id].versions)}
        want = expected.tables(raw, odd)
        for table in schema.TABLES:
            self._table_is(table, want[table.name], db)

    def _table_is(self, table: schema.Table, want: Any, db: Parsed) -> None:
        columns = ", ".join(
            f"epoch_us({c.name})"
            if c.type == "TIMESTAMPTZ"
            else f"{c.name}::VARCHAR"
            if c.type == "JSON"
            else c.name
            for c in table.columns
        )
        names = [c.name for c in table.columns]
        json_at = [i for i, c in enumerate(table.columns) if c.type == "JSON"]
        found = {}
        rows = db.execute(f"SELECT {columns} FROM {table.name}").fetchall()
        for values in rows:
            row = list(values)
            for i in json_at:
                row[i] = json.loads(row[i]) if row[i] is not None else None
            whole = dict(zip(names, row, strict=True))
            found[tuple(whole[key] for key in table.key)] = whole
        if len(found) != len(rows):
            raise Violation(
                "every row is published once", f"{len(rows)} rows of {len(found)} in {table.name}"
            )
        if found == want:
            return
        for key in sorted(found.keys() | want.keys(), key=repr):
            if found.get(key) != want.get(key):
                differs = {
                    name: (found.get(key, {}).get(name), want.get(key, {}).get(name))
                    for name in names
                    if found.get(key, {}).get(name) != want.get(key, {}).get(name)
                }
                raise Violation("every table is equal in every column", f"{table.name} {key}: {differs}")

    def _readers_keep(self) -> None:
        """Who opened the warehouse sees the same in it for a day, whatever is published meanwhile."""
        for db, was, opened in self._readers:
            if self.world.clock.ours() - opened > 23 * HOUR:  # our clock jumps
                continue
            try:
                now = db.execute(_DIGEST).fetchall()
            except duckdb.Error as error:
                raise Violation("a reader keeps what it opened", str(error)[:200]) from error
            if now != was:
                raise Violation("a reader keeps what it opened", show(opened))

    def _hash(self, version: Version) -> str:
        found = self._hashes.get(version.body)
        if found is None:
            found = self._hashes[version.body] = redaction.content_hash(stored(version))[:16]
        return found


def stored(version: Version) -> bytes:
    """What may be written of it: only odd sessions hold anything secret."""
    return redaction.redact_page([version.body])[0] if version.odd else version.body
