"""Which requests meet a fault: scripted faults first, then the rate limits, then chance."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from vapi_emulator.faults import Fault, FaultKind, check_kind
from vapi_emulator.switches import FaultSettings

_MINUTE_US: Final = 60_000_000


class FaultInjector:
    """Decides about each request. Thread-safe."""

    def __init__(self, settings: FaultSettings, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._script: deque[Fault | None] = deque()
        self._lock = threading.Lock()
        self.configure(settings)

    def configure(self, settings: FaultSettings) -> None:
        """Start over with other settings; the script stays."""
        with self._lock:
            self.settings = settings
            self._random = random.Random(settings.seed)
            self._recent: dict[str, deque[int]] = {}
            self._in_minute: dict[str, tuple[int, int]] = {}  # the minute, and its requests so far
            self._locked_until_us: dict[str, int] = {}

    def script(self, *faults: Fault | FaultKind | None) -> None:
        """Set the faults of the next requests, one each; None lets a request pass."""
        with self._lock:
            for fault in faults:
                if isinstance(fault, str):
                    check_kind(fault)
                    fault = Fault(fault)
                self._script.append(fault)

    def forget_script(self) -> None:
        """Drop the scripted faults that have not happened yet."""
        with self._lock:
            self._script.clear()

    @property
    def scripted(self) -> int:
        """How many scripted requests are still to come."""
        return len(self._script)

    def next(self, caller: str) -> Fault | None:
        """The fault of the next request of a caller (an organisation), or None."""
        with self._lock:
            if self._script:
                return self._script.popleft()
            return self._over_limit(caller) or self._over_minute(caller) or self._by_chance()

    def _over_minute(self, caller: str) -> Fault | None:
        limit, now = self.settings.rate_limit_per_minute, self._clock_us()
        if limit is None:
            return None
        minute, used = self._in_minute.get(caller, (0, 0))
        if minute != now // _MINUTE_US:
            minute, used = now // _MINUTE_US, 0
        if used >= limit:
            return self._refusal(((minute + 1) * _MINUTE_US - now) / 1e6)
        self._in_minute[caller] = minute, used + 1
        return None

    def _over_limit(self, caller: str) -> Fault | None:
        settings = self.settings
        if settings.rate_limit is None:
            return None
        now = self._clock_us()
        locked_until = self._locked_until_us.get(caller, 0)
        if now < locked_until:
            return self._refusal((locked_until - now) / 1e6)
        recent = self._recent.setdefault(caller, deque())
        while recent and recent[0] <= now - 1_000_000:
            recent.popleft()
        if len(recent) < settings.rate_limit:
            recent.append(now)
            return None
        self._locked_until_us[caller] = now + int(settings.lockout_seconds * 1e6)
        return self._refusal(max(1.0, settings.lockout_seconds))

    def _refusal(self, seconds: float) -> Fault:
        return Fault("429", retry_after=-(-seconds // 1) if self.settings.retry_after else None)

    def _by_chance(self) -> Fault | None:
        if not self.settings.probabilities:
            return None
        drawn = self._random.random()
        for kind, probability in self.settings.probabilities.items():
            if drawn < probability:
                return Fault(kind, retry_after=1 if self.settings.retry_after else None)  # type: ignore[arg-type]  # checked by FaultSettings
            drawn -= probability
        return None
