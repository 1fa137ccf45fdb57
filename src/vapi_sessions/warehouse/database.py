"""The connection to `index.duckdb`: opening, locking, transactions, and other database files attached to it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self

import duckdb
import pyarrow as pa

from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import make_ours, make_private, replace_derived
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.paths import literal
from vapi_sessions.core.timestamps import to_datetime
from vapi_sessions.errors import WarehouseBusyError, WarehouseError
from vapi_sessions.warehouse.database_errors import database_errors

#: Seconds to wait for another process that has the file open.
LOCK_PATIENCE: Final = 10.0
#: DuckDB's memory limit, MiB. It caches the blocks that it wrote while there is room.
MEMORY_LIMIT: Final = 72


class Database:
    """An open database file. For one thread at a time; use as a context manager."""

    def __init__(
        self,
        path: Path,
        scratch: Path,
        *,
        sleep: Callable[[float], None] = time.sleep,
        read_only: bool = False,
    ) -> None:
        """`read_only`: writes nothing, not even the log of a killed process into the file, and needs no writer's lock.

        Raises WarehouseError.
        """
        self.path = path
        # DuckDB creates its log again after each checkpoint, with the mode that the umask gives.
        self._umask = os.umask(0o077)
        try:
            self._db = _attach_read_only(path) if read_only else _open(path, scratch, sleep)
            try:
                with database_errors(path):
                    self._prepare(read_only=read_only)
            except BaseException:  # else DuckDB gives the open database to the next caller with this path
                self._db.close()
                raise
        except BaseException:
            os.umask(self._umask)
            raise

    def _prepare(self, *, read_only: bool) -> None:
        """Create or check the tables."""

    def _forget_cached(self) -> None:
        """Drop cached rows: the tables may have changed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with database_errors(self.path), contextlib.ExitStack() as stack:
            stack.callback(os.umask, self._umask)
            stack.callback(self._db.close)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. They are fetched at once: DuckDB 2 refuses the next statement while a result is open."""
        with database_errors(self.path):
            return self._db.execute(sql, list(parameters)).fetchall()

    def run(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Execute one statement."""
        self.rows(sql, parameters)

    def table(self, sql: str, parameters: Sequence[object] = ()) -> pa.Table:
        """All rows of a query, as an Arrow table."""
        with database_errors(self.path):
            return self._db.sql(sql, params=list(parameters)).to_arrow_table()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside become durable together, or none does."""
        with database_errors(self.path):
            self._db.begin()
            try:
                yield
                self._db.commit()
            except BaseException:
                self._forget_cached()
                with contextlib.suppress(duckdb.Error):
                    self._db.rollback()
                raise

    @contextlib.contextmanager
    def attached(self, path: Path, *, made_for: str | None = None, read_only: bool = False) -> Iterator[str]:
        """Make another database file the current one; yields the name of our own.

        `made_for`: the oldest DuckDB version that can open a new file. A second DuckDB instance would cost more than the
        statements that are run on the file.
        """
        version = [f"STORAGE_VERSION '{made_for}'"] if made_for else []
        options = ", ".join([*version, *(["READ_ONLY"] if read_only else [])])
        with database_errors(path):
            self._db.execute(
                f"ATTACH {literal(path)} AS attached_file{f' ({options})' if options else ''}"
            ).fetchall()
        own = self.path
        if read_only:  # damage that is found is in the file that is read
            self.path = path
        try:
            self.run("USE attached_file")
            yield "index"
        finally:
            self.path = own
            self.run("USE index")
            self.run("DETACH attached_file")
            self._forget_cached()  # the caller may have written to our tables

    def copy_schema_from(self, path: Path) -> bool:
        """Copy tables, views, macros and comments of another file, without rows, into the attached one.

        Returns False, and copies nothing, if the file is missing or cannot be read.
        """
        if path.is_symlink() or not path.is_file():
            return False
        try:
            self._db.execute(f"ATTACH {literal(path)} AS other_file (READ_ONLY)").fetchall()
        except duckdb.Error:
            return False
        try:
            with self.transaction():
                self.run("COPY FROM DATABASE other_file TO attached_file (SCHEMA)")
        except WarehouseError:
            return False
        finally:
            self.run("DETACH other_file")
        return True

    def copy_schema_to(self, path: Path) -> None:
        """Copy tables, views, macros and comments of the attached file, without rows, into a new one. Replaces `path`."""
        draft = path.with_name(f"new-{path.name}")
        draft.unlink(missing_ok=True)
        self.run(f"ATTACH {literal(draft)} AS other_file")
        try:
            self.run("COPY FROM DATABASE attached_file TO other_file (SCHEMA)")
        finally:
            self.run("DETACH other_file")  # writes the log into the file
        make_private(draft)
        replace_derived(draft, path)

    @contextlib.contextmanager
    def in_memory(self) -> Iterator[None]:
        """Make an empty database in memory the current one; it is dropped at the end."""
        self.run("ATTACH ':memory:' AS in_memory")
        try:
            self.run("USE in_memory")
            yield
        finally:
            self.run("USE index")
            self.run("DETACH in_memory")

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file. Expensive: once a run is enough."""
        self.run("CHECKPOINT")


