"""One run of the main job: fix the bound, plan, fetch windows side by side, merge, publish.

The command line and the Prefect flows are two doors to this module. A `Run` is a context manager; its steps are
called in order: `plan`, `fetch` for each window (from any number of threads), `finish`, `publish`.
"""

from __future__ import annotations

import itertools
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from vapi_sessions import __version__, faultpoints, interruption, privacy
from vapi_sessions.client import Source
from vapi_sessions.config import Settings
from vapi_sessions.errors import (
    ConfigurationError,
    SourceUnavailableError,
    VapiSessionsError,
    WarehouseDamagedError,
)
from vapi_sessions.ledger import Ledger, RequestNumbers
from vapi_sessions.load import Counts, Loader, Treated, describe, recover
from vapi_sessions.memory import fewer_collections, give_back
from vapi_sessions.plan import PlannedWindow
from vapi_sessions.progress import Progress, Silent
from vapi_sessions.survey import Plan, make_plan
from vapi_sessions.timestamps import to_datetime
from vapi_sessions.treatment import Treatment
from vapi_sessions.walk import walk
from vapi_sessions.warehouse import raw, reader
from vapi_sessions.warehouse.compact import compact
from vapi_sessions.warehouse.customers import CustomersHeld
from vapi_sessions.warehouse.files import sync_directory
from vapi_sessions.warehouse.layout import Layout, put_aside, writer_lock
from vapi_sessions.warehouse.publish import publish
from vapi_sessions.warehouse.refusals import disk_errors
from vapi_sessions.warehouse.store import Changes, EarlierVersionError, Store
from vapi_sessions.warehouse.suppression import Suppression
from vapi_sessions.windows import IntervalSet

#: Pages that are treated side by side: each is in memory several times meanwhile, and more than two are not faster.
_TREATED_AT_ONCE: Final = 2
#: Walks beyond the requests that are allowed at once: while one's page is treated, another asks for its next.
_SPARE_WALKS: Final = 2
#: Bytes. Of larger pages no more are on their way from the source to the loader than requests are allowed at once.
_LARGE_PAGE: Final = 1_500_000


