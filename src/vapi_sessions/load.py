"""From pages to the warehouse: redact, keep what is new, write raw, flatten, merge. Knows nothing of HTTP's ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vapi_sessions.errors import VapiSessionsError, WarehouseDamagedError, other_organisation
from vapi_sessions.flatten import Flat, flatten
from vapi_sessions.merge import (
    Kind,
    Known,
    Observation,
    Resolution,
    Unreadable,
    after,
    resolve,
    set_aside,
    unreadable,
)
from vapi_sessions.page import Row, UnreadableRow
from vapi_sessions.plan import PlannedWindow
from vapi_sessions.timestamps import to_datetime
from vapi_sessions.treatment import Treatment
from vapi_sessions.walk import Piece, Step, encode_pieces
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.store import Changes, Store
from vapi_sessions.warehouse.suppression import Suppression
from vapi_sessions.windows import IntervalSet

if TYPE_CHECKING:
    from vapi_sessions.client import Page

#: A batch is written and merged when its JSON reaches this size: large batches merge best, and memory stays flat.
BATCH_BYTES: Final = 6_000_000


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
    planned: PlannedWindow
    left: tuple[Piece, ...]
    distinct: int = 0
    requests: int = 0
    first_total: int | None = None
    last_total: int | None = None


@dataclass(frozen=True, slots=True)
class Treated:
    """One step of a walk, with its sessions as they may be stored. `sessions`: read, forgotten ones among them."""

    observations: list[Observation | Unreadable]
    sessions: int
    total: int
    left: tuple[Piece, ...]
    size: int


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one transaction will write."""

    resolution: Resolution
    flat: Flat
    known: Mapping[str, Known]
    changes: Changes


