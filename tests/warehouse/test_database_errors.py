"""DuckDB's errors about files become ours, by their text; only proven damage is called damage."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import duckdb
import pytest

from vapi_sessions.errors import VapiSessionsError, WarehouseBusyError, WarehouseDamagedError, WarehouseError
from vapi_sessions.warehouse.database_errors import database_errors

INDEX = Path("/w/index.duckdb")


FATAL = (
    "FATAL Error: Failed: database has been invalidated because of a previous fatal error. The database must be restarted "
    'prior to being used again.\nOriginal error: "IO Error: Could not write file "/w/index.duckdb.wal": {}"'
)


def converted(error: duckdb.Error) -> VapiSessionsError:
    """Our error for one of DuckDB's."""
    with pytest.raises(WarehouseError) as caught, database_errors(INDEX):
        raise error
    assert caught.value.exit_code == 5
    assert caught.value.remedy
    return caught.value


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
def test_the_error_of_the_system_decides_for_every_class_of_duckdb(number: int, remedy: str) -> None:
    """In a commit, a checkpoint, an open and after a failure: the same remedy, and never damage."""
    words = os.strerror(number)
    for error in (
        duckdb.IOException(f'IO Error: Could not write file "/w/index.duckdb": {words}'),
        duckdb.TransactionException(
            f'TransactionContext Error: Failed to commit: Could not write file "/w/index.duckdb.wal": {words}'
        ),
        duckdb.FatalException(FATAL.format(words)),
        duckdb.Error(f'IO Error: Could not read from file "/w/index.duckdb": {words}'),
    ):
        ours = converted(error)
        assert not isinstance(ours, WarehouseDamagedError)
        assert remedy in ours.remedy
        assert "/w/index.duckdb" in ours.fact


def test_words_in_a_path_are_ignored() -> None:
    """A directory can have any name."""
    path = "/w/Corrupt: No space left on device/index.duckdb"
    ours = converted(duckdb.IOException(f'IO Error: Cannot open file "{path}": Too many open files'))
    assert "ulimit -n" in ours.remedy


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
def test_lock_errors(text: str, kind: type[WarehouseError], fact: str) -> None:
    """A lock of another process can be released; a file system without locks is a different error."""
    ours = converted(duckdb.IOException(text))
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
def test_out_of_memory_errors(error: duckdb.Error) -> None:
    """For a commit and a checkpoint, only the text says that memory was missing."""
    assert "ran out of memory" in converted(error).fact


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
def test_a_wrong_checksum_or_format_is_damage(error: duckdb.Error) -> None:
    """The remedy is a rebuild."""
    ours = converted(error)
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
def test_other_errors_about_files_are_not_damage(error: duckdb.Error) -> None:
    """They have exit code 5 and a remedy too."""
    assert not isinstance(converted(error), WarehouseDamagedError)


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
def test_errors_in_our_sql_stay_as_they_are(error: duckdb.Error) -> None:
    """They are bugs, even if a record in their text has such words."""
    with pytest.raises(type(error)), database_errors(INDEX):
        raise error
