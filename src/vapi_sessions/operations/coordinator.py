"""Commits what the walks of a run have read: resolves it against the index, batch by batch, one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from vapi_sessions.core.details import detail
from vapi_sessions.core.intervals import IntervalSet, Window
from vapi_sessions.core.ledger import RequestNumbers
from vapi_sessions.core.records import Batch, WindowRecord
from vapi_sessions.core.timestamps import from_datetime, show, to_datetime
from vapi_sessions.core.wording import counted
from vapi_sessions.operations.footer import encode_progress
from vapi_sessions.operations.progress import Counts, Progress, Silent
from vapi_sessions.operations.window_buffer import PageSanitizer, RequestStamp, Stored, WindowBuffer
from vapi_sessions.source.pagination import Cursor, PageRead, encode_cursors
from vapi_sessions.source.windows import PlannedWindow
from vapi_sessions.transform.headers import Row, UnreadableRow
from vapi_sessions.transform.resolve import (
    Kind,
    Known,
    Observation,
    Resolution,
    Sighting,
    Unreadable,
    resolve,
    set_aside,
)
from vapi_sessions.warehouse import told_drift
from vapi_sessions.warehouse.index import Changes
from vapi_sessions.warehouse.snapshots import Publisher

#: A batch is stored and merged when its JSON reaches this size: large batches merge best, and memory stays flat.
BATCH_BYTES: Final = 6_000_000
#: Staged bytes at which a run publishes before its end, and so removes them.
STAGED_MOST: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Facts that a run records with each batch, beside the batch's own progress.

    `numbers`: gives the number at which the next run begins. `state`: facts for `sync.state`. `unsettled`: intervals that need
    a second reading, claimed or not.
    """

    numbers: RequestNumbers
    state: Mapping[str, str] = field(default_factory=dict)
    unsettled: IntervalSet = field(default_factory=IntervalSet)


@dataclass(slots=True)
class _WindowProgress:
    """How far a window of the plan has been read. Only the thread that reads the window touches it."""

    index: int
    planned: PlannedWindow
    left: tuple[Cursor, ...]
    buffer: WindowBuffer
    distinct: int = 0
    requests: int = 0
    first_total: int | None = None
    last_total: int | None = None
    stale: bool = False


