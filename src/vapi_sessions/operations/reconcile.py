"""`vapi-sessions reconcile`: finds deletions, which leave no trace in a list, and changes that do not move `updatedAt`.

What no sync has read yet is read first. Then counts are compared and differing windows of `createdAt` bisected; only small windows
are read. A session that the source does not list is requested by its id, and gets a tombstone only if the answer is 404. Sessions
older than the oldest one listed have aged out: they get another kind of tombstone and stay live. Nothing is concluded from a reading
that failed, was partial, or showed another organisation.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from vapi_sessions.core import faultpoints
from vapi_sessions.core.intervals import BEGINNING, Window
from vapi_sessions.core.timestamps import DAY, floor_ms, show
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import (
    CircuitBreakerError,
    ConfigurationError,
    SourceInconsistentError,
    other_organisation,
)
from vapi_sessions.operations.compare import differences, walk_created
from vapi_sessions.operations.coordinator import Coordinator
from vapi_sessions.operations.progress import Counts, Progress
from vapi_sessions.operations.sync import Run, Summary
from vapi_sessions.operations.window_buffer import RequestStamp
from vapi_sessions.settings import Settings
from vapi_sessions.source.environment import Environment
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.pagination import ALWAYS, PATIENCE, PageRead, count_rows
from vapi_sessions.source.planning import ask_for_the_oldest, open_to_the_left
from vapi_sessions.transform.headers import Row
from vapi_sessions.transform.resolve import Kind, Known, Observation, Unreadable
from vapi_sessions.warehouse.index import Changes
from vapi_sessions.warehouse.live_sessions import LiveSessions

#: Each session is read again at least once within this time, if a reconcile runs at least once a day.
SCRUB_PERIOD: Final = 30 * DAY
#: Length of one round of the scrub: it may begin a day late, and end a day late.
_SCRUB_ROUND: Final = SCRUB_PERIOD - 2 * DAY
#: The circuit breaker allows this share of the live sessions to be deleted at once, at most MOST and at least LEAST of them.
BREAKER_SHARE: Final = 0.02
BREAKER_MOST: Final = 1_000
BREAKER_LEAST: Final = 20


def most_at_once(live: int) -> int:
    """How many of `live` sessions one run may mark as deleted without --accept-deletions."""
    return max(BREAKER_LEAST, min(int(live * BREAKER_SHARE), BREAKER_MOST))


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The outcome. `differing`: windows that were read; `checked`: ids that were requested; `requests`: all requests.
    `run`: what the run itself found.
    """

    org_id: str | None
    differing: int
    checked: int
    requests: int
    seconds: float
    counts: Counts
    run: Summary


def reconcile(
    settings: Settings,
    *,
    recheck: int = 0,
    accept_deletions: bool = False,
    scrub: bool = True,
    environment: Environment | None = None,
    progress: Progress | None = None,
) -> Reconciled:
    """Mark deletions, fetch missing sessions, and re-read those created within `recheck` (µs) and those due in the scrub.

    Raises CircuitBreakerError, with nothing marked, if implausibly many sessions are gone; ConfigurationError before the first sync
    and for another source, and the errors of a sync.
    """
    with Run(settings, environment=environment, progress=progress, command="reconcile") as run:
        work = _Reconciliation(run, accept_deletions=accept_deletions)
        if work.prepare():
            run.progress.phase("reading")
            work.read_unsynced()
            work.age_out()
            work.compare()
            work.read_again(recheck=recheck, scrub=scrub)
            work.mark_missing()
        run.finish()
        run.publish()
        summary = run.summary()
        return Reconciled(
            summary.org_id,
            work.differing,
            work.checked,
            summary.requests,
            summary.seconds,
            summary.counts,
            summary,
        )


class _Absent(NamedTuple):
    """A session that the source does not list, and the request that proved it."""

    session_id: str
    known: Known
    proof: RequestStamp


