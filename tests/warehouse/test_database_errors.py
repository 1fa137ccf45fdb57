"""What DuckDB and the operating system say of files, and what we make of it: only proven damage is called damage."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

import vapi_sessions
from conftest import World
from models import Warehouse, observation
from vapi_sessions.errors import VapiSessionsError, WarehouseBusyError, WarehouseDamagedError, WarehouseError
from vapi_sessions.operations.status import status
from vapi_sessions.warehouse import raw, reader
from vapi_sessions.warehouse.database_errors import database_errors, published_errors
from vapi_sessions.warehouse.index import Index, parts_of
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.snapshots import lost_files
from vapi_sessions.warehouse.suppression import Suppression

INDEX = Path("/w/index.duckdb")
FATAL = (
    "FATAL Error: Failed: database has been invalidated because of a previous fatal error. The database must be restarted "
    'prior to being used again.\nOriginal error: "IO Error: Could not write file "/w/index.duckdb.wal": {}"'
)


def told(error: duckdb.Error) -> VapiSessionsError:
    """What the writer makes of it."""
    with pytest.raises(WarehouseError) as caught, database_errors(INDEX):
        raise error
    assert caught.value.exit_code == 5
    assert caught.value.remedy
    return caught.value


# -- the system


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "next run continues"),
        (errno.EDQUOT, "next run continues"),
        (errno.EACCES, "--warehouse"),
        (errno.EROFS, "--warehouse"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EFBIG, "ulimit -f"),
        (errno.ESTALE, "mount"),
        (errno.ENOTCONN, "mount"),
        (errno.EIO, "Look at the disk"),
        (errno.ENAMETOOLONG, "Look at the disk"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_what_the_system_said_decides_whatever_class_carries_it(number: int, remedy: str) -> None:
    """A commit, a checkpoint, a file that is opened, and what follows a failure: one remedy, and never damage."""
    words = os.strerror(number)
    for error in (
        duckdb.IOException(f'IO Error: Could not write file "/w/index.duckdb": {words}'),
        duckdb.TransactionException(
            f'TransactionContext Error: Failed to commit: Could not write file "/w/index.duckdb.wal": {words}'
        ),
        duckdb.FatalException(FATAL.format(words)),
        duckdb.Error(f'IO Error: Could not read from file "/w/index.duckdb": {words}'),
    ):
        ours = told(error)
        assert not isinstance(ours, WarehouseDamagedError)
        assert remedy in ours.remedy
        assert "/w/index.duckdb" in ours.fact


def test_a_path_says_nothing() -> None:
    """A directory may be called anything."""
    path = "/w/Corrupt: No space left on device/index.duckdb"
    ours = told(duckdb.IOException(f'IO Error: Cannot open file "{path}": Too many open files'))
    assert "ulimit -n" in ours.remedy


# -- locks and memory


@pytest.mark.parametrize(
    ("text", "kind", "fact"),
    [
        (
            'Could not set lock on file "/w/x": Conflicting lock is held in x (PID 7)',
            WarehouseBusyError,
            "pid 7",
        ),
        (
            'Could not set lock on file "/w/x": Resource temporarily unavailable',
            WarehouseBusyError,
            "unknown",
        ),
        ('Could not set lock on file "/w/x": No locks available', WarehouseError, "without locks"),
        (
            'Could not set lock on file "/w/x": File locks are not supported for this file system, cannot open',
            WarehouseError,
            "without locks",
        ),
    ],
)
def test_locks(text: str, kind: type[WarehouseError], fact: str) -> None:
    """Somebody else's lock is waited for; a file system without any is another matter."""
    ours = told(duckdb.IOException(text))
    assert type(ours) is kind
    assert fact in ours.fact


