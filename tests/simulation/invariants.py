"""The invariants after every run, whatever went wrong in it, and the equality at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from vapi_sessions.core import resources
from vapi_sessions.core.timestamps import floor_ms
from vapi_sessions.errors import (
    CircuitBreakerError,
    ConfigurationError,
    SourceInconsistentError,
    VapiSessionsError,
)
from vapi_sessions.privacy import redaction

from . import expected
from .connections import Parsed
from .merged import Merged
from .model import KEY, OTHER_KEY, Version
from .observed import HEADS_HELD, Held, claimed, observing
from .published import Published
from .violation import Violation

if TYPE_CHECKING:
    from .record import RunRecord
    from .world import World


class Invariants(Published):
    """Watches one world from outside: it reads the model and the files that the engine leaves."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        #: Ids for which the source answered 404.
        self.proven_absent: set[str] = set()
        #: Session id to the newest `updatedAt` that was merged.
        self._read: dict[str, int] = {}
        self._hashes: dict[bytes, str] = {}
        #: The raw files that were merged.
        self.merged_files = Merged(world)

    # -- after every run -------------------------------------------------------------------------------------------

    def after(self, record: RunRecord, stopped: str) -> None:
        """Check everything that must hold after a run. `stopped`: the stop that happened, or ""."""
        world = self.world
        foreign = world.key != KEY
        self._ends_well(record, stopped, foreign)
        if record.command == "sync" and record.bound is not None and not foreign:
            self._bounds.append((record.started, record.bound))
        if self._since is None:
            self._since = record.started
        held, completed, digest = self._held, self._completed, self._digest
        self._unsure = bool(stopped or record.faulty or world.lag or world.reordering)
        if not self._read_index(stopped):
            return
        if foreign:
            changed = (held, completed, digest) != (self._held, self._completed, self._digest)
            if changed and digest is not None and not stopped:
                raise Violation("another organisation changes nothing")
            if self._completed - completed:
                raise Violation("nothing is claimed from an empty or foreign source")
        self._rows_are_states_of_the_source(held)
        self._tombstones_are_proven()
        deleted = sum(h.deleted and not held.get(i, h).deleted for i, h in self._held.items())
        if deleted > world.knobs["breaker_least"] and not world.healthy:
            raise Violation("the circuit breaker limits new tombstones", str(deleted))
        self._ledger(record, completed)
        if record.succeeded and record.command == "sync" and not foreign:
            self._nothing_missed(record)
            self._budget(record)
            self._since = None
        if record.succeeded and record.command == "reconcile" and world.healthy:
            self._deletions_are_found(record, held)
        if world.publishing and not world.concluding:
            self._publication(record)
        if record.succeeded and not foreign and record.command != "maintain":
            self._count(record)

    def _ends_well(self, record: RunRecord, stopped: str, foreign: bool) -> None:
        """The run succeeded, or there is a good reason for its error."""
        error, world, model = record.error, self.world, self.world.model
        if error is None:
            if world.key == OTHER_KEY:
                raise Violation("another organisation is refused")
            return
        if isinstance(error, VapiSessionsError) and type(error).exit_code == 1:
            raise Violation("every stop is a typed error", str(error)) from error
        if stopped or record.faulty or foreign:
            return
        if isinstance(error, ConfigurationError) and record.command in ("reconcile", "maintain"):
            return  # nothing was synced yet
        if isinstance(error, CircuitBreakerError) and not world.healthy:
            sessions = model.sessions.values()
            gone = sum(bool(session.gone) for session in sessions)
            aged = sum(session.created_at < model.oldest_kept() for session in sessions)
            if gone + aged > world.knobs["breaker_least"]:
                world.fired["recovery: circuit breaker"] += 1
                return
        oldest = [
            min((session.created_at for session, _ in model.listed(at)), default=0)
            for at in (record.started, None)
        ]
        if isinstance(error, SourceInconsistentError) and oldest[0] != oldest[1]:
            return  # the oldest listed session changed between two requests
        if model.shape.page_cap is not None and not model.shape.cap_admitted:
            return  # in a block of ties, a cap that the source does not admit looks like a contradiction
        raise Violation("a run without a fault succeeds", f"{record.command}: {error!r}") from error

    def _read_index(self, stopped: str) -> bool:
        """Read what the index holds and claims; False if there is no index yet."""
        path = self.world.warehouse / "index.duckdb"
        if not path.exists():
            return False
        with observing(path) as db:
            try:
                ((count, distinct, digest),) = db.execute(HEADS_HELD).fetchall()
            except duckdb.CatalogException as error:
                if self._held or self._completed:
                    raise Violation("no table disappears", str(error)[:200]) from error
                return False  # stopped before the tables were created
            if count != distinct:
                raise Violation("ids are unique", f"{count - distinct} rows too many in the index")
            self._digest = (count, distinct, digest)
            if stopped:
                self._rows_and_ledger_agree(db)
            self._completed = claimed(db)
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
        return True

    def _rows_and_ledger_agree(self, db: Parsed) -> None:
        """A row and the ledger's entry for its raw file were committed together, or neither was."""
        raw = self.world.warehouse / "raw"
        files = [str(raw / name) for (name,) in db.execute("SELECT file FROM sync.batches").fetchall()]
        if absent := [name for name in files if not Path(name).exists()]:
            raise Violation("every merged file is in raw", repr(absent))
        rows = f"SELECT session_id, seq, parse_filename(filename) AS file FROM read_parquet({files}, filename = true)"
        origin = f"JOIN sync.batches USING (batch) ANTI JOIN ({rows}) USING (session_id, seq, file)"
        held = f"FROM sessions {origin}" if files else "FROM sessions"
        found = db.execute(f"SELECT session_id {held}").fetchall()
        if found:
            raise Violation("rows and ledger agree", f"{len(found)} rows come from no file of the ledger")

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

    def _tombstones_are_proven(self) -> None:
        model = self.world.model
        for session_id, held in self._held.items():
            session = model.sessions[session_id]
            if held.deleted:
                if not session.gone:
                    raise Violation("a session marked deleted was deleted", session_id)
                if session_id not in self.proven_absent:
                    raise Violation("a session marked deleted was requested by id", session_id)
            if (
                held.aged_out
                and not session.gone
                and not any(session.created_at < oldest for _, oldest in model.retention)
            ):
                raise Violation("a session marked aged out is no longer listed", session_id)

    def merged(self, resolution: Any) -> None:
        """Remember versions that were committed, in any order."""
        for session_id in resolution.won:
            newest = max(self._read.get(session_id, 0), resolution.held[session_id].updated_at)
            self._read[session_id] = newest

    def _count(self, record: RunRecord) -> None:
        counts = record.result.counts
        for name in ("late_rows", "silent_changes", "deleted", "aged_out", "restored"):
            if getattr(counts, name):
                self.world.fired[f"recovery: {name}"] += 1

    # -- at the end ------------------------------------------------------------------------------------------------

    def equal(self) -> None:
        """Warehouse and model are equal: every published table in every column, tombstones, claims, and raw/."""
        world = self.world
        listed = {session.session_id: version for session, version in world.model.listed()}
        raw = self._raw.histories()
        self._raw_is_whole(raw)
        spoilt = {session_id for session_id, version in listed.items() if version.spoilt}
        if self._aside != spoilt:
            raise Violation("exactly the unreadable sessions are kept aside", repr(self._aside ^ spoilt))
        for session_id, version in listed.items():
            if session_id in spoilt:
                continue
            held = self._held.get(session_id)
            if held is None or held.deleted or held.aged_out:
                raise Violation("every listed session is held, without a tombstone", f"{session_id}: {held}")
            if held.content_hash != self._hash(version):
                raise Violation("every listed session has the source's content", session_id)
            if raw[session_id].newest["body"].encode() != stored(version):
                raise Violation("raw holds the newest state", session_id)
        for session_id, held in self._held.items():
            if session_id not in listed and not (held.deleted or held.aged_out):
                raise Violation("every session that is no longer listed has a tombstone", session_id)
            session = world.model.sessions[session_id]
            if held.deleted and session.created_at < world.model.oldest_kept(session.returned_at):
                continue  # it came back when it was too old to be listed
            if session_id not in listed and not session.deleted(world.clock.true) and not held.aged_out:
                raise Violation("a session that aged out is not marked deleted", session_id)
        with observing(world.warehouse / "vapi.duckdb") as db:
            if claimed(db) != self._completed:
                raise Violation("what is published is what was committed", "the claims")
            self._tables_are(db, raw)
            self.merged_files.say_the_same()
            if world.checking:
                self._checks_pass(db)

    def _checks_pass(self, db: Parsed) -> None:
        """Equal tables pass the checks, and they passed after each publication."""
        for check in resources.sql_files("checks"):
            found = db.execute(check.read_text()).fetchall()
            if found:
                raise Violation(f"the check {check.stem} finds no row", repr(found[0]))
        recorded = db.execute("SELECT value FROM sync.state WHERE key = 'checks'").fetchall()
        if recorded != [("{}",)]:
            raise Violation("every check passes after a publication", repr(recorded))

    def _raw_is_whole(self, raw: dict[str, expected.History]) -> None:
        if raw.keys() != self._held.keys():
            raise Violation("raw and tables hold the same sessions", repr(raw.keys() ^ self._held.keys()))
        requests: dict[int, tuple[str, int]] = {}
        for session_id, history in raw.items():
            bodies = {stored(v) for v in self.world.model.sessions[session_id].versions}
            for row in (*history.seen, *history.tombstones):
                if requests.setdefault(row["seq"], (row["run_id"], row["requested_at"])) != (
                    row["run_id"],
                    row["requested_at"],
                ):
                    raise Violation("every request has its own number", str(row["seq"]))
            if any(row["body"].encode() not in bodies for row in history.seen):
                raise Violation("raw holds bodies of the source", session_id)

    def _hash(self, version: Version) -> str:
        found = self._hashes.get(version.body)
        if found is None:
            found = self._hashes[version.body] = redaction.content_hash(stored(version))[:16]
        return found


def stored(version: Version) -> bytes:
    """The body as it may be stored. Only odd sessions contain secrets."""
    return redaction.redact_page([version.body])[0] if version.odd else version.body
