"""Injected clock, sleep and transport."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from vapi_sessions.source.connection import Transport


@dataclass(frozen=True, slots=True)
class Environment:
    """Wall clock (µs), monotonic clock and sleep (seconds), and the HTTP transport; tests give their own."""

    now: Callable[[], int] = lambda: time.time_ns() // 1000
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] | None = None  # None: a wait that ends when the run is stopped
    transport: Transport | None = None
