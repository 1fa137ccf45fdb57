"""Mistakes in what counts as gone, and in finding it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vapi_sessions.core.intervals import Window
from vapi_sessions.operations import compare, reconcile
from vapi_sessions.operations.compare import Difference
from vapi_sessions.operations.coordinator import Coordinator
from vapi_sessions.operations.window_buffer import RequestStamp
from vapi_sessions.source import client, pagination

from .planting import Planting, mutant


class _Marking:
    """Which reconcile is marking what it found missing, while it does."""

    def __init__(self, planting: Planting) -> None:
        self.work: Any = None
        planting.around(reconcile._Reconciliation, "mark_missing", self._mark_missing)

    def _mark_missing(self, inner: Any, work: Any) -> None:
        with self._set(work):
            inner(work)

    @contextmanager
    def _set(self, work: Any) -> Iterator[None]:
        self.work = work
        try:
            yield
        finally:
            self.work = None


@mutant("deletion marked without confirmation")
def unconfirmed(planting: Planting) -> None:
    marking = _Marking(planting)

    def get(inner: Any, source: client.Source, session_id: str) -> Any:
        work = marking.work
        if work is None or session_id not in work._missing:
            return inner(source, session_id)
        planting.changed()
        return None, work._now, work._run.numbers.take()

    planting.around(client.Source, "get", get)


@mutant("deletion marked from a partial reading")
def partial(planting: Planting) -> None:
    reading: list[Window] = []

    def first_step(inner: Any, *given: Any, **named: Any) -> Iterator[pagination.PageRead]:
        for step in inner(*given, **named):
            yield step
            if reading:
                planting.changed(when=bool(step.left))
                return

    def read(inner: Any, work: Any, window: Window) -> None:
        before = set(work._missing)
        reading.append(window)
        try:
            inner(work, window)
        finally:
            reading.clear()
        missing = {key: created for key, created in work._missing.items() if key not in before}
        for key, known in work._run.index.known(missing).items():
            seq = work._run.numbers.take()
            work._coordinator.tombstone(key, "deleted", known, RequestStamp(work._now, seq))

    planting.around(pagination, "walk", first_step)
    planting.around(reconcile._Reconciliation, "_read", read)


@mutant("any 404 proves a deletion", "faults by id")
def any_404(planting: Planting) -> None:
    def expect_object(inner: Any, *given: Any) -> None:
        try:
            inner(*given)
        except client._AgainError:
            planting.changed()

    planting.around(client.Source, "_expect_object", expect_object)


@mutant("the circuit breaker is off")
def breaker_off(planting: Planting) -> None:
    marking = _Marking(planting)

    def most_at_once(inner: Any, live: int) -> int:
        most = inner(live)
        planting.changed(when=len(marking.work._missing) > most)
        return max(most, len(marking.work._missing))

    planting.around(reconcile, "most_at_once", most_at_once)


@mutant("what aged out is marked deleted")
def aged_out_is_deleted(planting: Planting) -> None:
    marking = _Marking(planting)

    def tombstone(
        inner: Any, loader: Coordinator, session_id: str, kind: str, *given: Any, **named: Any
    ) -> None:
        aged_out = {key for key, *_ in marking.work._aged_out} if marking.work is not None else set()
        wrong = "deleted" if session_id in aged_out else kind
        inner(loader, session_id, planting.swap(kind, wrong), *given, **named)

    planting.around(Coordinator, "tombstone", tombstone)


@mutant("half of a differing window is not compared")
def half_compared(planting: Planting) -> None:
    def differences(inner: Any, window: Window, *given: Any, **named: Any) -> Iterator[Difference]:
        for found in inner(window, *given, **named):
            if found.window.lower == window.lower:  # always the lower half leads there, and nowhere else
                yield found
            else:
                planting.changed()

    planting.around(compare, "differences", differences)


@mutant("what is young is not read again")
def young_not_read_again(planting: Planting) -> None:
    def without(inner: Any, *given: Any, recheck: int = 0, **named: Any) -> Any:
        return inner(*given, recheck=planting.swap(recheck, 0), **named)

    planting.around(reconcile, "reconcile", without)
