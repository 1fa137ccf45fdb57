"""What must hold after every run, whatever went wrong in it, and what must be equal in the end."""

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
from .model import Version
from .observed import HEADS_HELD, Held, claimed, observing
from .published import Published
from .violation import Violation

if TYPE_CHECKING:
    from .world import RunRecord, World


class Invariants(Published):
    """Watches one world from outside: it reads the files that the engine leaves, and the model."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        #: Sessions for which the source answered 404 by id.
        self.proven_absent: set[str] = set()
        #: The newest `updatedAt` that was merged of each session.
        self._read: dict[str, int] = {}
        self._hashes: dict[bytes, str] = {}

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
                ((count, distinct, digest),) = db.execute(HEADS_HELD).fetchall()
            except duckdb.CatalogException as error:
                if self._held or self._completed:
                    raise Violation("no table disappears", str(error)[:200]) from error
                return  # stopped before it had made its tables
            if count != distinct:
                raise Violation("ids are unique", f"{count - distinct} rows too many in the index")
            self._digest = (count, distinct, digest)
            if stopped:
                self._rows_are_of_noted_files(db)
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

    def merged(self, resolution: Any) -> None:
        """These versions were committed, in whatever order they came."""
        for session_id in resolution.won:
            newest = max(self._read.get(session_id, 0), resolution.held[session_id].updated_at)
            self._read[session_id] = newest

    def _count(self, record: RunRecord) -> None:
        counts = record.result.counts
        for name in ("late_rows", "silent_changes", "deleted", "aged_out", "restored"):
            if getattr(counts, name):
                self.world.fired[f"recovery: {name}"] += 1

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
            if claimed(db) != self._completed:
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

    def _hash(self, version: Version) -> str:
        found = self._hashes.get(version.body)
        if found is None:
            found = self._hashes[version.body] = redaction.content_hash(stored(version))[:16]
        return found


def stored(version: Version) -> bytes:
    """What may be written of it: only odd sessions hold anything secret."""
    return redaction.redact_page([version.body])[0] if version.odd else version.body
