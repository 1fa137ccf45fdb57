"""DuckDB instances that are used again: starting one takes 15 ms, longer than most of what tests do with it."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import duckdb


class Instances:
    """Lends each instance to one writer at a time. Everything else gets a connection of its own."""

    def __init__(self, connect: Callable[..., Any]) -> None:
        self._connect = connect
        self._free: defaultdict[tuple[tuple[str, Any], ...], list[Any]] = defaultdict(list)

    def connect(self, *given: Any, **named: Any) -> Any:
        """As `duckdb.connect`; what has a directory for temporary files is a writer."""
        config = dict(named.get("config", {}))
        scratch = config.pop("temp_directory", "")
        if given or not scratch:
            return self._connect(*given, **named)
        free = self._free[tuple(sorted(config.items()))]
        instance = free.pop() if free else self._connect(config=config)
        try:
            instance.execute("SET GLOBAL temp_directory = ?", [scratch]).fetchall()
        except duckdb.Error:  # it has used the former one
            instance.close()
            instance = self._connect(**named)
        return _Lent(instance, free)

    def close(self) -> None:
        """Close every instance that is not lent."""
        for instance in (instance for free in self._free.values() for instance in free):
            instance.close()
        self._free.clear()


class _Lent:
    """A connection to a lent instance. Closing it detaches its databases and gives the instance back."""

    def __init__(self, instance: Any, free: list[Any]) -> None:
        self._inner = instance.cursor()
        self._instance = instance
        self._free = free
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __enter__(self) -> _Lent:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Twice does no harm, as with DuckDB's own."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(duckdb.Error):
            self._inner.rollback()
        try:
            self._inner.execute("USE memory").fetchall()
            for (name,) in self._inner.execute(
                "SELECT database_name FROM duckdb_databases() WHERE NOT internal AND database_name <> 'memory'"
            ).fetchall():
                self._inner.execute(f'DETACH "{name}"').fetchall()
        except duckdb.Error:
            self._instance.close()
            raise
        else:
            self._free.append(self._instance)
        finally:
            self._inner.close()
