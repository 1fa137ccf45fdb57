"""`connect()` works for every cursor and thread, for libraries that get a connection, and with attached databases."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

import vapi_sessions
from clocks import Clock
from constants import KEY
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings
from vapi_sessions.core.timestamps import SECOND
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.warehouse.reader import reading
from worlds import World

COUNT = "SELECT count(*) FROM sessions"
#: A view uses the tables' views without a catalog.
THROUGH_A_VIEW = "SELECT count(*) FROM session_summary"
RUNS = "SELECT count(*) FROM sync.runs"


def rows(db: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return db.execute(sql).fetchall()


def quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def synced(world: World) -> tuple[Path, Path]:
    """A warehouse of 100 sessions after one run, and a copy of it that was synced again and has 110."""
    world.insert(100, lambda n: (world.ago(days=2) + n * SECOND,) * 2)
    world.sync()
    first, second = world.warehouse, world.warehouse.with_name("second")
    shutil.copytree(first, second, symlinks=True)
    world.insert(10, lambda n: (world.ago(minutes=5),) * 2)
    world.warehouse = second
    world.sync()
    return first, second


@pytest.fixture
def two(world: World) -> tuple[Path, Path]:
    """Two warehouses of this test alone."""
    return synced(world)


@pytest.fixture(scope="module")
def readable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The same two for all tests that only read."""
    clock = Clock()
    with EmulatorServer(EmulatorSettings(keys={KEY: DEFAULT_ORG}), clock=clock) as server:
        yield synced(World(server, tmp_path_factory.mktemp("readable") / "warehouse", clock))


def test_a_cursor_sees_the_tables_of_its_connection(readable: tuple[Path, Path]) -> None:
    """Published tables, views, the ledger and the user's own tables, by the same names."""
    with vapi_sessions.connect(readable[0]) as db:
        rows(db, "CREATE TABLE mine AS SELECT 7")
        for cursor in (db.cursor(), db.cursor().cursor(), db.duplicate()):
            for sql, count in ((COUNT, 100), (THROUGH_A_VIEW, 100), (RUNS, 1), ("FROM mine", 7)):
                assert rows(cursor, sql) == [(count,)], sql
            assert rows(cursor, "SHOW TABLES") == rows(db, "SHOW TABLES")
            assert cursor.table("sessions").aggregate("count(*)").fetchall() == [(100,)]


