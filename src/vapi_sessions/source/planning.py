"""Decide what a run reads: ask the source for its organisation, oldest session, clock and counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from vapi_sessions.core.intervals import BEGINNING, IntervalSet, Window
from vapi_sessions.core.ledger import Ledger, unsettled_from
from vapi_sessions.core.records import OpenWindow
from vapi_sessions.core.threads import side_by_side
from vapi_sessions.core.timestamps import floor_ms, show
from vapi_sessions.errors import (
    ConfigurationError,
    SourceInconsistentError,
    SourceUnavailableError,
    other_organisation,
)
from vapi_sessions.settings import Settings
from vapi_sessions.source.client import Source
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.page import Page
from vapi_sessions.source.pagination import IDS_NAMED, PATIENCE, Cursor, count_rows, decode_cursors
from vapi_sessions.source.windows import PlannedWindow, plan_windows
from vapi_sessions.transform.headers import Row

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: Sessions to look at, at least, if the oldest one is unreadable.
_FIRST: Final = 100
#: The reason for the beginning of history, as `status` shows it.
OLDEST: Final = "oldest session"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will read. No windows if the source has no session.

    `bound`: changes before it are claimed as read (µs). Changes in `unsettled` are read again by a later run all the same.
    `retained_from`: the oldest session's createdAt (µs), if earlier history was asked for and the source's retention hides it.
    """

    windows: tuple[PlannedWindow, ...] = ()
    bound: int | None = None
    org_id: str | None = None
    origin: int | None = None
    unsettled: IntervalSet = field(default_factory=IntervalSet)
    retained_from: int | None = None

    @property
    def sessions(self) -> int:
        """The number of sessions to read, by the source's counts."""
        return sum(window.expected for window in self.windows)


def make_plan(
    settings: Settings,
    source: Source,
    ledger: Ledger,
    open_windows: Sequence[OpenWindow],
) -> tuple[Plan, dict[str, str]]:
    """Ask the source for its oldest session, its clock and its counts, and decide what to read.

    Returns the plan, and the state to record before the first window is read. Writes nothing.
    """
    probe, oldest = ask_for_the_oldest(source, settings.page_size)
    if oldest is None:
        return Plan(), {}
    if ledger.org_id is not None and oldest.org_id != ledger.org_id:
        raise other_organisation(settings.warehouse, ledger.org_id, source.shown(oldest.org_id))
    clock = min(
        probe.requested_at, probe.server_time if probe.server_time is not None else probe.requested_at
    )
    bound = floor_ms(clock - settings.settle)
    settled_until = unsettled_from(bound, settings.lookback)  # depends on the clock, not on `--until`
    if settings.until is not None:
        bound = min(bound, _end(floor_ms(settings.until), ledger, _beginning(oldest)))
    ledger, reason = _with_origin(ledger, settings, _beginning(oldest))
    if reason == OLDEST:
        oldest = _confirm_oldest(source, oldest, settings.page_size)
        ledger = replace(ledger, origin=_beginning(oldest))
    origin = ledger.origin
    if origin is None:
        raise AssertionError("an origin was just set")
    if settings.since is not None and settings.since >= bound:
        raise ConfigurationError(
            f"--since {show(settings.since)} is not before {show(bound)}, the end of the settled changes.",
            "Give an earlier --since.",
        )
    spans = _spans(settings, ledger, bound)
    resumed: list[PlannedWindow] = []
    if not settings.full and settings.since is None:  # otherwise everything is read again from the start
        resumed, spans = _resume(open_windows, spans, ledger, settings.lookback)
    windows = [Window(lower, upper) for lower, upper in spans]
    if settings.until is None:
        if windows and windows[-1].upper == bound:
            windows[-1] = Window(windows[-1].lower, None)
        else:
            windows.append(Window(max(bound, origin), None))
    opened = _plan_windows(source, settings, windows, bound=bound, horizon=floor_ms(oldest.created_at))
    everything = sorted([*resumed, *opened], key=lambda window: window.window.lower)
    state = {
        "org_id": oldest.org_id,
        "base_url": settings.base_url,
        "origin": str(origin),
    }
    if reason:
        state["origin_reason"] = reason
    hidden = probe.beyond_retention and _asks_for_history(settings, reason, oldest.created_at)
    return Plan(
        tuple(everything),
        bound,
        oldest.org_id,
        origin,
        IntervalSet([(settled_until, bound)]),
        floor_ms(oldest.created_at) if hidden else None,
    ), state


