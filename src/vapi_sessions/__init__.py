"""Vapi sessions, messages and costs in DuckDB and Parquet."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import duckdb
    import polars

__version__: Final = "0.1.0"
__all__ = ["__version__", "connect", "frame"]

# Importing DuckDB and polars takes a while, so both functions import what they need when they are called.


def connect(warehouse: str | os.PathLike[str] | None = None) -> duckdb.DuckDBPyConnection:
    """Open a warehouse for reading. Returns a DuckDB connection, with all tables and views by their plain names.

        con = vapi_sessions.connect()                              # VAPI_WAREHOUSE, else ./warehouse
        con = vapi_sessions.connect("path/to/warehouse")           # or the path of its vapi.duckdb

        con.sql("SHOW TABLES")                                     # shown as a table in a notebook or a prompt
        con.sql("FROM cost_by_day ORDER BY day").pl()              # a polars frame; .df() pandas, .to_arrow_table() Arrow
        con.execute("SELECT * FROM messages WHERE session_id = ?", ["…"]).fetchall()    # a list of tuples
        con.sql("CREATE TABLE mine AS FROM sessions")              # tables of your own, as long as the connection is open
        con.close()                                                # or: with vapi_sessions.connect() as con: …

    The connection is to a database in memory that shows one published state of the warehouse, in UTC. Cursors, other threads and
    libraries that take a connection see the same. That state stays the same, and readable, for at least a day, whatever is synced
    meanwhile. An open connection blocks no sync. The warehouse may have been moved or copied. You can attach the `vapi.duckdb` of
    another warehouse to compare the two.

    Raises ConfigurationError if nothing was published there, WarehouseError if it is not a directory or cannot be read
    (both in `vapi_sessions.errors`).
    """
    from vapi_sessions.warehouse import reader

    return reader.connect(warehouse)


def frame(
    query: str,
    warehouse: str | os.PathLike[str] | None = None,
    *,
    parameters: Sequence[object] | Mapping[str, object] | None = None,
) -> polars.DataFrame:
    """Run one query on a warehouse and return its rows as a polars frame. Opens the warehouse and closes it.

        vapi_sessions.frame("FROM cost_by_day ORDER BY day")
        vapi_sessions.frame("FROM sessions WHERE customer_number = ?", "path/to/warehouse", parameters=["+14155550100"])
        vapi_sessions.frame("FROM sessions WHERE cost_usd > $limit", parameters={"limit": 0.5})

    Use `connect` for several queries that belong together: it opens the warehouse once and shows one state to all of them.
    Raises what `connect` raises, ConfigurationError for a column of a type that polars does not have (INTERVAL), and DuckDB's own
    errors for a query that fails.
    """
    from vapi_sessions.warehouse import reader

    return reader.frame(query, warehouse, parameters)
