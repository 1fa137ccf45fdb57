"""Clocks that stand still until a test moves them or the code sleeps."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from constants import EPOCH, NOW
from vapi_sessions.core.timestamps import from_datetime, to_datetime


class Clock:
    """Wall clock and monotonic clock for a world. Thread-safe."""

    def __init__(self, now: datetime = NOW) -> None:
        self._us = self._start = from_datetime(now)
        self._lock = threading.Lock()
        self.slept = 0.0

    def __call__(self) -> datetime:
        return to_datetime(self._us)

    def us(self) -> int:
        """Microseconds since 1970."""
        return self._us

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return (self._us - self._start) / 1e6

    def sleep(self, seconds: float) -> None:
        """Return at once and move the clock."""
        with self._lock:
            self._us += max(1, round(seconds * 1e6))
            self.slept += seconds

    def forward(self, **span: float) -> None:
        """Move the clock by a `timedelta`, without counting it as sleep."""
        with self._lock:
            self._us += timedelta(**span) // timedelta(microseconds=1)


class FakeTime:
    """Wall clock (µs) and monotonic clock (s) for a client alone. `sleeps`: the seconds of each sleep."""

    def __init__(self, now: int = EPOCH) -> None:
        self._start = now
        self.elapsed = 0.0
        self.sleeps: list[float] = []

    def now(self) -> int:
        """Wall clock, µs."""
        return self._start + round(self.elapsed * 1e6)

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment."""
        return 1000.0 + self.elapsed

    def sleep(self, seconds: float) -> None:
        """Return at once and move the clocks."""
        if seconds < 0:
            raise ValueError("negative sleep")
        self.sleeps.append(seconds)
        self.elapsed += seconds
