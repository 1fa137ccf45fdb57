"""What has been read completely, and what therefore has to be read now. Pure; the warehouse stores its rows.

State is the set of completed intervals of `updatedAt`, never "the newest value seen": a change that becomes visible
late, or a window that failed among others that succeeded, must stay a gap until it has been read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vapi_sessions.windows import IntervalSet


@dataclass(frozen=True, slots=True)
class Ledger:
    """Progress made for one organisation.

    `origin`: where history begins, µs (the source's oldest session, or the `--since` of the first sync); None before
    the first sync that saw a row. `completed`: the intervals claimed. `frontier`: the highest bound any run worked
    towards; what lies shortly before it may still have been invisible then, so it is always read again.
    """

    org_id: str | None = None
    origin: int | None = None
    completed: IntervalSet = field(default_factory=IntervalSet)
    frontier: int | None = None

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

        Everything from the origin that no interval covers, and the lookback before the frontier again. If a clock
        has jumped back behind the frontier, the stretch before `bound` is read again all the same.
        """
        if self.origin is None:
            return IntervalSet()
        everything = IntervalSet([(self.origin, bound)])
        again = min(self.frontier if self.frontier is not None else bound, bound) - lookback
        return (everything - self.completed) | IntervalSet([(max(self.origin, again), bound)])
