"""Find what a sync cannot see: deletions, which leave no trace in a list, and contents that change in silence.

Counts are compared and differing windows of `createdAt` bisected; only what is left is read. A session that the
source does not list is asked for by its id, and marked only if the answer is 404. What is older than the oldest session
that the source still lists has aged out, which is another thing: those rows stay live. Nothing is ever concluded from a
reading that failed, was partial, or showed another organisation.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from functools import partial
from typing import Final

from vapi_sessions.core import faultpoints
from vapi_sessions.core.intervals import BEGINNING, Window
from vapi_sessions.core.timestamps import DAY, floor_ms, show
from vapi_sessions.errors import (
    CircuitBreakerError,
    ConfigurationError,
    SourceInconsistentError,
    other_organisation,
)
from vapi_sessions.operations.compare import differences
from vapi_sessions.operations.coordinator import Coordinator, Counts
from vapi_sessions.operations.progress import Progress
from vapi_sessions.operations.sync import Run
from vapi_sessions.settings import Settings
from vapi_sessions.source.environment import Environment
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.page import Page
from vapi_sessions.source.pagination import ALWAYS, PATIENCE, Cursor, PageRead, counted, walk
from vapi_sessions.source.planning import ask_for_the_oldest
from vapi_sessions.transform.headers import Row
from vapi_sessions.transform.resolve import Kind, Known, Unreadable
from vapi_sessions.warehouse.index import Changes
from vapi_sessions.warehouse.live_sessions import LiveSessions

#: Within this time each session is read again at least once, if a reconcile runs at least once a day.
SCRUB_PERIOD: Final = 30 * DAY
#: What a round aims at: it may begin a day late, and end a day late.
_SCRUB_ROUND: Final = SCRUB_PERIOD - 2 * DAY
#: The circuit breaker: more marks than this share of the live rows, or this number, and never fewer than the floor.
BREAKER_SHARE: Final = 0.02
BREAKER_MOST: Final = 1_000
BREAKER_LEAST: Final = 20


def most_at_once(live: int) -> int:
    """How many of so many live rows may be marked as deleted by one run without being accepted."""
    return max(BREAKER_LEAST, min(int(live * BREAKER_SHARE), BREAKER_MOST))


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The outcome. `differing`: windows that had to be read; `requests`: all that were sent."""

    org_id: str | None
    differing: int
    checked: int
    requests: int
    seconds: float
    counts: Counts


def reconcile(
    settings: Settings,
    *,
    recheck: int = 0,
    accept_deletions: bool = False,
    scrub: bool = True,
    environment: Environment | None = None,
    progress: Progress | None = None,
) -> Reconciled:
    """Mark what is gone, fetch what lacks, read again what was created within `recheck` (µs) and what the scrub owes.

    Raises CircuitBreakerError, having marked nothing, if more is gone than is believable; ConfigurationError before
    the first sync; and what a sync raises.
    """
    with Run(settings, environment=environment, progress=progress, command="reconcile") as run:
        work = _Reconciliation(run, accept_deletions=accept_deletions)
        if work.survey():
            work.age_out()
            work.compare()
            work.read_again(recheck=recheck, scrub=scrub)
            work.mark_missing()
        run.finish()
        run.publish()
        summary = run.summary()
        return Reconciled(
            summary.org_id, work.differing, work.checked, summary.requests, summary.seconds, summary.counts
        )


