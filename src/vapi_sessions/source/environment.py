"""Injected clock, sleep and transport."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True)
class Environment:
    """Wall clock (µs), monotonic clock and sleep (seconds), and the HTTP transport. Tests replace them."""

    now: Callable[[], int] = lambda: time.time_ns() // 1000
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] | None = None  # None: a wait that ends when the run is stopped
    transport: httpx.BaseTransport | None = None

    @property
    def clocks(self) -> Clocks:
        """The wall clock and a sleep, for work that nobody can stop half-way."""
        return Clocks(self.now, self.sleep or time.sleep)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Wall clock (µs) and sleep (seconds)."""

    now: Callable[[], int]
    sleep: Callable[[float], None]
