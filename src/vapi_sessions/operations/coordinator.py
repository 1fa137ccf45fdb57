"""The coordinator of a run: what was read is resolved against the index and committed, batch by batch, by one thread at a time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vapi_sessions.core.intervals import IntervalSet, Window
from vapi_sessions.core.records import Batch, WindowRecord, window_of
from vapi_sessions.core.timestamps import to_datetime
from vapi_sessions.operations.window_buffer import PageSanitizer, Stored, WindowBuffer
from vapi_sessions.source.pagination import Cursor, PageRead, encode_cursors
from vapi_sessions.source.windows import PlannedWindow
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
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.staging import Staging

#: A batch is stored and merged when its JSON reaches this size: large batches merge best, and memory stays flat.
BATCH_BYTES: Final = 6_000_000
#: Bytes of staged rows at which they are published, and removed, in the middle of a run.
STAGED_MOST: Final = 1_000_000_000


@dataclass(slots=True)
class Counts:
    """What a run did to the warehouse."""

    sessions_read: int = 0
    sessions_new: int = 0
    sessions_changed: int = 0
    messages_written: int = 0
    late_rows: int = 0
    silent_changes: int = 0
    deleted: int = 0
    aged_out: int = 0
    restored: int = 0
    drift: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _WindowProgress:
    """A window of the plan, as far as it was read. Only the thread that reads it touches it."""

    index: int
    planned: PlannedWindow
    left: tuple[Cursor, ...]
    reading: WindowBuffer
    distinct: int = 0
    requests: int = 0
    first_total: int | None = None
    last_total: int | None = None
    stale: bool = False


class Coordinator:
    """Reads of any number of threads, committed by one at a time.

    `completed` are the intervals claimed before this run: a change that turns up inside them is late. What is
    claimed outside of `unsettled` needs no second reading. `publish`: called, with nobody committing, when much is staged.
    """

    def __init__(
        self,
        index: Index,
        layout: Layout,
        staging: Staging,
        page_sanitizer: PageSanitizer,
        *,
        completed: IntervalSet,
        unsettled: IntervalSet = IntervalSet(),  # noqa: B008  # immutable
        state: Callable[[], Mapping[str, str]],
        now: Callable[[], int],
        on_batch: Callable[[Counts], None] = lambda counts: None,
        publish: Callable[[], object] = lambda: None,
    ) -> None:
        self.counts = Counts()
        self._index = index
        self._layout = layout
        self._staging = staging
        self._page_sanitizer = page_sanitizer
        self._completed = completed
        self._unsettled = unsettled
        self._state = state
        self._now = now
        self._on_batch = on_batch
        self._publish = publish
        self._windows: dict[int, _WindowProgress] = {}
        self._committing = threading.Lock()
        #: Why a batch could not be merged: a window must never be claimed after rows of it were lost.
        self._broken: BaseException | None = None
        #: What is kept aside, once all batches so far are merged.
        self.unreadable = index.unreadable()
        self._other = self._reading({})

    def adopt(self, windows: Sequence[PlannedWindow]) -> list[WindowRecord]:
        """Rows of the ledger for the planned windows that continue an earlier run's, to be noted before they are read."""
        return [
            self._window_row(self._window(index, planned))
            for index, planned in enumerate(windows)
            if planned.resumed
        ]

    # -- windows of the plan, each read by one thread ------------------------------------------------------------

    def add(self, index: int, planned: PlannedWindow, step: PageRead) -> None:
        """Take one step of the walk through window `index`. Raises ConfigurationError for another organisation's rows."""
        window = self._window(index, planned)
        window.reading.take(step)
        window.left = step.left
        window.distinct += len(step.rows) + len(step.unreadable)
        window.requests += 1
        window.last_total = step.page.total
        window.first_total = step.page.total if window.first_total is None else window.first_total
        window.stale = True
        if window.reading.size >= BATCH_BYTES or not window.left:
            self._store(window.reading, window)

    def _window(self, index: int, planned: PlannedWindow) -> _WindowProgress:
        if index not in self._windows:
            with self._committing:
                held = self._index.contents(planned.window)
            self._windows[index] = _WindowProgress(index, planned, planned.cursors, self._reading(held))
        return self._windows[index]

    # -- what is read for another reason; nothing is claimed by it -------------------------------------------------

    def hold(self, window: Window) -> None:
        """Before sessions created in the window are read: what is held of them is not stored again."""
        with self._committing:
            self._other.hold(self._index.contents(window, "created_at"))

    def add_unclaimed(self, step: PageRead) -> list[Observation | Unreadable]:
        """Take rows that no window of the plan asked for; returns what of them may be stored."""
        found = self._other.take(step)
        if self._other.size >= BATCH_BYTES:
            self._store(self._other, None)
        return found

    def release(self, name: str, *, requested_at: int, seq: int) -> None:
        """Take the proof that the source no longer lists a session that could not be read."""
        held = self.unreadable[name]
        created = held.created_at if held.created_at is not None else 0
        updated = held.updated_at if held.updated_at is not None else created
        self._tombstone(name, "deleted", created, updated, requested_at=requested_at, seq=seq)

    def tombstone(self, session_id: str, kind: Kind, known: Known, *, requested_at: int, seq: int) -> None:
        """Take the proof that the source lists a session no longer."""
        self._tombstone(
            session_id, kind, known.created_at, known.updated_at, requested_at=requested_at, seq=seq
        )

    def _tombstone(
        self, session_id: str, kind: Kind, created: int, updated: int, *, requested_at: int, seq: int
    ) -> None:
        self._other.add(
            self._page_sanitizer.tombstone(
                session_id, kind, created, updated, requested_at=requested_at, seq=seq
            )
        )

    def flush(self) -> None:
        """Commit all that was taken in and is not committed yet; nothing more once a batch could not be merged."""
        if self._broken is not None:
            return
        for window in list(self._windows.values()):
            if window.stale:
                self._store(window.reading, window)
        self._store(self._other, None)

    # -- committing ------------------------------------------------------------------------------------------------

    def _reading(self, held: dict[str, int]) -> WindowBuffer:
        aside = {name: one.content_hash for name, one in self.unreadable.items()}
        return WindowBuffer(self._page_sanitizer, self._layout, self._staging, held, aside)

    def _store(self, reading: WindowBuffer, window: _WindowProgress | None) -> None:
        """Make what was read durable, then commit it with the progress it means."""
        if self._broken is not None:
            raise self._broken
        try:
            changes = self._changes(window)
            stored = reading.store(lambda: encode_progress(changes))
            with self._committing:
                if self._broken is not None:
                    raise self._broken
                self.counts.sessions_read += reading.sessions
                reading.sessions = 0
                if stored.file or window is not None:
                    self._commit(stored, changes)
                    self._on_batch(self.counts)
                    if self._staging.size > STAGED_MOST:
                        self._publish()
        except BaseException as error:
            self._broken = self._broken or error
            raise
        if window is not None:
            window.stale = False
            if not window.left:  # what was held of it need not stay in memory
                self._windows.pop(window.index, None)

    def _commit(self, stored: Stored, changes: Changes) -> None:
        number = self._index.next_batch()
        readable = [one for one in stored.sightings if isinstance(one, Sighting)]
        known = self._index.known({one.session_id: one.created_at for one in readable})
        resolution = resolve(stored.sightings, known, self.unreadable, batch=number)
        if stored.file:
            batch = Batch(
                number, stored.file, self._page_sanitizer.run_id, len(stored.sightings), self._now()
            )
            changes = Changes(
                changes.org_id,
                changes.claims,
                changes.settled,
                changes.unsettled,
                changes.windows,
                batch,
                changes.state,
            )
        self._index.merge(resolution, known, changes)
        if stored.staged_batch is not None:
            self._staging.add(number, stored.staged_batch)
        set_aside(self.unreadable, resolution)
        self._count(resolution, known)
        self.counts.drift.update(stored.drift)

    def _count(self, resolution: Resolution, known: Mapping[str, Known]) -> None:
        counts = self.counts
        counts.sessions_new += resolution.new
        counts.sessions_changed += resolution.changed
        counts.silent_changes += resolution.silent
        for session_id, held in resolution.held.items():
            before = known.get(session_id)
            marked = before is not None and before.tombstone is not None
            counts.restored += held.tombstone is None and marked
            counts.deleted += held.tombstone is not None and held.tombstone.kind == "deleted" and not marked
            counts.aged_out += held.tombstone is not None and held.tombstone.kind == "aged_out" and not marked
            if session_id in resolution.won:
                counts.messages_written += held.head.message_count
                late = before is None or before.updated_at < held.updated_at
                counts.late_rows += late and held.updated_at in self._completed

    def _changes(self, window: _WindowProgress | None) -> Changes:
        claim = window.planned.claim if window is not None and not window.left else None
        claims = IntervalSet([claim] if claim is not None else [])
        return Changes(
            org_id=self._page_sanitizer.org_id,
            claims=claims,
            settled=claims - self._unsettled,
            unsettled=self._unsettled,
            windows=[self._window_row(window)] if window is not None else [],
            state=dict(self._state()),
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
            noted_at=to_datetime(self._now()),
        )