class Loader:
    """Collects what the walks read and merges it batch by batch. One thread at a time, but for `treat`.

    `completed` are the intervals claimed before this run: a change that turns up inside them is late. What is
    claimed outside of `unsettled` needs no second reading. `side_by_side`: a batch is committed in a thread of its own
    (DuckDB and Parquet's writer need no interpreter) while the next one is prepared.
    """

    def __init__(
        self,
        store: Store,
        layout: Layout,
        *,
        run_id: str,
        org_id: str,
        completed: IntervalSet,
        unsettled: IntervalSet = IntervalSet(),  # noqa: B008  # immutable
        state: Callable[[], Mapping[str, str]],
        now: Callable[[], int],
        treatment: Treatment | None = None,
        suppression: Suppression | None = None,
        batch_bytes: int = BATCH_BYTES,
        side_by_side: bool = False,
        on_batch: Callable[[Counts], None] = lambda counts: None,
    ) -> None:
        self.counts = Counts()
        self._store = store
        self._layout = layout
        self._run_id = run_id
        self._org_id = org_id
        self._completed = completed
        self._unsettled = unsettled
        self._state = state
        self._now = now
        self._treatment = treatment if treatment is not None else Treatment()
        self._suppression = suppression if suppression is not None else Suppression.open(layout)
        self._batch_bytes = batch_bytes
        self._on_batch = on_batch
        self._windows: dict[int, _WindowProgress] = {}
        self._touched: set[int] = set()
        self._observations: list[Observation | Unreadable] = []
        self._marks: list[Observation] = []
        self._bytes = 0
        self._broken = False
        self._committer = ThreadPoolExecutor(1, "commit") if side_by_side else None
        self._committing: Future[None] | None = None
        self._before: tuple[Resolution, Mapping[str, Known]] | None = None
        #: What is kept aside, once all batches so far are merged.
        self.unreadable = store.unreadable()

    def adopt(self, windows: Sequence[PlannedWindow]) -> list[dict[str, Any]]:
        """Rows of the ledger for the planned windows that continue an earlier run's, to be noted before they are read."""
        for index, planned in enumerate(windows):
            if planned.resumed:
                self._windows[index] = _WindowProgress(planned, planned.pieces)
        return [self._window_row(index) for index in self._windows]

    def treat(self, step: Step) -> Treated:
        """One step as it may be stored; thread-safe, and done where the page arrives, while another batch is merged.

        Raises ConfigurationError for another organisation's rows.
        """
        organisations = {row.org_id for row in step.rows} | {row.org_id for row in step.unreadable}
        for org_id in organisations - {None, self._org_id}:
            raise other_organisation(self._layout.root, self._org_id, str(org_id))
        policy = self._treatment.policy
        rows = self._suppression.admit(step.rows, policy)
        odd = self._suppression.admit(step.unreadable, policy)
        observations = list(self._observe(rows, odd, step.page))
        return Treated(
            observations,
            len(step.rows) + len(step.unreadable),
            step.page.total,
            step.left,
            sum(len(o.body) for o in observations),
        )

    def add(self, index: int, planned: PlannedWindow, treated: Treated) -> None:
        """Take one step of the walk through window `index`."""
        window = self._windows.setdefault(index, _WindowProgress(planned, planned.pieces))
        window.left = treated.left
        window.distinct += treated.sessions
        window.requests += 1
        window.last_total = treated.total
        window.first_total = treated.total if window.first_total is None else window.first_total
        self._touched.add(index)
        self._take(treated)

    def add_unclaimed(self, treated: Treated) -> None:
        """Take rows that were read for another reason than a window of the plan; nothing is claimed by them."""
        self._take(treated)

    def release(self, name: str, *, requested_at: int, seq: int) -> None:
        """Take the proof that the source no longer lists a session that could not be read."""
        held = self.unreadable[name]
        created = held.created_at if held.created_at is not None else 0
        updated = held.updated_at if held.updated_at is not None else created
        self._mark(name, "deleted", created, updated, requested_at=requested_at, seq=seq)

    def mark(self, session_id: str, kind: Kind, known: Known, *, requested_at: int, seq: int) -> None:
        """Take the proof that the source lists a session no longer."""
        self._mark(session_id, kind, known.created_at, known.updated_at, requested_at=requested_at, seq=seq)

    def _mark(
        self, session_id: str, kind: Kind, created_at: int, updated_at: int, *, requested_at: int, seq: int
    ) -> None:
        self._marks.append(
            Observation(
                session_id=session_id,
                org_id=self._org_id,
                created_at=created_at,
                updated_at=updated_at,
                requested_at=requested_at,
                seq=seq,
                run_id=self._run_id,
                kind=kind,
                body=b"",
                content_hash="",
            )
        )

    def _take(self, treated: Treated) -> None:
        if self._broken:
            raise VapiSessionsError("A batch could not be merged; this run takes in no more.")
        self._observations += treated.observations
        self._bytes += treated.size
        if self._bytes >= self._batch_bytes:
            self._pass_on()

    def flush(self) -> None:
        """Merge what has been collected, with the progress it means; returns when it is committed."""
        if not self._broken:
            self._pass_on()
        self._wait()

    def close(self) -> None:
        """Wait for what is being committed, whatever comes of it."""
        if self._committer is not None:
            self._committer.shutdown()

    def _pass_on(self) -> None:
        """Prepare a batch while the one before is still being committed, then commit it, each in one transaction."""
        if not (self._touched or self._observations or self._marks):
            return
        # Until proven otherwise: a window must never be claimed after rows of it were lost.
        self._broken = True
        batch = self._prepare()
        self._wait()
        if self._committer is not None:
            self._committing = self._committer.submit(self._commit, batch)
            self._before = batch.resolution, batch.known
        else:
            self._commit(batch)
        self._broken = False

    def _wait(self) -> None:
        """Until the batch before is committed. Raises why it could not be."""
        committing, self._committing = self._committing, None
        if committing is not None:
            try:
                committing.result()
            except BaseException:
                self._broken = True
                raise

    def _prepare(self) -> _Batch:
        observations, self._observations, self._bytes = self._observations + self._marks, [], 0
        self.counts.sessions_read += len(observations) - len(self._marks)
        self._marks = []
        changes = self._changes()
        self._touched.clear()
        known = self._store.known(_created(observations))
        if self._before is not None:  # which may or may not be in the database yet
            known |= after(*self._before, (o.session_id for o in observations))
        resolution = resolve(observations, known, self.unreadable)
        set_aside(self.unreadable, resolution)
        return _Batch(resolution, flatten(resolution.versions), known, changes)

    def _commit(self, batch: _Batch) -> None:
        changes, keep = batch.changes, batch.resolution.keep
        if keep:
            name = f"{min(o.seq for o in keep):012d}-{self._run_id}.parquet"
            raw.write(self._layout.raw, name, keep, _encode_progress(changes))
            merged = {
                "file": name,
                "run_id": self._run_id,
                "observations": len(keep),
                "merged_at": to_datetime(self._now()),
            }
            changes = replace(changes, batch=merged)
        self._store.merge(batch.resolution, batch.flat.tables, batch.known, changes)
        self._count(batch)
        self._on_batch(self.counts)

    def _count(self, batch: _Batch) -> None:
        counts, resolution, known = self.counts, batch.resolution, batch.known
        counts.sessions_new += resolution.new
        counts.sessions_changed += resolution.changed
        counts.silent_changes += resolution.silent
        counts.messages_written += batch.flat.tables["messages"].num_rows
        counts.drift.update(batch.flat.drift)
        for session_id, mark in resolution.marks.items():
            before = known.get(session_id)
            marked = before is not None and before.mark is not None
            counts.restored += mark is None and marked
            counts.deleted += mark is not None and mark.kind == "deleted" and not marked
            counts.aged_out += mark is not None and mark.kind == "aged_out" and not marked
        for version in resolution.versions:
            before = known.get(version.session_id)
            if version.updated_at in self._completed and (
                before is None or before.updated_at < version.updated_at
            ):
                counts.late_rows += 1

    def _observe(
        self, rows: Sequence[Row], odd: Sequence[UnreadableRow], page: Page
    ) -> Iterator[Observation | Unreadable]:
        bodies = self._treatment.page([*(row.body for row in rows), *(row.body for row in odd)])
        for row, body in zip(rows, bodies, strict=False):
            yield Observation(
                session_id=row.session_id,
                org_id=row.org_id,
                created_at=row.created_at,
                updated_at=row.updated_at,
                requested_at=page.requested_at,
                seq=page.seq,
                run_id=self._run_id,
                kind="seen",
                body=body,
                content_hash=self._treatment.hash(body),
            )
        for one, body in zip(odd, bodies[len(rows) :], strict=True):
            found = unreadable(
                one,
                body,
                self._treatment.hash(body),
                requested_at=page.requested_at,
                seq=page.seq,
                run_id=self._run_id,
            )
            if not self._suppression.holds(found.session_id):  # one without an id can be forgotten too
                yield found

    def _changes(self) -> Changes:
        done = [self._windows[i].planned.claim for i in self._touched if not self._windows[i].left]
        claims = IntervalSet(claim for claim in done if claim is not None)
        return Changes(
            org_id=self._org_id,
            claims=claims,
            settled=claims - self._unsettled,
            unsettled=self._unsettled,
            windows=[self._window_row(index) for index in sorted(self._touched)],
            state=dict(self._state()),
        )

    def _window_row(self, index: int) -> dict[str, Any]:
        window = self._windows[index]
        bounds, claim = window.planned.window, window.planned.claim
        return {
            "run_id": self._run_id,
            "window_index": index,
            "org_id": self._org_id,
            "lower_bound": to_datetime(claim[0] if claim is not None else bounds.lower),
            "upper_bound": to_datetime(bounds.upper) if bounds.upper is not None else None,
            "claimed": not window.left and claim is not None,
            "claimed_until": to_datetime(claim[1]) if claim is not None else None,
            "expected": window.planned.expected,
            "first_total": window.first_total,
            "last_total": window.last_total,
            "distinct_ids": window.distinct,
            "requests": window.requests,
            "verdict": "open" if window.left else "complete",
            "left_to_read": encode_pieces(window.left) if window.left else None,
            "noted_at": to_datetime(self._now()),
        }


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