@dataclass(frozen=True, slots=True)
class Environment:
    """The outside world, injectable: wall clock (µs), monotonic clock and sleep (seconds), transport."""

    now: Callable[[], int] = lambda: time.time_ns() // 1000
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] | None = None  # None: a wait that ends when the run is stopped
    transport: httpx.BaseTransport | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcome of a run, for the person who started it. Moments in µs."""

    run_id: str
    org_id: str | None
    bound: int | None
    watermark: int | None
    windows: int
    requests: int
    seconds: float
    published: bool
    recovered_files: int
    counts: Counts = field(default_factory=Counts)
    #: Sessions that cannot be read, whether this run met them or not: name to what is wrong.
    unreadable: Mapping[str, str] = field(default_factory=dict)


class Run:
    """One run. Raises the errors of `errors.py`; whatever was merged before one stays, and the next run continues."""

    def __init__(
        self,
        settings: Settings,
        *,
        environment: Environment | None = None,
        progress: Progress | None = None,
        command: str = "sync",
    ) -> None:
        self.settings = settings
        self.environment = environment or Environment()
        self.progress = progress or Silent()
        self.command = command
        self._started = self.environment.now()
        self.run_id = f"{to_datetime(self._started):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        self._stack = ExitStack()
        self._loader: Loader | None = None
        self._handoff: _Handoff | None = None
        self._plan = Plan()
        self.org_id: str | None = None
        self._published = False
        self._recorded = ""
        self._recovered = 0
        self._compaction_due = False
        self._erasure_due = False
        self._treating = threading.BoundedSemaphore(_TREATED_AT_ONCE)
        self._large_pages = threading.BoundedSemaphore(settings.concurrency)
        self.stopping = threading.Event()

    def __enter__(self) -> Run:
        key = self.settings.key()
        self.treatment = self.settings.treatment()
        layout = self._layout = Layout(self.settings.warehouse)
        layout.create()
        with self._stack:
            self._stack.enter_context(fewer_collections())
            self._stack.enter_context(writer_lock(layout))
            self.suppression = Suppression.open(layout, create=True, region=self.settings.phone_region)
            try:
                store = Store(layout.store, layout.scratch, sleep=self._sleep)
            except EarlierVersionError:
                self._take_over()
                store = Store(layout.store, layout.scratch, sleep=self._sleep)
            self._stack.callback(self._tidy)  # between the store's closing and the lock's release
            self.store = self._stack.enter_context(store)
            self.store.close_dead_runs()
            recovery = recover(self.store, layout, now=self.environment.now, suppression=self.suppression)
            self._recovered = recovery.merged
            if recovery.warning:
                self.progress.note(recovery.warning)
            if self._recovered:
                self.progress.note(
                    f"merged {self._recovered} raw file(s) that an earlier run had fetched and not merged"
                )
            self._complete_forget()
            self._enforce()
            if snapshot := self.store.state().get("snapshot"):
                self.suppression.trust(CustomersHeld(layout.parquet / snapshot))
            self.suppression.go_on = self._go_on
            self.numbers = RequestNumbers(int(self.store.state().get("next_seq", "1")))
            self.source = self._stack.enter_context(
                Source(
                    self.settings.base_url,
                    key,
                    next_seq=self.numbers.take,
                    concurrency=self.settings.concurrency,
                    transport=self.environment.transport,
                    now=self.environment.now,
                    monotonic=self.environment.monotonic,
                    sleep=self._sleep,
                    on_wait=self.progress.waiting,
                    stopping=self.stopping,
                )
            )
            self._record("running")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        with self._stack:
            if self._handoff is not None:
                self._handoff.abandon()
            if self._loader is not None:
                self._stack.callback(self._loader.close)
            if error is None:
                if self._recorded != "done":  # it was before the publication, which shows it
                    self._record("done")
                self._erasure_due = privacy.joined_held(self.store, self.suppression)
                if not self._erasure_due:
                    privacy.note_compared(self.store, self._layout, self.suppression)
                    self._compaction_due = self.store.worth_compacting()
                if not self._compaction_due:
                    self.store.checkpoint()
                return
            try:  # pages that did arrive are worth keeping, and the failure worth showing in `status`
                if self._loader is not None:
                    self._loader.flush()
                self._record("failed" if isinstance(error, Exception) else "interrupted", error)
                publish(self.store, self._layout, now=self.environment.now)
                self.store.checkpoint()
            except VapiSessionsError as second:
                self.progress.note(f"what had arrived could not be kept: {second.fact}")

    # -- the steps -----------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Fix the bound from the source's clock and ours, and cut what is to be read into windows.

        Raises ConfigurationError if the key belongs to another organisation than the warehouse.
        """
        plan, state = make_plan(self.settings, self.source, self.store.ledger(), self.store.open_windows())
        self._plan, self.org_id = plan, plan.org_id
        if plan.org_id is None:
            self.progress.note("the source shows no session at all: nothing is claimed")
            return plan
        self._loader = self.open_loader(
            plan.org_id, state, unsettled=plan.unsettled, side_by_side=self.settings.concurrency > 1
        )
        resumed = self._loader.adopt(plan.windows)
        self.store.note(
            Changes(plan.org_id, unsettled=plan.unsettled, windows=resumed, state=state, supersede=True)
        )
        if resumed:
            self.progress.note(f"going on in {len(resumed)} window(s) that an earlier run left in the middle")
        if self.settings.concurrency > 1:
            self._handoff = _Handoff(self._loader, depth=1)
        self.progress.planned(len(plan.windows), plan.sessions)
        return plan

    def open_loader(
        self,
        org_id: str,
        state: Mapping[str, str],
        *,
        unsettled: IntervalSet | None = None,
        side_by_side: bool = False,
    ) -> Loader:
        """The loader of this run; `state` are facts to note with each batch.

        `side_by_side`: batches are committed in a thread of their own, and nobody else may use the store meanwhile.
        """
        self._loader = Loader(
            self.store,
            self._layout,
            run_id=self.run_id,
            org_id=org_id,
            completed=self.store.ledger().completed,
            unsettled=unsettled or IntervalSet(),
            state=lambda: {**state, **self.treatment.state, "next_seq": str(self.numbers.next)},
            now=self.environment.now,
            treatment=self.treatment,
            suppression=self.suppression,
            on_batch=self.progress.merged,
            side_by_side=side_by_side,
        )
        return self._loader

    def fetch(self, index: int) -> int:
        """Read window `index` of the plan completely; returns how many sessions it held. Thread-safe."""
        planned, loader = self._plan.windows[index], self._loader
        if loader is None:
            raise AssertionError("fetch before plan")
        sink = self._handoff.add if self._handoff is not None else loader.add
        sessions = 0
        most = self.settings.page_size
        steps = walk(self.source.list, planned.pieces, limit=lambda: self.source.page_size(most))
        while not self.stopping.is_set():
            with self._large_pages if self.source.page_bytes(most) > _LARGE_PAGE else nullcontext():
                step = next(steps, None)
                if step is None:
                    self.progress.window_done()
                    break
                faultpoints.reach("page.fetched")
                with self._treating:
                    treated = loader.treat(step)
                sink(index, planned, treated)
            sessions += len(step.rows)
            self.progress.read(len(step.rows))
            del step, treated  # the page need not stay in memory until the next one has arrived
        return sessions

    def finish(self) -> Counts:
        """Merge what is still on its way; afterwards everything fetched is committed."""
        if self._handoff is not None:
            self._handoff.drain()
        if self._loader is not None:
            self._loader.flush()
        if warning := describe(self.unreadable):
            self.progress.note(f"warning: {warning}")
        return self.counts

    def publish(self) -> bool:
        """Publish the committed state for readers; returns whether data files were written."""
        self._record("done")
        give_back()
        self._published = publish(self.store, self._layout, now=self.environment.now, note=self.progress.note)
        return self._published

    # -- results -------------------------------------------------------------------------------------------------

    @property
    def counts(self) -> Counts:
        """What the run did so far."""
        return self._loader.counts if self._loader is not None else Counts()

    @property
    def unreadable(self) -> dict[str, str]:
        """The sessions that cannot be read: name to what is wrong."""
        aside = self._loader.unreadable if self._loader is not None else self.store.unreadable()
        return {name: one.problem for name, one in aside.items()}

    def summary(self) -> Summary:
        """The outcome so far."""
        return Summary(
            run_id=self.run_id,
            org_id=self.org_id,
            bound=self._plan.bound,
            watermark=self.store.ledger().watermark,
            windows=len(self._plan.windows),
            requests=self.source.traffic.requests,
            seconds=(self.environment.now() - self._started) / 1e6,
            published=self._published,
            recovered_files=self._recovered,
            counts=self.counts,
            unreadable=self.unreadable,
        )

    # -- inside --------------------------------------------------------------------------------------------------

    @property
    def _clocks(self) -> privacy.Clocks:
        return privacy.Clocks(self.environment.now, self._sleep)

    def _complete_forget(self) -> None:
        """Erase what is on the list and all the same in the warehouse: an erasure was interrupted, or a copy put back."""
        interrupted = self.suppression.pending
        if privacy.still_held(
            self.store, self._layout, self.suppression, now=self.environment.now, note=self.progress.note
        ):
            self._without_store(self._erase_forgotten)
            if interrupted:
                self.progress.note("completed a forget that had been interrupted")

    def _erase_forgotten(self) -> None:
        done = privacy.erase_forgotten(self._layout, self.suppression, self._clocks)
        if done.sessions or done.observations:
            self.progress.note(f"erased {done.sessions:,} session(s) that were forgotten and still held")

    def _without_store(self, work: Callable[[], object]) -> None:
        """Do what opens the database itself, and open it again."""
        self.store.__exit__(None, None, None)
        work()
        layout = self._layout
        self.store = self._stack.enter_context(Store(layout.store, layout.scratch, sleep=self._sleep))

    def _take_over(self) -> None:
        self.progress.note("an earlier version made this warehouse: deriving it again from raw/")
        lost = privacy.take_over(self._layout, self.suppression, self._clocks)
        if lost:
            self.progress.note(
                f"warning: raw/ lacks {len(lost):,} session(s), which stay as they were: {', '.join(lost[:20])}"
            )

    def _enforce(self) -> None:
        """Put what is stored through a treatment that became stricter, before anything is read under it."""
        state = self.store.state()
        empty = not self.store.rows("SELECT 1 FROM sessions LIMIT 1")
        if privacy.check_treatment(state, self.treatment, empty=empty):
            self.progress.note(privacy.stricter_note(self.treatment))
            self._without_store(
                lambda: privacy.tighten(self._layout, self.treatment, self._clocks, self.suppression)
            )
        elif note := privacy.looser_note(state, self.treatment):
            self.progress.note(note)

    def _tidy(self) -> None:
        if self._erasure_due:
            self._erase_forgotten()
        elif self._compaction_due:
            try:
                compact(self._layout, sleep=self._sleep)
            except VapiSessionsError as error:  # what was synced is safe, in a file larger than it need be
                self.progress.note(f"the database could not be compacted: {error.fact}")

    def _go_on(self) -> None:
        if self.stopping.is_set():
            raise SourceUnavailableError("Stopped while new customers were compared with the forgotten ones.")

    def _sleep(self, seconds: float) -> None:
        if self.environment.sleep is not None:
            self.environment.sleep(seconds)
        elif self.stopping.wait(seconds):
            raise SourceUnavailableError("Stopped while waiting for the source.")

    def _record(self, outcome: str, error: BaseException | None = None) -> None:
        counts, traffic, plan = self.counts, self.source.traffic, self._plan
        watermark = self.store.ledger().watermark
        self.store.put_run(
            {
                "run_id": self.run_id,
                "command": self.command,
                "started_at": to_datetime(self._started),
                "finished_at": to_datetime(self.environment.now()) if outcome != "running" else None,
                "outcome": outcome,
                "error": _reason(error),
                "org_id": self.org_id,
                "base_url": self.settings.base_url,
                "bound": to_datetime(plan.bound) if plan.bound is not None else None,
                "watermark": to_datetime(watermark) if watermark is not None else None,
                "requests": traffic.requests,
                "retries": traffic.retries,
                "throttled": traffic.throttled,
                "bytes_received": traffic.bytes,
                "sessions_read": counts.sessions_read,
                "sessions_new": counts.sessions_new,
                "sessions_changed": counts.sessions_changed,
                "messages_written": counts.messages_written,
                "sessions_unreadable": len(self.unreadable),
                "sessions_deleted": counts.deleted,
                "sessions_aged_out": counts.aged_out,
                "sessions_restored": counts.restored,
                "late_rows": counts.late_rows,
                "silent_changes": counts.silent_changes,
                "drift": msgspec.json.encode(dict(counts.drift.most_common())).decode()
                if counts.drift
                else None,
                "program_version": __version__,
            }
        )
        self._recorded = outcome


