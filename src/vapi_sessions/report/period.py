"""The period that the report is about, and the one before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from vapi_sessions.errors import ConfigurationError

if TYPE_CHECKING:
    import duckdb

Row = dict[str, Any]

#: Lengths in days of a period that nobody chose. The longest of which the history holds two is taken, so that there is a comparison.
LENGTHS: Final = (30, 14, 7, 1)
#: A history of more days is shown by week.
MOST_DAYS: Final = 731


@dataclass(frozen=True)
class Period:
    """From the start of a day up to `until`, the time up to which the warehouse is complete; days are those of `zone`."""

    since: datetime
    until: datetime
    zone: ZoneInfo
    chosen: bool
    first_day: date
    last_day: date
    history_first_day: date
    history_last_day: date

    @property
    def before(self) -> tuple[datetime, datetime]:
        """Start and end of the period before: as many days earlier by the clock on the wall, so it has the same length."""
        days = timedelta(days=self.days)
        return self.since - days, self.until.astimezone(self.zone) - days

    @property
    def days(self) -> int:
        """The number of days that it touches."""
        return (self.last_day - self.first_day).days + 1

    @property
    def has_before(self) -> bool:
        """Whether the history begins early enough for a comparison."""
        return self.history_first_day <= self.before[0].date()

    @property
    def weekly(self) -> bool:
        """Whether series over the whole history have one value a week."""
        return (self.history_last_day - self.history_first_day).days >= MOST_DAYS

    @property
    def buckets(self) -> int:
        """How many days or weeks the history has."""
        return (self.history_last_day - self.history_first_day).days // (7 if self.weekly else 1) + 1

    def bucket(self, column: str = "day") -> str:
        """SQL: the first day of a value of a series over time."""
        return f"CAST(date_trunc('week', {column}) AS DATE)" if self.weekly else column


class Reader:
    """Queries on the published tables and views. Rows are dictionaries."""

    def __init__(self, db: duckdb.DuckDBPyConnection) -> None:
        self._db = db

    def rows(self, sql: str, **values: object) -> list[Row]:
        """All rows of a query. A value is named `$name` in it."""
        cursor = self._db.execute(sql, values or None)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def keep(self, view: str, columns: str, condition: str = "true", **values: object) -> None:
        """Compute a view once, as `kept.VIEW` with these columns, because several questions need it."""
        self.rows("CREATE SCHEMA IF NOT EXISTS memory.kept")
        self.rows(
            f"CREATE OR REPLACE TABLE memory.kept.{view} AS SELECT {columns} FROM {view} WHERE {condition}",
            **values,
        )

    def row(self, sql: str, **values: object) -> Row:
        """The row of a query that has exactly one."""
        (row,) = self.rows(sql, **values)
        return row


def freshness(reader: Reader) -> Row:
    """The row of the view `freshness`; empty if nothing was published."""
    found = reader.rows("FROM freshness")
    return found[0] if found else {}


def choose(reader: Reader, fresh: Row, since: date | None) -> Period | None:
    """The period from `since` on; without it, the last 30, 14 or 7 days or the last day, whichever allows a comparison.

    A shorter or quiet history is shown as a whole, and so is one that begins after `since`. None if there is no session. Raises ConfigurationError if `since` is not
    before the end of the data.
    """
    history = reader.row("SELECT min(created_at) AS first, max(created_at) AS last FROM session_facts")
    if history["first"] is None:
        return None
    zone = ZoneInfo(fresh.get("time_zone") or "UTC")
    until = fresh.get("complete_until") or history["last"]
    first_day, last_day = (history[name].astimezone(zone).date() for name in ("first", "last"))
    end = until.astimezone(zone).date()
    chosen = since is not None
    if since is None:
        lengths = [days for days in LENGTHS if end - timedelta(days=2 * days - 1) >= first_day]
        starts = [end - timedelta(days=days - 1) for days in lengths]
        since = next((start for start in starts if start <= last_day), first_day)
    start = datetime.combine(since, time(), zone)
    if start >= until:
        if chosen:
            raise ConfigurationError(
                f"--since {since} is not before the end of the data, {until.astimezone(zone):%Y-%m-%d %H:%M}.",
                "Give an earlier day.",
            )
        until = history["last"] + timedelta(microseconds=1)  # the first sync has not finished
        end = until.astimezone(zone).date()
    if since < first_day:
        since, start = first_day, datetime.combine(first_day, time(), zone)
    return Period(start, until, zone, chosen, since, max(end, since), first_day, max(last_day, end))
