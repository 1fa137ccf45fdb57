"""Single tables and views as files of other formats: CSV as `vapi-sessions sql` writes it, and Parquet."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from vapi_sessions import schema
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import new_file
from vapi_sessions.warehouse import query
from vapi_sessions.warehouse.index_schema import SYNC_TABLES
from vapi_sessions.warehouse.view_files import view_files

#: Rows that are in memory at a time: a session can have megabytes. Below: bytes after which a row group ends.
_ROWS_AT_ONCE: Final = 1_024
_GROUP_BYTES: Final = 16_000_000
_TABLES: Final = {table.name: table for table in schema.TABLES} | {f"sync.{t.name}": t for t in SYNC_TABLES}


def write_csv(db: duckdb.DuckDBPyConnection, name: str, target: Path) -> None:
    """Write the rows of a table or view: a header, times in ISO 8601 in UTC, JSON as text, no formulas. Raises WarehouseError."""
    with disk_errors(target), os.fdopen(new_file(target), "w", encoding="utf-8", newline="") as file:
        query.write_csv(db, f"FROM {name}", file)
        file.flush()
        os.fsync(file.fileno())


def write_parquet(db: duckdb.DuckDBPyConnection, name: str, target: Path) -> None:
    """Write the rows of a table or view with zstd, JSON as text, and the descriptions of the columns. Raises WarehouseError."""
    columns = [(row[0], row[1]) for row in db.execute(f"DESCRIBE {name}").fetchall()]
    selected = ", ".join(
        f'"{column}"::VARCHAR AS "{column}"' if kind == "JSON" else f'"{column}"' for column, kind in columns
    )
    reader = db.sql(f"SELECT {selected} FROM {name}").to_arrow_reader(_ROWS_AT_ONCE)
    fields = _described(name, reader.schema)
    with disk_errors(target), os.fdopen(new_file(target), "wb") as file:
        with pq.ParquetWriter(file, fields, compression="zstd", write_page_checksum=True) as writer:
            waiting: list[pa.RecordBatch] = []
            size = 0
            for batch in reader:
                waiting.append(pa.RecordBatch.from_arrays(batch.columns, schema=fields))
                size += batch.nbytes
                if size >= _GROUP_BYTES:
                    writer.write_table(pa.Table.from_batches(waiting, fields))
                    waiting.clear()
                    size = 0
            if waiting:
                writer.write_table(pa.Table.from_batches(waiting, fields))
        file.flush()
        os.fsync(file.fileno())


def _described(name: str, found: pa.Schema) -> pa.Schema:
    """The columns with their descriptions; those of a table as in its published files."""
    if (table := _TABLES.get(name)) is not None:
        return table.parquet
    (view,) = (view for view in view_files() if view.name == name)
    texts = {field.name: view.describe(field.name) for field in found}
    return pa.schema(
        [
            field.with_metadata({"description": text}) if (text := texts[field.name]) else field
            for field in found
        ]
    )


#: How a table is written, by format.
WRITERS: Final[Mapping[str, Callable[[duckdb.DuckDBPyConnection, str, Path], None]]] = {
    "csv": write_csv,
    "parquet": write_parquet,
}