def sync(
    settings: Settings, *, environment: Environment | None = None, progress: Progress | None = None
) -> Summary:
    """The whole main job. Raises the errors of `errors.py`."""
    with Run(settings, environment=environment, progress=progress) as run:
        plan = run.plan()
        fetch_all(run, len(plan.windows))
        run.finish()
        run.publish()
        return run.summary()


@dataclass(frozen=True, slots=True)
class Preview:
    """What a sync would do. `latency`: measured seconds a request; times are estimates."""

    plan: Plan
    latency: float
    page_size: int
    concurrency: int

    def requests_for(self, window: PlannedWindow) -> int:
        """Pages of one window: neighbouring pages share the row at which they meet."""
        return window.expected // max(1, self.page_size - 1) + 1

    @property
    def requests(self) -> int:
        """Pages of all windows."""
        return sum(self.requests_for(window) for window in self.plan.windows)

    @property
    def seconds(self) -> float:
        """Time of the transfers, if every request takes as long as the ones that counted."""
        return self.latency * max(
            self.requests / self.concurrency, max(map(self.requests_for, self.plan.windows), default=0)
        )


def preview(settings: Settings, *, environment: Environment | None = None) -> Preview:
    """Plan without changing anything, the warehouse directory included. Raises what `Run.plan` raises."""
    environment = environment or Environment()
    key = settings.key()
    layout = Layout(settings.warehouse)
    layout.check()
    ledger, left_open = Ledger(), list[dict[str, Any]]()
    if layout.store.exists():
        with Store(layout.store, layout.scratch, read_only=True) as store:
            ledger, left_open = store.ledger(), store.open_windows()
    with Source(
        settings.base_url,
        key,
        next_seq=itertools.count().__next__,
        concurrency=settings.concurrency,
        transport=environment.transport,
        now=environment.now,
        monotonic=environment.monotonic,
        sleep=environment.sleep,
    ) as source:
        started = environment.monotonic()
        plan, _ = make_plan(settings, source, ledger, left_open)
        seconds = environment.monotonic() - started
        latency = seconds / max(1, source.traffic.requests)
    return Preview(plan, latency, settings.page_size, settings.concurrency)


