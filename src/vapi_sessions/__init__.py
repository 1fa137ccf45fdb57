"""Vapi sessions, messages and costs in DuckDB and Parquet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import duckdb

__version__: Final = "0.1.0"
__all__ = ["__version__", "connect"]


def connect(warehouse: str | os.PathLike[str] | None = None) -> duckdb.DuckDBPyConnection:
    """Open the published warehouse read-only; see `vapi_sessions.warehouse.reader.connect`."""
    from vapi_sessions.warehouse import reader  # imports DuckDB, which takes a while

    return reader.connect(warehouse)