def _asks_for_history(settings: Settings, reason: str, oldest: int) -> bool:
    """Whether this run asks for changes from before the oldest session: a `--since` before it, all of history, or the first sync."""
    if settings.since is not None:
        return settings.since < oldest
    return settings.full or reason == OLDEST


def _plan_windows(
    source: Source, settings: Settings, windows: Sequence[Window], *, bound: int, horizon: int
) -> list[PlannedWindow]:
    """Windows of bounded size. `horizon` is the createdAt of the oldest session, µs.

    No listed session was updated before the horizon, so up to there no lower bound is sent: a source with a retention may
    refuse a request for anything older.
    """

    def count_all(asked: Sequence[Window]) -> list[int]:
        return _in_threads(
            source, lambda w: source.count(updated=open_to_the_left(w, horizon)), asked, settings.concurrency
        )

    def sample_all(asked: Sequence[tuple[PlannedWindow, int]]) -> list[int | None]:
        return _in_threads(
            source,
            lambda nth: _sample(source, open_to_the_left(nth[0].window, horizon), nth[1]),
            asked,
            settings.concurrency,
        )

    planned = plan_windows(
        windows,
        count_all,
        sample_all,
        bound=bound,
        page_size=settings.page_size,
        concurrency=settings.concurrency,
    )
    return [
        replace(p, window=w, cursors=(Cursor(w),))
        for p in planned
        for w in [open_to_the_left(p.window, horizon)]
    ]


def _beginning(oldest: Row) -> int:
    """The earliest moment at which anything can have changed, µs."""
    return floor_ms(min(oldest.created_at, oldest.updated_at))


def _end(until: int, ledger: Ledger, beginning: int) -> int:
    """The end of what a run with `--until` claims, µs: at least the beginning of known history.

    Nothing changed before the oldest session. A range that ends before it would otherwise leave a gap between itself and that history, and
    the warehouse would count as complete only until there.
    """
    return until if ledger.origin is None else max(until, min(ledger.origin, beginning))


def ask_for_the_oldest(source: Source, page_size: int) -> tuple[Page, Row | None]:
    """The response that lists the oldest session, which also has the source's clock, and that session (None: there is none).

    Repeats the request if the response contradicts itself, and requests a whole page if the first session is unreadable.
    Raises SourceInconsistentError, or SourceUnavailableError if the whole first page is unreadable.
    """
    for _ in range(1 + PATIENCE):
        page = source.list(Query(limit=1))
        if page.unreadable:
            page = source.list(Query(limit=max(page_size, _FIRST)))
        if page.listed or page.total == 0:
            return page, _oldest(page)
    raise SourceInconsistentError(
        f"The source lists no session, but its count is {page.total}.", "Nothing was read. Run again later."
    )


def _oldest(page: Page) -> Row | None:
    if not page.listed:
        return None
    if not page.rows:
        names = ", ".join(f"{row.key}: {row.problem}" for row in page.unreadable[:IDS_NAMED])
        raise SourceUnavailableError(
            f"The source lists only unreadable sessions first ({names}).",
            "Nothing was read. If it happens again, the API has changed: please report it.",
        )
    first = next((row for row in page.listed if row.created_at is not None), page.rows[0])
    if isinstance(first, Row):
        return first
    created = first.created_at if first.created_at is not None else page.rows[0].created_at
    updated = first.updated_at if first.updated_at is not None else created
    return Row(first.key, page.rows[0].org_id, created, updated, b"")


