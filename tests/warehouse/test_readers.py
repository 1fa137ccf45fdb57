"""Readers block no sync, are blocked by none, and keep the state that they opened."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import vapi_sessions
from selection import first
from synced_worlds import synced_world
from vapi_sessions.core.timestamps import SECOND
from vapi_sessions.errors import ConfigurationError, WarehouseError

if TYPE_CHECKING:
    import duckdb

    from worlds import World

#: A program that prints the rows of each query on stdin, and keeps its connection open.
ANSWERING = """
import sys
import {module} as module
db = {opening}
print("ready", flush=True)
for line in sys.stdin:
    print(db.execute(line).fetchall(), flush=True)
"""
BY_CONNECT = ANSWERING.format(module="vapi_sessions", opening="module.connect(sys.argv[1])")
DIRECTLY = ANSWERING.format(
    module="duckdb", opening="module.connect(sys.argv[1] + '/vapi.duckdb', read_only=True)"
)
COUNT = "SELECT count(*) FROM sessions"


class Reader:
    """Another process that has the warehouse open."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._in, self._out = process.stdin, process.stdout

    def ask(self, sql: str) -> str:
        """The rows of a query, as Python prints them."""
        self._in.write(sql.replace("\n", " ") + "\n")
        self._in.flush()
        return self._out.readline().strip()

    def ready(self) -> bool:
        """Whether it has opened the warehouse."""
        return self._out.readline().strip() == "ready"


@contextmanager
def reading(program: str, warehouse: Path) -> Iterator[Reader]:
    """A process that runs one of the programs above, in another directory than the warehouse."""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        reader = Reader(process)
        assert reader.ready()
        yield reader
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait() == 0


