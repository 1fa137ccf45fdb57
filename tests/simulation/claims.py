"""Claims: the ledger claims only what was read, and a sync misses nothing and needs few requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.timestamps import floor_ms, show

from .model import Session, Version
from .observed import Held
from .violation import Violation

if TYPE_CHECKING:
    from .record import RunRecord
    from .world import World


class Claims:
    """Compares the ledger of one world with its model."""

    def __init__(self, world: World) -> None:
        self.world = world
        #: Session id to row of the index.
        self._held: dict[str, Held] = {}
        #: Ids that the warehouse lists as unreadable.
        self._aside: set[str] = set()
        #: Whether an answer of this run may have shown an old state. Of two unreadable states nobody can tell the newer one.
        self._unsure = False
        #: The intervals claimed.
        self._completed = IntervalSet()
        #: (start, bound) of each sync so far.
        self._bounds: list[tuple[int, int]] = []
        #: Start of the first run after the last successful sync.
        self._since: int | None = None

    def _ledger(self, record: RunRecord, before: IntervalSet) -> None:
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
        """Each session listed before, with an `updatedAt` in a new claim, is held in that state or a newer one. `held`: id to
        `updatedAt`, µs.
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
                continue  # moved beyond the bound, where a lagging replica need not show it yet
            if self.world.reordering and last is not version:
                continue  # changed during the run, and may have moved to a window that was read before
            if (
                version.updated_at < bound
                and self._stays_listed(session, record.started - lag, record.ended)
                and not self._excused(session, version)
            ):
                self._require(session, version, held, "nothing is missed")

    def _deletions_are_found(self, record: RunRecord, before: Mapping[str, Held]) -> None:
        """After a reconcile in peace, all sessions that were held (`before`) and are no longer listed have a tombstone.

        Unless the source lists a session that only a reading of everything finds, or one that cannot be read: it can stand for
        a deleted one in the counts.
        """
        listed = {session.session_id: version for session, version in self.world.model.listed(record.started)}
        live = {name for name, held in before.items() if not (held.deleted or held.aged_out)}
        for session_id, version in listed.items():
            session = self.world.model.sessions[session_id]
            if version.spoilt or (session_id not in live and self._excused(session, version)):
                return
        self.world.fired["deletions: looked for"] += 1
        bound = record.started - self.world.settle
        for session_id in live - listed.keys():
            held = self._held[session_id]
            if self.world.model.sessions[session_id].created_at < bound and not (
                held.deleted or held.aged_out
            ):
                raise Violation("a reconcile finds every deletion", session_id)

    def _stays_listed(self, session: Session, start: int, end: int) -> bool:
        return (
            session.visible(end) is not None
            and session.created_at >= self.world.model.oldest_kept(end)
            and session.created_at >= self.world.model.oldest_kept(start)
            and not any(start <= since <= end for since, _ in session.gone)
        )

    def _excused(self, session: Session, version: Version) -> bool:
        """Visible later than promised, or listed again after it was gone: only a reconcile finds these."""
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
        """At most 1.3 requests for each full page, and a number that does not depend on the sessions.

        A probe; two counts for each planned window, and four at the beginning (`plan_windows` stops halving then); for
        each window an empty last page, a short one, and one that was requested twice.
        """
        world = self.world
        shape = world.model.shape
        if record.faulty or world.page < 5 or shape.page_cap is not None or record.tied:
            return
        result = record.result
        # Unreadable sessions are requested several times, and the oldest session by whole pages.
        spoilt = sum(v.spoilt for s in world.model.sessions.values() for v in s.versions)
        # Sessions deleted during the run were in its plan.
        gone = sum(world.model.sessions[key].deleted(record.ended) for key in record.listed)
        budget = 1.3 * (result.counts.sessions_read + gone) / world.page + 5 + 5 * result.windows + 4 * spoilt
        if result.requests > budget:
            raise Violation(
                "requests stay within 1.3 N / page + a constant",
                f"{result.requests} for {result.counts.sessions_read} sessions in {result.windows} windows of pages of {world.page}",
            )
        world.fired["budget: checked"] += 1
