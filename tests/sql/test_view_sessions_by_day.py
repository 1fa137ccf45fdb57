"""The view `sessions_by_day` on small hand-made data."""

from datetime import date

from sql_rows import MORNING, SOME_DAY, Rows, after
from vapi_sessions.warehouse.index_schema import INTERVALS


def test_sessions_by_day_shows_quiet_days(rows: Rows) -> None:
    """A day without sessions between two busy days is a row of zeros, with null averages."""
    rows.session("s1", message_count=4)
    rows.session("s2", message_count=0, status="active")
    rows.session("s3", created_at=after(days=2), message_count=3, tool_call_count=2, status="completed")
    found = rows.run(
        "SELECT day, session_count, active_session_count, completed_session_count, empty_session_count,"
        " message_count, tool_call_count, messages_per_session FROM sessions_by_day ORDER BY day"
    )
    assert found == [
        (SOME_DAY, 2, 1, 0, 1, 4, 0, 2.0),
        (date(2026, 8, 2), 0, 0, 0, 0, 0, 0, None),
        (date(2026, 8, 3), 1, 0, 1, 0, 3, 2, 3.0),
    ]


def test_sessions_by_day_cuts_days_in_utc(rows: Rows) -> None:
    """A session belongs to its UTC day, in every time zone of the reader."""
    rows.session("s1", created_at=after(15 * 3600 - 1), customer_id="c")
    assert rows.run("SELECT day, session_count, customer_count FROM sessions_by_day") == [(SOME_DAY, 1, 1)]


def test_sessions_by_day_counts_each_customer_once(rows: Rows) -> None:
    """Customers are distinct within a day, and sessions without a customer are not counted as one."""
    rows.session("s1", customer_number="+15550001")
    rows.session("s2", customer_number="+15550001")
    rows.session("s3", customer_number="+15550002", deleted_at=after(60))
    rows.session("s4")
    found = rows.run("SELECT session_count, customer_count, deleted_session_count FROM sessions_by_day")
    assert found == [(4, 2, 1)]


def test_sessions_by_day_counts_expired_sessions_as_no_longer_active(rows: Rows) -> None:
    """Their status stays active at the source. A status that is neither active nor completed is in no column but expired."""
    rows.state(origin=str(int(MORNING.timestamp()) * 1_000_000))
    rows.insert(INTERVALS, org_id="org", lower_bound=MORNING, upper_bound=after(days=3))
    rows.session("s1", status="active", expires_at=after(days=1))
    rows.session("s2", status="active", expires_at=after(days=30))
    rows.session("s3", status="completed", expires_at=after(days=1))
    rows.session("s4", status="paused", expires_at=after(days=1))
    found = rows.run(
        "SELECT session_count, active_session_count, completed_session_count, expired_session_count"
        " FROM sessions_by_day"
    )
    assert found == [(4, 1, 1, 2)]


def test_sessions_by_day_counts_joined_customers(rows: Rows) -> None:
    """One person with two identities on one day is one customer."""
    rows.session("s1", customer_id="c")
    rows.session("s2", customer_number="+1")
    rows.session("s3", customer_number="+1", customer_id="c", created_at=after(days=1))
    assert rows.run("SELECT customer_count FROM sessions_by_day ORDER BY day") == [(1,), (1,)]
