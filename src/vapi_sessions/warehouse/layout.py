"""Where things lie in a warehouse directory, who may write, and what the operating system's refusals mean."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vapi_sessions.errors import WarehouseBusyError, WarehouseError
from vapi_sessions.paths import warehouse_root
from vapi_sessions.timestamps import to_datetime


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one warehouse. Raises ConfigurationError if there can be none of that path."""

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", warehouse_root(self.root))

    @property
    def store(self) -> Path:
        """The writer's own database."""
        return self.root / "store.duckdb"

    @property
    def published(self) -> Path:
        """The database of views that people open."""
        return self.root / "vapi.duckdb"

    @property
    def raw(self) -> Path:
        """Directory of observations."""
        return self.root / "raw"

    @property
    def parquet(self) -> Path:
        """Directory of snapshots."""
        return self.root / "parquet"

    @property
    def scratch(self) -> Path:
        """Temporary files; anything in here may be removed when no writer runs."""
        return self.root / ".tmp"

    def check(self) -> None:
        """Raises WarehouseError if a file stands where the directory should be."""
        if self.root.exists() and not self.root.is_dir():
            raise WarehouseError(
                f"{self.root} is a file, not a directory.",
                "Give a directory with --warehouse or VAPI_WAREHOUSE.",
            )

    def create(self) -> None:
        """Make the directories, 0700. Raises WarehouseError if that cannot be done."""
        self.check()
        with disk_errors(self.root):
            for directory in (self.root, self.raw, self.parquet, self.scratch):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into WarehouseError, with the remedy for each."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                fact, remedy = (
                    f"The disk is full ({where}).",
                    "Make room and run again: the next run continues.",
                )
            case errno.EROFS | errno.EACCES | errno.EPERM:
                fact, remedy = (
                    f"{where} cannot be written ({error.strerror}).",
                    "Give a directory of your own with --warehouse.",
                )
            case errno.ENOTDIR:
                fact, remedy = (
                    f"{where} lies below a file, not a directory.",
                    "Give a directory with --warehouse or VAPI_WAREHOUSE.",
                )
            case _:
                fact, remedy = f"{where}: {error.strerror or error}.", "Look at the disk, then run again."
        raise WarehouseError(fact, remedy) from error


@contextlib.contextmanager
def writer_lock(layout: Layout) -> Iterator[None]:
    """Hold the warehouse for writing. Raises WarehouseBusyError, with the holder's pid, if another process has it.

    A lock file of our own, because DuckDB's lock on its file is lost when the process opens that file a second time.
    The kernel releases it with the process, however that ends.
    """
    with disk_errors(layout.root):
        descriptor = os.open(layout.root / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            raise WarehouseBusyError(
                f"Another run (pid {holder}) is writing to {layout.root}.",
                "Wait until it is done, then run again.",
            ) from None
        with disk_errors(layout.root):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        _clear(layout.scratch)  # drafts and spilled data of a process that was killed
        yield
    finally:
        os.close(descriptor)


def _clear(directory: Path) -> None:
    for path in directory.glob("*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Make renames in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_aside(layout: Layout, now: int) -> Path | None:
    """Move the writer's database, and its log, out of the way; returns the new place, None if there was none."""
    if not layout.store.exists():
        return None
    kept = layout.root / f"store.{to_datetime(now):%Y%m%dT%H%M%S%f}.duckdb.old"
    with disk_errors(layout.root):
        log = layout.store.with_name(layout.store.name + ".wal")
        if log.exists():
            log.rename(kept.with_name(kept.name + ".wal"))
        layout.store.rename(kept)
        sync_directory(layout.root)
    return kept
