"""The waits of many requests as one line."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

from vapi_sessions.core.wording import counted

#: Seconds. Shorter waits are not worth a line.
_NOTICED: Final = 1.0
#: Seconds between two announcements. A wait that ends this little later than an announced one is the same wait.
_ANNOUNCE_EVERY: Final = 5.0


class Waits:
    """The waits that requests have begun. Thread-safe. `monotonic` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waits: list[tuple[float, str]] = []  # end and reason
        self._announced_at = self._announced_until = -_ANNOUNCE_EVERY
        self._announced_reason = ""

    def add(self, seconds: float, reason: str) -> None:
        """A request waits from now on."""
        if seconds >= _NOTICED:
            with self._lock:
                now = self._monotonic()
                self._waits = [wait for wait in self._waits if wait[0] > now]
                self._waits.append((now + seconds, reason))

    def clear(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            self._waits.clear()

    def text(self) -> str:
        """`waiting 12 s: the source limits the rate (429), 6 requests`; "" if no request waits."""
        with self._lock:
            return self._text(self._monotonic())

    def news(self) -> str:
        """The same text, but "" if this wait was announced before, or another one a few seconds ago."""
        with self._lock:
            now = self._monotonic()
            text = self._text(now)
            if not text or now - self._announced_at < _ANNOUNCE_EVERY:
                return ""
            until, reason = max(end for end, _ in self._waits), self._reason()
            if reason == self._announced_reason and until < self._announced_until + _ANNOUNCE_EVERY:
                return ""
            self._announced_at, self._announced_until, self._announced_reason = now, until, reason
            return text

    def _text(self, now: float) -> str:
        self._waits = [wait for wait in self._waits if wait[0] > now]
        if not self._waits:
            return ""
        longest = max(end for end, _ in self._waits) - now
        several = f", {counted(len(self._waits), 'request')}" if len(self._waits) > 1 else ""
        return f"waiting {max(1, round(longest))} s: {self._reason()}{several}"

    def _reason(self) -> str:
        return Counter(reason for _, reason in self._waits).most_common(1)[0][0]
