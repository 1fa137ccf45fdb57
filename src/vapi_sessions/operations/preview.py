"""`vapi-sessions plan`: shows what a sync would do."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from vapi_sessions.core.ledger import Ledger
from vapi_sessions.core.records import OpenWindow
from vapi_sessions.errors import WarehouseBusyError
from vapi_sessions.operations.estimate import Estimate, PlanningTimes, estimate
from vapi_sessions.operations.progress import Progress, Silent
from vapi_sessions.operations.running import Running, running
from vapi_sessions.operations.same_source import check_source
from vapi_sessions.operations.speed import SPEED, Speed, stored_speed
from vapi_sessions.settings import Settings
from vapi_sessions.source.client import Source
from vapi_sessions.source.environment import Environment
from vapi_sessions.source.planning import Plan, make_plan
from vapi_sessions.source.windows import PlannedWindow
from vapi_sessions.warehouse import reader
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout, is_locked
from vapi_sessions.warehouse.published_state import PublishedState


@dataclass(frozen=True, slots=True)
class Preview:
    """The plan of a sync, with estimates. `speed`: of an earlier sync, if there was one. `throttled`: the source limited the rate
    of the requests that planned it. `running`: the run that is writing to the warehouse.
    """

    plan: Plan
    timing: PlanningTimes
    speed: Speed | None
    throttled: bool
    page_size: int
    concurrency: int
    running: Running | None = None

    def requests_for(self, window: PlannedWindow) -> int:
        """Pages of one window. Consecutive pages overlap by one row."""
        return window.expected // max(1, self.page_size - 1) + 1

    @property
    def requests(self) -> int:
        """Pages of all windows."""
        return sum(self.requests_for(window) for window in self.plan.windows)

    @property
    def estimate(self) -> Estimate:
        """How long the sync will take."""
        windows = [(window.expected, self.requests_for(window)) for window in self.plan.windows]
        return estimate(windows, self.timing, self.speed, concurrency=self.concurrency)


def preview(
    settings: Settings, *, environment: Environment | None = None, progress: Progress | None = None
) -> Preview:
    """Plan without changing anything, not even the warehouse directory. Takes no lock: while a run is writing, the published
    ledger is used. Raises what `Run.plan` raises.
    """
    environment, progress = environment or Environment(), progress or Silent()
    key = settings.key()
    layout = Layout(settings.warehouse)
    layout.check()
    progress.phase("planning")
    ledger, left_open, facts = _known(layout)
    check_source(facts, settings)
    with Source(
        settings.base_url,
        key,
        next_seq=itertools.count().__next__,
        concurrency=settings.concurrency,
        environment=environment,
        on_wait=progress.waiting,
    ) as source:
        started = environment.monotonic()
        plan, _ = make_plan(settings, source, ledger, left_open)
        traffic = source.traffic
        requests = max(1, traffic.requests)
        timing = PlanningTimes(
            traffic.seconds / requests, traffic.bytes / requests, environment.monotonic() - started
        )
        throttled = bool(traffic.throttled)
    return Preview(
        plan,
        timing,
        stored_speed(facts.get(SPEED)),
        throttled,
        settings.page_size,
        settings.concurrency,
        running(layout),
    )


def _known(layout: Layout) -> tuple[Ledger, list[OpenWindow], dict[str, str]]:
    """What the warehouse knows: ledger, unfinished windows and facts."""
    path = layout.earlier if layout.earlier.exists() else layout.index
    if path.exists() and not is_locked(layout):
        try:
            with Index(path, layout.scratch, read_only=True) as index:
                return index.ledger(), index.open_windows(), index.state()
        except WarehouseBusyError:  # a run has just begun
            pass
    if layout.published.exists():
        with reader.reading(layout.root) as db:
            state = PublishedState(db)
            return state.ledger(), state.open_windows(), state.facts
    return Ledger(), [], {}
