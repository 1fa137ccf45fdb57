"""`vapi-sessions plan`: shows what a sync would do."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from vapi_sessions.core.ledger import Ledger
from vapi_sessions.core.records import OpenWindow
from vapi_sessions.operations.same_source import check_source
from vapi_sessions.settings import Settings
from vapi_sessions.source.client import Source
from vapi_sessions.source.environment import Environment
from vapi_sessions.source.planning import Plan, make_plan
from vapi_sessions.source.windows import PlannedWindow
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout


@dataclass(frozen=True, slots=True)
class Preview:
    """The plan of a sync, with estimates. `latency`: measured seconds per request."""

    plan: Plan
    latency: float
    page_size: int
    concurrency: int

    def requests_for(self, window: PlannedWindow) -> int:
        """Pages of one window. Consecutive pages overlap by one row."""
        return window.expected // max(1, self.page_size - 1) + 1

    @property
    def requests(self) -> int:
        """Pages of all windows."""
        return sum(self.requests_for(window) for window in self.plan.windows)

    @property
    def seconds(self) -> float:
        """Estimated time, if every request takes as long as those that counted sessions."""
        return self.latency * max(
            self.requests / self.concurrency, max(map(self.requests_for, self.plan.windows), default=0)
        )


def preview(settings: Settings, *, environment: Environment | None = None) -> Preview:
    """Plan without changing anything, not even the warehouse directory. Raises what `Run.plan` raises."""
    environment = environment or Environment()
    key = settings.key()
    layout = Layout(settings.warehouse)
    layout.check()
    ledger, left_open = Ledger(), list[OpenWindow]()
    path = layout.earlier if layout.earlier.exists() else layout.index
    if path.exists():
        with Index(path, layout.scratch, read_only=True) as index:
            ledger, left_open = index.ledger(), index.open_windows()
            check_source(index.state(), settings)
    with Source(
        settings.base_url,
        key,
        next_seq=itertools.count().__next__,
        concurrency=settings.concurrency,
        environment=environment,
    ) as source:
        started = environment.monotonic()
        plan, _ = make_plan(settings, source, ledger, left_open)
        seconds = environment.monotonic() - started
        latency = seconds / max(1, source.traffic.requests)
    return Preview(plan, latency, settings.page_size, settings.concurrency)
