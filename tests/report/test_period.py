"""The period of a report: its default, `--since`, and the period before."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from reporting import reader_of

from selection import first
from sql_rows import MORNING, Rows, after
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.report.period import Reader, choose, freshness


def history(rows: Rows, days: int) -> None:
    """A session on the first and on the last of so many days; everything is complete until an hour after the last."""
    rows.session("first", created_at=after(days=1 - days))
    rows.session("last", created_at=MORNING)
    rows.complete_until(after(3600))


@pytest.mark.parametrize(
    ("days", "length"), first([(90, 30), (60, 30), (59, 14), (28, 14), (27, 7), (13, 1), (2, 1), (1, 1)], 3)
)
def test_the_default_is_the_longest_period_with_another_before_it(rows: Rows, days: int, length: int) -> None:
    """30, 14 or 7 days or one; and it ends at the time until which the warehouse is complete."""
    history(rows, days)
    _, period = reader_of(rows)
    assert period.days == length
    assert period.until == after(3600)
    assert period.has_before is (days > 1)


def test_the_period_before_is_as_many_days_earlier(rows: Rows) -> None:
    """From midnight to ten in the morning of the fourteenth day, both times: the same length, and the same weekdays."""
    history(rows, 40)
    _, period = reader_of(rows)
    assert (period.first_day, period.last_day) == (date(2026, 7, 19), date(2026, 8, 1))
    assert period.before == (datetime(2026, 7, 5, tzinfo=UTC), datetime(2026, 7, 18, 10, tzinfo=UTC))


def test_since_is_the_first_day_in_the_time_zone_of_the_warehouse() -> None:
    """Midnight in Auckland is noon of the day before in UTC."""
    rows = Rows()
    rows.create_views("Pacific/Auckland")
    history(rows, 40)
    rows.state(time_zone="Pacific/Auckland")
    _, period = reader_of(rows, date(2026, 7, 20))
    assert period.since == datetime(2026, 7, 20, tzinfo=ZoneInfo("Pacific/Auckland"))
    assert period.since.utctimetuple().tm_mday == 19


def test_since_must_be_before_the_end_of_the_data(rows: Rows) -> None:
    """The message names both."""
    history(rows, 40)
    reader = Reader(rows.connection)
    with pytest.raises(ConfigurationError, match=r"--since 2026-08-02 .* 2026-08-01 10:00"):
        choose(reader, freshness(reader), date(2026, 8, 2))


def test_a_quiet_month_is_not_an_empty_report(rows: Rows) -> None:
    """If the last days have no session, the whole history is the period."""
    rows.session("old", created_at=after(days=-200))
    rows.session("less old", created_at=after(days=-100))
    rows.complete_until(after(3600))
    _, period = reader_of(rows)
    assert period.first_day == date(2026, 1, 13)
    assert not period.has_before


def test_a_first_sync_that_has_not_finished_has_a_period(rows: Rows) -> None:
    """Nothing is complete yet: the data end with the newest session."""
    rows.session()
    rows.published()
    _, period = reader_of(rows)
    assert (period.first_day, period.last_day) == (date(2026, 8, 1), date(2026, 8, 1))


def test_two_years_are_shown_by_week(rows: Rows) -> None:
    """Up to that, by day."""
    history(rows, 731)
    assert not reader_of(rows)[1].weekly
    rows.session("older", created_at=after(days=-731))
    assert reader_of(rows)[1].weekly


def test_a_warehouse_without_a_session_has_no_period(rows: Rows) -> None:
    """The page says so instead."""
    rows.published()
    reader = Reader(rows.connection)
    assert choose(reader, freshness(reader), None) is None


@pytest.mark.parametrize("since", first([date(1, 1, 1), date(1990, 1, 1), date(2026, 6, 22)]))
def test_a_period_does_not_begin_before_the_history(rows: Rows, since: date) -> None:
    """However early the day that was given."""
    history(rows, 40)
    _, period = reader_of(rows, since)
    assert (period.first_day, period.days, period.has_before) == (date(2026, 6, 23), 40, False)
