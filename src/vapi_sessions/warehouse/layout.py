"""The paths in a warehouse directory, and the lock of the writer."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vapi_sessions.core import files
from vapi_sessions.core.disk_errors import disk_errors, link_in_our_place
from vapi_sessions.core.paths import PUBLISHED, warehouse_root
from vapi_sessions.core.timestamps import HOUR
from vapi_sessions.errors import WarehouseBusyError, WarehouseError

#: Names in the directory of temporary files that stay for the next run begin with this.
KEPT: Final = "views-"
#: Seconds between attempts to take the lock.
_LOOKS: Final = (0.005, 0.01, 0.02, 0.04, 0.0)
#: Permission bits that let other users change a directory.
_WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Keep:
    """Which snapshots stay: this many of the newest, and each for this time (µs) after another one has replaced it."""

    snapshots: int = 3
    span: int = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one warehouse, and what its writer keeps. Raises ConfigurationError if the path cannot be a warehouse."""

    root: Path
    keep: Keep = Keep()

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", warehouse_root(self.root))

    @property
    def index(self) -> Path:
        """The database of the writer."""
        return self.root / "index.duckdb"

    @property
    def earlier(self) -> Path:
        """The database of version 0.1.0, which had a copy of every row."""
        return self.root / "store.duckdb"

    @property
    def staging(self) -> Path:
        """Directory of flattened rows that are not published yet."""
        return self.root / "staging"

    @property
    def damaged(self) -> Path:
        """The list of published files that `verify` found damaged."""
        return self.root / "damaged.json"

    @property
    def running(self) -> Path:
        """What the current run tells of itself."""
        return self.root / "running.json"

    @property
    def lock(self) -> Path:
        """The file on which the writer holds a lock."""
        return self.root / ".lock"

    @property
    def published(self) -> Path:
        """The database with the views, which people open."""
        return self.root / PUBLISHED

    @property
    def raw(self) -> Path:
        """Directory of the observations."""
        return self.root / "raw"

    @property
    def parquet(self) -> Path:
        """Directory of the snapshots."""
        return self.root / "parquet"

    @property
    def scratch(self) -> Path:
        """Directory of temporary files, and of one that saves time (`KEPT`). They can be removed while no writer runs."""
        return self.root / ".tmp"

    @property
    def suppression(self) -> Path:
        """The list of forgotten sessions and customers."""
        return self.root / "suppression.json"

    @property
    def directories(self) -> tuple[Path, ...]:
        """Our directories, the warehouse itself first."""
        return (self.root, self.raw, self.parquet, self.staging, self.scratch)

    @property
    def files(self) -> tuple[Path, ...]:
        """Our files directly in the warehouse."""
        databases = (self.index, self.earlier, self.published)
        logs = tuple(path.with_name(f"{path.name}.wal") for path in databases)
        return (
            *databases,
            *logs,
            self.suppression,
            self.damaged,
            self.running,
            self.lock,
            self.root / ".schedule",
        )

    def check(self) -> None:
        """Raises WarehouseError if one of our paths is a symbolic link, or a file where a directory should be, or the reverse."""
        kinds = dict.fromkeys(self.directories, "directory") | dict.fromkeys(self.files, "file")
        for path, kind in kinds.items():
            mode = self._mode(path)
            if mode is None:
                continue
            if stat.S_ISLNK(mode):
                raise link_in_our_place(path)
            if kind == "directory" and not stat.S_ISDIR(mode):
                raise WarehouseError(
                    f"{path} is a file, not a directory.",
                    "Give a directory with --warehouse or VAPI_WAREHOUSE."
                    if path == self.root
                    else "Move it away, then run again.",
                )
            if kind == "file" and not stat.S_ISREG(mode):
                raise WarehouseError(f"{path} is not a file.", "Move it away, then run again.")

    def doubts(self) -> list[str]:
        """Warnings about directories that other users can change or own."""
        found = []
        for path in self.directories:
            with contextlib.suppress(OSError):
                # The warehouse itself may be a link; its target counts. Other links are refused elsewhere.
                status = path.stat() if path == self.root else path.lstat()
                if stat.S_ISLNK(status.st_mode):
                    continue
                if status.st_mode & _WRITABLE:
                    mode = stat.S_IMODE(status.st_mode)
                    found.append(f"others may change what is in {path} (mode {mode:04o}): chmod 700 {path}")
                if status.st_uid != os.geteuid():
                    found.append(f"{path} belongs to another user (uid {status.st_uid})")
        return found

    def create(self) -> None:
        """Create the directories with mode 0700. Raises WarehouseError."""
        self.check()
        with disk_errors(self.root):
            for directory in self.directories:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.check()  # mkdir accepts a link to a directory

    @staticmethod
    def _mode(path: Path) -> int | None:
        with disk_errors(path):
            try:
                return path.lstat().st_mode
            except FileNotFoundError:
                return None


@contextlib.contextmanager
def writer_lock(layout: Layout) -> Iterator[None]:
    """Lock the warehouse for writing. Raises WarehouseBusyError, with the holder's pid, if another process has the lock, and
    WarehouseError if the file system has no locks.

    It is a lock file, because a process loses DuckDB's lock on a database when it opens that file a second time. The kernel
    releases the lock when the process ends, even by a kill.
    """
    layout.check()
    with disk_errors(layout.root):
        layout.scratch.mkdir(mode=0o700, exist_ok=True)  # may be missing in a copy of a warehouse
        descriptor = files.open_lock_file(layout.lock)
    try:
        with disk_errors(layout.root):
            if not _locked_soon(descriptor, layout.root):
                raise WarehouseBusyError(
                    f"Another run (pid {_holder(descriptor)}) is writing to {layout.root}.",
                    "Wait until it is done, then run again.",
                )
            files.write_lock_file(descriptor, f"{os.getpid()}\n")
            files.empty_directory(layout.scratch, keep=KEPT)  # leftovers of a killed process
            layout.running.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


def is_locked(layout: Layout) -> bool:
    """Whether a process holds the writer's lock. Needs no permission to write."""
    try:
        with files.opened(layout.lock) as descriptor:
            return not files.lock(descriptor, layout.root, shared=True)
    except (OSError, WarehouseError):  # without a lock nobody writes
        return False


def _locked_soon(descriptor: int, where: Path) -> bool:
    """Take the lock. `is_locked` of another process may hold it for an instant."""
    for wait in _LOOKS:
        if files.lock(descriptor, where):
            return True
        time.sleep(wait)
    return False


def _holder(descriptor: int) -> str:
    """The pid in the lock file. On some file systems other processes cannot read a locked file."""
    with contextlib.suppress(OSError):
        pid = os.read(descriptor, 32).decode("ascii", "replace").strip()
        ours = os.fstat(descriptor).st_nlink == 1  # a file with other names is never written to
        return pid if ours and pid.isdecimal() else "unknown"
    return "unknown"
