"""How many requests planning and reading take together."""

from __future__ import annotations

import bisect
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter

import pytest
from plans import FAR, NOW, with_settings

import selection
from constants import EPOCH, ORG
from source_model import Session
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.ledger import Ledger
from vapi_sessions.core.timestamps import DAY, MINUTE, floor_ms
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.page import Page
from vapi_sessions.source.pagination import walk
from vapi_sessions.source.planning import make_plan
from vapi_sessions.transform.headers import Row


@dataclass
class LargeSource:
    """A fast source of many sessions that do not change. Counts its requests."""

    sessions: list[Session]
    requests: int = 0
    _updated: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sessions.sort(key=attrgetter("created_at"))
        self._updated = sorted(session.updated_at for session in self.sessions)

    def list(self, query: Query) -> Page:
        """One page."""
        self.requests += 1
        updated = query.updated or Window(0, None)
        created = query.created or Window(0, None)
        start, stop = (
            bisect.bisect_left(self.sessions, FAR if at is None else at, key=attrgetter("created_at"))
            for at in (created.lower, created.upper)
        )
        upper = FAR if updated.upper is None else updated.upper
        fitting = [s for s in self.sessions[start:stop] if updated.lower <= s.updated_at < upper]
        rows = [Row(s.session_id, ORG, s.created_at, s.updated_at, b"") for s in fitting[: query.limit]]
        return Page(rows, len(fitting), query.limit, NOW, self.requests, NOW, 0)

    def count(self, updated: Window) -> int:
        """One count."""
        self.requests += 1
        end = (
            len(self._updated) if updated.upper is None else bisect.bisect_left(self._updated, updated.upper)
        )
        return end - bisect.bisect_left(self._updated, updated.lower)


def anywhere(rng: random.Random) -> int:
    """Changes at any time of the month."""
    return rng.randrange(EPOCH, NOW)


def mostly_recent(rng: random.Random) -> int:
    """Most changes within the last hours."""
    return NOW - 1 - int((NOW - EPOCH) * rng.random() ** 8)


def in_one_minute(rng: random.Random) -> int:
    """All changes within one minute, ten days ago."""
    return NOW - 10 * DAY + rng.randrange(MINUTE)


@pytest.mark.parametrize(
    "moment", selection.first([anywhere, mostly_recent, in_one_minute]), ids=lambda f: f.__name__
)
@pytest.mark.parametrize("sessions", [0, 1, 999, 1000, 1001, 50_000])
def test_a_first_run_takes_few_requests(sessions: int, moment: Callable[[random.Random], int]) -> None:
    """At most 1.25 for each thousand sessions, and 20 more."""
    rng = random.Random(sessions)
    updates = [floor_ms(moment(rng)) for _ in range(sessions)]
    source = LargeSource(
        [Session(str(n), updated - rng.randrange(DAY), updated) for n, updated in enumerate(updates)]
    )
    plan, _ = make_plan(with_settings(concurrency=1), source, Ledger(), ())  # type: ignore[arg-type]
    read: set[str] = set()
    for planned in plan.windows:
        for page in walk(source.list, planned.cursors, limit=1000):
            read |= {row.session_id for row in page.rows}
    assert len(read) == sessions
    assert source.requests <= sessions / 1000 * 1.25 + 20
