"""Where things lie in a warehouse directory, and who may write."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vapi_sessions.core import files
from vapi_sessions.core.disk_errors import disk_errors, link_in_our_place
from vapi_sessions.core.paths import warehouse_root
from vapi_sessions.errors import WarehouseBusyError, WarehouseError

#: Bits of a mode that let others change a directory.
_WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one warehouse. Raises ConfigurationError if there can be none of that path."""

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", warehouse_root(self.root))

    @property
    def index(self) -> Path:
        """The writer's own database."""
        return self.root / "index.duckdb"

    @property
    def earlier(self) -> Path:
        """The writer's database of version 0.1.0, which held a copy of every row."""
        return self.root / "store.duckdb"

    @property
    def staging(self) -> Path:
        """Rows on their way to the published files."""
        return self.root / "staging"

    @property
    def damaged(self) -> Path:
        """The note of published files in which rot was found."""
        return self.root / "damaged.json"

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

    @property
    def suppression(self) -> Path:
        """The list of what was forgotten."""
        return self.root / "suppression.json"

    @property
    def directories(self) -> tuple[Path, ...]:
        """Those of ours, the warehouse itself first."""
        return (self.root, self.raw, self.parquet, self.staging, self.scratch)

    @property
    def files(self) -> tuple[Path, ...]:
        """Those of ours that are in the warehouse itself."""
        databases = (self.index, self.earlier, self.published)
        logs = tuple(path.with_name(f"{path.name}.wal") for path in databases)
        return (
            *databases,
            *logs,
            self.suppression,
            self.damaged,
            self.root / ".lock",
            self.root / ".schedule",
        )

    def check(self) -> None:
        """Raises WarehouseError if something of ours is a link, or a file stands in a directory's place, or the reverse."""
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
        """What a person should hear of directories that others may change, or that belong to somebody else."""
        found = []
        for path in self.directories:
            with contextlib.suppress(OSError):
                # The warehouse may be a link, whose own mode says nothing; any other link is refused.
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
        """Make the directories, 0700. Raises WarehouseError if that cannot be done."""
        self.check()
        with disk_errors(self.root):
            for directory in self.directories:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.check()  # a link to a directory would have passed for one

    @staticmethod
    def _mode(path: Path) -> int | None:
        with disk_errors(path):
            try:
                return path.lstat().st_mode
            except FileNotFoundError:
                return None


@contextlib.contextmanager
def writer_lock(layout: Layout) -> Iterator[None]:
    """Hold the warehouse for writing. Raises WarehouseBusyError, with the holder's pid, if another process has it, and
    WarehouseError if there can be no lock.

    A lock file of our own, because DuckDB's lock on its file is lost when the process opens that file a second time.
    The kernel releases it with the process, however that ends.
    """
    layout.check()
    with disk_errors(layout.root):
        layout.scratch.mkdir(mode=0o700, exist_ok=True)  # a copy of a warehouse may do without it
        descriptor = files.open_lock_file(layout.root / ".lock")
    try:
        with disk_errors(layout.root):
            if not files.lock(descriptor, layout.root):
                raise WarehouseBusyError(
                    f"Another run (pid {_holder(descriptor)}) is writing to {layout.root}.",
                    "Wait until it is done, then run again.",
                )
            files.write_lock_file(descriptor, f"{os.getpid()}\n")
            files.empty_directory(layout.scratch)  # drafts and spilled data of a process that was killed
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    """The pid that is written in the lock file; some file systems let nobody else read what is locked."""
    with contextlib.suppress(OSError):
        said = os.read(descriptor, 32).decode("ascii", "replace").strip()
        ours = os.fstat(descriptor).st_nlink == 1  # else nothing of ours was written in it
        return said if ours and said.isdecimal() else "unknown"
    return "unknown"
