"""The progress of a run where no person watches: as JSON lines, or only its warnings (`--quiet`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from vapi_sessions.cli import log
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import plain
from vapi_sessions.operations.progress import Counts, Silent

_LINE_EVERY: Final = 5.0  # seconds between lines about progress


class OnlyWarnings(Silent):
    """Writes warnings, as the other displays do, and nothing else."""

    def __init__(self, title: str) -> None:
        self.title = title

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def warn(self, text: str) -> None:
        """Write a warning."""
        log.write("warning", "warning", text, text=f"{self.title}: warning: {plain(text)}")


class JsonLines(OnlyWarnings):
    """An event for everything that a run tells."""

    def __init__(self, title: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(title)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._windows = self._done = self._read = self._messages = 0
        self._total: int | None = None  # unknown
        self._started = self._last = monotonic()

    def planned(self, windows: int, sessions: int) -> None:
        """Write the totals."""
        self._windows, self._total, self._started = windows, sessions, self._monotonic()
        text = f"{counted(sessions, 'session')} to read in {counted(windows, 'window')}"
        log.write("info", "plan", text, windows=windows, sessions=sessions)

    def read(self, sessions: int) -> None:
        """Write the progress, at most every few seconds."""
        with self._lock:
            self._read += sessions
            now = self._monotonic()
            if now - self._last < _LINE_EVERY:
                return
            self._last = now
        rate = self._read / max(now - self._started, 1e-3)
        left = max(0, self._total - self._read) / rate if self._total is not None and rate else None
        log.write(
            "info",
            "progress",
            f"{counted(self._read, 'session')} read",
            sessions_read=self._read,
            sessions_total=self._total,
            windows_done=self._done,
            windows_total=self._windows,
            messages_written=self._messages,
            sessions_per_second=round(rate, 1),
            seconds_left=None if left is None else round(left, 1),
        )

    def window_done(self) -> None:
        """Count a window."""
        with self._lock:
            self._done += 1

    def merged(self, counts: Counts) -> None:
        """Remember the messages merged so far."""
        self._messages = counts.messages_written

    def waiting(self, seconds: float, reason: str) -> None:
        """Write a wait of a second or more."""
        if seconds >= 1:
            text = f"waiting {seconds:.0f} s: {reason}"
            log.write("info", "wait", text, seconds=round(seconds, 3), reason=plain(reason))

    def phase(self, name: str) -> None:
        """Write the phase that begins."""
        log.write("info", "phase", name, phase=name)

    def say(self, text: str) -> None:
        """Write a message."""
        log.write("info", "message", text)
