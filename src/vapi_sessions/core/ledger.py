"""What has been read completely, and what therefore has to be read now. Pure; the warehouse stores its rows.

State is the set of completed intervals of `updatedAt`, never "the newest value seen": a change that becomes visible
late, or a window that failed among others that succeeded, must stay a gap until it has been read.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.timestamps import floor_ms


@dataclass(frozen=True, slots=True)
class Ledger:
    """Progress made for one organisation.

    `origin`: where history begins, µs (the source's oldest session, or the `--since` of the first sync); None before
    the first sync that saw a row. `completed`: the intervals claimed. `unsettled`: what was read, if at all, before a
    lookback had passed; changes there may have been invisible then, so it is read again whether claimed or not.
    """

    org_id: str | None = None
    origin: int | None = None
    completed: IntervalSet = field(default_factory=IntervalSet)
    unsettled: IntervalSet = field(default_factory=IntervalSet)

    @property
    def watermark(self) -> int | None:
        """The end of the unbroken completed stretch from the origin, µs; None before the first claim."""
        if self.origin is None:
            return None
        end = self.completed.end_of_stretch(self.origin)
        return end if end > self.origin else None

    @property
    def gaps(self) -> IntervalSet:
        """What lies between the origin and the newest claim without having been read."""
        if self.origin is None or self.completed.end is None:
            return IntervalSet()
        return IntervalSet([(self.origin, self.completed.end)]) - self.completed

    def to_read(self, *, bound: int, lookback: int) -> IntervalSet:
        """What a run with the claimed bound `bound` has to read, both in µs; the last interval ends at `bound`.

        Everything from the origin that no interval covers, what is unsettled, and the lookback before the bound: were
        a clock to jump back, that is where the changes are.
        """
        if self.origin is None:
            return IntervalSet()
        everything = IntervalSet([(self.origin, bound)])
        again = self.unsettled | IntervalSet([(unsettled_from(bound, lookback), bound)])
        return (everything - self.completed) | (again & everything)


class RequestNumbers:
    """Numbers requests in the order in which they are sent, above all numbers before. Thread-safe.

    They decide which of two readings with one `updatedAt` is the later one, so none may ever be given twice.
    """

    def __init__(self, first: int) -> None:
        self._next = first
        self._lock = threading.Lock()

    def take(self) -> int:
        """The number of the request that is sent now."""
        with self._lock:
            number = self._next
            self._next += 1
        return number

    @property
    def next(self) -> int:
        """Above all numbers taken so far: where the next run has to begin."""
        return self._next


def unsettled_from(bound: int, lookback: int) -> int:
    """From where on what is read by a run with this bound is not settled yet: a whole millisecond, µs."""
    return floor_ms(bound - lookback)