def _confirm_oldest(source: Source, oldest: Row, page_size: int) -> Row:
    """The oldest session, confirmed by a count of none before it: a response in another order would cut off all history.

    If a session with an earlier createdAt has appeared meanwhile, that one is the oldest.
    """
    count = 0
    for _ in range(1 + PATIENCE):
        created = Window(BEGINNING, floor_ms(oldest.created_at))
        count, before = count_rows(source.list, Query(created=created, limit=1), page_size)
        if not count:
            return oldest
        oldest = min([oldest, *before.rows], key=lambda row: row.created_at)
    raise SourceInconsistentError(
        f"Before its oldest session ({show(oldest.created_at)}), the source counts others: {count}.",
        "Nothing was read. Run again; if it happens again, something between this machine and the source ignores the order.",
    )


def _with_origin(ledger: Ledger, settings: Settings, oldest: int) -> tuple[Ledger, str]:
    """The ledger with its origin set, and the reason if the origin is new; otherwise ''."""
    since = floor_ms(settings.since) if settings.since is not None else None
    if ledger.origin is None:
        return (
            (replace(ledger, origin=since), "since")
            if since is not None
            else (replace(ledger, origin=oldest), OLDEST)
        )
    if since is not None and since < ledger.origin:
        return replace(ledger, origin=since), "since"
    if settings.full and oldest < ledger.origin:
        return replace(ledger, origin=oldest), OLDEST
    return ledger, ""


def _spans(settings: Settings, ledger: Ledger, bound: int) -> IntervalSet:
    if settings.full or settings.since is not None:
        lower = floor_ms(settings.since) if settings.since is not None else ledger.origin
        return IntervalSet([(lower or 0, bound)])
    return ledger.to_read(bound=bound, lookback=settings.lookback)


def _resume(
    open_windows: Sequence[OpenWindow], spans: IntervalSet, ledger: Ledger, lookback: int
) -> tuple[list[PlannedWindow], IntervalSet]:
    """Unfinished windows of an earlier run that can be continued, and the spans that then remain to be planned.

    Only settled windows are continued: in the others, changes may have been invisible when they were read. A window that is
    open to the right is continued up to one lookback before the bound of its own run.
    """
    resumed: list[PlannedWindow] = []
    for stored in open_windows:
        lower, upper = stored.lower, stored.upper
        left = decode_cursors(stored.left)
        if upper is None and stored.claimed_until is not None:
            upper = floor_ms(stored.claimed_until - lookback)
            left = _clipped(left, upper)
        if upper is None or upper <= lower or not left:
            continue
        span = IntervalSet([(lower, upper)])
        if span - spans or span & ledger.unsettled:
            continue  # some of it need not be read now, or was read too early
        spans -= span
        resumed.append(PlannedWindow(Window(lower, upper), (lower, upper), stored.expected, left))
    return resumed, spans


def _clipped(cursors: Iterable[Cursor], upper: int) -> tuple[Cursor, ...]:
    """The cursors, limited to windows before `upper`. Sessions read by a cursor are read in every part of its window."""
    return tuple(
        replace(cursor, window=Window(cursor.window.lower, min(upper, cursor.window.upper or upper)))
        for cursor in cursors
        if cursor.window.lower < upper
    )


def open_to_the_left(window: Window, horizon: int) -> Window:
    """The window without a lower bound, if that is not after the createdAt of the oldest session listed (µs)."""
    return Window(BEGINNING, window.upper) if window.lower <= horizon else window


def _sample(source: Source, window: Window, number: int) -> int | None:
    """The updatedAt of the n-th session of the window, by createdAt; None if there are fewer by now."""
    rows = source.list(Query(updated=window, limit=1, page=number)).rows
    return rows[0].updated_at if rows else None


def _in_threads(
    source: Source, ask: Callable[[_Item], _Result], items: Sequence[_Item], concurrency: int
) -> list[_Result]:
    if concurrency == 1 or len(items) == 1:
        return [ask(item) for item in items]
    workers = min(concurrency, len(items))
    return side_by_side(ask, items, workers=workers, name="plan", stop=source.stop)
