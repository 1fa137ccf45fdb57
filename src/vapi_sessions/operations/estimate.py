"""How long a sync will take, from its plan, from requests that were timed, and from what an earlier sync measured.

Requests run in parallel; pages are loaded (redacted, stored, merged) one at a time beside them; the publication follows. So the
time is that of planning, plus the longer one of requests and loading, plus that of publishing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vapi_sessions.operations.speed import Speed

#: Bytes of JSON that a warehouse without an earlier sync is assumed to receive, load and publish per second. Loading and publishing
#: take 18 and 50 MB per second of processor time on a shared core; some of a core is usually taken by others.
RECEIVING: Final = 25e6
LOADING: Final = 11e6
PUBLISHING: Final = 36e6
#: Seconds to start the program, to open the warehouse and to close it.
STARTING: Final = 1.0
#: Seconds of a publication, however little changed.
PUBLISHING_LEAST: Final = 0.5


@dataclass(frozen=True, slots=True)
class PlanningTimes:
    """The requests that planned a sync: seconds for each, bytes of each session that they showed, and seconds of all together."""

    latency: float
    session_bytes: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds of each step; `planning` includes the start. Requests and loading go on at the same time, unless there is one request at a time."""

    planning: float
    requests: float
    loading: float
    publishing: float
    in_parallel: bool

    @property
    def seconds(self) -> float:
        """The whole."""
        reading = max(self.requests, self.loading) if self.in_parallel else self.requests + self.loading
        return self.planning + reading + self.publishing


def estimate(
    windows: Sequence[tuple[int, int]], timing: PlanningTimes, speed: Speed | None, *, concurrency: int
) -> Estimate:
    """`windows`: sessions and pages of each."""
    sessions, pages = sum(count for count, _ in windows), sum(pages for _, pages in windows)
    if speed is None:
        row, loading = timing.session_bytes / RECEIVING, timing.session_bytes / LOADING
        publishing = timing.session_bytes / PUBLISHING
    else:
        row = max(0.0, speed.request_seconds - speed.requests * timing.latency) / speed.sessions
        loading = speed.loading_seconds / speed.sessions
        publishing = speed.publishing_seconds / speed.sessions
    each = [pages * timing.latency + count * row for count, pages in windows]
    requests = max(sum(each) / concurrency, max(each, default=0.0))
    if speed is not None and speed.throttled:  # then waits, not requests, take the time
        requests = max(requests, speed.reading_seconds * pages / speed.requests)
    return Estimate(
        STARTING + timing.seconds,
        requests,
        sessions * loading,
        max(PUBLISHING_LEAST, sessions * publishing) if pages else 0.0,
        concurrency > 1,
    )