def window_bounds(window: Window) -> list[object]:
    """The bounds of a closed window, as parameters of a query. Raises ValueError for an open one."""
    if window.upper is None:
        raise ValueError("a closed window is needed")
    return [to_datetime(window.lower), to_datetime(window.upper)]


def copy_alive(path: Path, draft: Path) -> None:
    """Copy the rows of a closed database to a new file. The old file still has the bytes of deleted rows.

    Raises WarehouseError.
    """
    mask = os.umask(0o077)
    try:
        with database_errors(path), duckdb.connect(config={"autoinstall_known_extensions": "false"}) as db:
            db.execute("SET temp_directory = ''").fetchall()
            db.execute(f"ATTACH {literal(path)} AS old (READ_ONLY)").fetchall()
            db.execute(f"ATTACH {literal(draft)} AS new").fetchall()
            db.execute("COPY FROM DATABASE old TO new").fetchall()
            db.execute("CHECKPOINT new").fetchall()  # closing would not report a full disk
    finally:
        os.umask(mask)


def _open(path: Path, scratch: Path, sleep: Callable[[float], None]) -> duckdb.DuckDBPyConnection:
    """Attach the file for writing; waits up to `LOCK_PATIENCE` for another process that has it open."""
    waited = 0.0
    with disk_errors(path):  # DuckDB writes in place, so a hard link to the file would be changed too
        for file in (path, path.with_name(f"{path.name}.wal")):
            make_ours(file, scratch / f"{file.name}.copy")
    while True:
        try:
            with database_errors(path):
                db = _attach(path, scratch)
        except WarehouseBusyError:
            if waited >= LOCK_PATIENCE:
                raise
            sleep(0.5)
            waited += 0.5
        else:
            break
    try:
        with disk_errors(path):
            make_private(path)
    except BaseException:  # see Database.__init__
        db.close()
        raise
    return db


def _attach(path: Path, scratch: Path) -> duckdb.DuckDBPyConnection:
    """A new DuckDB instance whose current database, `index`, is the file."""
    db = duckdb.connect(
        config={
            "memory_limit": f"{MEMORY_LIMIT}MiB",
            "temp_directory": str(scratch),
            "threads": 1,  # the other threads of this process need the cores
            "preserve_insertion_order": "false",
            "checkpoint_threshold": "1GB",
            "autoinstall_known_extensions": "false",
        }
    )
    try:
        db.execute(f"ATTACH {literal(path)} AS index").fetchall()
        db.execute("USE index").fetchall()
        db.execute("SET GLOBAL TimeZone = 'UTC'").fetchall()  # GLOBAL: for cursors too
    except BaseException:
        db.close()
        raise
    return db


def _attach_read_only(path: Path) -> duckdb.DuckDBPyConnection:
    """The same for reading: nothing on the disk changes, because DuckDB reads the log into memory."""
    with database_errors(path):
        db = duckdb.connect(config={"temp_directory": "", "autoinstall_known_extensions": "false"})
        try:
            db.execute(f"ATTACH {literal(path)} AS index (READ_ONLY)").fetchall()
            tables = "SELECT 1 FROM duckdb_tables() WHERE database_name = 'index' AND schema_name = 'sync'"
            if not db.execute(tables).fetchall():  # a process was killed before it created the tables
                db.execute("DETACH index").fetchall()
                db.execute("ATTACH ':memory:' AS index").fetchall()
            db.execute("USE index").fetchall()
            db.execute("SET GLOBAL TimeZone = 'UTC'").fetchall()
        except BaseException:
            db.close()
            raise
    return db
