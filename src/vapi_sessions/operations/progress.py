"""Who watches a run: what a display is told, and the one that shows nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vapi_sessions.errors import plain
from vapi_sessions.operations.coordinator import Counts


class Progress(Protocol):
    """Who watches a run. Called from several threads."""

    def planned(self, windows: int, sessions: int) -> None:
        """What is ahead; `windows` 0: it is not read in windows."""

    def read(self, sessions: int) -> None:
        """So many more sessions were read."""

    def window_done(self) -> None:
        """One more window was read completely."""

    def merged(self, counts: Counts) -> None:
        """A batch was merged; totals so far."""

    def waiting(self, seconds: float, reason: str) -> None:
        """The client waits before it asks again."""

    def say(self, text: str) -> None:
        """Something worth a line."""


class Silent:
    """Nobody watches."""

    def planned(self, windows: int, sessions: int) -> None:
        """Ignored."""

    def read(self, sessions: int) -> None:
        """Ignored."""

    def window_done(self) -> None:
        """Ignored."""

    def merged(self, counts: Counts) -> None:
        """Ignored."""

    def waiting(self, seconds: float, reason: str) -> None:
        """Ignored."""

    def say(self, text: str) -> None:
        """Ignored."""


class LogProgress(Silent):
    """The lines worth keeping in a log; `say` takes one line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def planned(self, windows: int, sessions: int) -> None:
        """Said once."""
        self._say(f"{sessions:,} sessions to read in {windows} windows")

    def waiting(self, seconds: float, reason: str) -> None:
        """Said when it is long enough to wonder."""
        if seconds >= 1:
            self._say(plain(f"waiting {seconds:.0f} s: {reason}"))

    def say(self, text: str) -> None:
        """Said."""
        self._say(plain(text))
