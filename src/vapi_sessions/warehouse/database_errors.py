"""Turns DuckDB's errors about files into WarehouseError, with a remedy for each.

DuckDB's classes do not help: a commit that failed because of the disk is a TransactionException, and a path, a lock, a limit on
open files and a torn file are all an IOException. So the text is examined, first for an error of the operating system. Only a
checksum, a format or a missing published file proves damage.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import duckdb

from vapi_sessions.core.disk_errors import WITHOUT_LOCKS, refused, without_locks
from vapi_sessions.errors import WarehouseBusyError, WarehouseDamagedError, WarehouseError


@contextlib.contextmanager
def database_errors(path: Path) -> Iterator[None]:
    """Turn DuckDB's errors about a database file into ours. Errors in our SQL stay as they are: they are bugs."""
    try:
        yield
    except duckdb.Error as error:
        found = _converted(error, path)
        if found is None:
            raise
        raise found from error


@contextlib.contextmanager
def published_errors(warehouse: str | os.PathLike[str]) -> Iterator[None]:
    """The same for readers of the published tables. Errors in a query stay as they are."""
    try:
        yield
    except duckdb.Error as error:
        found = _converted(error, warehouse, published=True)
        if found is None:
            raise
        raise found from error


def _converted(error: duckdb.Error, path: object, *, published: bool = False) -> WarehouseError | None:
    """Our error for one of DuckDB's; None if it is not about files.

    `published`: published tables are being read, and `path` is the warehouse; otherwise it is a database file.
    """
    text = " ".join(str(error).split())
    if not _about_files(error, text):
        return None
    # A path can contain any words, and a value belongs to a record.
    said = _VALUE.sub("", _PATH.sub("", text))
    shown = _VALUE.sub("", text)[:160]
    named = _PATH.search(text)
    where = (named[1] or named[2]) if named else path
    of_parquet = published or str(where).endswith(".parquet")
    system = _system_error(said)
    if "Conflicting lock" in said or "Could not set lock" in said:
        if "not supported for this file system" in said or (system and system[0] in WITHOUT_LOCKS):
            return without_locks(where, system[1] if system else "file locks are not supported")
        holder = re.search(r"PID ([1-9]\d*)", said)
        return WarehouseBusyError(
            f"{path} is open in another process (pid {holder[1] if holder else 'unknown'}).",
            "Close it there and run again. To read, open vapi.duckdb: it is never locked.",
        )
    # A commit or checkpoint that runs out of memory has no class of its own.
    if isinstance(error, duckdb.OutOfMemoryException) or _MEMORY.search(said):
        return WarehouseError(
            f"DuckDB ran out of memory: {shown}", "Free memory and run again: the next run continues."
        )
    if pattern := _NO_FILES.search(text):
        return _nothing_found(pattern[1], shown)
    if system and not (system[0] == errno.ENOENT and of_parquet):
        return refused(system[0], where, system[1])
    if of_parquet and (system or _DAMAGE.search(said) or _parquet(text)):
        return _published_damage(path if published else where, shown)
    if _DAMAGE.search(said) or isinstance(error, duckdb.SerializationException):
        return WarehouseDamagedError(
            f"{path} is damaged: {shown}",
            "Run vapi-sessions rebuild: it derives the database again from raw/.",
        )
    if _OTHER_VERSION.search(said):
        return WarehouseError(
            f"{path} was written by another version of DuckDB: {shown}", "Use the version that wrote it."
        )
    if isinstance(error, duckdb.TransactionException):
        return None
    if isinstance(error, duckdb.IOException):
        return WarehouseError(
            f"{path} cannot be read or written: {shown}", "Look at the disk, then run again."
        )
    return WarehouseError(
        f"DuckDB failed at {path}: {shown}",
        "Run again. If the error stays, report it; vapi-sessions rebuild derives everything again from raw/.",
    )


def _about_files(error: duckdb.Error, text: str) -> bool:
    # A wrong checksum has no class of its own.
    return type(error) is duckdb.Error or isinstance(error, _OF_FILES) or _parquet(text)


def _parquet(text: str) -> bool:
    """Whether the error is about a Parquet file. Messages with text of a query or a record begin differently."""
    return bool(_OF_PARQUET.match(text))


def _system_error(text: str) -> tuple[int, str] | None:
    """The error of the operating system in a text: number and words. The last one is the cause."""
    found = _SYSTEM.findall(text)
    return (_NUMBERS[found[-1]], found[-1]) if found else None


def _published_damage(where: object, shown: str) -> WarehouseDamagedError:
    return WarehouseDamagedError(
        f"The published files in {where} are missing or damaged: {shown}",
        "Run vapi-sessions rebuild: it publishes everything again.",
    )


def _nothing_found(pattern: str, shown: str) -> WarehouseError:
    """DuckDB finds no file. It says so too if it cannot read the directory or open a file, so we look ourselves."""
    parts = Path(pattern).parts
    fixed = next((n for n, part in enumerate(parts) if any(sign in part for sign in "*?[")), len(parts) - 1)
    directory = Path(*parts[:fixed])
    try:
        with os.scandir(directory) as entries:
            next(entries, None)
        there = any(directory.glob("/".join(parts[fixed:])))
    except FileNotFoundError:
        there = False
    except OSError as error:
        return refused(error.errno, error.filename or directory, error.strerror or str(error))
    if there:
        return WarehouseError(
            f"The files of {directory} could not be listed.",
            "Raise the limit of open files (ulimit -n), or check the disk; then run again.",
        )
    return _published_damage(directory, shown)


_OF_FILES: Final = (
    duckdb.IOException,
    duckdb.TransactionException,
    duckdb.SerializationException,
    duckdb.OutOfMemoryException,
    duckdb.FatalException,
    duckdb.InternalException,
)
_NUMBERS: Final = {os.strerror(number): number for number in errno.errorcode}
_SYSTEM: Final = re.compile(
    r"(?:^|: |\()(" + "|".join(map(re.escape, sorted(_NUMBERS, key=len, reverse=True))) + r")(?=$|[^\w])"
)
_PATH: Final = re.compile(r""""([/.][^"]*)"|'([/.][^']*)'""")
_VALUE: Final = re.compile(r'(?<=value )".*')
_MEMORY: Final = re.compile("failed to (pin|allocate|reserve)")
_NO_FILES: Final = re.compile(r'No files found that match the pattern "([^"]+)"')
_DAMAGE: Final = re.compile(
    r"[Cc]orrupt|checksum|not a valid DuckDB database|Could not read (enough|all) bytes|TProtocol|[Dd]eserializ"
)
_OTHER_VERSION: Final = re.compile(r"version number \d|storage version|newer version of DuckDB")
_OF_PARQUET: Final = re.compile(
    r"""(Invalid Input Error: |Not implemented Error: )?(No magic bytes found|File '[^']*' too small to be a Parquet|"""
    r"""Footer length error|Failed to read (Parquet )?file "|Invalid string encoding found in Parquet|Error reading Parquet)"""
)
