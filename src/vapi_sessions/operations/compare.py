"""Where warehouse and source differ, found by comparing counts and bisecting `createdAt`, which never changes.

Counting a window costs the source nothing to send and us one small request, so one difference among a million sessions
is found in about as many requests as a million has halvings. Only the windows left over at the end are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import MILLISECOND, floor_ms
from vapi_sessions.warehouse.live_sessions import LiveSessions

#: Windows of at most so many sessions are read rather than halved again.
SMALL: Final = 100
#: With several differences in a window of one page, halving saves nothing.
CROWDED: Final = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """A window of `createdAt` whose counts differ."""

    window: Window
    theirs: int
    ours: int


def differences(
    window: Window, count_source: Callable[[Window], int], holdings: LiveSessions, *, page_size: int
) -> Iterator[Difference]:
    """The small windows inside `window` (closed) in which the counts differ, oldest first.

    The upper half's count follows from the whole by subtraction. Traffic between two requests can distort that: a
    window is then read in vain, or a difference waits for the next time; nothing is concluded from counts alone.
    """
    todo = [(window, count_source(window))]
    while todo:
        window, theirs = todo.pop()
        ours = holdings.count(window)
        if ours == theirs:
            continue
        size, distance = max(ours, theirs), abs(ours - theirs)
        middle = _middle(window, holdings.middle(window))
        if size <= SMALL or (size <= page_size and distance >= CROWDED) or ours == 0 or middle is None:
            yield Difference(window, theirs, ours)
            continue
        lower, upper = Window(window.lower, middle), Window(middle, window.upper)
        below = count_source(lower)
        todo += [(upper, max(0, theirs - below)), (lower, below)]


def _middle(window: Window, median: int | None) -> int | None:
    """A whole millisecond strictly inside the window: the median, or the middle of the time if that is on the edge."""
    if window.upper is None:
        return None
    for middle in (median, floor_ms((window.lower + window.upper) // 2)):
        if middle is not None and window.lower + MILLISECOND <= middle < window.upper:
            return middle
    return None
