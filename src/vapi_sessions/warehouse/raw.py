"""`raw/`: what the source was observed to say, redacted, append-only; everything else can be derived from it.

One Parquet file a batch. Its footer carries what the batch completed (`progress`), so that a file that was written but
not yet merged when the process died is worth as much as a merged one: nothing in it is downloaded a second time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from vapi_sessions import redact, schema
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.merge import Observation
from vapi_sessions.warehouse.layout import disk_errors, sync_directory

_PROGRESS: Final = b"vapi_sessions.progress"
_ROWS_AT_ONCE: Final = 2_000


def write(
    directory: Path, name: str, observations: Sequence[Observation], progress: Mapping[str, Any]
) -> Path:
    """Write one batch durably: temporary name, fsync, rename. `progress` is any JSON. Raises WarehouseError."""
    columns = [
        [o.session_id for o in observations],
        [o.org_id for o in observations],
        [o.created_at for o in observations],
        [o.updated_at for o in observations],
        [o.requested_at for o in observations],
        [o.seq for o in observations],
        [o.run_id for o in observations],
        [o.kind for o in observations],
        [o.body or None for o in observations],
    ]
    table = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema.RAW, strict=True)],
        schema=schema.RAW.with_metadata({_PROGRESS: msgspec.json.encode(progress)}),
    )
    target = directory / name
    temporary = directory / f".{name}.tmp"
    with disk_errors(temporary):
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                pq.write_table(
                    table,
                    file,
                    compression="zstd",
                    compression_level=1,
                    use_dictionary=["org_id", "run_id", "kind"],
                )
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(directory)
    return target


def files(directory: Path) -> list[Path]:
    """The batches in the order they were written."""
    return sorted(path for path in directory.glob("*.parquet") if not path.name.startswith("."))


def read_progress(path: Path) -> dict[str, Any]:
    """What the batch completed. Raises WarehouseDamagedError if the file is torn."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        progress = msgspec.json.decode(metadata.get(_PROGRESS, b"{}"))
    except (OSError, pa.ArrowException, msgspec.DecodeError) as error:
        raise _damaged(path) from error
    return progress if isinstance(progress, dict) else {}


def read(path: Path) -> Iterator[list[Observation]]:
    """The batch's observations, a bounded number at a time. Raises WarehouseDamagedError if the file is torn."""
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                yield _observations(batch)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path) from error


def _observations(batch: pa.RecordBatch) -> list[Observation]:
    columns = [
        (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
        for column in batch.columns
    ]
    return [
        Observation(
            session_id,
            org_id,
            created,
            updated,
            requested,
            seq,
            run_id,
            kind,
            body,
            redact.content_hash(body) if body else "",
        )
        for session_id, org_id, created, updated, requested, seq, run_id, kind, text in zip(
            *columns, strict=True
        )
        for body in [(text or "").encode()]
    ]


def _damaged(path: Path) -> WarehouseDamagedError:
    return WarehouseDamagedError(
        f"{path} is not a whole Parquet file.",
        "Move it out of raw/ and run again: what it held is read from the source again.",
    )
