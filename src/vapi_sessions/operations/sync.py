"""One run of the main job: fix the bound, plan, fetch windows side by side, merge, publish.

The command line and the Prefect flows are two doors to this module. A `Run` is a context manager; its steps are
called in order: `plan`, `fetch` for each window (from any number of threads), `finish`, `publish`.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from vapi_sessions import __version__
from vapi_sessions.core import faultpoints
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.ledger import RequestNumbers
from vapi_sessions.core.memory import fewer_collections, give_back
from vapi_sessions.core.records import Outcome, RunRecord
from vapi_sessions.core.threads import side_by_side
from vapi_sessions.core.timestamps import to_datetime
from vapi_sessions.errors import SourceUnavailableError, VapiSessionsError
from vapi_sessions.operations import erasure
from vapi_sessions.operations.coordinator import Coordinator, Counts, describe
from vapi_sessions.operations.progress import Progress, Silent
from vapi_sessions.operations.recovery import recover
from vapi_sessions.operations.take_over import take_over
from vapi_sessions.operations.window_buffer import PageSanitizer
from vapi_sessions.settings import Settings
from vapi_sessions.source.client import Source
from vapi_sessions.source.environment import Environment
from vapi_sessions.source.pagination import walk
from vapi_sessions.source.planning import Plan, make_plan
from vapi_sessions.warehouse.customers import CustomersHeld
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout, writer_lock
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.staging import Staging
from vapi_sessions.warehouse.suppression import Suppression

#: Walks beyond the requests that are allowed at once: while one's page is treated, another asks for its next.
_SPARE_WALKS: Final = 2


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
        self._loader: Coordinator | None = None
        self._plan = Plan()
        self.org_id: str | None = None
        self._published = False
        self._recorded = ""
        self._recovered = 0
        self._erasure_due = False
        # Two pages worked on at once wait for the interpreter: a tenth more processor time and 40 MB more, for 4 % less time.
        self._working = threading.Lock()
        self.stopping = threading.Event()

    def __enter__(self) -> Run:
        key = self.settings.key()
        self.sanitizer = self.settings.sanitizer()
        layout = self._layout = Layout(self.settings.warehouse)
        layout.create()
        with self._stack:
            self._stack.enter_context(fewer_collections())
            self._stack.enter_context(writer_lock(layout))
            self.suppression = Suppression.open(layout, create=True, region=self.settings.phone_region)
            take_over(layout, self.suppression, self._clocks, self.progress.say)
            self._stack.callback(self._tidy)  # between the index's closing and the lock's release
            self.index = self._stack.enter_context(Index(layout.index, layout.scratch, sleep=self._sleep))
            self.index.close_dead_runs()
            recovery = recover(self.index, layout, now=self.environment.now, suppression=self.suppression)
            self._recovered = recovery.merged
            if recovery.warning:
                self.progress.say(recovery.warning)
            if self._recovered:
                self.progress.say(
                    f"merged {self._recovered} raw file(s) that an earlier run had fetched and not merged"
                )
            self._complete_forget()
            self._enforce()
            self.staging = Staging.begin(layout.staging)
            if snapshot := self.index.state().get("snapshot"):
                self.suppression.trust(CustomersHeld(layout.parquet / snapshot))
            self.suppression.go_on = self._go_on
            self.numbers = RequestNumbers(int(self.index.state().get("next_seq", "1")))
            self.source = self._stack.enter_context(
                Source(
                    self.settings.base_url,
                    key,
                    next_seq=self.numbers.take,
                    concurrency=self.settings.concurrency,
                    environment=replace(self.environment, sleep=self._sleep),
                    on_wait=self.progress.waiting,
                    stopping=self.stopping,
                )
            )
            self._record("running")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        with self._stack:
            if error is None:
                if self._recorded != "done":  # it was before the publication, which shows it
                    self._record("done")
                self._erasure_due = erasure.joined_held(self.index, self.suppression)
                if not self._erasure_due:
                    erasure.note_compared(self.index, self._layout, self.suppression)
                self.index.checkpoint()
                return
            try:  # pages that did arrive are worth keeping, and the failure worth showing in `status`
                if self._loader is not None:
                    self._loader.flush()
                self._record("failed" if isinstance(error, Exception) else "interrupted", error)
                self._publisher().publish()
                self.index.checkpoint()
            except VapiSessionsError as second:
                self.progress.say(f"what had arrived could not be kept: {second.fact}")

    # -- the steps -----------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Fix the bound from the source's clock and ours, and cut what is to be read into windows.

        Raises ConfigurationError if the key belongs to another organisation than the warehouse.
        """
        plan, state = make_plan(self.settings, self.source, self.index.ledger(), self.index.open_windows())
        self._plan, self.org_id = plan, plan.org_id
        if plan.org_id is None:
            self.progress.say("the source shows no session at all: nothing is claimed")
            return plan
        self._loader = self.open_loader(plan.org_id, state, unsettled=plan.unsettled)
        resumed = self._loader.adopt(plan.windows)
        self.index.record(
            Changes(plan.org_id, unsettled=plan.unsettled, windows=resumed, state=state, supersede=True)
        )
        if resumed:
            self.progress.say(f"going on in {len(resumed)} window(s) that an earlier run left in the middle")
        self.progress.planned(len(plan.windows), plan.sessions)
        return plan

    def open_loader(
        self, org_id: str, state: Mapping[str, str], *, unsettled: IntervalSet | None = None
    ) -> Coordinator:
        """The loader of this run; `state` are facts to note with each batch."""
        self._loader = Coordinator(
            self.index,
            self._layout,
            self.staging,
            PageSanitizer(self.run_id, org_id, self._layout.root, self.sanitizer, self.suppression),
            completed=self.index.ledger().completed,
            unsettled=unsettled or IntervalSet(),
            state=lambda: {**state, **self.sanitizer.state, "next_seq": str(self.numbers.next)},
            now=self.environment.now,
            on_batch=self.progress.merged,
            publish=self._publish_so_far,
        )
        return self._loader

    def fetch(self, index: int) -> int:
        """Read window `index` of the plan completely, and commit it; returns how many sessions it held. Thread-safe."""
        planned, loader = self._plan.windows[index], self._loader
        if loader is None:
            raise AssertionError("fetch before plan")
        sessions = 0
        most = self.settings.page_size
        steps = walk(self.source.list, planned.cursors, limit=lambda: self.source.page_size(most))
        while not self.stopping.is_set():
            step = next(steps, None)
            if step is None:
                self.progress.window_done()
                break
            faultpoints.reach("page.fetched")
            with self._working:
                loader.add(index, planned, step)
            sessions += len(step.rows)
            self.progress.read(len(step.rows))
            del step  # the page need not stay in memory until the next one has arrived
        return sessions

    def finish(self) -> Counts:
        """Commit what is left; afterwards everything fetched is committed."""
        if self._loader is not None:
            self._loader.flush()
        if warning := describe(self.unreadable):
            self.progress.say(f"warning: {warning}")
        return self.counts

    def publish(self) -> bool:
        """Publish the committed state for readers; returns whether data files were written."""
        self._record("done")
        give_back()
        self._published = self._publisher().publish()
        return self._published

    def _publish_so_far(self) -> None:
        """In the middle of a long run, with nobody committing."""
        self._record("running")
        self._publisher().publish()

    def _publisher(self) -> Publisher:
        return Publisher(self.index, self._layout, self.staging, self.environment.now, self.progress.say)

    # -- results -------------------------------------------------------------------------------------------------

    @property
    def counts(self) -> Counts:
        """What the run did so far."""
        return self._loader.counts if self._loader is not None else Counts()

    @property
    def unreadable(self) -> dict[str, str]:
        """The sessions that cannot be read: name to what is wrong."""
        aside = self._loader.unreadable if self._loader is not None else self.index.unreadable()
        return {name: one.problem for name, one in aside.items()}

    def summary(self) -> Summary:
        """The outcome so far."""
        return Summary(
            run_id=self.run_id,
            org_id=self.org_id,
            bound=self._plan.bound,
            watermark=self.index.ledger().watermark,
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
    def _clocks(self) -> erasure.Clocks:
        return erasure.Clocks(self.environment.now, self._sleep)

    def _complete_forget(self) -> None:
        """Erase what is on the list and all the same in the warehouse: an erasure was interrupted, or a copy put back."""
        interrupted = self.suppression.pending
        if erasure.still_held(
            self.index, self._layout, self.suppression, now=self.environment.now, say=self.progress.say
        ):
            self._without_index(self._erase_forgotten)
            if interrupted:
                self.progress.say("completed a forget that had been interrupted")

    def _erase_forgotten(self) -> None:
        done = erasure.erase_forgotten(self._layout, self.suppression, self._clocks)
        if done.sessions or done.observations:
            self.progress.say(f"erased {done.sessions:,} session(s) that were forgotten and still held")

    def _without_index(self, work: Callable[[], object]) -> None:
        """Do what opens the index itself, and open it again."""
        self.index.__exit__(None, None, None)
        work()
        layout = self._layout
        self.index = self._stack.enter_context(Index(layout.index, layout.scratch, sleep=self._sleep))

    def _enforce(self) -> None:
        """Put what is stored through a treatment that became stricter, before anything is read under it."""
        state = self.index.state()
        if erasure.check_sanitizer(state, self.sanitizer, empty=self.index.is_empty()):
            self.progress.say(erasure.stricter_note(self.sanitizer))
            self._without_index(
                lambda: erasure.tighten(self._layout, self.sanitizer, self._clocks, self.suppression)
            )
        elif say := erasure.looser_note(state, self.sanitizer):
            self.progress.say(say)

    def _tidy(self) -> None:
        if self._erasure_due:
            self._erase_forgotten()

    def _go_on(self) -> None:
        if self.stopping.is_set():
            raise SourceUnavailableError("Stopped while new customers were compared with the forgotten ones.")

    def _sleep(self, seconds: float) -> None:
        if self.environment.sleep is not None:
            self.environment.sleep(seconds)
        elif self.stopping.wait(seconds):
            raise SourceUnavailableError("Stopped while waiting for the source.")

    def _record(self, outcome: Outcome, error: BaseException | None = None) -> None:
        counts, traffic, plan = self.counts, self.source.traffic, self._plan
        watermark = self.index.ledger().watermark
        self.index.put_run(
            RunRecord(
                run_id=self.run_id,
                command=self.command,
                started_at=to_datetime(self._started),
                finished_at=to_datetime(self.environment.now()) if outcome != "running" else None,
                outcome=outcome,
                error=_reason(error),
                org_id=self.org_id,
                base_url=self.settings.base_url,
                bound=to_datetime(plan.bound) if plan.bound is not None else None,
                watermark=to_datetime(watermark) if watermark is not None else None,
                requests=traffic.requests,
                retries=traffic.retries,
                throttled=traffic.throttled,
                bytes_received=traffic.bytes,
                sessions_read=counts.sessions_read,
                sessions_new=counts.sessions_new,
                sessions_changed=counts.sessions_changed,
                messages_written=counts.messages_written,
                sessions_unreadable=len(self.unreadable),
                sessions_deleted=counts.deleted,
                sessions_aged_out=counts.aged_out,
                sessions_restored=counts.restored,
                late_rows=counts.late_rows,
                silent_changes=counts.silent_changes,
                drift=msgspec.json.encode(dict(counts.drift.most_common())).decode()
                if counts.drift
                else None,
                program_version=__version__,
            )
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


def fetch_all(run: Run, windows: int) -> None:
    """Fetch all windows, several side by side; the first failure stops the others and is raised."""
    if run.settings.concurrency == 1:
        for index in range(windows):
            run.fetch(index)
        return
    workers = run.settings.concurrency + _SPARE_WALKS
    side_by_side(run.fetch, range(windows), workers=workers, name="fetch", stop=run.stopping.set)


def _reason(error: BaseException | None) -> str | None:
    if error is None:
        return None
    return error.fact if isinstance(error, VapiSessionsError) else type(error).__name__
