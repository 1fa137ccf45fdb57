"""One run of the main job: fix the bound, plan, fetch windows in parallel, merge, publish.

The command line and the Prefect flows both use this module. A `Run` is a context manager; its steps are called in order:
`plan`, `fetch` for each window (from any number of threads), `finish`, `publish`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec

from vapi_sessions import __version__
from vapi_sessions.core import faultpoints, interruption
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.ledger import RequestNumbers
from vapi_sessions.core.memory import give_back
from vapi_sessions.core.records import Outcome, RunRecord, new_run_id, outcome_of, reason
from vapi_sessions.core.threads import side_by_side
from vapi_sessions.core.timestamps import to_datetime
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import SourceUnavailableError, VapiSessionsError
from vapi_sessions.operations import metrics, run_report
from vapi_sessions.operations.coordinator import Coordinator, RunFacts, describe
from vapi_sessions.operations.progress import Counts, Progress, Silent
from vapi_sessions.operations.same_source import check_source
from vapi_sessions.operations.speed import SPEED, Stopwatch
from vapi_sessions.operations.window_buffer import PageSanitizer
from vapi_sessions.operations.writer import Writer
from vapi_sessions.settings import Settings
from vapi_sessions.source.client import Source
from vapi_sessions.source.environment import Clocks, Environment
from vapi_sessions.source.pagination import walk
from vapi_sessions.source.planning import Plan, make_plan
from vapi_sessions.warehouse import checks, told_drift
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.suppression import Suppression

#: Walks beyond the number of parallel requests: while one sanitizes its page, another requests its next.
_SPARE_WALKS: Final = 2


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcome of a run. Moments in µs. `unreadable`: all sessions that cannot be read, also of earlier runs: name to problem.
    `failing_checks`: name to rows. `new_drift`: fields without a column that the warehouse did not have before.
    `gaps`: spans before the newest claim that have not been read. `retained_from`: as in the plan.
    """

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
    unreadable: Mapping[str, str] = field(default_factory=dict)
    failing_checks: Mapping[str, int] = field(default_factory=dict)
    new_drift: tuple[str, ...] = ()
    gaps: tuple[tuple[int, int], ...] = ()
    retained_from: int | None = None


