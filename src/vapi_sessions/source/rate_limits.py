"""The request rate shared by all workers of a run, and how long they wait when the source limits it (429)."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Final

from vapi_sessions.core.timestamps import MINUTE, SECOND

LONGEST_WAIT: Final = 30.0
#: Seconds. Requests resume at a random moment this soon after the minute begins, so that several programs do not all start at once.
MOST_JITTER: Final = 2.0
#: Seconds. The first wait after waiting for the next minute was not enough; it doubles up to the longest wait.
_SECOND_WAIT: Final = 15.0


class Pace:
    """The rate that all workers share: a 429 to one worker slows down all of them, and successes speed them up again.

    `clock` gives monotonic seconds, `chance` a number from 0 to 1. The source counts requests per UTC minute and does not say
    when to retry. So without `Retry-After`, all workers wait for its next minute; if that is not enough, they wait longer each
    time. Afterwards requests start at least `interval` seconds apart, and the interval shrinks with every success.
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
        """Seconds between the starts of two requests; 0 without throttling."""
        return self._interval

    @property
    def episodes(self) -> int:
        """How many times in a row the source limited the rate, without a successful request in between."""
        return self._episodes

    def wait_turn(self) -> float:
        """Sleep until the next request may start. Returns its start (monotonic seconds)."""
        with self._lock:
            start = max(self._clock(), self._next_start, self._blocked_until)
            self._next_start = start + self._interval
        while (wait := start - self._clock()) > 0:
            self._sleep(wait)
            with self._lock:  # it may have been extended during the sleep
                start = max(start, self._blocked_until)
        return start

    def throttled(self, sent: float, retry_after: float | None, source_time: int) -> float:
        """Record a 429 to a request sent at `sent`. Returns the seconds that all workers now wait.

        `source_time`: the source's clock, or the best estimate of it, µs.
        """
        with self._lock:
            now = self._clock()
            if sent >= self._blocked_until:  # otherwise it belongs to the current episode
                self._episodes += 1
                self._interval = min(max(self._interval * 2, 0.05), 5.0)
                if (
                    retry_after is not None
                ):  # taken as it is the first time; if it comes again, it was too short
                    own = min(2.0 ** (self._episodes - 2), LONGEST_WAIT / 2) if self._episodes > 1 else 0.0
                    wait = max(retry_after, own)
                elif self._episodes == 1:
                    wait = (MINUTE - source_time % MINUTE) / SECOND + self._chance() * MOST_JITTER
                else:
                    wait = min(_SECOND_WAIT * 2.0 ** (self._episodes - 2), LONGEST_WAIT)
                self._blocked_until = now + wait
            elif retry_after is not None:
                self._blocked_until = max(self._blocked_until, now + retry_after)
            return max(0.0, self._blocked_until - now)

    def succeeded(self) -> None:
        """Record a success: the interval shrinks by a tenth, and becomes 0 below 10 ms."""
        with self._lock:
            self._episodes = 0
            self._interval = self._interval * 0.9 if self._interval > 0.01 else 0.0
