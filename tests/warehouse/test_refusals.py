"""Real refusals of the system: open files, file sizes, memory, permissions. None of them is taken for damage."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import vapi_sessions
from batches import Warehouse, observation
from vapi_sessions.errors import WarehouseDamagedError, WarehouseError
from vapi_sessions.operations.status import status
from vapi_sessions.warehouse import raw, reader
from vapi_sessions.warehouse.database_errors import published_errors
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.index_tables import parts_of
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.published_files import lost_files
from vapi_sessions.warehouse.suppression import Suppression
from worlds import World


@pytest.fixture
def one_file(tmp_path: Path) -> Iterator[tuple[Layout, Index]]:
    """A warehouse with one session in its index, and nothing published."""
    with Warehouse(tmp_path / "w") as warehouse:
        warehouse.merge(observation("s", 1))
        yield warehouse.layout, warehouse.index


@pytest.fixture
def few() -> Iterator[Callable[[], None]]:
    """A function that allows no further open file until the test ends."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def small() -> Iterator[Callable[[int], None]]:
    """A function that allows no file above this size until the test ends."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_too_many_open_files(one_file: tuple[Layout, Index], few: Callable[[], None]) -> None:
    """For the index, a raw file and the suppression list. Nothing is put aside."""
    layout, index = one_file
    kept = raw.write(layout.raw, "1.parquet", [observation("a", 1)], {})
    Suppression.open(layout, create=True)
    few()
    for attempt in (
        lambda: index.run(f"ATTACH '{layout.root}/other.duckdb' AS other"),
        lambda: raw.first_request(kept),
        lambda: raw.read_progress(kept),
        lambda: Suppression.open(layout),
    ):
        with pytest.raises(WarehouseError, match="Too many open files") as caught:
            attempt()
        assert not isinstance(caught.value, WarehouseDamagedError)
        assert "ulimit -n" in caught.value.remedy


def test_too_many_open_files_for_a_reader(demo_warehouse: Path, few: Callable[[], None]) -> None:
    """DuckDB then says that it finds no files. They exist, so nothing is missing, and a file that cannot be opened is not torn."""
    with reader.reading(demo_warehouse) as db:
        snapshot = demo_warehouse / "parquet" / "latest"
        parts = parts_of(lambda sql: db.execute(sql).fetchall())
        assert parts
        few()
        with pytest.raises(WarehouseError, match="Too many open files") as caught, published_errors("w"):
            db.execute("SELECT max(name) FROM sessions").fetchall()
        assert not isinstance(caught.value, WarehouseDamagedError)
        with pytest.raises(WarehouseError, match="Too many open files"):
            lost_files(parts, snapshot, Layout(demo_warehouse))


def test_a_failing_disk_does_not_mean_that_nothing_is_published(
    demo_warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebuild compares with the number of published sessions, so that must not be 0 then."""

    def refused(warehouse: object) -> None:
        raise WarehouseError("vapi.duckdb: Input/output error.")

    assert reader.sessions_published(demo_warehouse) > 500
    monkeypatch.setattr(reader, "_attached", refused)
    with pytest.raises(WarehouseError, match="Input/output error"):
        reader.sessions_published(demo_warehouse)


def test_a_file_that_may_not_grow(one_file: tuple[Layout, Index], small: Callable[[int], None]) -> None:
    """The log of the index at a commit, and a raw file."""
    layout, index = one_file
    before = list(layout.raw.iterdir())
    small(40_000)
    with pytest.raises(
        WarehouseError, match=r"index\.duckdb(\.wal)? would exceed the maximum file size .*File too large"
    ) as caught:
        index.run("CREATE TABLE t AS SELECT random()::VARCHAR AS text FROM range(20000)")
    assert not isinstance(caught.value, WarehouseDamagedError)
    with pytest.raises(WarehouseError, match="File too large"):
        raw.write(layout.raw, "1.parquet", [observation(os.urandom(60_000).hex(), 1)], {})
    assert list(layout.raw.iterdir()) == before


def test_missing_published_files_are_damage(demo_warehouse: Path, tmp_path: Path) -> None:
    """The system refuses nothing here."""
    copy = tmp_path / "copy"
    shutil.copytree(demo_warehouse, copy, symlinks=True)
    shutil.rmtree((copy / "parquet" / "latest").resolve() / "sessions")
    with pytest.raises(WarehouseDamagedError, match="missing or damaged") as caught:
        status(copy, now=0)
    assert "rebuild" in caught.value.remedy


def test_a_raw_file_that_needs_too_much_memory_is_not_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be sound."""
    path = raw.write(tmp_path, "1.parquet", [observation("a", 1)], {})

    def refused(*given: object, **named: object) -> None:
        raise pa.ArrowMemoryError("malloc of size 100 failed")

    monkeypatch.setattr(raw.pq, "ParquetFile", refused)
    with pytest.raises(WarehouseError, match="not enough memory") as caught:
        raw.first_request(path)
    assert not isinstance(caught.value, WarehouseDamagedError)


@pytest.mark.skipif(
    os.geteuid() == 0, reason="root can read everything; the next test is the same for every user"
)
def test_a_warehouse_without_permission_to_read(demo_warehouse: Path, tmp_path: Path) -> None:
    """The error is not that there is no warehouse."""
    copy = tmp_path / "copy"
    shutil.copytree(demo_warehouse, copy, symlinks=True)
    copy.chmod(0)
    try:
        with pytest.raises(WarehouseError, match="Permission denied"):
            vapi_sessions.connect(copy)
    finally:
        copy.chmod(0o700)


def test_a_directory_without_permission_is_an_error_for_every_user(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example one above the warehouse."""

    def refused(path: object, **named: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "stat", refused)
    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(WarehouseError, match="Permission denied"):
        Layout(world.warehouse).check()