def rebuild(
    warehouse: Path,
    *,
    treatment: Treatment | None = None,
    environment: Environment | None = None,
    progress: Progress | None = None,
) -> tuple[Path | None, int, int]:
    """Derive the database again from `raw/` and publish it; then put all of it through a `treatment` that is stricter.

    Returns where the old database was put aside (None if there was none), the raw files merged and the sessions.
    The new one is built beside the old one and takes its place at the end, so a rebuild that fails changes nothing.
    If it is killed between the two, there is no database, and the next run derives it from `raw/` all the same.
    Raises ConfigurationError if there is nothing to rebuild from, or for another pseudonym key, WarehouseDamagedError if files of `raw/` seem to be
    missing, WarehouseError.
    """
    environment = environment or Environment()
    layout = Layout(warehouse)
    layout.check()
    if not layout.raw.is_dir():
        raise ConfigurationError(
            f"{warehouse} is not a warehouse: it has no raw/ directory.", "Give one with --warehouse."
        )
    if not raw.files(layout.raw):
        raise ConfigurationError(
            f"There is nothing to rebuild from: {layout.raw} holds no observations.",
            "Put its files back from a copy, or run vapi-sessions sync into another directory.",
        )
    layout.create()
    with fewer_collections(), writer_lock(layout):
        region = treatment.policy.region if treatment is not None else None
        suppression = Suppression.open(layout, create=True, region=region)
        clocks = privacy.Clocks(environment.now, environment.sleep or time.sleep)
        progress = progress or Silent()
        draft = layout.scratch / "rebuilt.duckdb"
        with Store(draft, layout.scratch) as store:
            recovery = recover(store, layout, now=environment.now, suppression=suppression)
            if recovery.warning:
                progress.note(recovery.warning)
            (sessions,) = store.rows("SELECT count(*) FROM sessions")[0]
            stricter = treatment is not None and privacy.check_treatment(
                store.state(), treatment, empty=not sessions
            )
            store.checkpoint()
        # What a torn file held is read again, and what is to be forgotten is still published; nobody knows of a file that is gone.
        explained = recovery.torn or suppression.pending
        published = 0 if explained else reader.sessions_published(layout.root)
        if sessions + len(recovery.forgotten) < published:
            with disk_errors(draft):
                draft.unlink()
            raise WarehouseDamagedError(
                f"{layout.raw} gives {sessions:,} sessions, and {published:,} are published: files of it are missing.",
                "Put them back from a copy. To go on with those that are there, move vapi.duckdb away, and rebuild again.",
            )
        faultpoints.reach("rebuild.derived")
        kept = put_aside(layout, environment.now())
        faultpoints.reach("rebuild.put_aside")
        with disk_errors(layout.root):
            draft.rename(layout.store)
            sync_directory(layout.root)
        faultpoints.reach("rebuild.swapped")
        with Store(layout.store, layout.scratch, sleep=clocks.sleep) as store:
            publish(store, layout, now=environment.now, force=True, note=progress.note)
            store.checkpoint()
            # What raw/ holds of the forgotten did not get here; it is there all the same, and in what was put aside.
            held = privacy.still_held(store, layout, suppression, now=environment.now, note=progress.note)
        if held:
            privacy.erase_forgotten(layout, suppression, clocks)
        if stricter and treatment is not None:
            progress.note(privacy.stricter_note(treatment))
            privacy.tighten(layout, treatment, clocks, suppression)
        kept = kept if kept is not None and kept.exists() else None
    return kept, recovery.merged, sessions


