"""A warehouse that publishes at chosen times, and sessions with rows in every table."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batches import Warehouse, observation
from constants import EPOCH
from published import looking
from vapi_sessions import schema
from vapi_sessions.core.timestamps import DAY, SECOND
from vapi_sessions.transform.resolve import Observation
from vapi_sessions.warehouse import part_sizes
from vapi_sessions.warehouse.snapshots import Publisher

#: The tables, in their order.
NAMES: Final = [table.name for table in schema.TABLES]
JANUARY, FEBRUARY, MARCH = EPOCH - 45 * DAY, EPOCH - 15 * DAY, EPOCH + 5 * DAY

Tables = dict[str, list[dict[str, Any]]]


class PublishedWarehouse(Warehouse):
    """A warehouse with a clock: by default one second passes before each publication."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.now = EPOCH + 100 * DAY

    def publish(self, *, force: bool = False, after: int = SECOND) -> bool:
        """Publish after this time, µs."""
        self.now += after
        publisher = Publisher(self.index, self.layout, self.staging, lambda: self.now)
        return publisher.publish(force=force)

    @property
    def snapshot(self) -> Path:
        """The newest snapshot, by `parquet/latest`."""
        return (self.layout.parquet / "latest").resolve()

    def snapshots(self) -> list[str]:
        """The names of all snapshots."""
        return sorted(p.name for p in self.layout.parquet.iterdir() if p.is_dir() and not p.is_symlink())

    def files(self, table: str) -> list[Path]:
        """The files of a table in the newest snapshot."""
        return sorted(self.snapshot.glob(f"{table}/*/*.parquet"))

    def inodes(self) -> dict[str, int]:
        """The inode of each file in the newest snapshot, by its path inside."""
        return {
            str(path.relative_to(self.snapshot)): path.stat().st_ino
            for path in self.snapshot.rglob("*.parquet")
        }

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a reader's query."""
        with looking(self.layout.root) as db:
            return db.execute(sql).fetchall()

    def tables(self) -> Tables:
        """Every published row."""
        return {
            table.name: by_key(table, pa.concat_tables(map(pq.read_table, self.files(table.name))))
            for table in schema.TABLES
        }

    def everything(self) -> dict[str, Any]:
        """All that a publication can change: files by name and content, and the index."""
        found: dict[str, Any] = {
            str(path.relative_to(self.layout.root)): path.read_bytes()
            for path in (self.layout.published, *self.layout.parquet.rglob("*.parquet"))
        }
        return found | {"index": self.contents()}


def by_key(table: schema.Table, rows: pa.Table) -> list[dict[str, Any]]:
    """Rows sorted by the table's key."""
    return sorted(rows.to_pylist(), key=lambda row: [row[name] for name in table.key])


def full(
    session_id: str,
    seq: int,
    created: int = EPOCH,
    *,
    updated: int = 0,
    other: bool = False,
    **fields: Any,
) -> Observation:
    """A session with a row in every table. `updated`: µs after its creation; `other`: with different rows; `fields` replace some."""
    call = {"id": "c", "type": "function", "function": {"name": "f"}}
    given: dict[str, Any] = {
        "messages": [
            {"role": "user", "content": "Hello, others" if other else "Hello, «you»"},
            {"role": "assistant", "tool_calls": [call]},
        ],
        "costs": [{"type": "session", "cost": 0.75 if other else 0.5}],
        "artifact": {"structuredOutputs": {"o": {"name": "CSAT", "result": {"score": 4 if other else 5}}}},
        "metadata": {"variableValues": {"a": 1}},
    }
    return observation(session_id, seq, created=created, updated=created + updated, **given | fields)


def with_three_months(warehouse: PublishedWarehouse) -> PublishedWarehouse:
    """The warehouse with one published session in each of three months."""
    warehouse.merge(full("jan", 1, JANUARY), full("feb", 2, FEBRUARY), full("mar", 3, MARCH))
    warehouse.publish()
    return warehouse


def small_parts(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Allow at most this many sessions in a part, among the newest sessions too."""
    monkeypatch.setattr(part_sizes, "SESSIONS_A_PART", most)
    monkeypatch.setattr(part_sizes, "SESSIONS_A_NEW_PART", most)


def full_disk(*given: object, **named: object) -> Any:
    """Stands for a function that finds the disk full."""
    raise OSError(28, "No space left on device")
