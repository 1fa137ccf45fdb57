"""Virtual time: one true time, and two clocks that differ from it and may jump."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vapi_sessions.core.timestamps import SECOND, parse

START: Final = parse("2026-03-10T12:00:00.123456Z")


class Clock:
    """All times in µs. `on_sleep` is called while the engine waits."""

    def __init__(self) -> None:
        self.true = START
        self.ours_off = 0
        self.source_off = 0
        self.on_sleep: Callable[[], None] = lambda: None

    def ours(self) -> int:
        """Our clock, which the engine reads."""
        return self.true + self.ours_off

    def source(self) -> int:
        """The clock of the source, which stamps its rows and the `Date` header."""
        return self.true + self.source_off

    def monotonic(self) -> float:
        """Seconds since the beginning; unaffected by jumps of the wall clock."""
        return (self.true - START) / SECOND

    def pass_(self, span: int) -> None:
        """Let `span` µs pass."""
        self.true += max(1, span)

    def sleep(self, seconds: float) -> None:
        """Called by the engine to wait. Meanwhile the world goes on."""
        self.pass_(round(seconds * SECOND))
        self.on_sleep()
