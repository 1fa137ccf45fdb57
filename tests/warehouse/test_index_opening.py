"""Opening the index: other versions, damage, reading without writing, permissions, and copies without deleted rows."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from batches import Warehouse, observation
from constants import EPOCH
from vapi_sessions import schema
from vapi_sessions.core.timestamps import to_datetime
from vapi_sessions.errors import WarehouseDamagedError, WarehouseError
from vapi_sessions.warehouse.database import copy_alive
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout


def test_an_index_is_unchanged_when_it_is_opened_again(tmp_path: Path) -> None:
    """Everything is on disk."""
    with Warehouse(tmp_path / "w") as warehouse:
        warehouse.merge(observation("a", 1), changes=Changes(state={"origin": "7"}))
        before = warehouse.contents()
    with Warehouse(tmp_path / "w") as warehouse:
        assert warehouse.contents() == before


@pytest.fixture
def of_another_version(tmp_path: Path) -> Layout:
    """A warehouse whose index another version of the program wrote."""
    with Warehouse(tmp_path / "w") as warehouse:
        warehouse.index.record(Changes(state={"schema_version": "99"}))
        return warehouse.layout


def test_an_index_of_another_version_is_refused(of_another_version: Layout) -> None:
    """The message has both versions and the remedy."""
    own = f"has schema version 99, this program has {schema.SCHEMA_VERSION}"
    with pytest.raises(WarehouseError, match=own) as caught:
        Index(of_another_version.index, of_another_version.scratch)
    assert "rebuild" in caught.value.remedy


def test_a_refused_index_is_not_kept_open(of_another_version: Layout) -> None:
    """Other processes can open the file while the error is handled."""
    with pytest.raises(WarehouseError) as caught:
        Index(of_another_version.index, of_another_version.scratch)
    code = "import duckdb, sys; duckdb.connect(sys.argv[1])"
    other = subprocess.run(
        [sys.executable, "-c", code, str(of_another_version.index)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode == 0, (caught.value.fact, other.stderr[-300:])


@pytest.mark.parametrize("content", [b"not a database", b"x" * 100_000], ids=["short", "long"])
def test_a_file_that_is_not_a_database_is_damage(tmp_path: Path, content: bytes) -> None:
    """The remedy is a rebuild."""
    layout = Layout(tmp_path / "w")
    layout.create()
    layout.index.write_bytes(content)
    with pytest.raises(WarehouseDamagedError, match=r"index\.duckdb is damaged") as caught:
        Index(layout.index, layout.scratch)
    assert "rebuild" in caught.value.remedy


def _many(warehouse: Warehouse, count: int) -> None:
    """One session, copied this many times."""
    warehouse.merge(observation("a", 1, messages=5))
    warehouse.index.run(
        "INSERT INTO sessions SELECT s.* REPLACE (uuid()::VARCHAR AS session_id) "
        f"FROM sessions AS s, range({count - 1})"
    )
    warehouse.index.checkpoint()


def test_a_damaged_block_is_an_error_when_it_is_read(tmp_path: Path) -> None:
    """Its checksum is wrong."""
    with Warehouse(tmp_path / "w") as warehouse:
        _many(warehouse, 20_000)
        layout = warehouse.layout
    data = bytearray(layout.index.read_bytes())
    for position in range(12_288 + 5_000, len(data), 50_000):
        data[position : position + 64] = bytes(64)
    layout.index.write_bytes(data)

    def everything() -> object:
        with Index(layout.index, layout.scratch) as index:
            return index.table("FROM sessions"), index.rows("FROM sync.batches")

    with pytest.raises(WarehouseDamagedError):
        everything()


def test_reading_an_index_writes_nothing(tmp_path: Path) -> None:
    """Not even the log of a killed process into the file. The rows in the log are visible."""
    root = tmp_path / "w"
    code = (
        "import os, sys; from pathlib import Path; from batches import Warehouse, observation\n"
        "w = Warehouse(Path(sys.argv[1])); w.merge(observation('a', 1)); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(root)], check=False, cwd=Path(__file__).parents[1])
    layout = Layout(root)

    def files() -> dict[str, tuple[int, bytes]]:
        return {
            path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.glob("index.duckdb*")
        }

    before = files()
    assert before.keys() == {"index.duckdb", "index.duckdb.wal"}
    with Index(layout.index, layout.scratch, read_only=True) as index:
        assert index.rows("SELECT session_id FROM sessions") == [("a",)]
    assert files() == before


def test_only_the_owner_can_read_the_index(tmp_path: Path) -> None:
    """The database and its log, also in a directory that others can enter."""
    with Warehouse(tmp_path / "w") as warehouse:
        warehouse.merge(observation("a", 1))
        root = warehouse.layout.root
        files = {path.name: path.stat().st_mode & 0o777 for path in root.iterdir() if path.is_file()}
    assert files == {"index.duckdb": 0o600, "index.duckdb.wal": 0o600}


def test_a_copy_has_no_byte_of_a_deleted_row(tmp_path: Path) -> None:
    """Deleted rows stay in a file until their space is used again."""
    with Warehouse(tmp_path / "w") as warehouse:
        _many(warehouse, 3_000)
        warehouse.merge(observation("to-be-forgotten-0123456789", 2), observation("to-stay-0123456789", 2))
        warehouse.index.checkpoint()
        warehouse.index.run("DELETE FROM sessions WHERE session_id LIKE 'to-be-forgotten%'")
        before = warehouse.contents()
        layout = warehouse.layout
    assert b"to-be-forgotten" in layout.index.read_bytes()
    draft = layout.scratch / "copied.duckdb"
    copy_alive(layout.index, draft)
    data = draft.read_bytes()
    assert b"to-stay" in data
    assert b"to-be-forgotten" not in data
    assert not draft.with_name("copied.duckdb.wal").exists()
    draft.rename(layout.index)
    with Warehouse(layout.root) as warehouse:
        assert warehouse.contents() == before


def test_times_are_utc_in_every_time_zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Months and shown times do not depend on the time zone of the process."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        with Warehouse(tmp_path / "w") as warehouse:
            warehouse.merge(observation("a", 1, created=EPOCH - 1))
            (part,) = warehouse.index.parts()
            assert (part.lower, part.upper) == (EPOCH - 28 * 86_400_000_000, EPOCH)
            assert f"{to_datetime(part.lower):%Y-%m-%d}" == "2026-02-01"
            assert warehouse.index.rows("SELECT created_at::VARCHAR FROM sessions") == [
                ("2026-02-28 23:59:59.999999+00",)
            ]
    finally:
        monkeypatch.undo()
        time.tzset()
