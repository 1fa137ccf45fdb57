"""Mistakes in what has to be read, and in what counts as read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vapi_sessions.core import ledger
from vapi_sessions.core.intervals import IntervalSet, Window
from vapi_sessions.core.ledger import Ledger
from vapi_sessions.core.timestamps import MINUTE, floor_ms
from vapi_sessions.settings import Settings
from vapi_sessions.source import planning, windows
from vapi_sessions.source.client import Source
from vapi_sessions.source.page import Page
from vapi_sessions.source.planning import Plan
from vapi_sessions.source.windows import PlannedWindow

from .planting import Planting, mutant


@mutant("no settling", "no lookback")
def no_settling(planting: Planting) -> None:
    def make_plan(inner: Any, settings: Settings, *given: Any) -> Any:
        planting.changed(when=settings.settle > 0)
        return inner(settings.model_copy(update={"settle": 0}), *given)

    planting.around(planning, "make_plan", make_plan)


@mutant("no lookback", "delay")
def no_lookback(planting: Planting) -> None:
    def unsettled_from(inner: Any, bound: int, lookback: int) -> int:
        return planting.swap(inner(bound, lookback), inner(bound, 0))

    planting.around(ledger, "unsettled_from", unsettled_from)


@mutant("the newest claim is the watermark, and gaps are forgotten", "stops")
def gaps_forgotten(planting: Planting) -> None:
    def to_read(inner: Any, known: Ledger, **named: Any) -> IntervalSet:
        if known.origin is None or known.completed.end is None:
            return inner(known, **named)
        whole = IntervalSet([(known.origin, known.completed.end)])
        return planting.swap(inner(known, **named), inner(replace(known, completed=whole), **named))

    planting.around(Ledger, "to_read", to_read)


@mutant("the organisation is not checked")
def organisation_not_checked(planting: Planting) -> None:
    def make_plan(inner: Any, settings: Settings, source: Source, known: Ledger, *given: Any) -> Any:
        made, state = inner(settings, source, replace(known, org_id=None), *given)
        planting.changed(when=known.org_id is not None and made.org_id not in (None, known.org_id))
        return made, state

    planting.around(planning, "make_plan", make_plan)


@mutant("claims for an empty source")
def emptiness_claimed(planting: Planting) -> None:
    probes: list[Page] = []

    def ask_for_the_oldest(inner: Any, *given: Any) -> Any:
        probe, oldest = inner(*given)
        probes[:] = [probe]
        return probe, oldest

    def make_plan(inner: Any, settings: Settings, source: Source, known: Ledger, *given: Any) -> Any:
        made, state = inner(settings, source, known, *given)
        if made.org_id is not None or known.org_id is None or known.origin is None:
            return made, state
        planting.changed()
        bound = floor_ms(probes[0].requested_at - settings.settle)
        window = Window(min(known.watermark or known.origin, bound), None)
        return Plan((PlannedWindow.whole(window, bound, 0),), bound, known.org_id, known.origin), {}

    planting.around(planning, "ask_for_the_oldest", ask_for_the_oldest)
    planting.around(planning, "make_plan", make_plan)


@mutant("the open window is claimed beyond the bound")
def beyond_the_bound(planting: Planting) -> None:
    def whole(
        inner: Any, cls: type[PlannedWindow], window: Window, bound: int, expected: int
    ) -> PlannedWindow:
        claimed_to = bound + MINUTE if window.upper is None else bound
        return inner(cls, window, planting.swap(bound, claimed_to), expected)

    planting.around(windows.PlannedWindow, "whole", whole)


@mutant("an unfinished window counts as read", "stops in batches")
def unfinished_counts_as_read(planting: Planting) -> None:
    def resume(
        inner: Any, open_windows: Sequence[Mapping[str, Any]], *given: Any
    ) -> tuple[list[PlannedWindow], IntervalSet]:
        resumed, rest = inner(open_windows, *given)
        return planting.swap(resumed, []), rest

    planting.around(planning, "_resume", resume)