def test_each_thread_can_use_its_own_cursor(readable: tuple[Path, Path]) -> None:
    """DuckDB recommends this."""
    found: list[object] = []
    with vapi_sessions.connect(readable[0]) as db:
        threads = [
            threading.Thread(target=lambda: found.append(rows(db.cursor(), THROUGH_A_VIEW))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [[(100,)]] * 4


def test_polars_reads_from_the_connection(readable: tuple[Path, Path]) -> None:
    """Polars uses a cursor, and the times in the frame are in UTC."""
    with vapi_sessions.connect(readable[0]) as db:
        frame = pl.read_database("FROM sessions ORDER BY created_at", db)
        assert frame.height == 100
        assert frame.schema["created_at"] == pl.Datetime("us", "UTC")
        assert frame["created_at"].to_list() == [
            at for (at,) in rows(db, "SELECT created_at FROM sessions ORDER BY created_at")
        ]


def test_time_is_utc_for_every_cursor_and_attached_warehouse(readable: tuple[Path, Path]) -> None:
    """Also on a machine 14 hours ahead of UTC."""
    program = """
import sys, vapi_sessions
with vapi_sessions.connect(sys.argv[1]) as db:
    early = db.cursor()
    db.execute(f"ATTACH '{sys.argv[2]}/vapi.duckdb' AS other (READ_ONLY)")
    for cursor in (db, early, db.cursor()):
        for table in ("sessions", "other.sessions"):
            print(cursor.execute(f"SELECT min(created_at)::VARCHAR, min(created_at::DATE)::VARCHAR FROM {table}").fetchall()[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, readable)],
        env={**os.environ, "TZ": "Pacific/Kiritimati"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["('2026-03-02 15:30:00.5+00', '2026-03-02')"] * 6


def test_an_attached_warehouse_shows_its_own_files(readable: tuple[Path, Path]) -> None:
    """Beside the connection's own tables, and as the current database. The connection's views still use their own tables."""
    first, second = readable
    with vapi_sessions.connect(first) as db:
        rows(db, f"ATTACH {quoted(second / 'vapi.duckdb')} AS other (READ_ONLY)")
        for cursor in (db, db.cursor()):
            assert rows(cursor, "SELECT count(*) FROM other.sessions") == [(110,)]
            assert rows(cursor, "SELECT count(*) FROM other.session_summary") == [(110,)]
            assert rows(cursor, "SELECT count(*) FROM other.sync.runs") == [(2,)]
            assert [rows(cursor, sql) for sql in (COUNT, THROUGH_A_VIEW, RUNS)] == [
                [(100,)],
                [(100,)],
                [(1,)],
            ]
            rows(cursor, "USE other")
            assert rows(cursor, THROUGH_A_VIEW) == [(110,)]
            assert rows(cursor, "SELECT count(*) FROM memory.session_summary") == [(100,)]


@pytest.mark.proof
def test_two_moved_warehouses_can_be_open_at_once(two: tuple[Path, Path]) -> None:
    """Each connection and its cursors find their own files, though both databases have old paths."""
    moved = [path.rename(path.with_name(f"moved {path.name}")) for path in two]
    with vapi_sessions.connect(moved[0]) as first, vapi_sessions.connect(moved[1]) as second:
        for sql in (COUNT, THROUGH_A_VIEW):
            assert rows(first.cursor(), sql) == [(100,)]
            assert rows(second.cursor(), sql) == [(110,)]


@pytest.mark.proof
def test_the_database_vapi_of_a_copy_shows_the_files_of_the_original(two: tuple[Path, Path]) -> None:
    """A snapshot never changes, so the rows are the same until the original is removed."""
    first, _ = two
    copy = shutil.copytree(first, first.with_name("copy"), symlinks=True)
    with vapi_sessions.connect(copy) as db:
        assert rows(db, "SELECT count(*) FROM vapi.sessions") == [(100,)]
        shutil.rmtree(first)
        assert rows(db, THROUGH_A_VIEW) == [(100,)]
        with pytest.raises(duckdb.IOException, match="No files found"):
            rows(db, "SELECT count(*) FROM vapi.sessions")


def test_a_variable_tells_duckdb_where_a_warehouse_was_moved(two: tuple[Path, Path]) -> None:
    """For readers that open `vapi.duckdb` without us."""
    moved = two[0].rename(two[0].with_name("moved"))
    with duckdb.connect(moved / "vapi.duckdb", read_only=True) as db:
        rows(db, f"SET VARIABLE vapi_warehouse = {quoted(moved)}")
        assert rows(db, THROUGH_A_VIEW) == [(100,)]


def test_a_connection_has_the_same_views_as_the_published_database(demo_warehouse: Path) -> None:
    """Names, columns, types and rows."""
    with (
        vapi_sessions.connect(demo_warehouse) as ours,
        duckdb.connect(demo_warehouse / "vapi.duckdb", read_only=True) as theirs,
    ):
        rows(theirs, "SET TimeZone = 'UTC'")
        names = [name for (name,) in rows(theirs, "SHOW TABLES")]
        assert len(names) > 15
        assert [name for (name,) in rows(ours, "SHOW TABLES")] == names
        for name in names:
            assert rows(ours, f"DESCRIBE {name}") == rows(theirs, f"DESCRIBE {name}"), name
            counted = f"SELECT count(*), bit_xor(hash(t)) FROM {name} AS t"
            assert rows(ours, counted) == rows(theirs, counted), name


def test_a_table_that_a_user_added_to_the_published_database_is_shown(two: tuple[Path, Path]) -> None:
    """It is there until the next publication."""
    with duckdb.connect(two[0] / "vapi.duckdb") as db:
        rows(db, "CREATE TABLE notes AS SELECT 'seen' AS note")
    with vapi_sessions.connect(two[0]) as db:
        assert rows(db.cursor(), "FROM notes") == [("seen",)]


def test_missing_files_are_an_error_when_connecting(two: tuple[Path, Path]) -> None:
    """Not only at the first query, and with a remedy."""
    shutil.rmtree((two[0] / "parquet" / "latest").resolve())
    with pytest.raises(WarehouseDamagedError, match="missing or damaged") as caught:
        vapi_sessions.connect(two[0])
    assert "rebuild" in caught.value.remedy


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_damaged_part_of_the_published_database_is_an_error_if_it_is_read(
    readable: tuple[Path, Path], share: float
) -> None:
    """Otherwise the rows are right."""
    copy = Path(shutil.copytree(readable[0], readable[0].with_name(f"hole {share}"), symlinks=True))
    data = bytearray((copy / "vapi.duckdb").read_bytes())
    at = int(len(data) * share)
    data[at : at + 50_000] = b"x" * 50_000
    (copy / "vapi.duckdb").write_bytes(data)
    try:
        with reading(copy) as db:
            assert rows(db, THROUGH_A_VIEW) == [(100,)]
    except WarehouseDamagedError as caught:
        assert "rebuild" in caught.remedy  # noqa: PT017  # either result is right


def test_a_rebuild_knows_the_published_number_without_the_files(world: World) -> None:
    """The published ledger has it, so a rebuild from fewer raw files is refused."""
    world.insert(10, lambda n: (world.ago(days=2) + n * SECOND,) * 2)
    world.sync()
    world.insert(10, lambda n: (world.ago(minutes=5),) * 2)
    world.sync()
    shutil.rmtree((world.warehouse / "parquet" / "latest").resolve())
    next((world.warehouse / "raw").glob("*.parquet")).unlink()
    with pytest.raises(WarehouseDamagedError, match="and 20 are published"):
        world.rebuild()
