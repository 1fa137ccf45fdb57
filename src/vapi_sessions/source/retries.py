"""The only retry layer: how often a request is repeated, and how long it waits between attempts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import tenacity

from vapi_sessions.core.details import detail
from vapi_sessions.errors import SourceUnavailableError, VapiSessionsError
from vapi_sessions.source.rate_limits import LONGEST_WAIT, Pace

#: Waits of 0.5, 1, 2, 4, 8, 16, 30 and 30 s: 91 s in total. For a rate limit, this many episodes in a row: until the next
#: minute, then 15 s and seven times 30 s.
ATTEMPTS: Final = 9
#: Before the first response of any kind, a wrong address is likelier than an outage, so the error is reported within seconds.
FIRST_ATTEMPTS: Final = 3
#: Seconds after which a failed request is not repeated, even after few attempts: with a source that hangs, each attempt may
#: take as long as the deadline.
PATIENCE: Final = 900.0

T = TypeVar("T")


class RetryableError(Exception):
    """An attempt failed for a reason that may be temporary. Never leaves the client."""

    def __init__(
        self,
        fact: str,
        *,
        pace_wait: float = 0.0,
        address_suspect: bool = False,
        remedy: str = "",
        kind: type[VapiSessionsError] = SourceUnavailableError,
    ) -> None:
        super().__init__(fact)
        self.pace_wait = pace_wait  # seconds that the shared pace waits; 0: this request waits on its own
        self.address_suspect = address_suspect  # a wrong address explains it as well as an outage
        self.remedy = remedy  # in addition to the usual one
        self.kind = kind  # the error to raise if no request has succeeded before


@dataclass(slots=True)
class Traffic:
    """Counts of what the client did, for the run's record. `seconds` of all requests together, without waits."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    bytes: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


class Retries:
    """Repeats requests. `wait` sleeps for some seconds; `on_wait(seconds, fact)` is called before every wait."""

    def __init__(
        self,
        pace: Pace,
        traffic: Traffic,
        *,
        monotonic: Callable[[], float],
        wait: Callable[[float], None],
        on_wait: Callable[[float, str], None],
    ) -> None:
        self.answered = False  # whether the source has responded to any request
        self.pace = pace
        self.monotonic = monotonic
        self._traffic = traffic
        self._wait = wait
        self._on_wait = on_wait

    def run(self, attempt: Callable[[], T]) -> T:
        """The result of `attempt`, which is repeated while it raises RetryableError and the budget allows it."""
        budget = _Budget(self)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(budget.is_retryable),
            stop=budget.is_spent,
            wait=budget.seconds_until_next,
            sleep=self._wait,
            before_sleep=self._announce,
        )
        try:
            result = retrying(attempt)
        except tenacity.RetryError as error:
            raise self._given_up(error.last_attempt) from None
        self.answered = True
        self.pace.succeeded()
        return result

    def _given_up(self, attempt: tenacity.Future) -> VapiSessionsError:
        last = _retryable(attempt)
        usual = "Run again later: nothing that was read is lost."
        if not self.answered:
            usual = "Check --base-url and the network, then run again."
        kind = SourceUnavailableError if self.answered else last.kind
        number = attempt.attempt_number
        attempts = f"{number} attempt{'s' if number != 1 else ''}"
        return kind(f"Gave up after {attempts}: {last}.", f"{usual} {last.remedy}".strip())

    def _announce(self, state: tenacity.RetryCallState) -> None:
        error = _retryable(state.outcome)
        with self._traffic.lock:
            self._traffic.retries += 1
        planned = state.next_action.sleep if state.next_action is not None else 0.0
        seconds = error.pace_wait or planned
        detail("retry", attempt=state.attempt_number, seconds=round(seconds, 3), reason=str(error))
        self._on_wait(seconds, str(error))


class _Budget:
    """How often one request may fail, and how long it waits in between.

    Responses of 429 are count_rows for all requests together: as long as any request succeeds, the others only wait for their turn.
    """

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._began = retries.monotonic()
        self._failures = 0

    def is_retryable(self, error: BaseException) -> bool:
        """Whether the attempt may be repeated at all. Counts the failure."""
        retryable = isinstance(error, RetryableError)
        self._failures += isinstance(error, RetryableError) and not error.pace_wait
        return retryable

    def is_spent(self, state: tenacity.RetryCallState) -> bool:
        """Whether this attempt was the last."""
        error = _retryable(state.outcome)
        if self._retries.monotonic() - self._began > PATIENCE:
            return True
        if error.pace_wait:
            return self._retries.pace.episodes >= ATTEMPTS
        hopeless = error.address_suspect and not self._retries.answered
        return self._failures >= (FIRST_ATTEMPTS if hopeless else ATTEMPTS)

    def seconds_until_next(self, state: tenacity.RetryCallState) -> float:
        """0.5, 1, 2, 4 … s. After a 429 zero, because the shared pace waits instead."""
        if _retryable(state.outcome).pace_wait:
            return 0.0
        return min(0.5 * 2.0 ** (self._failures - 1), LONGEST_WAIT)


def _retryable(attempt: tenacity.Future | None) -> RetryableError:
    error = attempt.exception() if attempt is not None else None
    if not isinstance(error, RetryableError):  # the retry predicate lets nothing else through
        raise TypeError("a retry without a RetryableError")
    return error
