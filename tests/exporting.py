"""Exports of a warehouse, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from vapi_sessions.operations import export
from vapi_sessions.operations.progress import Progress
from vapi_sessions.settings import load_settings

Rows = list[tuple[Any, ...]]


def exported(
    warehouse: Path,
    out: Path,
    *names: str,
    output: str = "duckdb",
    version: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
    **policy: object,
) -> Path:
    """Export with these options and settings; returns the path."""
    wanted = export.Export(names, str(out), output, version, force, frozenset(policy))
    done = export.export(load_settings(warehouse=warehouse, **policy), wanted, progress=progress)
    assert done.path == out
    return out


@contextmanager
def opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An exported DuckDB file, in UTC."""
    with duckdb.connect(path, read_only=True) as db:
        db.execute("SET TimeZone = 'UTC'")
        yield db


def rows_of(db: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, Rows]:
    """All rows of these tables and views, sorted. Numbers have 9 digits: sums depend on the order of rows."""
    return {
        name: sorted((tuple(map(_rounded, row)) for row in db.execute(f"FROM {name}").fetchall()), key=repr)
        for name in names
    }


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.9g}")
    return tuple(map(_rounded, value)) if isinstance(value, list) else value
