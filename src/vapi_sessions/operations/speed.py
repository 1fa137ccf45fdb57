"""How fast a sync was: measured by the run, kept in `sync.state`, and used for the next estimate."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from vapi_sessions.operations.progress import Counts
from vapi_sessions.source.retries import Traffic

#: Its name in `sync.state`.
SPEED: Final = "speed"
#: A sync that stored fewer sessions measures nothing that tells of larger ones.
MEASURED_LEAST: Final = 500


class Speed(msgspec.Struct, frozen=True):
    """What a sync measured: `sessions` in so many `requests`, which took `request_seconds` together, without waits. `throttled`:
    whether the source limited the rate. It is kept in `sync.state`.
    """

    sessions: int
    requests: int
    request_seconds: float
    reading_seconds: float
    loading_seconds: float
    publishing_seconds: float
    throttled: bool


def stored_speed(text: str | None) -> Speed | None:
    """The speed in `sync.state`; None if there is none, or one that cannot be understood."""
    try:
        return msgspec.json.decode(text or "", type=Speed)
    except msgspec.MsgspecError:
        return None


class Stopwatch:
    """Measures the speed of a run, for the estimates of `plan`. `monotonic` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._loading = 0.0
        self._began: tuple[float, int, float] | None = None
        self._read_at = 0.0

    def begin(self, traffic: Traffic) -> None:
        """Reading begins."""
        self._began = (self._monotonic(), traffic.requests, traffic.seconds)

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """A page is loaded, in one thread at a time."""
        began = self._monotonic()
        yield
        self._loading += self._monotonic() - began

    def read(self) -> None:
        """Reading has ended, and publishing begins."""
        self._read_at = self._monotonic()

    def speed(self, traffic: Traffic, counts: Counts) -> Speed | None:
        """The speed of a run that has been published; None if it read nothing, or stored too little."""
        if self._began is None or counts.sessions_new + counts.sessions_changed < MEASURED_LEAST:
            return None
        began, requests, seconds = self._began
        return Speed(
            counts.sessions_read,
            max(1, traffic.requests - requests),
            traffic.seconds - seconds,
            self._read_at - began,
            self._loading,
            self._monotonic() - self._read_at,
            bool(traffic.throttled),
        )