@dataclass(frozen=True, slots=True)
class Recovery:
    """What `recover` did: files merged, the names of the torn ones that were put aside, and the sessions that were passed over
    because they were forgotten.
    """

    merged: int = 0
    torn: tuple[str, ...] = ()
    forgotten: frozenset[str] = frozenset()

    @property
    def warning(self) -> str:
        """What a person should hear of the torn files; "" if there were none."""
        if not self.torn:
            return ""
        names = ", ".join(self.torn[:3]) + (", …" if len(self.torn) > 3 else "")
        return (
            f"{len(self.torn)} raw file(s) are torn and were put aside ({names}): "
            "what they held is read from the source again, as far as it is still listed"
        )


def recover(
    store: Store, layout: Layout, *, now: Callable[[], int], suppression: Suppression | None = None
) -> Recovery:
    """Merge raw files that the ledger does not know, with the progress their footers carry.

    After a crash between writing and merging, nothing is downloaded again; on an empty store this is a rebuild. Torn
    files are put aside. What was written after a torn file may claim a window of which that file held a part, so
    such claims do not count, and the next sync reads these windows again; nor does any claim if it cannot be told when
    the torn file was written. `suppression`: the list, if it is open already. Raises WarehouseError.
    """
    raw.remove_unfinished(layout.raw)
    merged = store.merged_files()
    if suppression is None:
        suppression = Suppression.open(layout)
    forgotten = set[str]()  # a file from a copy may hold it
    pending: list[tuple[int, Path]] = []
    torn: list[Path] = []
    for path in raw.files(layout.raw):
        if path.name not in merged:
            try:
                pending.append((raw.first_request(path), path))
            except WarehouseDamagedError:
                torn.append(path)
    aside = store.unreadable()
    done = 0
    doubtful = bool(torn) or (not merged and raw.any_put_aside(layout.raw))
    for _, path in sorted(pending):  # they may have been renamed, but later facts must replace earlier ones
        try:
            progress = raw.read_progress(path)
            observations = list[Observation | Unreadable]()
            for part in raw.read(path):
                admitted = _admitted(part, suppression)
                forgotten |= {o.session_id for o in part} - {o.session_id for o in admitted}
                observations += admitted
        except WarehouseDamagedError:
            torn.append(path)
            doubtful = True
            continue
        known = store.known(_created(observations))
        resolution = resolve(observations, known, aside)
        set_aside(aside, resolution)
        batch = {
            "file": path.name,
            "run_id": observations[0].run_id if observations else "",
            "observations": len(observations),
            "merged_at": to_datetime(now()),
        }
        changes = _decode_progress(progress, batch)
        above = 1 + max((o.seq for o in observations), default=-1)  # whatever the footer says
        if above > int(changes.state.get("next_seq", "0")):
            changes = replace(changes, state={**changes.state, "next_seq": str(above)})
        if doubtful:
            changes = Changes(changes.org_id, unsettled=changes.unsettled, batch=batch, state=changes.state)
        store.merge(resolution, flatten(resolution.versions).tables, known, changes)
        done += 1
    # Last: as long as it lies there, a recovery that is itself interrupted knows that claims are doubtful.
    return Recovery(done, tuple(raw.put_aside(path).name for path in torn), frozenset(forgotten))


