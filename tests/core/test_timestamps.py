"""Moments as whole microseconds, and their conversion from and to text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection import examples
from vapi_sessions.cli.output import duration
from vapi_sessions.core import timestamps
from vapi_sessions.core.timestamps import DAY, HOUR, MILLISECOND, MINUTE, SECOND

moderate = examples(200)

#: 1900 to 2100.
MOMENTS = st.integers(-2_208_988_800 * SECOND, 4_102_444_800 * SECOND)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(MOMENTS)
@moderate
def test_a_datetime_keeps_every_microsecond(moment: int) -> None:
    """Converted to a datetime and back."""
    assert timestamps.from_datetime(timestamps.to_datetime(moment)) == moment


@given(MOMENTS, OFFSETS)
@moderate
def test_a_moment_is_the_same_number_in_every_time_zone(moment: int, offset: timezone) -> None:
    """As a datetime and as text."""
    elsewhere = timestamps.to_datetime(moment).astimezone(offset)
    assert timestamps.from_datetime(elsewhere) == moment
    assert timestamps.parse(elsewhere.isoformat()) == moment


def test_a_naive_datetime_is_utc() -> None:
    """The time zone of the machine does not matter."""
    assert timestamps.from_datetime(datetime(1970, 1, 2)) == DAY  # noqa: DTZ001  # the point of the test


def test_to_datetime_gives_an_aware_datetime() -> None:
    """In UTC."""
    assert timestamps.to_datetime(0) == datetime(1970, 1, 1, tzinfo=UTC)


@given(MOMENTS)
@moderate
def test_the_text_of_a_moment_parses_to_its_millisecond(moment: int) -> None:
    """The whole millisecond at or before the moment."""
    assert timestamps.parse(timestamps.show(moment)) == timestamps.floor_ms(moment)


@given(MOMENTS)
@moderate
def test_the_text_of_a_moment_has_the_form_of_the_source(moment: int) -> None:
    """With milliseconds and Z, and always the same length, so that texts sort like moments."""
    text = timestamps.show(moment)
    assert (len(text), text[10], text[19], text[23]) == (24, "T", ".", "Z")


def test_a_year_below_1000_keeps_its_four_digits() -> None:
    """`--since 0001-01-01` means "from the beginning", and the source must be able to read it."""
    assert timestamps.show(timestamps.parse("0001-01-01")) == "0001-01-01T00:00:00.000Z"


@given(MOMENTS, MOMENTS)
@moderate
def test_a_bound_in_milliseconds_separates_microseconds_alike(moment: int, bound: int) -> None:
    """Whether the source compares milliseconds or microseconds makes no difference."""
    bound = timestamps.floor_ms(bound)
    assert (moment >= bound) == (timestamps.floor_ms(moment) >= bound)


@given(MOMENTS)
@moderate
def test_floor_ms_is_the_whole_millisecond_at_or_before(moment: int) -> None:
    """Also before 1970."""
    floored = timestamps.floor_ms(moment)
    assert floored % MILLISECOND == 0
    assert 0 <= moment - floored < MILLISECOND


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-02", DAY),
        ("1970-01-01T01:00:00Z", HOUR),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.123456Z", 123_456),
        ("1970-01-01 00:01", MINUTE),
    ],
)
def test_parse_reads_dates_and_times(text: str, expected: int) -> None:
    """With and without an offset."""
    assert timestamps.parse(text) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-02-30T00:00:00Z", "1767225600"])
def test_parse_refuses_other_texts(text: str) -> None:
    """A typing error is reported instead of guessed."""
    with pytest.raises(ValueError):
        timestamps.parse(text)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001  # hypothesis wants naive bounds
@moderate
def test_parse_http_date_reads_a_date_header(when: datetime) -> None:
    """To the second, as UTC."""
    when = when.replace(microsecond=0, tzinfo=UTC)
    header = format_datetime(when, usegmt=True)
    assert timestamps.parse_http_date(header) == timestamps.from_datetime(when)


@pytest.mark.parametrize("text", ["", "soon", "30", "2026-01-01T00:00:00Z"])
def test_parse_http_date_refuses_other_texts(text: str) -> None:
    """Including dates in other forms."""
    with pytest.raises(ValueError):
        timestamps.parse_http_date(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90", 90 * SECOND),
        ("90s", 90 * SECOND),
        (" 15 m ", 15 * MINUTE),
        ("48h", 48 * HOUR),
        ("7d", 7 * DAY),
        ("250ms", 250 * MILLISECOND),
        ("1.5h", 90 * MINUTE),
        ("1.15s", 1_150 * MILLISECOND),
        ("0", 0),
        ("1h30m", 90 * MINUTE),
        ("1H 30M", 90 * MINUTE),
        ("2d12h", 60 * HOUR),
        ("1 week 1 day 1 hour 5 min 2 sec 10ms", 8 * DAY + HOUR + 5 * MINUTE + 2 * SECOND + 10 * MILLISECOND),
    ],
)
def test_parse_duration_reads_every_unit(text: str, expected: int) -> None:
    """Alone or together, also fractions and words; without a unit, seconds."""
    assert timestamps.parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "-1s", "1 month", "1e3", "h", "1h30", "30m1h", "1h1h", "5min utes", "1.s", "١٥s"]
)
def test_parse_duration_refuses_other_texts(text: str) -> None:
    """The message shows the value and an example."""
    with pytest.raises(ValueError, match="is not a duration such as 90s"):
        timestamps.parse_duration(text)


def test_a_duration_has_a_limit() -> None:
    """About a hundred years: earlier moments could be before the year 1."""
    assert timestamps.parse_duration("36500d") == 36_500 * timestamps.DAY
    for text in ("36501d", "99999999999d", "9" * 5_000 + "h"):
        with pytest.raises(ValueError, match="longer than any history"):
            timestamps.parse_duration(text)


@pytest.mark.parametrize("seconds", [1, 40, 119, 121, 5_400, 86_400, 200_000, 40_000_000])
def test_a_duration_is_read_as_it_is_printed(seconds: int) -> None:
    """To the digits that are printed."""
    read = timestamps.parse_duration(duration(seconds)) / SECOND
    assert read == pytest.approx(seconds, rel=0.03)


@pytest.mark.parametrize(
    ("lower", "upper", "text"),
    [
        ("2026-11-29T14:15:59Z", "2026-11-29T14:30:00Z", "2026-11-29 14:15 → 14:30"),
        ("2026-11-28T14:15:00Z", "2026-11-29T14:15:00Z", "2026-11-28 14:15 → 2026-11-29 14:15"),
        ("2026-11-29T14:15:01Z", "2026-11-29T14:15:09.9Z", "2026-11-29 14:15:01 → 14:15:09"),
        ("2026-11-29T14:15:01Z", None, "2026-11-29 14:15 → now"),
    ],
)
def test_a_span_is_shown_to_the_minute(lower: str, upper: str | None, text: str) -> None:
    """With one date if both ends have the same."""
    end = timestamps.parse(upper) if upper is not None else None
    assert timestamps.show_span(timestamps.parse(lower), end) == text
