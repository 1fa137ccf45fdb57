"""Moments as whole microseconds, and the texts they come from and go to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection import examples
from vapi_sessions.core import timestamps
from vapi_sessions.core.timestamps import DAY, HOUR, MILLISECOND, MINUTE, SECOND

moderate = examples(200)

#: 1900 to 2100: every moment that can occur in a session, and some that cannot.
MOMENTS = st.integers(-2_208_988_800 * SECOND, 4_102_444_800 * SECOND)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(MOMENTS)
@moderate
def test_datetime_round_trip(moment: int) -> None:
    """No microsecond is lost on the way to a datetime and back."""
    assert timestamps.from_datetime(timestamps.to_datetime(moment)) == moment


@given(MOMENTS, OFFSETS)
@moderate
def test_the_same_moment_in_any_zone_is_the_same_number(moment: int, offset: timezone) -> None:
    """The offset changes the text, not the moment."""
    elsewhere = timestamps.to_datetime(moment).astimezone(offset)
    assert timestamps.from_datetime(elsewhere) == moment
    assert timestamps.parse(elsewhere.isoformat()) == moment


def test_a_naive_datetime_is_utc() -> None:
    """Nothing depends on where the machine stands."""
    assert timestamps.from_datetime(datetime(1970, 1, 2)) == DAY  # noqa: DTZ001  # the point of the test


def test_to_datetime_is_aware() -> None:
    """Naive datetimes do not leave the module."""
    assert timestamps.to_datetime(0) == datetime(1970, 1, 1, tzinfo=UTC)


@given(MOMENTS)
@moderate
def test_shown_moments_parse_to_their_millisecond(moment: int) -> None:
    """What is sent to the source is the whole millisecond at or before the moment."""
    assert timestamps.parse(timestamps.show(moment)) == timestamps.floor_ms(moment)


@given(MOMENTS)
@moderate
def test_shown_moments_have_the_form_of_the_source(moment: int) -> None:
    """Milliseconds and Z, of constant length, so that texts sort as moments do."""
    text = timestamps.show(moment)
    assert (len(text), text[10], text[19], text[23]) == (24, "T", ".", "Z")


def test_a_year_below_1000_keeps_its_four_digits() -> None:
    """`--since 0001-01-01` says "from the beginning"; the source must be able to read it."""
    assert timestamps.show(timestamps.parse("0001-01-01")) == "0001-01-01T00:00:00.000Z"


@given(MOMENTS, MOMENTS)
@moderate
def test_bounds_in_whole_milliseconds_cut_alike_with_and_without_microseconds(
    moment: int, bound: int
) -> None:
    """The source shows milliseconds and keeps microseconds: for a whole millisecond both say the same."""
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
def test_parse(text: str, expected: int) -> None:
    """Dates and date-times, with and without an offset."""
    assert timestamps.parse(text) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-02-30T00:00:00Z", "1767225600"])
def test_parse_refuses_what_is_no_date(text: str) -> None:
    """A typing error is told, not guessed at."""
    with pytest.raises(ValueError):
        timestamps.parse(text)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001  # hypothesis wants naive bounds
@moderate
def test_http_dates(when: datetime) -> None:
    """The Date header is read to the second, as UTC."""
    when = when.replace(microsecond=0, tzinfo=UTC)
    header = format_datetime(when, usegmt=True)
    assert timestamps.parse_http_date(header) == timestamps.from_datetime(when)


@pytest.mark.parametrize("text", ["", "soon", "30", "2026-01-01T00:00:00Z"])
def test_http_date_refuses_what_is_none(text: str) -> None:
    """Another form in the Date header is no clock."""
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
        ("0", 0),
    ],
)
def test_durations(text: str, expected: int) -> None:
    """Each unit, fractions, and seconds where no unit is given."""
    assert timestamps.parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "-1s", "1 week", "1e3", "h", "1h30m", "1.s", "١٥x"])
def test_durations_refuse_anything_else(text: str) -> None:
    """The message names the value and shows how to write one."""
    with pytest.raises(ValueError, match="is not a duration such as 90s"):
        timestamps.parse_duration(text)


def test_a_duration_is_no_longer_than_any_history() -> None:
    """More than a hundred years before now is before what some calendars begin with."""
    assert timestamps.parse_duration("36500d") == 36_500 * timestamps.DAY
    with pytest.raises(ValueError, match="longer than any history"):
        timestamps.parse_duration("36501d")
