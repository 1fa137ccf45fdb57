"""Before a run: ask the source for its organisation, oldest session, clock and counts; decide what is to be read."""

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
from vapi_sessions.source.client import Page, Query, Source
from vapi_sessions.source.pagination import IDS_NAMED, PATIENCE, Cursor, counted, decode_cursors
from vapi_sessions.source.windows import PlannedWindow, plan_windows
from vapi_sessions.transform.headers import Row

_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")

#: How many sessions are looked at where the oldest one cannot be read, at least.
_FIRST: Final = 100
#: Why history begins where it does, as `status` tells it.
OLDEST: Final = "oldest session"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is going to read. No windows if the source showed no row at all.

    `bound`: changes before it are claimed (µs); those in `unsettled` need a second reading all the same, later.
    """

    windows: tuple[PlannedWindow, ...] = ()
    bound: int | None = None
    org_id: str | None = None
    origin: int | None = None
    unsettled: IntervalSet = field(default_factory=IntervalSet)

    @property
    def sessions(self) -> int:
        """Sessions to be read, by the source's counts."""
        return sum(window.expected for window in self.windows)


def make_plan(
    settings: Settings,
    source: Source,
    ledger: Ledger,
    open_windows: Sequence[OpenWindow],
) -> tuple[Plan, dict[str, str]]:
    """Ask the source for its oldest session, its clock and its counts; decide what to read.

    Returns the plan and the facts to note before the first window is read. Writes nothing.
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
    settled_until = unsettled_from(bound, settings.lookback)  # a matter of the clock, whatever `--until` says
    if settings.until is not None:
        bound = min(bound, floor_ms(settings.until))
    ledger, reason = _with_origin(ledger, settings, _beginning(oldest))
    if reason == OLDEST:
        oldest = _confirm_oldest(source, oldest, settings.page_size)
        ledger = replace(ledger, origin=_beginning(oldest))
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
        lambda asked: _side_by_side(
            source,
            lambda w: source.count(updated=_open_to_the_left(w, horizon)),
            asked,
            settings.concurrency,
        ),
        lambda asked: _side_by_side(
            source,
            lambda nth: _sample(source, _open_to_the_left(nth[0].window, horizon), nth[1]),
            asked,
            settings.concurrency,
        ),
        bound=bound,
        page_size=settings.page_size,
        concurrency=settings.concurrency,
    )
    opened = [
        replace(p, window=w, cursors=(Cursor(w),))
        for p in planned
        for w in [_open_to_the_left(p.window, horizon)]
    ]
    everything = sorted([*resumed, *opened], key=lambda window: window.window.lower)
    state = {
        "org_id": oldest.org_id,
        "base_url": settings.base_url,
        "origin": str(origin),
    }
    if reason:
        state["origin_reason"] = reason
    return Plan(tuple(everything), bound, oldest.org_id, origin, IntervalSet([(settled_until, bound)])), state


def _beginning(oldest: Row) -> int:
    """Before which nothing can have changed, µs."""
    return floor_ms(min(oldest.created_at, oldest.updated_at))


def ask_for_the_oldest(source: Source, page_size: int) -> tuple[Page, Row | None]:
    """The oldest session (None: there is none), and the answer that shows it, with the source's clock.

    Asked for again if the answer contradicts itself, and with whole pages if what comes first cannot be read. Raises
    SourceInconsistentError, or SourceUnavailableError if nothing that comes first can be read.
    """
    for _ in range(1 + PATIENCE):
        page = source.list(Query(limit=1))
        if page.unreadable:
            page = source.list(Query(limit=max(page_size, _FIRST)))
        if page.listed or page.total == 0:
            return page, _oldest(page)
    raise SourceInconsistentError(
        f"The source counts {page.total} sessions and shows none.", "Nothing was read. Run again later."
    )


def _oldest(page: Page) -> Row | None:
    if not page.listed:
        return None
    if not page.rows:
        names = ", ".join(f"{row.key}: {row.problem}" for row in page.unreadable[:IDS_NAMED])
        raise SourceUnavailableError(
            f"None of the first {len(page.unreadable)} session(s) can be read ({names}).",
            "Nothing was read. If it stays, the API has changed: please report it.",
        )
    first = next((row for row in page.listed if row.created_at is not None), page.rows[0])
    if isinstance(first, Row):
        return first
    created = first.created_at if first.created_at is not None else page.rows[0].created_at
    updated = first.updated_at if first.updated_at is not None else created
    return Row(first.key, page.rows[0].org_id, created, updated, b"")


def _confirm_oldest(source: Source, oldest: Row, page_size: int) -> Row:
    """The oldest session, once the source counts none before it: an answer in another order would cut off all history.

    One that appeared meanwhile, with an earlier createdAt, is the oldest then.
    """
    count = 0
    for _ in range(1 + PATIENCE):
        created = Window(BEGINNING, floor_ms(oldest.created_at))
        count, before = counted(source.list, Query(created=created, limit=1), page_size)
        if not count:
            return oldest
        oldest = min([oldest, *before.rows], key=lambda row: row.created_at)
    raise SourceInconsistentError(
        f"The source lists {count} sessions before its oldest one ({show(oldest.created_at)}).",
        "Nothing was read. Run again; if it stays, something between here and the source ignores the order asked for.",
    )


def _with_origin(ledger: Ledger, settings: Settings, oldest: int) -> tuple[Ledger, str]:
    """The ledger with its origin set, and why it was (re)set; '' if it stays."""
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
        return replace(ledger, origin=oldest), "oldest session"
    return ledger, ""


def _spans(settings: Settings, ledger: Ledger, bound: int) -> IntervalSet:
    if settings.full or settings.since is not None:
        lower = floor_ms(settings.since) if settings.since is not None else ledger.origin
        return IntervalSet([(lower or 0, bound)])
    return ledger.to_read(bound=bound, lookback=settings.lookback)


def _resume(
    open_windows: Sequence[OpenWindow], spans: IntervalSet, ledger: Ledger, lookback: int
) -> tuple[list[PlannedWindow], IntervalSet]:
    """Windows that an earlier run left in the middle and that can be continued, and the spans that then remain.

    Only windows that are settled: what is not may have been invisible when they were read.
    Of one that is open to the right that much is continued which ended a lookback before its own run's bound.
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
            continue  # not (all) to be read now, or read too early then
        spans -= span
        resumed.append(PlannedWindow(Window(lower, upper), (lower, upper), stored.expected, left))
    return resumed, spans


def _clipped(cursors: Iterable[Cursor], upper: int) -> tuple[Cursor, ...]:
    """The parts of the pieces that lie before `upper`. What had been read of a piece had been read of each part."""
    return tuple(
        replace(cursor, window=Window(cursor.window.lower, min(upper, cursor.window.upper or upper)))
        for cursor in cursors
        if cursor.window.lower < upper
    )


def _open_to_the_left(window: Window, horizon: int) -> Window:
    return Window(BEGINNING, window.upper) if window.lower <= horizon else window


def _sample(source: Source, window: Window, number: int) -> int | None:
    """The updatedAt of the n-th session of the window, by createdAt; None if it has gone meanwhile."""
    rows = source.list(Query(updated=window, limit=1, page=number)).rows
    return rows[0].updated_at if rows else None


def _side_by_side(
    source: Source, ask: Callable[[_Asked], _Answer], questions: Sequence[_Asked], concurrency: int
) -> list[_Answer]:
    if concurrency == 1 or len(questions) == 1:
        return [ask(question) for question in questions]
    workers = min(concurrency, len(questions))
    return side_by_side(ask, questions, workers=workers, name="plan", stop=source.stop)
