"""Times: integer microseconds since 1970 (UTC) inside, ISO 8601 with milliseconds outside.

The source shows milliseconds, but its store may keep microseconds, and filters compare the stored values.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

#: Returns the current time, aware, in UTC. Injected everywhere, so that tests control it.
Clock = Callable[[], datetime]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US


def system_clock() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)


def to_us(moment: datetime) -> int:
    """Microseconds since 1970; a datetime without a zone counts as UTC."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND


def from_us(us: int) -> datetime:
    """The aware UTC datetime of a number of microseconds."""
    return EPOCH + timedelta(microseconds=us)


def iso_ms(us: int) -> str:
    """`2026-01-02T03:04:05.678Z`: truncated to the millisecond, as at the source."""
    return from_us(us).isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_iso(text: str) -> int:
    """ISO 8601 to microseconds; a date means midnight UTC. Raises ValueError."""
    try:
        return to_us(datetime.fromisoformat(text))
    except OverflowError as error:
        raise ValueError(text) from error
