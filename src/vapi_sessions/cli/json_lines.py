"""The progress of a run where no person watches: as JSON lines, or only its warnings (`--quiet`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from vapi_sessions.cli import log
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import plain
from vapi_sessions.operations.progress import Silent
from vapi_sessions.operations.tally import Tally

_LINE_EVERY: Final = 5.0  # seconds between lines about progress


class OnlyWarnings(Silent):
    """Writes warnings, as the other displays do, and nothing else."""

    def __init__(self, title: str) -> None:
        self.title = title

    def warn(self, text: str) -> None:
        """Write a warning."""
        log.write("warning", "warning", text, text=f"{self.title}: warning: {plain(text)}")


class JsonLines(Tally):
    """An event for everything that a run tells."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(monotonic=monotonic)
        self._last = monotonic()

    def planned(self, windows: int, sessions: int) -> None:
        """Write the totals."""
        super().planned(windows, sessions)
        text = f"{counted(sessions, 'session')} to read in {counted(windows, 'window')}"
        log.write("info", "plan", text, windows=windows, sessions=sessions)

    def read(self, sessions: int) -> None:
        """Write the progress, at most every few seconds."""
        super().read(sessions)
        with self.lock:
            if self.monotonic() - self._last < _LINE_EVERY:
                return
            self._last = self.monotonic()
            left = self.seconds_left()
            log.write(
                "info",
                "progress",
                f"{counted(self.sessions_read, 'session')} read",
                sessions_read=self.sessions_read,
                sessions_total=self.sessions,
                windows_done=self.windows_done,
                windows_total=self.windows,
                messages_written=self.messages or 0,
                sessions_per_second=round(self.rate(), 1),
                seconds_left=None if left is None else round(left, 1),
            )

    def waiting(self, seconds: float, reason: str) -> None:
        """Write a wait of a second or more, once for all requests that it affects."""
        super().waiting(seconds, reason)
        if text := self.waits.news():
            log.write("info", "wait", text, seconds=round(seconds, 3), reason=plain(reason))

    def phase(self, name: str) -> None:
        """Write the phase that begins."""
        super().phase(name)
        log.write("info", "phase", name, phase=name)

    def say(self, text: str) -> None:
        """Write a message."""
        log.write("info", "message", text)

    def warn(self, text: str) -> None:
        """Write a warning."""
        log.write("warning", "warning", text)
