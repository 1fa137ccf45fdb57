"""Days in views are those of the warehouse's time zone, also when clocks change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from selection import first
from sql_rows import Rows

#: Zone, day, its hours, and its first moment in UTC.
DAYS = [
    ("Europe/Berlin", date(2026, 3, 29), 23, datetime(2026, 3, 28, 23, tzinfo=UTC)),
    ("Europe/Berlin", date(2026, 10, 25), 25, datetime(2026, 10, 24, 22, tzinfo=UTC)),
    ("America/New_York", date(2026, 3, 8), 23, datetime(2026, 3, 8, 5, tzinfo=UTC)),
    ("America/New_York", date(2026, 11, 1), 25, datetime(2026, 11, 1, 4, tzinfo=UTC)),
    ("Asia/Kolkata", date(2026, 8, 1), 24, datetime(2026, 7, 31, 18, 30, tzinfo=UTC)),
    ("UTC", date(2026, 8, 1), 24, datetime(2026, 8, 1, tzinfo=UTC)),
]


@pytest.fixture
def zoned(request: pytest.FixtureRequest, database: Rows) -> Iterator[Rows]:
    """No rows, and views with the days of a time zone."""
    database.clear()
    database.create_views(request.param)
    yield database
    database.create_views()


@pytest.mark.parametrize(
    ("zoned", "day", "hours", "begins"), first(DAYS, 1), indirect=["zoned"], ids=lambda value: str(value)
)
def test_a_day_has_the_sessions_of_its_hours(zoned: Rows, day: date, hours: int, begins: datetime) -> None:
    """One session each half hour of the day before, of 23 to 25 hours of this day, and of the day after."""
    first = begins - timedelta(days=1)
    for number in range(2 * (24 + hours + 24)):
        zoned.session(f"s{number:03d}", created_at=first + number * timedelta(minutes=30), cost_usd=0.5)
    expected = [(day - timedelta(days=1), 48), (day, 2 * hours), (day + timedelta(days=1), 48)]
    for view in ("cost_by_day", "sessions_by_day"):
        assert zoned.run(f"SELECT day, session_count FROM {view} ORDER BY day") == expected
    assert zoned.run("SELECT cost_usd FROM cost_by_day ORDER BY day") == [(24.0,), (float(hours),), (24.0,)]


@pytest.mark.parametrize("zoned", ["Europe/Berlin"], indirect=True)
def test_durations_do_not_depend_on_the_time_zone(zoned: Rows) -> None:
    """Three hours are three hours, also in the night in which clocks change."""
    begins = datetime(2026, 3, 29, 0, tzinfo=UTC)
    zoned.session("a", created_at=begins, customer_id="c")
    zoned.session("b", created_at=begins + timedelta(hours=3), customer_id="c")
    found = zoned.run("SELECT seconds_since_previous FROM customer_journey ORDER BY created_at")
    assert found == [(None,), (3 * 3600.0,)]
