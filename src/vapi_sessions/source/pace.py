"""The speed at which all workers of a run ask, and how long they wait when the source limits the rate (429)."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Final

from vapi_sessions.core.timestamps import MINUTE, SECOND

LONGEST_WAIT: Final = 30.0
#: Seconds after the beginning of a minute within which requests begin again, so that several programs do not all begin at once.
MOST_JITTER: Final = 2.0
#: Seconds. The wait when the next minute did not bring the rate back; it doubles, up to the longest.
_NOT_BY_THE_MINUTE: Final = 15.0


class Pace:
    """The speed that all workers share: a 429 to one of them slows all down together, and successes speed up again.

    `clock` gives monotonic seconds, `chance` a number from 0 to 1. The source counts requests by the UTC minute and does not
    say when to come back, so without `Retry-After` everybody waits for its next minute; if that was not enough, longer and
    longer. Afterwards requests start at least `interval` seconds apart, a distance that shrinks with every success.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._lock = threading.Lock()
        self._next_start = 0.0
        self._interval = 0.0
        self._blocked_until = 0.0
        self._episodes = 0

    @property
    def interval(self) -> float:
        """Seconds between the starts of two requests; 0 when nothing is throttled."""
        return self._interval

    @property
    def episodes(self) -> int:
        """How often in a row the source limited the rate, without a success of anybody in between."""
        return self._episodes

    def wait_turn(self) -> float:
        """Sleep until the next request may start; returns the moment (monotonic seconds) at which it does."""
        with self._lock:
            start = max(self._clock(), self._next_start, self._blocked_until)
            self._next_start = start + self._interval
        while (wait := start - self._clock()) > 0:
            self._sleep(wait)
            with self._lock:  # the block may have been extended while we slept
                start = max(start, self._blocked_until)
        return start

    def throttled(self, sent: float, retry_after: float | None, source_time: int) -> float:
        """Note a 429 to a request sent at `sent`; returns the seconds that everybody now waits.

        `source_time`: the source's clock, or the best guess at it, µs.
        """
        with self._lock:
            now = self._clock()
            if sent >= self._blocked_until:  # else: one of several answers to the same episode
                self._episodes += 1
                self._interval = min(max(self._interval * 2, 0.05), 5.0)
                if retry_after is not None:  # believed the first time; repeated, it was too short
                    own = min(2.0 ** (self._episodes - 2), LONGEST_WAIT / 2) if self._episodes > 1 else 0.0
                    wait = max(retry_after, own)
                elif self._episodes == 1:
                    wait = (MINUTE - source_time % MINUTE) / SECOND + self._chance() * MOST_JITTER
                else:
                    wait = min(_NOT_BY_THE_MINUTE * 2.0 ** (self._episodes - 2), LONGEST_WAIT)
                self._blocked_until = now + wait
            elif retry_after is not None:
                self._blocked_until = max(self._blocked_until, now + retry_after)
            return max(0.0, self._blocked_until - now)

    def succeeded(self) -> None:
        """Note a success: the distance between requests shrinks by a tenth, and is forgotten below 10 ms."""
        with self._lock:
            self._episodes = 0
            self._interval = self._interval * 0.9 if self._interval > 0.01 else 0.0
