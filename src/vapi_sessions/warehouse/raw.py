"""`raw/`: the redacted sessions as the source sent them, append-only. Everything else can be derived from it.

There is one Parquet file for each batch. Its footer has the progress that the batch completes, so a file that was written and
not merged when the process was killed can be merged later: nothing in it is downloaded a second time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from vapi_sessions import schema
from vapi_sessions.core import faultpoints
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import new_file, replace_file, sync_directory, visible
from vapi_sessions.core.json_text import column
from vapi_sessions.errors import WarehouseDamagedError, WarehouseError
from vapi_sessions.privacy import redaction
from vapi_sessions.privacy.sanitizer import STATE, hash_part
from vapi_sessions.transform.headers import UnreadableRow, read_session, well_formed
from vapi_sessions.transform.resolve import Observation, Unreadable, unreadable

_PROGRESS: Final = b"vapi_sessions.progress"
_ROWS_AT_ONCE: Final = 2_000


def write(
    directory: Path, name: str, observations: Sequence[Observation | Unreadable], progress: Mapping[str, Any]
) -> Path:
    """Write one batch durably: temporary name, fsync, rename. `progress` can be any JSON. Raises WarehouseError."""
    columns = [
        [o.session_id if isinstance(o, Observation) or o.named else None for o in observations],
        [o.org_id for o in observations],
        [o.created_at for o in observations],
        [o.updated_at for o in observations],
        [o.requested_at for o in observations],
        [o.seq for o in observations],
        [o.run_id for o in observations],
        [o.kind for o in observations],
    ]
    *fields, _ = schema.RAW  # the last one is the body
    arrays = [pa.array(values, field.type) for values, field in zip(columns, fields, strict=True)]
    bodies = [o.body for o in observations]
    table = pa.table(
        [
            *arrays,
            column(bodies) if all(bodies) else pa.array([body or None for body in bodies], pa.string()),
        ],
        schema=schema.RAW,
    )
    return write_table(directory, name, table, progress)


def write_table(directory: Path, name: str, table: pa.Table, progress: Mapping[str, Any]) -> Path:
    """Write rows in the form of `schema.RAW` as one batch, as `write` does. Raises WarehouseError."""
    table = table.replace_schema_metadata({_PROGRESS: msgspec.json.encode(progress)})
    target = directory / name
    temporary = directory / f".{name}.tmp"
    with disk_errors(temporary):
        try:
            with os.fdopen(new_file(temporary), "wb") as file:
                pq.write_table(
                    table,
                    file,
                    compression="zstd",
                    compression_level=1,
                    use_dictionary=["org_id", "run_id", "kind"],
                    write_page_checksum=True,  # so that a damaged page is noticed
                )
                file.flush()
                os.fsync(file.fileno())
            faultpoints.reach("raw.written")
            temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(directory)
        faultpoints.reach("raw.renamed")
    return target


def files(directory: Path) -> list[Path]:
    """The files in the order of their names, which begin with the number of their first request."""
    return visible(directory.glob("*.parquet"))


def remove_unfinished(directory: Path) -> None:
    """Remove the temporary files of a killed process. Only inside the writer's lock."""
    with disk_errors(directory):
        for path in (*directory.glob(".*.parquet.tmp"), *directory.glob(".*.torn.tmp")):
            path.unlink(missing_ok=True)


def put_aside(path: Path) -> Path:
    """Rename a torn file so that it is no longer read; returns the new path. Raises WarehouseError."""
    kept = path.with_name(path.name + ".torn")
    with disk_errors(path):
        path.rename(kept)
        sync_directory(path.parent)
    return kept


def any_put_aside(directory: Path) -> bool:
    """Whether a torn file was ever found here."""
    return bool(torn(directory))


def torn(directory: Path) -> list[Path]:
    """The torn files that were put aside."""
    return visible(directory.glob("*.parquet.torn"))


def empty_torn(directory: Path) -> None:
    """Empty the torn files. Their names still show that observations are missing. Raises WarehouseError."""
    with disk_errors(directory):
        for path in torn(directory):
            replace_file(path, b"", path.with_name(f".{path.name}.tmp"))


def first_request(path: Path) -> int:
    """The smallest request number in the batch, by which batches are sorted. Raises WarehouseDamagedError if the file is torn."""
    with _whole(path), pq.ParquetFile(path) as file:
        _check_schema(path, file)
        groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
        found = [group.column(schema.RAW.get_field_index("seq")).statistics for group in groups]
        return min((int(statistics.min) for statistics in found if statistics is not None), default=0)


def observations(path: Path) -> int:
    """The number of observations in the batch. Raises WarehouseDamagedError if the file is torn."""
    with _whole(path):
        return int(pq.read_metadata(path).num_rows)


