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

Views = Callable[[Index, Path], AbstractContextManager[str]]


def lent(inner: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """One thread for each database: a seed is one process's work, and as many run as there are cores.

    The writer gets a connection to an instance that all runs of this process share: to begin one costs more than a run.
    """
    config = {**named.get("config", {}), "threads": 1}
    if "temp_directory" not in config:
        return inner(*given, **{**named, "config": config})
    del config["temp_directory"]  # a seed's own, which is gone after it
    config["python_scan_all_frames"] = "true"  # the engine's variables, past the wrapper below
    return Lent(_instance(inner, tuple(config.items())).cursor())


@functools.cache
def _instance(connect: Callable[..., Any], config: tuple[tuple[str, Any], ...]) -> Any:
    return connect(config=dict(config))


@functools.lru_cache(maxsize=1_000)
def _statement(sql: str) -> Any:
    found = duckdb.extract_statements(sql)
    return found[0] if len(found) == 1 else sql


class Parsed:
    """A connection that parses a text once for all connections of this process: a fifth of what small statements take."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self, sql: str, *parameters: Any) -> Any:
        """As DuckDB's own."""
        return self._inner.execute(_statement(sql), *parameters)

    def sql(self, sql: str, **named: Any) -> Any:
        """As DuckDB's own."""
        return self._inner.sql(_statement(sql), **named)

    def cursor(self) -> Parsed:
        """Another one to the same instance."""
        return Parsed(self._inner.cursor())


class Lent(Parsed):
    """A connection that leaves the instance as it was: what was attached is detached, what was begun is undone."""

    def close(self) -> None:
        """Give it back."""
        with contextlib.suppress(duckdb.Error):
            self._inner.rollback()
        self.execute("USE memory").fetchall()
        for (name,) in self.execute(
            "SELECT database_name FROM duckdb_databases() WHERE NOT internal AND database_name <> 'memory'"
        ).fetchall():
            self.execute(f"DETACH {name}").fetchall()
        self._inner.close()


def made_once(new_views: Views) -> Views:
    """The same new database of views, written down once it has been made: to bind its views takes longer than all the rest of a
    publication. For tests only: files of one process then have one identity, and DuckDB takes the log of one for another's.
    """
    made: list[bytes] = []

    @contextlib.contextmanager
    def begin(index: Index, draft: Path) -> Iterator[str]:
        if not made:
            with new_views(index, draft):
                index.checkpoint()
            made.append(draft.read_bytes())
        draft.write_bytes(made[0])
        with index.attached(draft) as origin:
            yield origin

    return begin
