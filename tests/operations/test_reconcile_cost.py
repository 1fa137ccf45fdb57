"""How many requests a reconcile takes."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable
from typing import Final

import pytest
from reconciling import delete, run

from synced_worlds import hourly, ids, synced_world
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import MILLISECOND
from vapi_sessions.operations.compare import differences
from vapi_sessions.warehouse.live_sessions import LiveSessions
from worlds import World

template, world = synced_world(hourly(120, newest_hours=2))


class Million(LiveSessions):
    """A million sessions, one every 2.6 seconds over 30 days, and the source without some of them; only counted."""

    SESSIONS: Final = 1_000_000
    STEP: Final = 2_592 * MILLISECOND

    def __init__(self, deleted: int) -> None:
        self._gone = sorted(random.Random(deleted).sample(range(self.SESSIONS), deleted))
        self.requests = 0

    def _span(self, window: Window) -> tuple[int, int]:
        assert window.upper is not None
        lower, upper = (min(max(-(-at // self.STEP), 0), self.SESSIONS) for at in window)
        return lower, upper

    def count(self, window: Window) -> int:
        """In the warehouse."""
        lower, upper = self._span(window)
        return upper - lower

    def middle(self, window: Window) -> int | None:
        """In the warehouse."""
        lower, upper = self._span(window)
        return (lower + upper) // 2 * self.STEP if lower < upper else None

    def theirs(self, window: Window) -> int:
        """At the source, for one request."""
        self.requests += 1
        lower, upper = self._span(window)
        return upper - lower - (bisect.bisect_left(self._gone, upper) - bisect.bisect_left(self._gone, lower))

    def reconciled(self, page_size: int) -> tuple[int, int]:
        """Requests of a whole reconcile, and sessions read."""
        whole = Window(0, self.SESSIONS * self.STEP)
        found = list(differences(whole, self.theirs, self, page_size=page_size))
        assert sum(difference.ours - difference.theirs for difference in found) == len(self._gone)
        pages = sum(1 + difference.theirs // page_size for difference in found)
        proofs = len(self._gone) + bool(self._gone)  # each by its id, and a last look at what is listed
        return 2 + self.requests + pages + proofs, sum(difference.theirs for difference in found)


@pytest.mark.parametrize(
    ("deleted", "at_most", "rows_at_most"),
    [(0, 3, 0), (1, 20, 100), (10, 160, 1_000), (1_000, 7_000, 120_000)],
)
def test_one_deletion_among_a_million_sessions_takes_about_twenty_requests(
    deleted: int, at_most: int, rows_at_most: int, record_property: Callable[[str, object], None]
) -> None:
    """Three requests without a deletion; for each deletion about as many as a million can be halved."""
    requests, rows = Million(deleted).reconciled(page_size=1000)
    print(f"{deleted:>5,} deletions: {requests:,} requests, {rows:,} sessions read")
    record_property("requests", requests)
    assert requests <= at_most
    assert rows <= rows_at_most
    if deleted:
        assert requests <= 4 + deleted * (3 + math.ceil(math.log2(Million.SESSIONS / 100)))


def test_the_printed_number_of_requests_is_the_number_sent(world: World) -> None:
    """One deletion among 120 takes nine at most."""
    delete(world, ids(world)[50])
    world.forget_requests()
    done = run(world)
    assert done.requests == len(world.server.requests) <= 9
