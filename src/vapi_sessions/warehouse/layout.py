"""Where things lie in a warehouse directory, and who may write."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vapi_sessions.errors import WarehouseBusyError, WarehouseError
from vapi_sessions.paths import warehouse_root
from vapi_sessions.timestamps import to_datetime
from vapi_sessions.warehouse import files
from vapi_sessions.warehouse.refusals import disk_errors


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
        with disk_errors(self.root):
            is_file = self.root.exists() and not self.root.is_dir()
        if is_file:
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
def writer_lock(layout: Layout) -> Iterator[None]:
    """Hold the warehouse for writing. Raises WarehouseBusyError, with the holder's pid, if another process has it, and
    WarehouseError if there can be no lock.

    A lock file of our own, because DuckDB's lock on its file is lost when the process opens that file a second time.
    The kernel releases it with the process, however that ends.
    """
    with disk_errors(layout.root):
        descriptor = os.open(layout.root / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with disk_errors(layout.root):
            if not files.lock(descriptor, layout.root):
                raise WarehouseBusyError(
                    f"Another run (pid {_holder(descriptor)}) is writing to {layout.root}.",
                    "Wait until it is done, then run again.",
                )
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            _clear(layout.scratch)  # drafts and spilled data of a process that was killed
        yield
    finally:
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    """The pid that is written in the lock file; some file systems let nobody else read what is locked."""
    with contextlib.suppress(OSError):
        return os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
    return "unknown"


def _clear(directory: Path) -> None:
    """Remove what is in it. What NFS keeps of files that somebody has open (`.nfs…`) goes by itself."""
    for path in directory.glob("*"):
        with contextlib.nullcontext() if not path.name.startswith(".") else contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


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
        files.sync_directory(layout.root)
    return kept