def _created(observations: Iterable[Observation | Unreadable]) -> dict[str, int]:
    """Each session's createdAt, µs: what `Store.known` looks them up by."""
    return {o.session_id: o.created_at for o in observations if o.created_at is not None}


def _admitted(
    part: Sequence[Observation | Unreadable], suppression: Suppression
) -> list[Observation | Unreadable]:
    readable = [o for o in part if isinstance(o, Observation)]
    odd = [o for o in part if isinstance(o, Unreadable) and not suppression.excludes(o.session_id, o.body)]
    return [*suppression.admit(readable), *odd]


def _encode_progress(changes: Changes) -> dict[str, Any]:
    return {
        "org_id": changes.org_id,
        "claims": list(changes.claims),
        "settled": list(changes.settled),
        "unsettled": list(changes.unsettled),
        "windows": list(changes.windows),
        "state": changes.state,
    }


def _decode_progress(progress: Mapping[str, Any], batch: Mapping[str, Any]) -> Changes:
    return Changes(
        org_id=progress.get("org_id"),
        claims=IntervalSet((lower, upper) for lower, upper in progress.get("claims", ())),
        settled=IntervalSet((lower, upper) for lower, upper in progress.get("settled", ())),
        unsettled=IntervalSet((lower, upper) for lower, upper in progress.get("unsettled", ())),
        windows=progress.get("windows", ()),
        batch=batch,
        state=progress.get("state", {}),
    )