class _Reconciliation:
    def __init__(self, run: Run, *, accept_deletions: bool) -> None:
        self._run = run
        self._source = run.source
        self._accept = accept_deletions
        self._live_sessions = LiveSessions(run.index.rows, run.suppression)
        self._missing: dict[str, int] = {}  # id to createdAt
        self._aged_out: list[_Absent] = []
        self._beyond_retention: set[str] = set()
        self._scrubbed: dict[str, str] = {}
        self.differing = 0
        self.checked = 0

    def prepare(self) -> bool:
        """Find out the organisation, the oldest session, and the time that can be compared; False if the source lists nothing."""
        self._run.progress.phase("planning")
        ledger = self._run.index.ledger()
        if ledger.org_id is None:
            raise ConfigurationError(
                "The warehouse holds nothing to reconcile yet.", "Run vapi-sessions sync first."
            )
        probe, oldest = ask_for_the_oldest(self._source, self._run.settings.page_size)
        if oldest is None:
            self._run.progress.say("the source shows no session at all: nothing is marked")
            return False
        if oldest.org_id != ledger.org_id:
            raise other_organisation(
                self._run.settings.warehouse, ledger.org_id, self._source.shown(oldest.org_id)
            )
        self._run.org_id = oldest.org_id
        self._coordinator: Coordinator = self._run.open_coordinator(oldest.org_id, {})
        self._oldest = floor_ms(oldest.created_at)
        self._from = self._oldest
        if self._run.index.state().get("origin_reason") == "since" and ledger.origin is not None:
            # Of sessions created before the first sync's `--since` only those that changed later are held.
            self._from = max(self._oldest, floor_ms(ledger.origin))
        server = probe.server_time if probe.server_time is not None else probe.requested_at
        self._now = min(probe.requested_at, server)
        # A session younger than the settling delay may be listed and not synced yet, or the reverse.
        self._bound = floor_ms(self._now - self._run.settings.settle)
        return True

    def read_unsynced(self) -> None:
        """Read what a sync would read now. Otherwise as many new sessions as deleted ones would make the counts equal."""
        created = Window(self._from, self._bound)
        if created.lower >= self._bound:
            return
        spans = list(
            self._run.index.ledger().to_read(bound=self._bound, lookback=self._run.settings.lookback)
        )
        newest = spans.pop()[0] if spans and spans[-1][1] == self._bound else self._bound
        for window in (*(Window(*span) for span in spans), Window(newest, None)):
            self._read_updated(open_to_the_left(window, self._oldest), created)
        self._coordinator.flush()  # the counts below are the index's

    def _read_updated(self, updated: Window, created: Window) -> None:
        if not self._source.count(updated=updated, created=created):
            return
        self._coordinator.hold(updated, "updated_at")
        for _ in self._walk(created, updated):
            pass

    def age_out(self) -> None:
        """Find sessions that are older than all sessions listed, once the source's own count confirms that it lists none of them."""
        ours = self._live_sessions.oldest()
        if ours is None or ours >= self._oldest:
            return
        for _ in range(1 + PATIENCE):
            # Without a lower bound: a source with a retention may reject one that is older.
            query = Query(created=Window(BEGINNING, self._oldest), limit=1)
            listed, page = count_rows(self._source.list, query, self._run.settings.page_size)
            if not listed:
                break
            # A session that appeared meanwhile with an earlier createdAt is the oldest now.
            self._oldest = min([self._oldest, *(floor_ms(row.created_at) for row in page.rows)])
        else:
            raise SourceInconsistentError(
                f"The source lists {counted(listed, 'session')} before its oldest one ({show(self._oldest)}).",
                "Nothing was marked. Run again; if it persists, look for a cache or proxy between here and the source.",
            )
        if ours >= self._oldest:
            return
        window, proof = Window(floor_ms(ours), self._oldest), RequestStamp.of(page)
        known = self._run.index.known(self._live_sessions.created(window))
        self._aged_out = [_Absent(session_id, held, proof) for session_id, held in known.items()]
        self._release(window, known, proof)

    def compare(self) -> None:
        """Read the windows in which the counts differ: fetch missing sessions, remember those no longer listed."""
        if self._from >= self._bound:
            return
        found = differences(
            Window(self._from, self._bound),
            lambda window: self._source.count(created=window),
            self._live_sessions,
            page_size=self._run.settings.page_size,
        )
        for difference in found:
            self.differing += 1
            self._read(difference.window)

    def read_again(self, *, recheck: int, scrub: bool) -> None:
        """Read sessions that may have changed without moving `updatedAt`: the young, and a share of all others."""
        if recheck:
            self._read(Window(max(self._from, floor_ms(self._now - recheck)), self._bound))
        if not scrub or self._bound <= self._from:
            return
        state = self._run.index.state()
        began = int(state.get("scrub_began", self._now))
        start = max(int(state.get("scrub_position", self._from)), self._from)
        # The share that is due is one of the whole history, which grows during the round.
        due = min(1.0, max(0, self._now - began) / _SCRUB_ROUND)
        end = self._bound if due >= 1 else floor_ms(self._from + int(due * (self._bound - self._from)))
        if end > start:
            self._read(Window(start, end))
        self._scrubbed = {
            "scrub_began": str(began if due < 1 else self._now),
            "scrub_position": str(max(start, end) if due < 1 else self._from),
        }

    def mark_missing(self) -> None:
        """Request each missing session by its id, and commit tombstones for those that the source does not know."""
        live = self._live_sessions.count(Window(0, self._now))
        most = most_at_once(live)
        if len(self._missing) > most and not self._accept:
            raise CircuitBreakerError(
                f"{len(self._missing):,} of {live:,} sessions are missing at the source, more than {most:,} at once; none was marked.",
                "If they were really deleted, run again with --accept-deletions.",
            )
        gone = self._confirm_missing()
        self._release_unplaced()
        faultpoints.reach("reconcile.compared")
        # The retention moves on meanwhile: a session that it has just passed is not deleted.
        rows = self._source.list(Query(limit=1)).rows if gone else []
        horizon = floor_ms(rows[0].created_at) if rows else self._oldest
        for session_id, known, proof in gone:
            aged_out = known.created_at < horizon or session_id in self._beyond_retention
            kind: Kind = "aged_out" if aged_out else "deleted"
            self._coordinator.tombstone(session_id, kind, known, proof)
        for session_id, known, proof in self._aged_out:
            self._coordinator.tombstone(session_id, "aged_out", known, proof)
        self._coordinator.flush()
        faultpoints.reach("reconcile.marked")
        self._run.index.record(Changes(state=self._scrubbed))

    def _confirm_missing(self) -> list[_Absent]:
        """The missing sessions that the source does not know by id either. Those that it knows are taken as read."""
        gone: list[_Absent] = []
        for session_id, known in self._run.index.known(self._missing).items():
            row, requested_at, seq = self._source.get(session_id)
            request = RequestStamp(requested_at, seq)
            self.checked += 1
            if row is None:
                gone.append(_Absent(session_id, known, request))
            elif isinstance(row, Row):
                self._coordinator.add_unclaimed([row], [], request)
            else:
                self._coordinator.add_unclaimed([], [row], request)
        return gone

    def _release_unplaced(self) -> None:
        """Release unreadable sessions without `createdAt`, which are in no window, if the source does not know their ids."""
        for name, one in list(self._coordinator.unreadable.items()):
            if one.created_at is None and one.named:
                row, requested_at, seq = self._source.get(name)
                if row is None:
                    self._coordinator.release(name, RequestStamp(requested_at, seq))

    def _read(self, window: Window) -> None:
        if window.upper is None or window.lower >= window.upper:
            return
        held = self._live_sessions.created(window)
        self._coordinator.hold(window)
        seen: set[str] = set()
        beyond = False
        for page_read, taken in self._walk(window):
            seen.update(row.session_id for row in page_read.rows)
            seen.update(row.session_id for row in page_read.unreadable if row.session_id is not None)
            seen.update(one.session_id for one in taken if isinstance(one, Unreadable))
            beyond = beyond or page_read.page.beyond_retention
        self._run.suppression.listed(window, seen)
        last = RequestStamp.of(page_read.page)  # a walk has at least one page
        self._release(window, seen | held.keys(), last)
        missing = {session_id: created for session_id, created in held.items() if session_id not in seen}
        self._missing |= missing
        if beyond:
            self._beyond_retention |= set(missing)

    def _walk(
        self, created: Window, updated: Window = ALWAYS
    ) -> Iterator[tuple[PageRead, list[Observation | Unreadable]]]:
        """Read sessions created and updated in these windows, and take them: each page, and what of it may be stored."""
        for page_read in walk_created(self._source, created, self._run.settings.page_size, updated):
            self._run.progress.read(len(page_read.rows))
            request = RequestStamp.of(page_read.page)
            yield page_read, self._coordinator.add_unclaimed(page_read.rows, page_read.unreadable, request)

    def _release(self, window: Window, there: Container[str], proof: RequestStamp) -> None:
        """Release unreadable sessions of the window that the source no longer lists, as a request has shown."""
        for name, one in list(self._coordinator.unreadable.items()):
            if one.created_at in window and name not in there:
                self._coordinator.release(name, proof)
