"""Which intervals have been read completely, and which must be read now. Pure; the warehouse stores its rows.

The state is the set of completed intervals of `updatedAt`, not the newest value seen: if a change becomes visible late, or one
window of several fails, the gap must stay known until it has been read.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.timestamps import floor_ms


@dataclass(frozen=True, slots=True)
class Ledger:
    """The progress for one organisation.

    `origin`: where history begins, µs (the source's oldest session, or the `--since` of the first sync); None before the first
    sync that saw a session. `completed`: the intervals claimed as read. `unsettled`: intervals that were read, if at all, before
    a lookback had passed. Some changes may not have been visible then, so they are read again even if they are claimed.
    """

    org_id: str | None = None
    origin: int | None = None
    completed: IntervalSet = field(default_factory=IntervalSet)
    unsettled: IntervalSet = field(default_factory=IntervalSet)

    @property
    def watermark(self) -> int | None:
        """Everything from the origin to here is completed, µs; None before the first claim."""
        if self.origin is None:
            return None
        end = self.completed.end_of_stretch(self.origin)
        return end if end > self.origin else None

    @property
    def gaps(self) -> IntervalSet:
        """The intervals between the origin and the newest claim that have not been read."""
        if self.origin is None or self.completed.end is None:
            return IntervalSet()
        return IntervalSet([(self.origin, self.completed.end)]) - self.completed

    def to_read(self, *, bound: int, lookback: int) -> IntervalSet:
        """The intervals that a run with this bound must read; the last one ends at `bound`. Both arguments are in µs.

        These are all intervals since the origin that are not completed, the unsettled ones, and the lookback before the bound:
        after a clock has jumped back, the new changes are there.
        """
        if self.origin is None:
            return IntervalSet()
        everything = IntervalSet([(self.origin, bound)])
        again = self.unsettled | IntervalSet([(unsettled_from(bound, lookback), bound)])
        return (everything - self.completed) | (again & everything)


class RequestNumbers:
    """Numbers requests in the order in which they are sent, across all runs. Thread-safe.

    The numbers decide which of two versions with the same `updatedAt` is later, so no number may be used twice.
    """

    def __init__(self, first: int) -> None:
        self._next = first
        self._lock = threading.Lock()

    def take(self) -> int:
        """The number for the request that is sent now."""
        with self._lock:
            number = self._next
            self._next += 1
        return number

    @property
    def next(self) -> int:
        """The first number that is not taken, at which the next run begins."""
        return self._next


def unsettled_from(bound: int, lookback: int) -> int:
    """Where the unsettled part of a run with this bound begins: a whole millisecond, µs."""
    return floor_ms(bound - lookback)
