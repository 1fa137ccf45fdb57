"""Cut what has to be read into windows of bounded work, by the source's own counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from vapi_sessions.timestamps import MILLISECOND, floor_ms
from vapi_sessions.walk import Piece
from vapi_sessions.windows import Window

#: No window is planned larger than this many pages, so that one that fails costs little.
PAGES_A_WINDOW: Final = 20

#: A half with more than this share of the whole: halving did not separate, and the next cut is made at a sample.
CROWDED: Final = 0.8

CountAll: TypeAlias = Callable[[Sequence[Window]], Sequence[int]]

SampleAll: TypeAlias = "Callable[[Sequence[PlannedWindow]], Sequence[int | None]]"


@dataclass(frozen=True, slots=True)
class PlannedWindow:
    """A bounded piece of work. `claim`: the half-open interval (µs) that counts as read afterwards, or None.

    `expected` is the source's count when it was planned; `pieces` is where to start, which differs from the whole
    window only if an earlier run was stopped in the middle of it.
    """

    window: Window
    claim: tuple[int, int] | None
    expected: int
    pieces: tuple[Piece, ...]

    @property
    def resumed(self) -> bool:
        """Whether it starts where an earlier run was stopped."""
        return self.pieces != (Piece(self.window),)

    @classmethod
    def whole(cls, window: Window, bound: int, expected: int) -> PlannedWindow:
        """A window to be read from its beginning; what lies at or beyond `bound` (µs) is not claimed."""
        upper = bound if window.upper is None else min(bound, window.upper)
        claim = (window.lower, upper) if window.lower < upper else None
        return cls(window, claim, expected, (Piece(window),))


def plan_windows(
    spans: Sequence[Window],
    count_all: CountAll,
    sample_all: SampleAll,
    *,
    bound: int,
    page_size: int,
    concurrency: int,
) -> list[PlannedWindow]:
    """Windows that together cover `spans`, oldest first, none empty.

    `count_all` counts several windows at once (side by side). A window is halved in time until it holds no more than
    its share; the other half's count follows by subtraction, which traffic can falsify a little: a plan may be
    uneven, only the walk must be right. Where halving separated nothing, because a long history is crowded into an
    hour, `sample_all` gives the updatedAt (µs) of a session from the middle of each window to cut at; None if traffic
    has moved so many elsewhere that there is none, and nothing is left to cut.
    Cutting stops after as many counts as there are shares, twice over: what shares one instant cannot be separated.
    """
    if not spans:
        return []
    todo = [
        PlannedWindow.whole(span, bound, count) for span, count in zip(spans, count_all(spans), strict=True)
    ]
    total = sum(window.expected for window in todo)
    share = max(page_size, min(math.ceil(total / concurrency), PAGES_A_WINDOW * page_size))
    counts_left = 2 * math.ceil(total / share) + 2
    crowded: set[Window] = set()
    done: list[PlannedWindow] = []
    while todo:
        large = [planned for planned in todo if planned.expected > share][:counts_left]
        sampled = [planned for planned in large if planned.window in crowded]
        at = dict(zip((p.window for p in sampled), sample_all(sampled) if sampled else (), strict=True))
        gone = {window for window, sample in at.items() if sample is None}
        cuts = [(planned, _middle(planned.window, bound, at.get(planned.window))) for planned in large]
        halves = [
            (planned, middle) for planned, middle in cuts if middle is not None and planned.window not in gone
        ]
        kept = {planned.window for planned, _ in halves}
        done += [planned for planned in todo if planned.window not in kept]
        counts = count_all([Window(whole.window.lower, middle) for whole, middle in halves]) if halves else []
        counts_left -= len(halves)
        todo = []
        for (whole, middle), below in zip(halves, counts, strict=True):
            lower = PlannedWindow.whole(Window(whole.window.lower, middle), bound, below)
            upper = PlannedWindow.whole(
                Window(middle, whole.window.upper), bound, max(0, whole.expected - below)
            )
            todo += [lower, upper]
            crowded |= {half.window for half in (lower, upper) if half.expected > CROWDED * whole.expected}
    return sorted(_join_small(done, bound, share), key=lambda window: window.window.lower)


def _middle(window: Window, bound: int, sample: int | None = None) -> int | None:
    """A whole millisecond strictly inside the closed part of the window, or None: at the sample, else half the time.

    A sample beyond the bound tells that most of the window is too young to be claimed: no cut helps there.
    """
    upper = bound if window.upper is None else window.upper
    if sample is not None and sample >= upper:
        return None
    if sample is not None:
        middle = max(floor_ms(sample), window.lower + MILLISECOND)
    else:
        middle = floor_ms((window.lower + upper) // 2)
    return middle if window.lower + MILLISECOND <= middle < upper else None


def _join_small(windows: Sequence[PlannedWindow], bound: int, share: int) -> list[PlannedWindow]:
    """Neighbours that fit into one share become one window: halving an uneven history leaves crumbs."""
    joined: list[PlannedWindow] = []
    for window in sorted(windows, key=lambda planned: planned.window.lower):
        last = joined[-1] if joined else None
        if (
            last is not None
            and last.window.upper == window.window.lower
            and last.expected + window.expected <= share
        ):
            whole = Window(last.window.lower, window.window.upper)
            joined[-1] = replace(PlannedWindow.whole(whole, bound, last.expected + window.expected))
        else:
            joined.append(window)
    return joined
