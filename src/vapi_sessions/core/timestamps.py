"""Moments as integers: microseconds since the epoch, UTC. The whole package uses them.

The source shows milliseconds, but may store microseconds. So every bound that we send is a whole millisecond: then `x` is in
`[a, b)` exactly if `x` truncated to milliseconds is.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

MILLISECOND: Final = 1_000
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
#: About a hundred years: earlier moments could be before the year 1.
_LONGEST: Final = 36_500 * DAY
#: From the largest down, each with the ways in which people write it.
_UNITS: Final = (
    (7 * DAY, "w|weeks?"),
    (DAY, "d|days?"),
    (HOUR, "h|hours?"),
    (MINUTE, "m|min|minutes?"),
    (SECOND, "s|sec|seconds?"),
    (MILLISECOND, "ms"),
)
_NUMBER: Final = r"([0-9]+(?:\.[0-9]+)?)"
_DURATION: Final = re.compile(
    "".join(rf"(?:{_NUMBER}\s*(?:{names})(?![a-z])\s*)?" for _, names in _UNITS), re.IGNORECASE
)
_SECONDS: Final = re.compile(_NUMBER)


def from_datetime(moment: datetime) -> int:
    """Microseconds since the epoch. A naive `moment` is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(moment: int) -> datetime:
    """The same moment as an aware datetime in UTC."""
    return _EPOCH + moment * _MICROSECOND


def parse(text: str) -> int:
    """ISO 8601 date or date-time (without an offset: UTC) to microseconds. Raises ValueError for other texts."""
    return from_datetime(datetime.fromisoformat(text))


def show(moment: int) -> str:
    """ISO 8601 with milliseconds and `Z`, as the source writes it. Truncates."""
    return to_datetime(moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def show_span(lower: int, upper: int | None) -> str:
    """A span for people, in UTC: `2026-11-29 14:15 → 14:30`; to the second if the minute is the same. `upper` None: up to now."""
    if upper is None:
        return f"{to_datetime(lower):%Y-%m-%d %H:%M} → now"
    first, last = to_datetime(lower), to_datetime(upper)
    time = "%H:%M" if lower // MINUTE != upper // MINUTE else "%H:%M:%S"
    date = "" if first.date() == last.date() else "%Y-%m-%d "
    return f"{first.strftime(f'%Y-%m-%d {time}')} → {last.strftime(date + time)}"


def floor_ms(moment: int) -> int:
    """The whole millisecond at or before `moment`."""
    return moment - moment % MILLISECOND


def month_of(moment: int) -> tuple[int, int]:
    """The calendar month (UTC) of a moment: its first microsecond, and that of the next month."""
    first = to_datetime(moment).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if (first.year, first.month) == (9999, 12):  # there is no later month
        return from_datetime(first), from_datetime(datetime.max.replace(tzinfo=UTC))
    following = (
        first.replace(year=first.year + 1, month=1)
        if first.month == 12
        else first.replace(month=first.month + 1)
    )
    return from_datetime(first), from_datetime(following)


def parse_http_date(text: str) -> int:
    """An HTTP `Date` header to microseconds. Raises ValueError if it is invalid."""
    return from_datetime(parsedate_to_datetime(text))


def parse_duration(text: str) -> int:
    """`1h30m`, `90s`, `1.5 hours` or `2d 12h` to microseconds; a number alone is seconds. Raises ValueError for other texts.

    Each unit at most once, the largest first. Capital letters are the same: `M` is minutes, not months.
    """
    given = text.strip()
    if _SECONDS.fullmatch(given):
        given += "s"
    match = _DURATION.fullmatch(given)
    if match is None or not given:
        raise ValueError(f"'{text}' is not a duration such as 90s, 15m, 1h30m or 7d")
    numbers = zip(match.groups(), (size for size, _ in _UNITS), strict=True)
    duration = sum(float(number) * size for number, size in numbers if number is not None)
    if duration > _LONGEST:
        raise ValueError(f"'{text}' is longer than any history; the longest duration is 36500d")
    return round(duration)