#: How many unreadable sessions are named to a person.
_NAMED: Final = 20


def describe(aside: Mapping[str, str]) -> str:
    """What a person should hear of the sessions that cannot be read (name to problem); "" if there are none."""
    if not aside:
        return ""
    one = len(aside) == 1
    named = ", ".join(f"{name} ({problem})" for name, problem in sorted(aside.items())[:_NAMED])
    more = f", and {len(aside) - _NAMED:,} more" if len(aside) > _NAMED else ""
    return (
        f"{len(aside):,} session{'' if one else 's'} cannot be read and {'is' if one else 'are'} kept aside in raw/: "
        f"{named}{more}"
    )


def encode_progress(changes: Changes) -> dict[str, Any]:
    """What a batch means for the ledger, as its raw file's footer carries it."""
    return {
        "org_id": changes.org_id,
        "claims": list(changes.claims),
        "settled": list(changes.settled),
        "unsettled": list(changes.unsettled),
        "windows": list(changes.windows),
        "state": changes.state,
    }


def decode_progress(progress: Mapping[str, Any], batch: Batch) -> Changes:
    """The reverse."""
    return Changes(
        org_id=progress.get("org_id"),
        claims=IntervalSet((lower, upper) for lower, upper in progress.get("claims", ())),
        settled=IntervalSet((lower, upper) for lower, upper in progress.get("settled", ())),
        unsettled=IntervalSet((lower, upper) for lower, upper in progress.get("unsettled", ())),
        windows=[window_of(row) for row in progress.get("windows", ())],
        batch=batch,
        state=progress.get("state", {}),
    )