class Run:
    """One run. Raises the errors of `errors.py`. Whatever was merged before an error stays, and the next run continues."""

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
        self.run_id = new_run_id(self._started)
        self._stack = ExitStack()
        self._coordinator: Coordinator | None = None
        self._plan = Plan()
        self.org_id: str | None = None
        self._published = False
        self._new_drift: tuple[str, ...] = ()
        self._recorded = ""
        self._finished = False
        self._watch = Stopwatch(self.environment.monotonic)
        self._error: BaseException | None = None
        # One page at a time: two threads that work on pages wait for the interpreter, which takes a tenth more processor time
        # and 40 MB more, and saves 4 % of the time.
        self._working = threading.Lock()
        self.stopping = threading.Event()

    def __enter__(self) -> Run:
        clocks = Clocks(self.environment.now, self._sleep)
        with self._stack:
            self._stack.push(self._leave_metrics)  # last of all, also if the run cannot begin
            key = self.settings.key()
            self._writer = self._stack.enter_context(
                Writer(self.settings, clocks, self.progress, self.command)
            )
            self.progress = self._writer.progress
            self.suppression.go_on = self._go_on
            if before := check_source(
                self.index.state(), self.settings, may_accept=self.command != "reconcile"
            ):
                self.progress.warn(f"the source is now {self.settings.base_url}; until now it was {before}")
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
        if self._finished and isinstance(error, KeyboardInterrupt):
            error = None  # it was postponed until the publication was done
        self._error = error
        with self._stack:
            if error is None:
                if self._recorded != "done":  # `publish` records it before the publication, which shows it
                    self._record("done")
                self._writer.conclude()
                return
            try:  # the pages that did arrive are kept, and `status` shows the failure
                if self._coordinator is not None:
                    self._coordinator.flush()
                self._record(outcome_of(error), error)
                self.progress.phase("publishing")
                self._writer.publisher.publish(before_shown=lambda: self._record(outcome_of(error), error))
                self.index.checkpoint()
            except VapiSessionsError as second:
                self.progress.warn(f"the pages that had arrived could not be kept: {second.fact}")

    @property
    def index(self) -> Index:
        """The writer's open index."""
        return self._writer.index

    @property
    def suppression(self) -> Suppression:
        """The list of forgotten sessions and customers."""
        return self._writer.suppression

    # -- the steps -----------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Fix the bound from the source's clock and ours, and cut the time to be read into windows.

        Raises ConfigurationError if the key belongs to another organisation than the warehouse.
        """
        self.progress.phase("planning")
        plan, state = make_plan(self.settings, self.source, self.index.ledger(), self.index.open_windows())
        self._plan, self.org_id = plan, plan.org_id
        if plan.org_id is None:
            self.progress.say("the source shows no session at all: nothing is claimed")
            return plan
        if plan.retained_from is not None:
            self.progress.warn(run_report.describe_retention(plan.retained_from))
        coordinator = self.open_coordinator(plan.org_id, state, unsettled=plan.unsettled)
        resumed = coordinator.adopt(plan.windows)
        self.index.record(
            Changes(plan.org_id, unsettled=plan.unsettled, windows=resumed, state=state, supersede=True)
        )
        if resumed:
            self.progress.say(
                f"resuming {counted(len(resumed), 'window')} that an earlier run did not finish"
            )
        self.progress.phase("reading")
        self.progress.planned(len(plan.windows), plan.sessions)
        self._watch.begin(self.source.traffic)
        return plan

    def open_coordinator(
        self, org_id: str, state: Mapping[str, str], *, unsettled: IntervalSet | None = None
    ) -> Coordinator:
        """The coordinator of this run. `state`: facts to record with each batch."""
        self._coordinator = Coordinator(
            self._writer.publisher,
            PageSanitizer(
                self.run_id, org_id, self._writer.layout.root, self._writer.sanitizer, self.suppression
            ),
            RunFacts(self.numbers, state, unsettled or IntervalSet()),
            self.progress,
            before_publishing=lambda: self._record("running"),
        )
        return self._coordinator

    def fetch(self, index: int) -> int:
        """Read window `index` of the plan completely, and commit it; returns how many sessions it held. Thread-safe."""
        planned, coordinator = self._plan.windows[index], self._coordinator
        if coordinator is None:
            raise AssertionError("fetch before plan")
        sessions = 0
        most = self.settings.page_size
        pages = walk(self.source.list, planned.cursors, limit=lambda: self.source.page_size(most))
        while not self.stopping.is_set():
            page_read = next(pages, None)
            if page_read is None:
                self.progress.window_done()
                break
            faultpoints.reach("page.fetched")
            with self._working, self._watch.loading():
                coordinator.add(index, planned, page_read)
            sessions += len(page_read.rows)
            self.progress.read(len(page_read.rows))
            del page_read  # frees its memory before the next page arrives
        return sessions

    def finish(self) -> Counts:
        """Commit everything that was fetched."""
        if self._coordinator is not None:
            self._coordinator.flush()
        self._watch.read()
        if warning := describe(self.unreadable):
            self.progress.warn(warning)
        if warning := run_report.describe_gaps(self.index.ledger().gaps):
            self.progress.warn(warning)
        return self.counts

    def publish(self) -> bool:
        """Publish the committed state for readers, and tell fields that are new; returns whether data files were written."""
        self.progress.phase("publishing")
        self._tell_drift()
        self._record("done")
        give_back()
        self._writer.tidy()
        with interruption.postponed():
            self._published = self._writer.publisher.publish(before_shown=lambda: self._record("done"))
            self._finished = True
            if speed := self._watch.speed(self.source.traffic, self.counts):
                self.index.record(Changes(state={SPEED: msgspec.json.encode(speed).decode()}))
        self._tell_drift()  # what a run had fetched that was killed
        return self._published

    # -- results -------------------------------------------------------------------------------------------------

    @property
    def counts(self) -> Counts:
        """The counts so far."""
        return self._coordinator.counts if self._coordinator is not None else Counts()

    @property
    def unreadable(self) -> dict[str, str]:
        """Sessions that cannot be read: name to problem."""
        aside = self._coordinator.unreadable if self._coordinator is not None else self.index.unreadable()
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
            recovered_files=self._writer.recovered_files,
            counts=self.counts,
            unreadable=self.unreadable,
            failing_checks=checks.failing(self.index.state()) or {},
            new_drift=self._new_drift,
            gaps=tuple(self.index.ledger().gaps),
            retained_from=self._plan.retained_from,
        )

    # -- internals -----------------------------------------------------------------------------------------------

    def _tell_drift(self) -> None:
        if news := told_drift.news(self.index.state()):
            self.progress.warn(told_drift.describe(news))
            self.index.record(Changes(state=told_drift.told(self.index.state())))
            self._new_drift += news

    def _go_on(self) -> None:
        if self.stopping.is_set():
            raise SourceUnavailableError("Stopped while new customers were compared with the forgotten ones.")

    def _sleep(self, seconds: float) -> None:
        if self.environment.sleep is not None:
            self.environment.sleep(seconds)
        elif self.stopping.wait(seconds):
            raise SourceUnavailableError("Stopped while waiting for the source.")

    def _leave_metrics(self, kind: object, error: BaseException | None, trace: object) -> None:
        now, command = self.environment.now(), self.command.partition(" ")[0]
        ended = metrics.Ended(command, self._started, now, error or self._error)
        self._error = None  # its traceback holds this run
        metrics.write(self.settings.metrics_file, self.settings.warehouse, ended, self.progress.warn)

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
                error=reason(error),
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
    """Run the main job. Raises the errors of `errors.py`."""
    with Run(settings, environment=environment, progress=progress) as run:
        plan = run.plan()
        fetch_all(run, len(plan.windows))
        run.finish()
        run.publish()
        return run.summary()


def fetch_all(run: Run, windows: int) -> None:
    """Fetch all windows, several in parallel. The first failure stops the others and is raised."""
    if run.settings.concurrency == 1:
        for index in range(windows):
            run.fetch(index)
        return
    workers = run.settings.concurrency + _SPARE_WALKS
    side_by_side(run.fetch, range(windows), workers=workers, name="fetch", stop=run.stopping.set)
