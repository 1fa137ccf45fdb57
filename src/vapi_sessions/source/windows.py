"""Cut the intervals to read into windows of bounded size, using the source's own counts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import MILLISECOND, floor_ms
from vapi_sessions.source.pagination import Cursor

#: Pages of the largest window, so that a window that fails costs little, and all workers are busy until the end.
PAGES_A_WINDOW: Final = 12

#: If one part has more than this share of the whole, cutting at equal times did not help, and the next cut is at a sample.
CROWDED: Final = 0.8

CountAll: TypeAlias = Callable[[Sequence[Window]], Sequence[int]]
SampleAll: TypeAlias = "Callable[[Sequence[tuple[PlannedWindow, int]]], Sequence[int | None]]"


@dataclass(frozen=True, slots=True)
class PlannedWindow:
    """A window to read. `claim`: the half-open interval (µs) that counts as read afterwards, or None.

    `expected` is the source's count at the time of planning. `cursors` are where to start: at the beginning, unless an earlier
    run was stopped in the middle of the window.
    """

    window: Window
    claim: tuple[int, int] | None
    expected: int
    cursors: tuple[Cursor, ...]

    @property
    def resumed(self) -> bool:
        """Whether it continues where an earlier run was stopped."""
        return self.cursors != (Cursor(self.window),)

    @classmethod
    def whole(cls, window: Window, bound: int, expected: int) -> PlannedWindow:
        """A window to read from its beginning. The part from `bound` (µs) on is not claimed."""
        upper = bound if window.upper is None else min(bound, window.upper)
        claim = (window.lower, upper) if window.lower < upper else None
        return cls(window, claim, expected, (Cursor(window),))


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

    `count_all` counts several windows, `concurrency` of them in parallel. A window is cut at equal times, into two parts or as
    many as can be count_rows in parallel, until it has no more sessions than its share. The count of the last part follows by
    subtraction, so traffic can make it slightly wrong: a plan may be uneven, only the walk must be exact.

    If that does not separate the sessions, because a long history is crowded into an hour, the cut is made at a sample:
    `sample_all` gives the updatedAt (µs) of the n-th session of a window, by createdAt, or None if the window has fewer sessions
    by now. Cutting stops after about two counts for each share, because sessions of the same instant cannot be separated.
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
        at_once = max(1, min(concurrency, counts_left) // max(1, len(large)))
        cuts_of = {p.window: _cuts(math.ceil(p.expected / share), at_once) for p in large}
        ranks = [(p, rank) for p in large if p.window in crowded for rank in _ranks(p, cuts_of[p.window])]
        samples: dict[Window, list[int | None]] = {p.window: [] for p, _ in ranks}
        for (planned, _), sample in zip(ranks, sample_all(ranks) if ranks else (), strict=True):
            samples[planned.window].append(sample)
        cuts: list[tuple[PlannedWindow, list[Window]]] = []
        for planned in large:
            if planned.window in crowded:
                edges = _at_samples(planned.window, bound, samples[planned.window])
            else:
                edges = _in_time(planned.window, bound, cuts_of[planned.window])
            if edges:
                lowers, uppers = [planned.window.lower, *edges], [*edges, planned.window.upper]
                cuts.append((planned, [*map(Window, lowers, uppers)]))
        cut = {planned.window for planned, _ in cuts}
        done += [planned for planned in todo if planned.window not in cut]
        asked = [part for _, parts in cuts for part in parts[:-1]]
        counts = iter(count_all(asked) if asked else ())
        counts_left -= len(asked)
        todo = []
        for whole, parts in cuts:
            below = list(itertools.islice(counts, len(parts) - 1))
            for part, count in zip(parts, [*below, max(0, whole.expected - sum(below))], strict=True):
                todo.append(PlannedWindow.whole(part, bound, count))
                if count > CROWDED * whole.expected:
                    crowded.add(part)
    return sorted(_join_small(done, bound, share), key=lambda window: window.window.lower)


def _cuts(wanted: int, at_once: int) -> int:
    """The number of cuts: all that are wanted, or as many parts as can be count_rows in parallel, which are then cut again."""
    return wanted if wanted <= at_once else max(1, at_once - 1)


def _ranks(planned: PlannedWindow, cuts: int) -> list[int]:
    return [max(1, planned.expected * i // (cuts + 1)) for i in range(1, cuts + 1)]


def _at_samples(window: Window, bound: int, samples: Sequence[int | None]) -> list[int]:
    """Whole milliseconds strictly inside the closed part of the window, at the samples.

    A sample after the bound means that many sessions of the window are too young to be claimed: no cut helps there.
    """
    upper = bound if window.upper is None else window.upper
    edges = {
        max(floor_ms(sample), window.lower + MILLISECOND)
        for sample in samples
        if sample is not None and sample < upper
    }
    return sorted(edge for edge in edges if edge < upper)


def _in_time(window: Window, bound: int, cuts: int) -> list[int]:
    """At most `cuts` whole milliseconds strictly inside the closed part of the window, at equal distances."""
    upper = bound if window.upper is None else window.upper
    edges = {floor_ms(window.lower + (upper - window.lower) * i // (cuts + 1)) for i in range(1, cuts + 1)}
    return sorted(edge for edge in edges if window.lower + MILLISECOND <= edge < upper)


def _join_small(windows: Sequence[PlannedWindow], bound: int, share: int) -> list[PlannedWindow]:
    """Join neighbours that fit into one share: cutting an uneven history leaves small windows."""
    joined: list[PlannedWindow] = []
    for window in sorted(windows, key=lambda planned: planned.window.lower):
        last = joined[-1] if joined else None
        if (
            last is not None
            and last.window.upper == window.window.lower
            and last.expected + window.expected <= share
        ):
            whole = Window(last.window.lower, window.window.upper)
            joined[-1] = PlannedWindow.whole(whole, bound, last.expected + window.expected)
        else:
            joined.append(window)
    return joined
