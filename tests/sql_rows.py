"""An in-memory warehouse of hand-made rows: declared tables, the ledger and published views."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from vapi_sessions.core.paths import literal
from vapi_sessions.schema import MESSAGES, SESSIONS, TABLES, Table
from vapi_sessions.warehouse.index_schema import INTERVALS, STATE, SYNC_TABLES
from vapi_sessions.warehouse.view_files import view_files

SQL = Path(__file__).parent.parent / "sql"
VIEW_FILES = sorted((SQL / "views").glob("*.sql"))
CHECK_FILES = sorted((SQL / "checks").glob("*.sql"))
MORNING = datetime(2026, 8, 1, 9, tzinfo=UTC)
#: The UTC day of `MORNING`.
SOME_DAY = date(2026, 8, 1)

Row = dict[str, Any]


def after(seconds: float = 0, *, days: int = 0) -> datetime:
    """A moment counted from `MORNING`."""
    return MORNING + timedelta(days=days, seconds=seconds)


class Rows:
    """An in-memory database that fills required columns which a test does not give."""

    def __init__(self, made: Path | None = None) -> None:
        """`made`: a database with the views of another one, see `keep_views`."""
        self.connection = duckdb.connect()
        self.created: dict[str, datetime] = {}
        # A time zone far from UTC: tests fail if a view reads local time.
        self.run("SET TimeZone = 'Pacific/Auckland'")
        self.run("ATTACH ':memory:' AS store")
        self.run("USE store")
        for table in TABLES:
            self.run(table.ddl())
        self.run("USE memory")
        if made is not None:
            self.run(f"ATTACH {literal(made)} AS made (READ_ONLY)")
            self.run("COPY FROM DATABASE made TO memory (SCHEMA)")
            self.run("DETACH made")
            return
        for table in TABLES:
            columns = ", ".join(
                f"CAST({c.name} AS JSON) AS {c.name}" if c.type == "JSON" else c.name for c in table.columns
            )
            self.run(f"CREATE VIEW {table.name} AS SELECT {columns} FROM store.{table.name}")
        self.run("CREATE SCHEMA sync")
        for table in SYNC_TABLES:
            self.run(table.ddl("sync"))

    def run(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of one statement. Fetched at once, because an open result blocks the next statement."""
        return self.connection.execute(sql, parameters).fetchall()

    def rows(self, sql: str) -> list[Row]:
        """All rows of one query, by column name."""
        cursor = self.connection.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def only(self, sql: str) -> Row:
        """The row of a query that returns exactly one."""
        (row,) = self.rows(sql)
        return row

    def clear(self) -> None:
        """Remove all rows; faster than a new database for each test."""
        for table in TABLES:
            self.run(f"DELETE FROM store.{table.name}")
        for table in SYNC_TABLES:
            self.run(f"DELETE FROM sync.{table.name}")
        self.created.clear()

    def create_views(self, zone: str = "UTC") -> None:
        """Create every view, with days in this time zone, as the publication does."""
        for view in view_files():
            self.run(view.statement(zone))

    def keep_views(self, made: Path) -> None:
        """Write the tables of the ledger and the views to a database: copying them takes a tenth of the time."""
        self.run(f"ATTACH {literal(made)} AS made")
        self.run("COPY FROM DATABASE memory TO made (SCHEMA)")
        self.run("DETACH made")

    def check(self, name: str) -> list[Row]:
        """The rows that the check of that name returns."""
        return self.rows((SQL / "checks" / f"{name}.sql").read_text(encoding="utf-8"))

    def insert(self, table: Table, **values: Any) -> None:
        """Insert one row as given, also into a table of `sync`; required columns that were left out are filled."""
        fillers = {"VARCHAR": "x", "JSON": "{}", "TIMESTAMPTZ": MORNING, "BOOLEAN": False}
        for column in table.columns:
            if column.required:
                values.setdefault(column.name, fillers.get(column.type, 0))
        names = ", ".join(values)
        place = "sync" if table in SYNC_TABLES else "store"
        self.run(
            f"INSERT INTO {place}.{table.name} ({names}) VALUES ({', '.join('?' * len(values))})",
            list(values.values()),
        )

    def state(self, **facts: str) -> None:
        """Insert facts into `sync.state`."""
        for key, value in facts.items():
            self.insert(STATE, key=key, value=value)

    def published(self, **facts: str | datetime) -> None:
        """Insert the facts of a published warehouse. Moments are stored as text, in µs, as the publication does."""
        for key, value in {"published_at": MORNING, **facts}.items():
            self.state(**{key: f"{value.timestamp() * 1e6:.0f}" if isinstance(value, datetime) else value})

    def complete_until(self, moment: datetime) -> None:
        """Publish a warehouse that holds all changes before `moment`."""
        origin = datetime(2020, 1, 1, tzinfo=UTC)
        self.published(origin=origin)
        self.insert(INTERVALS, org_id="org", lower_bound=origin, upper_bound=moment)

    def session(self, session_id: str = "s1", **values: Any) -> None:
        """Insert a session, created at `MORNING` by default."""
        values.setdefault("created_at", MORNING)
        values.setdefault("updated_at", values["created_at"] + timedelta(hours=1))
        self.created[session_id] = values["created_at"]
        self.insert(SESSIONS, session_id=session_id, org_id="org", **values)

    def child(self, table: Table, session_id: str, **values: Any) -> None:
        """Insert a row of a child table, with its session's creation time."""
        values.setdefault("session_created_at", self.created.get(session_id, MORNING))
        self.insert(table, session_id=session_id, **values)

    def messages(self, session_id: str, *messages: Row | tuple[str, str | None]) -> None:
        """Insert a conversation from index 0; each message is `(role, content)` or a dict of columns."""
        for index, message in enumerate(messages):
            values = message if isinstance(message, dict) else {"role": message[0], "content": message[1]}
            self.child(MESSAGES, session_id, **{"message_index": index, **values})