def read_progress(path: Path) -> dict[str, Any]:
    """The progress in the footer. Raises WarehouseDamagedError if the file is torn."""
    with _whole(path):
        metadata = pq.read_schema(path).metadata or {}
        progress = msgspec.json.decode(metadata.get(_PROGRESS, b"{}"))
    return progress if isinstance(progress, dict) else {}


def read_table(path: Path) -> pa.Table:
    """All rows, without the footer's progress. Raises WarehouseDamagedError if any part of the file is torn."""
    with _whole(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        _check_schema(path, file)
        return file.read().replace_schema_metadata(None)


def session_ids(path: Path) -> set[str]:
    """The ids of the batch's sessions. Raises WarehouseDamagedError if the file is torn."""
    with _whole(path), pq.ParquetFile(path) as file:
        _check_schema(path, file)
        found = set(file.read(["session_id"]).column(0).unique().to_pylist())
    if None in found:  # sessions without an id get a name from their body
        found = {row.session_id for rows in read(path) for row in rows}
    return {name for name in found if name is not None}


def read(path: Path) -> Iterator[list[Observation | Unreadable]]:
    """The batch's observations, in lists of bounded length. Raises WarehouseDamagedError if the file is torn."""
    with _whole(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        _check_schema(path, file)
        progress = msgspec.json.decode((file.schema_arrow.metadata or {}).get(_PROGRESS, b"{}"))
        state = progress.get("state") if isinstance(progress, dict) else None
        rules = hash_part(state.get(STATE)) if isinstance(state, dict) else ""
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            yield _observations(batch, rules)


def _observations(batch: pa.RecordBatch, rules: str) -> list[Observation | Unreadable]:
    columns = [
        (values.cast(pa.int64()) if pa.types.is_timestamp(values.type) else values).to_pylist()
        for values in batch.columns
    ]
    return [_observation(_RawRow._make(row), rules) for row in zip(*columns, strict=True)]


class _RawRow(NamedTuple):
    """One row, in the order of `schema.RAW`; times in µs."""

    session_id: str | None
    org_id: str | None
    created_at: int | None
    updated_at: int | None
    requested_at: int
    seq: int
    run_id: str
    kind: str
    body: str | None


def _observation(row: _RawRow, rules: str) -> Observation | Unreadable:
    body = _well_formed((row.body or "").encode())
    content_hash = redaction.content_hash(body, rules) if body else ""
    if row.kind == "unreadable":
        return unreadable(
            _header(body),
            body,
            content_hash,
            requested_at=row.requested_at,
            seq=row.seq,
            run_id=row.run_id,
        )
    if row.session_id is None or row.org_id is None or row.created_at is None or row.updated_at is None:
        raise pa.ArrowInvalid(f"a row of kind {row.kind} has no id or a time is missing")
    return Observation(
        row.session_id,
        row.org_id,
        row.created_at,
        row.updated_at,
        row.requested_at,
        row.seq,
        row.run_id,
        row.kind,  # type: ignore[arg-type]  # one of those that `write` writes
        body,
        content_hash,
    )


def _well_formed(body: bytes) -> bytes:
    """The body as the JSON decoder gives it. Files of earlier versions did not pass through it."""
    try:
        return well_formed(body) if body else body
    except ValueError:
        return body


def _header(body: bytes) -> UnreadableRow:
    """The header of an unreadable session. If this version can read it, it still stays aside until the source sends it again."""
    try:
        row = read_session(body)
    except ValueError:
        row = UnreadableRow("", None, None, None, None, body, "it is not JSON")
    if isinstance(row, UnreadableRow):
        return row
    return UnreadableRow(
        row.session_id, row.session_id, row.org_id, row.created_at, row.updated_at, body, "unknown"
    )


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Turn pyarrow's and msgspec's errors into WarehouseDamagedError. Errors of the disk do not mean damage."""
    try:
        yield
    except pa.ArrowMemoryError as error:  # the file is torn, or just large
        raise WarehouseError(
            f"There is not enough memory to read {path}.",
            "Free memory and run again. If the error stays, the file is damaged: move it out of raw/, and run vapi-sessions rebuild and then sync.",
        ) from error
    except (OSError, pa.ArrowException, msgspec.MsgspecError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            with disk_errors(path):
                raise
        raise _damaged(path) from error


def _check_schema(path: Path, file: pq.ParquetFile) -> None:
    if [(f.name, f.type) for f in file.schema_arrow] != [(f.name, f.type) for f in schema.RAW]:
        raise _damaged(path)


def _damaged(path: Path) -> WarehouseDamagedError:
    return WarehouseDamagedError(
        f"{path} is not a whole Parquet file of observations.",
        "Run vapi-sessions rebuild and then sync: its sessions are read from the source again.",
    )
