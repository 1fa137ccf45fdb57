"""Published files that are missing or damaged are repaired by the next publication; leftovers of killed processes are removed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from publications import (
    MARCH,
    NAMES,
    PublishedWarehouse,
    full,
    full_disk,
    with_three_months,
)

from published import NEW_VIEWS
from selection import first
from vapi_sessions.core.timestamps import HOUR
from vapi_sessions.errors import WarehouseError
from vapi_sessions.warehouse import parts, views


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[PublishedWarehouse]:
    """An empty warehouse."""
    with PublishedWarehouse(tmp_path / "warehouse") as opened:
        yield opened


@pytest.fixture
def three_months(warehouse: PublishedWarehouse) -> PublishedWarehouse:
    """One published session in each of three months."""
    return with_three_months(warehouse)


def lose_file(warehouse: PublishedWarehouse) -> None:
    """Remove one file of the newest snapshot."""
    next(warehouse.snapshot.joinpath("messages").rglob("*.parquet")).unlink()


def lose_snapshot(warehouse: PublishedWarehouse) -> None:
    """Remove the newest snapshot."""
    for path in sorted(warehouse.snapshot.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    warehouse.snapshot.rmdir()


def lose_views(warehouse: PublishedWarehouse) -> None:
    """Remove `vapi.duckdb`."""
    warehouse.layout.published.unlink()


def lose_link(warehouse: PublishedWarehouse) -> None:
    """Remove the link to the newest snapshot."""
    (warehouse.layout.parquet / "latest").unlink()


def lose_everything(warehouse: PublishedWarehouse) -> None:
    """Remove all that was published."""
    lose_snapshot(warehouse)
    lose_link(warehouse)
    lose_views(warehouse)


@pytest.mark.parametrize(
    ("lose", "change"),
    first(
        [
            (lose_file, False),
            (lose_snapshot, True),
            (lose_file, True),
            (lose_snapshot, False),
            (lose_views, False),
            (lose_link, False),
            (lose_everything, False),
        ],
        1,
    ),
    ids=lambda value: value.__name__ if callable(value) else "and a change" if value else "",
)
def test_missing_published_files_are_written_again(
    three_months: PublishedWarehouse, lose: Callable[[PublishedWarehouse], None], change: bool
) -> None:
    """The next publication repairs them, with or without a change of the data."""
    lose(three_months)
    if change:
        three_months.merge(full("mar", 9, MARCH, updated=HOUR))
    three_months.publish()
    assert three_months.ask("SELECT count(*) FROM sessions") == [(3,)]
    assert three_months.ask("SELECT count(*) FROM messages") == [(6,)]
    assert len(three_months.inodes()) == 3 * len(NAMES)


def test_a_forced_publication_writes_every_file_again(three_months: PublishedWarehouse) -> None:
    """Damage inside a file is repaired too."""
    victim = next(three_months.snapshot.joinpath("messages").rglob("*.parquet"))
    before = three_months.inodes()
    data = bytearray(victim.read_bytes())
    data[10:60] = bytes(50)
    victim.write_bytes(data)
    assert three_months.publish(force=True) is True
    assert not set(three_months.inodes().values()) & set(before.values())
    assert three_months.ask("SELECT count(*), min(length(content)) FROM messages") == [(6, 12)]


def test_drafts_of_a_killed_process_are_removed(three_months: PublishedWarehouse) -> None:
    """A half-written snapshot, and a half-built database with its log."""
    layout = three_months.layout
    draft = layout.parquet / ".20260101T000000Z-000001.tmp"
    (draft / "sessions").mkdir(parents=True)
    (draft / "sessions" / "half.parquet").write_bytes(b"PAR1")
    code = (
        "import duckdb, os, sys; db = duckdb.connect(sys.argv[1])\n"
        "db.execute('CREATE SCHEMA sync').fetchall(); db.execute('CREATE TABLE sync.runs (a INT)').fetchall()\n"
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(layout.scratch / "vapi.duckdb")], check=False)
    assert (layout.scratch / "vapi.duckdb.wal").exists()
    three_months.publish()
    assert not draft.exists()
    assert list(layout.scratch.iterdir()) == []
    assert three_months.ask("SELECT count(*) FROM sync.runs") == [(0,)]


@pytest.mark.parametrize(
    "statement", first(["CREATE TABLE mine AS SELECT 1 AS a", "UPDATE sync.parts SET sessions = 999"])
)
def test_a_log_beside_the_published_database_is_removed(
    three_months: PublishedWarehouse, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """Another program wrote to `vapi.duckdb` and was killed. Its log belongs to a file that the next publication replaces."""
    monkeypatch.setattr(
        views, "new_views", NEW_VIEWS
    )  # not a copy: copies have one identity, so DuckDB would take the log of one for that of another
    three_months.publish()
    before = three_months.ask("SELECT sum(sessions), count(*) FROM sync.parts")
    code = f"import duckdb, os, sys; db = duckdb.connect(sys.argv[1]); db.execute('{statement}').fetchall(); os._exit(9)"
    subprocess.run([sys.executable, "-c", code, str(three_months.layout.published)], check=False)
    log = three_months.layout.root / "vapi.duckdb.wal"
    assert log.exists()
    three_months.publish()
    assert not log.exists()
    assert three_months.ask("SELECT sum(sessions), count(*) FROM sync.parts") == before
    assert three_months.ask("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'mine'") == [(0,)]


def test_a_full_disk_leaves_the_published_state_unchanged(
    three_months: PublishedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is clear, readers see the old state, and the next publication succeeds."""
    three_months.merge(full("mar", 9, MARCH, updated=HOUR, name="new"))
    before = three_months.snapshots()
    with monkeypatch.context() as patch:
        patch.setattr(parts.pq.ParquetWriter, "write_table", full_disk)
        with pytest.raises(WarehouseError, match="The disk is full"):
            three_months.publish()
    assert three_months.ask("SELECT count(*) FROM sessions WHERE name = 'new'") == [(0,)]
    assert three_months.publish() is True
    assert three_months.ask("SELECT count(*) FROM sessions WHERE name = 'new'") == [(1,)]
    assert len(three_months.snapshots()) == len(before) + 1