def rows(db: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    return db.execute(sql).fetchall()


def a_hundred_and_ten(world: World) -> Iterator[None]:
    """100 sessions, published, and 10 more at the source."""
    world.insert(100, lambda n: (world.ago(days=2) + n * SECOND,) * 2)
    yield
    world.insert(10, lambda n: (world.ago(minutes=5),) * 2)


template, world = synced_world(a_hundred_and_ten)


@pytest.mark.proof
def test_a_sync_runs_while_a_notebook_is_open(world: World) -> None:
    """The notebook keeps its state, the sync succeeds, and a new reader sees the new state."""
    with vapi_sessions.connect(world.warehouse) as notebook:
        assert rows(notebook, COUNT) == [(100,)]
        assert world.sync().counts.sessions_new == 10
        assert rows(notebook, COUNT) == [(100,)]
        assert rows(notebook, "SELECT count(*) FROM sync.runs") == [(1,)]
        with vapi_sessions.connect(world.warehouse) as second:
            assert rows(second, COUNT) == [(110,)]
            assert rows(second, "SELECT count(*) FROM sync.runs") == [(2,)]


@pytest.mark.parametrize("program", first([DIRECTLY, BY_CONNECT]), ids=["duckdb", "connect"])
def test_a_sync_runs_while_another_process_reads(world: World, program: str) -> None:
    """The other process uses `connect()`, or DuckDB on `vapi.duckdb` itself."""
    with reading(program, world.warehouse) as reader:
        assert reader.ask(COUNT) == "[(100,)]"
        assert world.sync().counts.sessions_new == 10
        assert reader.ask(COUNT) == "[(100,)]"
        assert reader.ask("SELECT count(*) FROM sync.batches") == "[(1,)]"
    with reading(program, world.warehouse) as reader:
        assert reader.ask(COUNT) == "[(110,)]"


@pytest.mark.proof
def test_a_reader_keeps_its_state_over_many_syncs(world: World) -> None:
    """After five publications an open notebook still answers, with the state that it opened."""
    with vapi_sessions.connect(world.warehouse) as notebook:
        before = rows(notebook, "FROM messages ORDER BY ALL")
        for _ in range(5):
            world.insert(1, lambda n: (world.clock.us(),) * 2)
            world.clock.forward(minutes=1)
            world.sync()
        assert rows(notebook, "FROM messages ORDER BY ALL") == before
    assert world.rows(COUNT) == [(115,)]


def test_old_snapshots_are_removed_after_a_day(world: World) -> None:
    """All snapshots shown in the last 24 hours can still be read; of older ones only three are kept."""

    def published() -> int:
        return len(list((world.warehouse / "parquet").glob("2*")))

    kept = []
    for _ in range(4):
        world.clock.forward(hours=7)
        world.insert(1, lambda n: (world.clock.us(),) * 2)
        world.sync()
        kept.append(published())
    assert kept == [2, 3, 4, 5]
    world.clock.forward(days=3)
    world.insert(1, lambda n: (world.clock.us(),) * 2)
    world.sync()
    assert published() == 3


@pytest.mark.proof
def test_a_notebook_opens_during_a_sync(world: World) -> None:
    """Between two pages, in this process and in another. It shows the last published state, and the sync succeeds."""
    seen: list[object] = []

    def before(request: httpx.Request) -> None:
        if len(seen) == 2:
            return
        with vapi_sessions.connect(world.warehouse) as db:
            seen.append(rows(db, COUNT))
        with reading(DIRECTLY, world.warehouse) as reader:
            seen.append(reader.ask(COUNT))

    summary = world.sync(before=before)
    assert seen == [[(100,)], "[(100,)]"]
    assert summary.counts.sessions_new == 10
    assert world.rows(COUNT) == [(110,)]


def test_every_connection_during_publications_shows_one_state(world: World) -> None:
    """A reader that connects again and again never sees tables that do not match."""
    torn: list[tuple[Any, ...]] = []
    states: set[int] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            with vapi_sessions.connect(world.warehouse) as db:
                declared, counted = rows(
                    db, "SELECT sum(message_count)::BIGINT, (SELECT count(*) FROM messages) FROM sessions"
                )[0]
                (run_rows,) = rows(db, "SELECT sum(sessions_new)::BIGINT FROM sync.runs")[0]
                states.add(declared)
                if not declared == counted == run_rows:
                    torn.append((declared, counted, run_rows))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        while len(states) < 4:
            world.insert(3, lambda n: (world.clock.us(),) * 2)
            world.clock.forward(minutes=1)
            world.sync()
    finally:
        done.set()
        reader.join()
    assert torn == []


def test_a_moved_warehouse_is_read_and_synced_at_its_new_path(world: World) -> None:
    """`connect()` finds the files there, and the next sync continues."""
    moved = world.warehouse.with_name("moved, and it's elsewhere")
    world.warehouse.rename(moved)
    world.warehouse = moved
    assert world.rows(COUNT) == [(100,)]
    assert world.rows("SELECT count(*) FROM session_summary") == [(100,)]
    assert world.sync().counts.sessions_new == 10
    assert world.rows(COUNT) == [(110,)]


def test_a_copied_warehouse_shows_its_own_files(world: World) -> None:
    """The original can be removed."""
    copy = world.warehouse.with_name("copy")
    shutil.copytree(world.warehouse, copy, symlinks=True)
    original = world.warehouse
    world.sync()
    world.warehouse = copy
    assert world.rows(COUNT) == [(100,)]
    shutil.rmtree(original)
    assert world.rows(COUNT) == [(100,)]


def test_a_user_can_create_tables_beside_the_published_ones(world: World) -> None:
    """The published database itself is read-only."""
    with vapi_sessions.connect(world.warehouse) as db:
        rows(db, "CREATE TABLE mine AS SELECT session_id FROM sessions LIMIT 3")
        assert rows(db, "SELECT count(*) FROM mine JOIN sessions USING (session_id)") == [(3,)]
        with pytest.raises(Exception, match="read-only"):
            rows(db, "CREATE TABLE vapi.mine AS SELECT 1")


def test_a_plain_glob_over_parquet_has_each_row_once(world: World) -> None:
    """Programs can read the Parquet files without us."""
    world.sync()
    with vapi_sessions.connect(world.warehouse) as db:
        for table in ("sessions", "messages", "tool_calls", "costs", "structured_outputs"):
            files = world.warehouse / "parquet" / "latest" / table / "*" / "*.parquet"
            globbed = rows(db, f"SELECT count(*) FROM read_parquet('{files}')")
            assert globbed == rows(db, f"SELECT count(*) FROM {table}"), table


def test_times_are_shown_in_utc(world: World) -> None:
    """The time zone of the reader does not matter."""
    (first,) = world.rows("SELECT min(created_at)::VARCHAR FROM sessions")
    assert first == ("2026-03-02 15:30:00.5+00",)


def test_the_environment_names_the_warehouse(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`connect()` without an argument opens the directory in VAPI_WAREHOUSE."""
    monkeypatch.setenv("VAPI_WAREHOUSE", str(world.warehouse))
    with vapi_sessions.connect() as db:
        assert rows(db, COUNT) == [(100,)]


def test_connecting_to_an_empty_directory_creates_nothing(tmp_path: Path) -> None:
    """The error says to run a sync."""
    with pytest.raises(ConfigurationError, match="no published warehouse") as caught:
        vapi_sessions.connect(tmp_path)
    assert "vapi-sessions sync" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_damaged_views_are_an_error_until_the_next_sync(world: World) -> None:
    """The sync publishes a new `vapi.duckdb`."""
    (world.warehouse / "vapi.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(WarehouseError, match="damaged"):
        vapi_sessions.connect(world.warehouse)
    world.sync()
    assert world.rows(COUNT) == [(110,)]