class _Reconciliation:
    def __init__(self, run: Run, *, accept_deletions: bool) -> None:
        self._run = run
        self._source = run.source
        self._accept = accept_deletions
        self._holdings = LiveSessions(run.index.rows, run.suppression)
        self._missing: dict[str, int] = {}  # id to createdAt
        self._aged_out: list[tuple[str, Known, int, int]] = []  # with the proof's requested_at and seq
        self._beyond_retention: set[str] = set()
        self._scrubbed: dict[str, str] = {}
        self.differing = 0
        self.checked = 0

    def survey(self) -> bool:
        """Who answers, since when, and up to where the comparison is fair; False if nothing can be concluded."""
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
        self._loader: Coordinator = self._run.open_loader(oldest.org_id, {})
        self._oldest = floor_ms(oldest.created_at)
        self._from = self._oldest
        if self._run.index.state().get("origin_reason") == "since" and ledger.origin is not None:
            # Of what was created before the `--since` of the first sync only what changed since is held.
            self._from = max(self._oldest, floor_ms(ledger.origin))
        server = probe.server_time if probe.server_time is not None else probe.requested_at
        self._now = min(probe.requested_at, server)
        # A session younger than the settling delay may be listed and not synced yet, or the reverse.
        self._bound = floor_ms(self._now - self._run.settings.settle)
        return True

    def age_out(self) -> None:
        """What is older than anything the source lists has aged out, once the source's own count says so too."""
        ours = self._holdings.oldest()
        if ours is None or ours >= self._oldest:
            return
        for _ in range(1 + PATIENCE):
            # Without a lower bound: a source with a retention may refuse to be asked for what is older.
            query = Query(created=Window(BEGINNING, self._oldest), limit=1)
            count, page = counted(self._source.list, query, self._run.settings.page_size)
            if not count:
                break
            # One that appeared meanwhile, with an earlier createdAt, is the oldest then.
            self._oldest = min([self._oldest, *(floor_ms(row.created_at) for row in page.rows)])
        else:
            raise SourceInconsistentError(
                f"The source lists {count} sessions before its oldest one ({show(self._oldest)}).",
                "Nothing was marked. Run again; if it stays, something between here and the source is at fault.",
            )
        if ours >= self._oldest:
            return
        window = Window(floor_ms(ours), self._oldest)
        known = self._run.index.known(self._holdings.created(window))
        self._aged_out = [(key, held, page.requested_at, page.seq) for key, held in known.items()]
        self._release(window, known, requested_at=page.requested_at, seq=page.seq)

    def compare(self) -> None:
        """Read the windows in which the counts differ: fetch what we lack, note what is no longer listed."""
        if self._from >= self._bound:
            return
        found = differences(
            Window(self._from, self._bound),
            lambda window: self._source.count(created=window),
            self._holdings,
            page_size=self._run.settings.page_size,
        )
        for difference in found:
            self.differing += 1
            self._read(difference.window)

    def read_again(self, *, recheck: int, scrub: bool) -> None:
        """Read what may have changed without its `updatedAt`: the young, and in turn all the rest."""
        if recheck:
            self._read(Window(max(self._from, floor_ms(self._now - recheck)), self._bound))
        if not scrub or self._bound <= self._from:
            return
        state = self._run.index.state()
        began = int(state.get("scrub_began", self._now))
        start = max(int(state.get("scrub_position", self._from)), self._from)
        # Where a round should be by now is measured on the whole history, which grows while the round lasts.
        due = min(1.0, max(0, self._now - began) / _SCRUB_ROUND)
        end = self._bound if due >= 1 else floor_ms(self._from + int(due * (self._bound - self._from)))
        if end > start:
            self._read(Window(start, end))
        self._scrubbed = {
            "scrub_began": str(began if due < 1 else self._now),
            "scrub_position": str(max(start, end) if due < 1 else self._from),
        }

    def mark_missing(self) -> None:
        """Ask for each missing session by its id; mark those that the source does not know."""
        live = self._holdings.count(Window(0, self._now))
        most = most_at_once(live)
        if len(self._missing) > most and not self._accept:
            raise CircuitBreakerError(
                f"{len(self._missing):,} of {live:,} sessions are missing at the source, more than {most:,} at once; none was marked.",
                "If they were really deleted, run again with --accept-deletions.",
            )
        gone: list[tuple[str, Known, int, int]] = []
        for session_id, held in self._run.index.known(self._missing).items():
            row, requested_at, seq = self._source.get(session_id)
            self.checked += 1
            if row is None:
                gone.append((session_id, held, requested_at, seq))
            else:
                rows, odd = ([row], []) if isinstance(row, Row) else ([], [row])
                page = Page(rows, 1, 1, requested_at, seq, None, len(row.body), unreadable=odd)
                self._loader.add_unclaimed(PageRead(rows, (), page, odd))
        for name, one in list(self._loader.unreadable.items()):
            if one.created_at is None and one.named:  # in no window, so it has to be asked for
                row, requested_at, seq = self._source.get(name)
                if row is None:
                    self._loader.release(name, requested_at=requested_at, seq=seq)
        faultpoints.reach("reconcile.compared")
        # Retention moves on while we work: what it has just overtaken is not deleted.
        rows = self._source.list(Query(limit=1)).rows if gone else []
        horizon = floor_ms(rows[0].created_at) if rows else self._oldest
        for session_id, held, requested_at, seq in gone:
            aged_out = held.created_at < horizon or session_id in self._beyond_retention
            kind: Kind = "aged_out" if aged_out else "deleted"
            self._loader.tombstone(session_id, kind, held, requested_at=requested_at, seq=seq)
        for session_id, held, requested_at, seq in self._aged_out:
            self._loader.tombstone(session_id, "aged_out", held, requested_at=requested_at, seq=seq)
        self._loader.flush()
        faultpoints.reach("reconcile.marked")
        self._run.index.record(Changes(state=self._scrubbed))

    def _read(self, window: Window) -> None:
        if window.upper is None or window.lower >= window.upper:
            return
        held = self._holdings.created(window)
        self._loader.hold(window)
        seen: set[str] = set()
        beyond, requested_at, seq = False, 0, 0
        cursor = Cursor(ALWAYS, created_from=window.lower, created_until=window.upper)
        limit = partial(self._source.page_size, self._run.settings.page_size)
        for step in walk(self._source.list, [cursor], limit=limit):
            observations = self._loader.add_unclaimed(step)
            seen.update(row.session_id for row in step.rows)
            seen.update(row.session_id for row in step.unreadable if row.session_id is not None)
            seen.update(o.session_id for o in observations if isinstance(o, Unreadable))
            requested_at, seq = step.page.requested_at, step.page.seq
            beyond = beyond or step.page.beyond_retention
            self._run.progress.read(len(step.rows))
        self._run.suppression.listed(window, seen)
        self._release(window, seen | held.keys(), requested_at=requested_at, seq=seq)
        missing = {session_id: created for session_id, created in held.items() if session_id not in seen}
        self._missing |= missing
        if beyond:
            self._beyond_retention |= set(missing)

    def _release(self, window: Window, there: Container[str], *, requested_at: int, seq: int) -> None:
        """Keep aside no longer what the source does not list in the window, by the request named, and what has no row."""
        for name, one in list(self._loader.unreadable.items()):
            if one.created_at in window and name not in there:
                self._loader.release(name, requested_at=requested_at, seq=seq)
