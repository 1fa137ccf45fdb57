"""Virtual time. There is one true time; the source's clock and ours differ from it, and may jump."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vapi_sessions.core.timestamps import SECOND, parse

START: Final = parse("2026-03-10T12:00:00.123456Z")


class Clock:
    """Everything in µs. `on_sleep` lets the world go on while the engine waits."""

    def __init__(self) -> None:
        self.true = START
        self.ours_off = 0
        self.source_off = 0
        self.on_sleep: Callable[[], None] = lambda: None

    def ours(self) -> int:
        """What the engine sees as the present."""
        return self.true + self.ours_off

    def source(self) -> int:
        """What the source stamps on its rows and in `Date`."""
        return self.true + self.source_off

    def monotonic(self) -> float:
        """Seconds since the beginning; no jump of the wall clock shows here."""
        return (self.true - START) / SECOND

    def pass_(self, span: int) -> None:
        """Let `span` µs go by."""
        self.true += max(1, span)

    def sleep(self, seconds: float) -> None:
        """What the engine calls to wait: the rest of the world goes on meanwhile."""
        self.pass_(round(seconds * SECOND))
        self.on_sleep()
