"""A warehouse of hand-made rows: the tables as they are declared, the views as they are published."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from vapi_sessions.schema import MESSAGES, SESSIONS, TABLES, Table

SQL = Path(__file__).parent.parent / "sql"
VIEW_FILES = sorted((SQL / "views").glob("*.sql"))
CHECK_FILES = sorted((SQL / "checks").glob("*.sql"))
MORNING = datetime(2026, 8, 1, 9, tzinfo=UTC)

Row = dict[str, Any]


def after(seconds: float = 0, *, days: int = 0) -> datetime:
    """A moment counted from `MORNING`."""
    return MORNING + timedelta(days=days, seconds=seconds)


class Rows:
    """An in-memory database in which required columns that nobody cares about fill themselves."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()
        self.created: dict[str, datetime] = {}
        # A day must not depend on where the reader sits: half of the tests would fail if a view read local time.
        self.run("SET TimeZone = 'Pacific/Auckland'")
        self.run("ATTACH ':memory:' AS store")
        for table in TABLES:
            self.run("USE store")
            self.run(table.ddl())
            self.run("USE memory")
            columns = ", ".join(
                f"CAST({c.name} AS JSON) AS {c.name}" if c.type == "JSON" else c.name for c in table.columns
            )
            self.run(f"CREATE VIEW {table.name} AS SELECT {columns} FROM store.{table.name}")

    def run(self, sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows of one statement: the next one needs them drained."""
        return self.connection.execute(sql, parameters).fetchall()

    def rows(self, sql: str) -> list[Row]:
        """All rows of one query, by column name."""
        cursor = self.connection.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def clear(self) -> None:
        """Removes all rows: quicker than another database for each test."""
        for table in TABLES:
            self.run(f"DELETE FROM store.{table.name}")
        self.created.clear()

    def create_views(self) -> None:
        """Loads every view file in the order of their names, as the publication does."""
        for file in VIEW_FILES:
            self.run(file.read_text(encoding="utf-8"))

    def check(self, name: str) -> list[Row]:
        """What the check of that name finds."""
        return self.rows((SQL / "checks" / f"{name}.sql").read_text(encoding="utf-8"))

    def insert(self, table: Table, **values: Any) -> None:
        """One row, exactly as given but for required columns that were left out."""
        fillers = {"VARCHAR": "x", "JSON": "{}", "TIMESTAMPTZ": MORNING}
        for column in table.columns:
            if column.required:
                values.setdefault(column.name, fillers.get(column.type, 0))
        names = ", ".join(values)
        self.run(
            f"INSERT INTO store.{table.name} ({names}) VALUES ({', '.join('?' * len(values))})",
            list(values.values()),
        )

    def session(self, session_id: str = "s1", **values: Any) -> None:
        """A session, created at `MORNING` unless said otherwise."""
        values.setdefault("created_at", MORNING)
        values.setdefault("updated_at", values["created_at"] + timedelta(hours=1))
        self.created[session_id] = values["created_at"]
        self.insert(SESSIONS, session_id=session_id, org_id="org", **values)

    def child(self, table: Table, session_id: str, **values: Any) -> None:
        """A row of a child table, with its session's creation time."""
        values.setdefault("session_created_at", self.created.get(session_id, MORNING))
        self.insert(table, session_id=session_id, **values)

    def messages(self, session_id: str, *messages: Row | tuple[str, str | None]) -> None:
        """A conversation from index 0: `(role, content)`, or a dict of columns."""
        for index, message in enumerate(messages):
            values = message if isinstance(message, dict) else {"role": message[0], "content": message[1]}
            self.child(MESSAGES, session_id, **{"message_index": index, **values})