class Coordinator:
    """Takes pages from any number of threads and commits them one batch at a time, into the publisher's index.

    `before_publishing` is called when much is staged and the run publishes before its end. Nobody commits meanwhile.
    """

    def __init__(
        self,
        publisher: Publisher,
        page_sanitizer: PageSanitizer,
        facts: RunFacts,
        progress: Progress | None = None,
        before_publishing: Callable[[], object] = lambda: None,
    ) -> None:
        self.counts = Counts()
        self._publisher = publisher
        self._index = publisher.index
        self._page_sanitizer = page_sanitizer
        self._facts = facts
        self._progress = progress or Silent()
        self._before_publishing = before_publishing
        #: Claimed before this run: a change that turns up in there is late.
        self._completed = self._index.ledger().completed
        self._windows: dict[int, _WindowProgress] = {}
        self._committing = threading.Lock()
        #: Why a batch could not be merged. A window must never be claimed after rows of it were lost.
        self._broken: BaseException | None = None
        #: Unreadable sessions that are kept aside once all batches so far are merged, by name.
        self.unreadable = self._index.unreadable()
        self._other = self._new_buffer({})

    def adopt(self, windows: Sequence[PlannedWindow]) -> list[WindowRecord]:
        """Ledger rows of the planned windows that continue an earlier run's, to be recorded before they are read."""
        return [
            self._window_row(self._window(index, planned))
            for index, planned in enumerate(windows)
            if planned.resumed
        ]

    # -- windows of the plan, each read by one thread ------------------------------------------------------------

    def add(self, index: int, planned: PlannedWindow, page_read: PageRead) -> None:
        """Take one page of window `index`. Raises ConfigurationError for another organisation's rows."""
        window, page = self._window(index, planned), page_read.page
        window.buffer.take(page_read.rows, page_read.unreadable, RequestStamp.of(page))
        window.left = page_read.left
        window.distinct += len(page_read.rows) + len(page_read.unreadable)
        window.requests += 1
        window.last_total = page.total
        window.first_total = page.total if window.first_total is None else window.first_total
        window.stale = True
        if window.buffer.size >= BATCH_BYTES or not window.left:
            self._store(window.buffer, window)

    def _window(self, index: int, planned: PlannedWindow) -> _WindowProgress:
        if index not in self._windows:
            with self._committing:
                held = self._index.contents(planned.window)
            self._windows[index] = _WindowProgress(index, planned, planned.cursors, self._new_buffer(held))
        return self._windows[index]

    # -- rows outside of the plan, which claim nothing -----------------------------------------------------------

    def hold(self, window: Window, column: str = "created_at") -> None:
        """Prepare for reading sessions whose `column` is in the window: contents that the warehouse holds are not stored again."""
        with self._committing:
            self._other.hold(self._index.contents(window, column))

    def add_unclaimed(
        self, rows: Sequence[Row], unreadable: Sequence[UnreadableRow], request: RequestStamp
    ) -> list[Observation | Unreadable]:
        """Take rows that no window of the plan asked for; returns those that may be stored."""
        found = self._other.take(rows, unreadable, request)
        if self._other.size >= BATCH_BYTES:
            self._store(self._other, None)
        return found

    def release(self, name: str, request: RequestStamp) -> None:
        """Record that the source no longer lists an unreadable session, as a request has shown."""
        held = self.unreadable[name]
        created = held.created_at if held.created_at is not None else 0
        updated = held.updated_at if held.updated_at is not None else created
        self._other.add(self._page_sanitizer.tombstone(name, "deleted", created, updated, request))

    def tombstone(self, session_id: str, kind: Kind, known: Known, request: RequestStamp) -> None:
        """Record that the source no longer lists a session, as a request has shown."""
        self._other.add(
            self._page_sanitizer.tombstone(session_id, kind, known.created_at, known.updated_at, request)
        )

    def flush(self) -> None:
        """Commit everything taken so far; nothing more once a batch could not be merged."""
        if self._broken is not None:
            return
        for window in list(self._windows.values()):
            if window.stale:
                self._store(window.buffer, window)
        self._store(self._other, None)

    # -- committing ------------------------------------------------------------------------------------------------

    def _new_buffer(self, held: dict[str, int]) -> WindowBuffer:
        aside = {name: one.content_hash for name, one in self.unreadable.items()}
        layout, staging = self._publisher.layout, self._publisher.staging
        return WindowBuffer(self._page_sanitizer, layout, staging, held, aside)

    def _store(self, buffer: WindowBuffer, window: _WindowProgress | None) -> None:
        """Make a batch durable, then commit it together with the progress it makes."""
        if self._broken is not None:
            raise self._broken
        try:
            changes = self._changes(window)
            stored = buffer.store(encode_progress(changes))
            with self._committing:
                if self._broken is not None:
                    raise self._broken
                self.counts.sessions_read += buffer.sessions
                buffer.sessions = 0
                if stored.file or window is not None:
                    self._commit(stored, changes)
                    self._progress.merged(self.counts)
                    if self._publisher.staging.size > STAGED_MOST:
                        self._before_publishing()
                        self._progress.phase("publishing")
                        self._publisher.publish()
                        self._progress.phase("reading")
        except BaseException as error:
            self._broken = self._broken or error
            raise
        if window is not None:
            window.stale = False
            if not window.left:  # its buffer need not stay in memory
                self._windows.pop(window.index, None)
                row = changes.windows[0]
                detail(
                    "window",
                    lower=show(from_datetime(row.lower_bound)),
                    upper=show(from_datetime(row.upper_bound)) if row.upper_bound is not None else None,
                    claimed=row.claimed,
                    sessions=window.distinct,
                    requests=window.requests,
                )

    def _commit(self, stored: Stored, changes: Changes) -> None:
        number = self._index.next_batch()
        readable = [one for one in stored.sightings if isinstance(one, Sighting)]
        known = self._index.known({one.session_id: one.created_at for one in readable})
        resolution = resolve(stored.sightings, known, self.unreadable, batch=number)
        if stored.file:
            run_id, now = self._page_sanitizer.run_id, self._publisher.now()
            changes = replace(changes, batch=Batch(number, stored.file, run_id, len(stored.sightings), now))
        if news := told_drift.seen(self._index.state(), stored.drift):
            changes = replace(changes, state={**changes.state, **news})
        self._index.merge(resolution, known, changes)
        if stored.staged_batch is not None:
            self._publisher.staging.add(number, stored.staged_batch)
        set_aside(self.unreadable, resolution)
        self._count(resolution, known)
        if stored.file:
            detail(
                "batch",
                batch=number,
                file=stored.file,
                sessions=len(stored.sightings),
                new=resolution.new,
                changed=resolution.changed,
            )
        self.counts.drift.update(stored.drift)

    def _count(self, resolution: Resolution, known: Mapping[str, Known]) -> None:
        counts = self.counts
        counts.sessions_new += resolution.new
        counts.sessions_changed += resolution.changed
        counts.silent_changes += resolution.silent
        for session_id, held in resolution.held.items():
            before = known.get(session_id)
            was_gone = before is not None and before.tombstone is not None
            counts.restored += held.tombstone is None and was_gone
            if held.tombstone is not None and not was_gone:
                counts.deleted += held.tombstone.kind == "deleted"
                counts.aged_out += held.tombstone.kind == "aged_out"
            if session_id in resolution.won:
                counts.messages_written += held.head.message_count
                late = before is None or before.updated_at < held.updated_at
                counts.late_rows += late and held.updated_at in self._completed

    def _changes(self, window: _WindowProgress | None) -> Changes:
        claim = window.planned.claim if window is not None and not window.left else None
        claims = IntervalSet([claim] if claim is not None else [])
        facts, sanitizer = self._facts, self._page_sanitizer.sanitizer
        return Changes(
            org_id=self._page_sanitizer.org_id,
            claims=claims,
            settled=claims - facts.unsettled,
            unsettled=facts.unsettled,
            windows=[self._window_row(window)] if window is not None else [],
            state={**facts.state, **sanitizer.state, "next_seq": str(facts.numbers.next)},
        )

    def _window_row(self, window: _WindowProgress) -> WindowRecord:
        bounds, claim = window.planned.window, window.planned.claim
        return WindowRecord(
            run_id=self._page_sanitizer.run_id,
            window_index=window.index,
            org_id=self._page_sanitizer.org_id,
            lower_bound=to_datetime(claim[0] if claim is not None else bounds.lower),
            upper_bound=to_datetime(bounds.upper) if bounds.upper is not None else None,
            claimed=not window.left and claim is not None,
            claimed_until=to_datetime(claim[1]) if claim is not None else None,
            expected=window.planned.expected,
            first_total=window.first_total,
            last_total=window.last_total,
            distinct_ids=window.distinct,
            requests=window.requests,
            verdict="open" if window.left else "complete",
            left_to_read=encode_cursors(window.left) if window.left else None,
            noted_at=to_datetime(self._publisher.now()),
        )


#: Unreadable sessions that a message names, at most.
_NAMED: Final = 20


def describe(aside: Mapping[str, str], *, everything: bool = False) -> str:
    """A message about unreadable sessions (name to problem), of which it names the first or all; "" if there are none."""
    if not aside:
        return ""
    most = len(aside) if everything else _NAMED
    named = ", ".join(f"{name} ({problem})" for name, problem in sorted(aside.items())[:most])
    more = (
        f", and {len(aside) - most:,} more; vapi-sessions status --all shows them"
        if len(aside) > most
        else ""
    )
    kept = "is kept aside" if len(aside) == 1 else "are kept aside"
    return f"{counted(len(aside), 'session')} cannot be read and {kept} in raw/: {named}{more}"
