"""DuckDB for thousands of tiny databases, one after another: what takes longer than they do is done once a process."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import duckdb

from vapi_sessions.warehouse.index import Index

Views = Callable[[Index, Path, str, str], AbstractContextManager[str]]


def lent(inner: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Connect with one thread: each core plays a seed of its own.

    The writer gets a connection to an instance that all runs of this process share: starting one takes longer than a run.
    """
    config = {**named.get("config", {}), "threads": 1}
    if "temp_directory" not in config:
        return inner(*given, **{**named, "config": config})
    del config["temp_directory"]  # a directory of this seed, removed after it
    config["python_scan_all_frames"] = "true"  # finds the engine's variables through the wrapper below
    return Lent(_instance(inner, tuple(config.items())).cursor())


@functools.cache
def _instance(connect: Callable[..., Any], config: tuple[tuple[str, Any], ...]) -> Any:
    return connect(config=dict(config))


@functools.lru_cache(maxsize=1_000)
def _statement(sql: str) -> Any:
    found = duckdb.extract_statements(sql)
    return found[0] if len(found) == 1 else sql


class Parsed:
    """A connection that parses each statement once per process: parsing is a fifth of the time of small statements."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self, sql: str, *parameters: Any) -> Any:
        """As in DuckDB."""
        return self._inner.execute(_statement(sql), *parameters)

    def sql(self, sql: str, **named: Any) -> Any:
        """As in DuckDB."""
        return self._inner.sql(_statement(sql), **named)

    def cursor(self) -> Parsed:
        """Another connection to the same instance."""
        return Parsed(self._inner.cursor())


class Lent(Parsed):
    """A connection whose `close` detaches databases and rolls back, so that the shared instance stays clean."""

    def close(self) -> None:
        """Detach everything and close."""
        with contextlib.suppress(duckdb.Error):
            self._inner.rollback()
        self.execute("USE memory").fetchall()
        for (name,) in self.execute(
            "SELECT database_name FROM duckdb_databases() WHERE NOT internal AND database_name <> 'memory'"
        ).fetchall():
            self.execute(f"DETACH {name}").fetchall()
        self._inner.close()


def made_once(new_views: Views) -> Views:
    """Make the database of views once for each time zone and copy it: binding its views takes longer than the rest of a publication.

    For tests only: all copies have one identity, so DuckDB would take the log of one for that of another.
    """
    made: dict[str, bytes] = {}

    @contextlib.contextmanager
    def begin(index: Index, draft: Path, files: str, zone: str) -> Iterator[str]:
        if zone not in made:
            with new_views(index, draft, files, zone):
                index.checkpoint()
            made[zone] = draft.read_bytes()
        draft.write_bytes(made[zone])
        with index.attached(draft) as origin:
            index.run(files)
            yield origin

    return begin
