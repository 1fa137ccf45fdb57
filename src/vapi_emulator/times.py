"""Time in the emulator: integer microseconds since 1970 (UTC) inside, ISO 8601 with milliseconds outside.

The source answers with milliseconds while the store behind it may keep microseconds; filters see what the store keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

#: Returns the present moment; aware, in UTC. Injected everywhere, so that a test owns the time.
Clock = Callable[[], datetime]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US


def system_clock() -> datetime:
    """The machine's own clock."""
    return datetime.now(UTC)


def to_us(moment: datetime) -> int:
    """Microseconds since 1970; a moment without a zone is taken as UTC."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - EPOCH) // MICROSECOND


def from_us(us: int) -> datetime:
    """The aware UTC datetime of a number of microseconds."""
    return EPOCH + timedelta(microseconds=us)


def iso_ms(us: int) -> str:
    """`2026-01-02T03:04:05.678Z`: cut to the millisecond, not rounded, as the source does."""
    return from_us(us).isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_iso(text: str) -> int:
    """Microseconds of an ISO 8601 text (date only: midnight UTC); ValueError if it is none."""
    try:
        return to_us(datetime.fromisoformat(text))
    except OverflowError as error:
        raise ValueError(text) from error