@pytest.mark.parametrize(
    "error",
    [
        duckdb.OutOfMemoryException("could not allocate"),
        duckdb.TransactionException("Failed to commit: failed to pin block of size 256.0 KiB"),
        duckdb.IOException("Checkpoint failed. Original error: failed to pin block of size 256.0 KiB"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_memory(error: duckdb.Error) -> None:
    """A commit and a checkpoint that lack memory say so in their text only."""
    assert "ran out of memory" in told(error).fact


# -- damage


@pytest.mark.parametrize(
    "error",
    [
        duckdb.Error(
            "Corrupt database file: computed checksum 1 does not match stored checksum 2 in block 3"
        ),
        duckdb.IOException('The file "/w/index.duckdb" exists, but it is not a valid DuckDB database file!'),
        duckdb.IOException(
            'Could not read enough bytes from file "/w/index.duckdb": attempted to read 6 bytes'
        ),
        duckdb.SerializationException("Serialization Error: Failed to deserialize: expected 7"),
        duckdb.FatalException("FATAL Error: invalidated. Original error: Corrupt database file"),
        duckdb.InternalException(
            "INTERNAL Error: Corrupted string segment: block offset exceeds the block size"
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_damage_that_is_proven(error: duckdb.Error) -> None:
    """By a checksum or a format."""
    ours = told(error)
    assert isinstance(ours, WarehouseDamagedError)
    assert ours.fact.startswith("/w/index.duckdb is damaged")
    assert "vapi-sessions rebuild" in ours.remedy


@pytest.mark.parametrize(
    "error",
    [
        duckdb.IOException("something odd"),
        duckdb.FatalException("something odd"),
        duckdb.InternalException("INTERNAL Error: Attempted to access index 5 within vector of size 3"),
        duckdb.Error("something odd"),
        duckdb.IOException(
            "Trying to read a database file with version number 99, but we can only read 64 to 70"
        ),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_proves_nothing_is_no_damage(error: duckdb.Error) -> None:
    """It is still exit code 5, with a remedy."""
    assert not isinstance(told(error), WarehouseDamagedError)


@pytest.mark.parametrize(
    "error",
    [
        duckdb.BinderException("x"),
        duckdb.ConstraintException("x"),
        duckdb.InvalidInputException('Malformed JSON: "No space left on device", corrupt Parquet file'),
        duckdb.ConversionException("Could not convert string 'checksum: Input/output error' to INT32"),
        duckdb.TransactionException("cannot start a transaction within a transaction"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_our_own_sql_stay_what_they_are(error: duckdb.Error) -> None:
    """They are bugs, whatever a record in their text says."""
    with pytest.raises(type(error)), database_errors(INDEX):
        raise error


# -- really


@pytest.fixture
def one_file(tmp_path: Path) -> Iterator[tuple[Layout, Index]]:
    """A warehouse with a session in its index, and nothing published."""
    with Warehouse(tmp_path / "w") as warehouse:
        warehouse.merge(observation("s", 1))
        yield warehouse.layout, warehouse.index


@pytest.fixture
def few() -> Iterator[Callable[[], None]]:
    """Lets nobody open another file, until the test ends."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def small() -> Iterator[Callable[[int], None]]:
    """Lets no file become larger than so many bytes, until the test ends."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_too_many_open_files(one_file: tuple[Layout, Index], few: Callable[[], None]) -> None:
    """Of the index, a raw file, the suppression list: no damage anywhere, and nothing is put aside."""
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


def test_too_many_open_files_while_reading_what_is_published(
    demo_warehouse: Path, few: Callable[[], None]
) -> None:
    """DuckDB then finds no files at all; ours are there, so nothing is missing. Nor are files torn that nobody could open."""
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


def test_a_refusal_is_not_taken_for_nothing_published(
    demo_warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebuild compares with what is published: it must not be told that this is nothing."""

    def refused(warehouse: object) -> None:
        raise WarehouseError("vapi.duckdb: Input/output error.")

    assert reader.sessions_published(demo_warehouse) > 500
    monkeypatch.setattr(reader, "_attached", refused)
    with pytest.raises(WarehouseError, match="Input/output error"):
        reader.sessions_published(demo_warehouse)


def test_a_file_that_may_not_grow(one_file: tuple[Layout, Index], small: Callable[[int], None]) -> None:
    """The log of the index, at a commit; a raw file."""
    layout, index = one_file
    before = list(layout.raw.iterdir())
    small(40_000)
    with pytest.raises(
        WarehouseError, match=r"index\.duckdb(\.wal)? would become larger .*File too large"
    ) as caught:
        index.run("CREATE TABLE t AS SELECT random()::VARCHAR AS text FROM range(20000)")
    assert not isinstance(caught.value, WarehouseDamagedError)
    with pytest.raises(WarehouseError, match="File too large"):
        raw.write(layout.raw, "1.parquet", [observation(os.urandom(60_000).hex(), 1)], {})
    assert list(layout.raw.iterdir()) == before


def test_published_files_that_are_gone_are_damage(demo_warehouse: Path, tmp_path: Path) -> None:
    """Nobody holds them back: they are not there."""
    copy = tmp_path / "copy"
    shutil.copytree(demo_warehouse, copy, symlinks=True)
    shutil.rmtree((copy / "parquet" / "latest").resolve() / "sessions")
    with pytest.raises(WarehouseDamagedError, match="missing or damaged") as caught:
        status(copy, now=0)
    assert "rebuild" in caught.value.remedy


def test_a_file_that_takes_too_much_memory_is_not_put_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be whole."""
    path = raw.write(tmp_path, "1.parquet", [observation("a", 1)], {})

    def refused(*given: object, **named: object) -> None:
        raise pa.ArrowMemoryError("malloc of size 100 failed")

    monkeypatch.setattr(raw.pq, "ParquetFile", refused)
    with pytest.raises(WarehouseError, match="more memory") as caught:
        raw.first_request(path)
    assert not isinstance(caught.value, WarehouseDamagedError)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_warehouse_that_may_not_be_read(demo_warehouse: Path, tmp_path: Path) -> None:
    """Is told as such, not as one that is not there."""
    copy = tmp_path / "copy"
    shutil.copytree(demo_warehouse, copy, symlinks=True)
    copy.chmod(0)
    try:
        with pytest.raises(WarehouseError, match="Permission denied"):
            vapi_sessions.connect(copy)
    finally:
        copy.chmod(0o700)


def test_what_may_not_be_read_is_told_whoever_we_are(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of somebody else's above the warehouse, say."""

    def refused(path: object, **named: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "stat", refused)
    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(WarehouseError, match="Permission denied"):
        Layout(world.warehouse).check()
