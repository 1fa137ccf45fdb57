"""What a display shows of a run: its phase, what is done and what is left, how fast it goes, and what it waits for."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from vapi_sessions.operations.progress import Counts, Silent
from vapi_sessions.operations.waits import Waits

#: Seconds. The rate is that of so recent a time.
_RECENT: Final = 10.0
#: Seconds. The time left follows from the rate of a longer time: a source that counts requests per minute makes them come in bursts.
_LONG: Final = 60.0
#: Seconds between two samples that are kept.
_SAMPLE_EVERY: Final = 0.2


class _Pace:
    """How fast a number grows. `now` is in seconds."""

    def __init__(self, now: float) -> None:
        self.total = 0
        self._samples = deque([(now, 0)])  # when, and the total then

    def add(self, number: int, now: float) -> None:
        self.total += number
        if len(self._samples) > 1 and now - self._samples[-2][0] < _SAMPLE_EVERY:
            self._samples.pop()
        self._samples.append((now, self.total))
        while len(self._samples) > 1 and self._samples[1][0] <= now - _LONG:
            self._samples.popleft()

    def rate(self, now: float, seconds: float) -> float:
        """The growth per second in the last `seconds`, or since the beginning if that is later."""
        began, before = self._samples[0]
        for at, total in self._samples:
            if at > now - seconds:
                break
            began, before = at, total
        return (self.total - before) / max(now - max(began, now - seconds), 1e-3)


class Tally(Silent):
    """Adds up what a run reports. Thread-safe. Displays derive from it."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.monotonic = monotonic
        self.lock = threading.RLock()
        self.phase_name = ""
        self.phase_began = monotonic()
        #: Windows and sessions to read; None: unknown. Parts that the publication writes.
        self.windows = self.windows_done = 0
        self.sessions: int | None = None
        self.messages: int | None = None
        self.parts = 0
        self.waits = Waits(monotonic)
        self._read = _Pace(self.phase_began)
        self._written = _Pace(self.phase_began)

    @property
    def sessions_read(self) -> int:
        """Sessions read so far."""
        return self._read.total

    @property
    def parts_written(self) -> int:
        """Parts that the current publication has written."""
        return self._written.total

    @property
    def phase_seconds(self) -> float:
        """How long the current phase has taken so far."""
        return self.monotonic() - self.phase_began

    def rate(self) -> float:
        """Sessions read per second, lately."""
        with self.lock:
            return self._read.rate(self.monotonic(), _RECENT)

    def seconds_left(self) -> float | None:
        """How long the current phase will still take at the rate of the last minute; None: unknown."""
        with self.lock:
            if self.phase_name == "publishing":
                pace, left = self._written, self.parts - self._written.total
            elif self.sessions is not None:
                pace, left = self._read, self.sessions - self._read.total
            else:
                return None
            rate = pace.rate(self.monotonic(), _LONG)
            return max(0, left) / rate if rate else None

    def planned(self, windows: int, sessions: int) -> None:
        """Set the totals. The rate counts from here."""
        with self.lock:
            self.windows, self.sessions = windows, sessions
            self._read = _Pace(self.monotonic())

    def read(self, sessions: int) -> None:
        """Count sessions."""
        with self.lock:
            self._read.add(sessions, self.monotonic())

    def window_done(self) -> None:
        """Count a window."""
        with self.lock:
            self.windows_done += 1

    def merged(self, counts: Counts) -> None:
        """Remember the messages merged so far."""
        self.messages = counts.messages_written

    def waiting(self, seconds: float, reason: str) -> None:
        """Remember the wait of a request."""
        self.waits.add(seconds, reason)

    def phase(self, name: str) -> None:
        """Begin a phase."""
        self.waits.clear()
        with self.lock:
            self.phase_name, self.phase_began = name, self.monotonic()
            if name == "publishing":
                self.parts, self._written = 0, _Pace(self.phase_began)

    def publishing(self, done: int, total: int) -> None:
        """Count the parts written."""
        with self.lock:
            self.parts = total
            self._written.add(done - self._written.total, self.monotonic())
