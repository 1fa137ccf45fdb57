"""The view `busiest_hours` on small hand-made data. `MORNING` is a Saturday, nine o'clock."""

from sql_rows import Rows, after


def test_all_hours_of_the_week_have_a_row(rows: Rows) -> None:
    """168 rows, Monday first; one session is in one of them."""
    rows.session("s1", message_count=4)
    found = rows.run("SELECT weekday, weekday_name, hour FROM busiest_hours ORDER BY weekday, hour")
    assert len(found) == 168
    assert (found[0], found[-1]) == ((1, "Monday", 0), (7, "Sunday", 23))
    busy = rows.run("FROM busiest_hours WHERE session_count > 0")
    assert busy == [(6, "Saturday", 9, 1, 4, 1.0, 1.0)]


def test_weekdays_outside_of_the_data_have_no_average(rows: Rows) -> None:
    """If the data has no Monday, nothing is known of Mondays; a quiet hour of a known day is zero."""
    rows.session("s1")
    found = rows.run(
        "SELECT DISTINCT weekday, session_count, sessions_per_day FROM busiest_hours WHERE hour = 3 ORDER BY ALL"
    )
    assert found == [(day, 0, 0.0 if day == 6 else None) for day in range(1, 8)]


def test_average_counts_days_without_sessions(rows: Rows) -> None:
    """Three Saturdays, one of them quiet: three sessions are one a day, and Sundays in between count, too."""
    for number, (days, seconds) in enumerate([(0, 0), (0, 3599), (14, 60), (8, 0)]):
        rows.session(
            f"s{number}", created_at=after(seconds, days=days), message_count=1, deleted_at=after(days=20)
        )
    found = rows.run(
        "SELECT weekday_name, hour, session_count, message_count, sessions_per_day, share"
        " FROM busiest_hours WHERE session_count > 0 ORDER BY weekday"
    )
    assert found == [("Saturday", 9, 3, 3, 1.0, 0.75), ("Sunday", 9, 1, 1, 0.5, 0.25)]


def test_shares_add_up_to_one(rows: Rows) -> None:
    """Seven sessions in seven hours."""
    for hour in range(7):
        rows.session(f"s{hour}", created_at=after(3600 * hour))
    assert rows.run("SELECT ROUND(SUM(share), 5), SUM(session_count) FROM busiest_hours") == [(1.0, 7)]
