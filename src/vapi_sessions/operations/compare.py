"""Finds where warehouse and source differ: compares counts, and bisects `createdAt`, which never changes.

A count costs the source no rows and us one small request, so one difference among a million sessions takes about as many
requests as a million can be halved. Only the small windows at the end are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import MILLISECOND, floor_ms
from vapi_sessions.source.client import Source
from vapi_sessions.source.pagination import ALWAYS, Cursor, PageRead, walk
from vapi_sessions.warehouse.live_sessions import LiveSessions

#: Windows of at most this many sessions are read rather than halved again.
SMALL: Final = 100
#: In a window of one page with this many differences halving saves nothing.
CROWDED: Final = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """A window of `createdAt` whose counts differ."""

    window: Window
    theirs: int
    ours: int


def differences(
    window: Window, count_source: Callable[[Window], int], live_sessions: LiveSessions, *, page_size: int
) -> Iterator[Difference]:
    """The small windows inside `window` (closed) in which the counts differ, oldest first.

    The upper half's count is the whole's minus the lower half's. Changes between two requests can distort it: then a window is
    read for nothing, or a difference is found next time. Nothing is concluded from counts alone.
    """
    todo = [(window, count_source(window))]
    while todo:
        window, theirs = todo.pop()
        ours = live_sessions.count(window)
        if ours == theirs:
            continue
        size, distance = max(ours, theirs), abs(ours - theirs)
        middle = _middle(window, live_sessions.middle(window))
        if size <= SMALL or (size <= page_size and distance >= CROWDED) or ours == 0 or middle is None:
            yield Difference(window, theirs, ours)
            continue
        lower, upper = Window(window.lower, middle), Window(middle, window.upper)
        below = count_source(lower)
        todo += [(upper, max(0, theirs - below)), (lower, below)]


def _middle(window: Window, median: int | None) -> int | None:
    """A whole millisecond strictly inside the window: the median, or the middle of the time if the median is at an edge."""
    if window.upper is None:
        return None
    for middle in (median, floor_ms((window.lower + window.upper) // 2)):
        if middle is not None and window.lower + MILLISECOND <= middle < window.upper:
            return middle
    return None


def walk_created(
    source: Source, window: Window, page_size: int, updated: Window = ALWAYS
) -> Iterator[PageRead]:
    """The pages of all sessions created in the (closed) window, whenever they were updated, or updated in `updated`."""
    cursor = Cursor(updated, created_from=window.lower, created_until=window.upper)
    return walk(source.list, [cursor], limit=partial(source.page_size, page_size))
