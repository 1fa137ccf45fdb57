"""Before a run: ask the source for its organisation, oldest session, clock and counts; decide what is to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from vapi_sessions.client import Query, Source
from vapi_sessions.config import Settings
from vapi_sessions.errors import ConfigurationError, other_organisation
from vapi_sessions.ledger import Ledger
from vapi_sessions.plan import PlannedWindow, plan_windows
from vapi_sessions.timestamps import floor_ms, show
from vapi_sessions.walk import Piece, decode_pieces
from vapi_sessions.windows import BEGINNING, IntervalSet, Window


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is going to read. `bound` in µs; no windows if the source showed no row at all."""

    windows: tuple[PlannedWindow, ...] = ()
    bound: int | None = None
    org_id: str | None = None
    origin: int | None = None

    @property
    def sessions(self) -> int:
        """Sessions to be read, by the source's counts."""
        return sum(window.expected for window in self.windows)


def make_plan(
    settings: Settings,
    source: Source,
    ledger: Ledger,
    open_windows: Sequence[Mapping[str, Any]],
) -> tuple[Plan, dict[str, str]]:
    """Ask the source for its oldest session, its clock and its counts; decide what to read.

    Returns the plan and the facts to note before the first window is read. Writes nothing.
    """
    probe = source.list(Query(limit=1))
    if not probe.rows:
        return Plan(), {}
    oldest = probe.rows[0]
    if ledger.org_id is not None and oldest.org_id != ledger.org_id:
        raise other_organisation(settings.warehouse, ledger.org_id, oldest.org_id)
    clock = min(
        probe.requested_at, probe.server_time if probe.server_time is not None else probe.requested_at
    )
    bound = floor_ms(clock - settings.settle)
    if settings.until is not None:
        bound = min(bound, floor_ms(settings.until))
    ledger, reason = _with_origin(ledger, settings, floor_ms(min(oldest.created_at, oldest.updated_at)))
    origin = ledger.origin
    if origin is None:
        raise AssertionError("an origin was just set")
    if settings.since is not None and settings.since >= bound:
        raise ConfigurationError(
            f"--since {show(settings.since)} does not lie before {show(bound)}, up to which changes are settled.",
            "Give an earlier --since.",
        )
    spans = _spans(settings, ledger, bound)
    resumed: list[PlannedWindow] = []
    if not settings.full and settings.since is None:  # who asks for a second reading gets a whole one
        resumed, spans = _resume(open_windows, spans, ledger, settings.lookback)
    windows = [Window(lower, upper) for lower, upper in spans]
    if settings.until is None:
        if windows and windows[-1].upper == bound:
            windows[-1] = Window(windows[-1].lower, None)
        else:
            windows.append(Window(max(bound, origin), None))
    # Nothing that is still listed was updated before the oldest session began, so there no lower bound is sent at
    # all: a source with a retention may refuse to be asked for anything older than that.
    horizon = floor_ms(oldest.created_at)
    planned = plan_windows(
        windows,
        lambda asked: _count_all(
            source, [_open_to_the_left(w, horizon) for w in asked], settings.concurrency
        ),
        bound=bound,
        page_size=settings.page_size,
        concurrency=settings.concurrency,
    )
    opened = [
        replace(p, window=w, pieces=(Piece(w),))
        for p in planned
        for w in [_open_to_the_left(p.window, horizon)]
    ]
    everything = sorted([*resumed, *opened], key=lambda window: window.window.lower)
    state = {
        "org_id": oldest.org_id,
        "base_url": settings.base_url,
        "origin": str(origin),
        "frontier": str(max(bound, ledger.frontier or bound)),
    }
    if reason:
        state["origin_reason"] = reason
    return Plan(tuple(everything), bound, oldest.org_id, origin), state


def _with_origin(ledger: Ledger, settings: Settings, oldest: int) -> tuple[Ledger, str]:
    """The ledger with its origin set, and why it was (re)set; '' if it stays."""
    since = floor_ms(settings.since) if settings.since is not None else None
    if ledger.origin is None:
        return (
            (replace(ledger, origin=since), "since")
            if since is not None
            else (replace(ledger, origin=oldest), "oldest session")
        )
    if since is not None and since < ledger.origin:
        return replace(ledger, origin=since), "since"
    if settings.full and oldest < ledger.origin:
        return replace(ledger, origin=oldest), "oldest session"
    return ledger, ""


def _spans(settings: Settings, ledger: Ledger, bound: int) -> IntervalSet:
    if settings.full or settings.since is not None:
        lower = floor_ms(settings.since) if settings.since is not None else ledger.origin
        return IntervalSet([(lower or 0, bound)])
    return ledger.to_read(bound=bound, lookback=settings.lookback)


def _resume(
    open_windows: Sequence[Mapping[str, Any]], spans: IntervalSet, ledger: Ledger, lookback: int
) -> tuple[list[PlannedWindow], IntervalSet]:
    """Windows that an earlier run left in the middle and that can be continued, and the spans that then remain.

    Only windows that end a lookback before the frontier: what lies later may have been invisible when they were read.
    """
    resumed: list[PlannedWindow] = []
    for stored in open_windows:
        lower, upper = stored["lower"], stored["upper"]
        if (
            upper is None
            or not stored["left"]
            or ledger.frontier is None
            or upper > ledger.frontier - lookback
        ):
            continue
        span = IntervalSet([(lower, upper)])
        if span - spans:
            continue  # not (all) to be read now
        spans -= span
        resumed.append(
            PlannedWindow(
                Window(lower, upper), (lower, upper), stored["expected"], decode_pieces(stored["left"])
            )
        )
    return resumed, spans


def _open_to_the_left(window: Window, horizon: int) -> Window:
    return Window(BEGINNING, window.upper) if window.lower <= horizon else window


def _count_all(source: Source, windows: Sequence[Window], concurrency: int) -> list[int]:
    if concurrency == 1 or len(windows) == 1:
        return [source.count(updated=window) for window in windows]
    with ThreadPoolExecutor(min(concurrency, len(windows)), "count") as pool:
        return list(pool.map(lambda window: source.count(updated=window), windows))