def fetch_all(run: Run, windows: int) -> None:
    """Fetch all windows, several side by side; the first failure stops the others and is raised."""
    if run.settings.concurrency == 1:
        for index in range(windows):
            run.fetch(index)
        return
    workers = run.settings.concurrency + _SPARE_WALKS
    interruption.side_by_side(run.fetch, range(windows), workers=workers, name="fetch", stop=run.stopping.set)


def _reason(error: BaseException | None) -> str | None:
    if error is None:
        return None
    return error.fact if isinstance(error, VapiSessionsError) else type(error).__name__


class _Handoff:
    """A thread of its own for the loader, so that merging and fetching overlap; a bounded queue holds back the walks."""

    def __init__(self, loader: Loader, depth: int) -> None:
        self._queue: queue.Queue[tuple[int, PlannedWindow, Treated] | None] = queue.Queue(depth)
        self._loader = loader
        self._error: BaseException | None = None
        self._abandoned = False
        self._thread = threading.Thread(target=self._work, name="load", daemon=True)
        self._thread.start()

    def add(self, index: int, planned: PlannedWindow, treated: Treated) -> None:
        """Pass one step on. Raises what the loader raised; never blocks for good, even after `abandon`."""
        while True:
            if self._error is not None:
                raise self._error
            if self._abandoned:
                raise SourceUnavailableError("The run was stopped.")
            try:
                self._queue.put((index, planned, treated), timeout=interruption.SIGNALS_EVERY)
            except queue.Full:
                continue
            return

    def drain(self) -> None:
        """Wait until everything passed on has been taken in. Raises what the loader raised."""
        if self._thread.is_alive():
            self._queue.put(None)
        while self._thread.is_alive():
            self._thread.join(interruption.SIGNALS_EVERY)
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """End the thread, whatever the state; errors were or will be raised elsewhere."""
        self._abandoned = True
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._error is None:
                try:
                    self._loader.add(*item)
                except BaseException as error:  # handed to whoever adds or drains next
                    self._error = error
            del item  # or its page stays in memory until the next one is handed over
