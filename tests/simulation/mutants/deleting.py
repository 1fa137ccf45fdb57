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
from vapi_sessions.source import client, pagination, retries

from .planting import Planting, mutant


class _Marking:
    """The reconcile that is marking missing sessions at the moment, if any."""

    def __init__(self, planting: Planting) -> None:
        self.reconciliation: Any = None
        planting.around(reconcile._Reconciliation, "mark_missing", self._mark_missing)

    def _mark_missing(self, inner: Any, reconciliation: Any) -> None:
        with self._set(reconciliation):
            inner(reconciliation)

    @contextmanager
    def _set(self, reconciliation: Any) -> Iterator[None]:
        self.reconciliation = reconciliation
        try:
            yield
        finally:
            self.reconciliation = None


@mutant("deletion marked without confirmation")
def unconfirmed(planting: Planting) -> None:
    marking = _Marking(planting)

    def get(inner: Any, source: client.Source, session_id: str) -> Any:
        reconciliation = marking.reconciliation
        if reconciliation is None or session_id not in reconciliation._missing:
            return inner(source, session_id)
        planting.changed()
        return None, reconciliation._now, reconciliation._run.numbers.take()

    planting.around(client.Source, "get", get)


@mutant("deletion marked from a partial reading")
def partial(planting: Planting) -> None:
    reading: list[Window] = []

    def first_page(inner: Any, *given: Any, **named: Any) -> Iterator[pagination.PageRead]:
        for page_read in inner(*given, **named):
            yield page_read
            if reading:
                planting.changed(when=bool(page_read.left))
                return

    def read(inner: Any, reconciliation: Any, window: Window) -> None:
        before = set(reconciliation._missing)
        reading.append(window)
        try:
            inner(reconciliation, window)
        finally:
            reading.clear()
        missing = {key: created for key, created in reconciliation._missing.items() if key not in before}
        for key, known in reconciliation._run.index.known(missing).items():
            seq = reconciliation._run.numbers.take()
            reconciliation._coordinator.tombstone(
                key, "deleted", known, RequestStamp(reconciliation._now, seq)
            )

    planting.around(pagination, "walk", first_page)
    planting.around(reconcile._Reconciliation, "_read", read)


@mutant("any 404 proves a deletion", "faults by id")
def any_404(planting: Planting) -> None:
    def expect_object(inner: Any, *given: Any) -> None:
        try:
            inner(*given)
        except retries.RetryableError:
            planting.changed()

    planting.around(client.Source, "_expect_object", expect_object)


@mutant("the circuit breaker is off")
def breaker_off(planting: Planting) -> None:
    marking = _Marking(planting)

    def most_at_once(inner: Any, live: int) -> int:
        most = inner(live)
        planting.changed(when=len(marking.reconciliation._missing) > most)
        return max(most, len(marking.reconciliation._missing))

    planting.around(reconcile, "most_at_once", most_at_once)


@mutant("sessions that aged out are marked deleted")
def aged_out_is_deleted(planting: Planting) -> None:
    marking = _Marking(planting)

    def tombstone(
        inner: Any, coordinator: Coordinator, session_id: str, kind: str, *given: Any, **named: Any
    ) -> None:
        reconciliation = marking.reconciliation
        aged_out = {key for key, *_ in reconciliation._aged_out} if reconciliation is not None else set()
        wrong = "deleted" if session_id in aged_out else kind
        inner(coordinator, session_id, planting.swap(kind, wrong), *given, **named)

    planting.around(Coordinator, "tombstone", tombstone)


@mutant("a reconcile compares counts before what is new was read", "deletions")
def new_sessions_not_read_first(planting: Planting) -> None:
    planting.around(
        reconcile._Reconciliation, "read_unsynced", lambda inner, reconciliation: planting.changed()
    )


@mutant("half of a differing window is not compared")
def half_compared(planting: Planting) -> None:
    def differences(inner: Any, window: Window, *given: Any, **named: Any) -> Iterator[Difference]:
        for found in inner(window, *given, **named):
            if found.window.lower == window.lower:  # found in lower halves only
                yield found
            else:
                planting.changed()

    planting.around(compare, "differences", differences)


@mutant("young sessions are not read again")
def young_not_read_again(planting: Planting) -> None:
    def reconcile_without(inner: Any, *given: Any, recheck: int = 0, **named: Any) -> Any:
        return inner(*given, recheck=planting.swap(recheck, 0), **named)

    planting.around(reconcile, "reconcile", reconcile_without)
