"""`raw/`: what the source was observed to say, redacted, append-only; everything else can be derived from it.

One Parquet file a batch. Its footer carries what the batch completed (`progress`), so that a file that was written but
not yet merged when the process died is worth as much as a merged one: nothing in it is downloaded a second time.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

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
    """Write one batch durably: temporary name, fsync, rename. `progress` is any JSON. Raises WarehouseError."""
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
        schema=schema.RAW.with_metadata({_PROGRESS: msgspec.json.encode(progress)}),
    )
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
                    write_page_checksum=True,  # a torn page must not pass for content
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
    """The batches in the order of their names, which is that of their first requests unless somebody renamed them."""
    return visible(directory.glob("*.parquet"))


def remove_unfinished(directory: Path) -> None:
    """Drop what a process that died had not given its name yet. Only inside the writer's lock."""
    with disk_errors(directory):
        for path in (*directory.glob(".*.parquet.tmp"), *directory.glob(".*.torn.tmp")):
            path.unlink(missing_ok=True)


def put_aside(path: Path) -> Path:
    """Give a torn file a name under which nothing looks for it; returns that. Raises WarehouseError."""
    kept = path.with_name(path.name + ".torn")
    with disk_errors(path):
        path.rename(kept)
        sync_directory(path.parent)
    return kept


def any_put_aside(directory: Path) -> bool:
    """Whether a torn file was found here once."""
    return bool(torn(directory))


def torn(directory: Path) -> list[Path]:
    """What was put aside."""
    return visible(directory.glob("*.parquet.torn"))


def empty_torn(directory: Path) -> None:
    """Empty what was put aside: its name alone still says that something lacks. Raises WarehouseError."""
    with disk_errors(directory):
        for path in torn(directory):
            replace_file(path, b"", path.with_name(f".{path.name}.tmp"))


def first_request(path: Path) -> int:
    """The smallest `seq` in the batch, which orders batches. Raises WarehouseDamagedError if the file is torn."""
    with _whole(path), pq.ParquetFile(path) as file:
        _check_schema(path, file)
        groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
        found = [group.column(schema.RAW.get_field_index("seq")).statistics for group in groups]
        return min((int(statistics.min) for statistics in found if statistics is not None), default=0)


def read_progress(path: Path) -> dict[str, Any]:
    """What the batch completed. Raises WarehouseDamagedError if the file is torn."""
    with _whole(path):
        metadata = pq.read_schema(path).metadata or {}
        progress = msgspec.json.decode(metadata.get(_PROGRESS, b"{}"))
    return progress if isinstance(progress, dict) else {}


def session_ids(path: Path) -> set[str]:
    """The ids of the sessions that the batch observed, without their bodies. Raises WarehouseDamagedError if the file is torn."""
    with _whole(path), pq.ParquetFile(path) as file:
        _check_schema(path, file)
        found = set(file.read(["session_id"]).column(0).unique().to_pylist())
    if None in found:  # those without one are named by their content
        found = {row.session_id for part in read(path) for row in part}
    return {name for name in found if name is not None}


def read(path: Path) -> Iterator[list[Observation | Unreadable]]:
    """The batch's observations, a bounded number at a time. Raises WarehouseDamagedError if the file is torn."""
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
    return [_observation(rules, *row) for row in zip(*columns, strict=True)]


def _observation(
    rules: str,
    session_id: str | None,
    org_id: str | None,
    created: int | None,
    updated: int | None,
    requested: int,
    seq: int,
    run_id: str,
    kind: str,
    text: str | None,
) -> Observation | Unreadable:
    body = _well_formed((text or "").encode())
    content_hash = redaction.content_hash(body, rules) if body else ""
    if kind == "unreadable":
        return unreadable(_header(body), body, content_hash, requested_at=requested, seq=seq, run_id=run_id)
    if session_id is None or org_id is None or created is None or updated is None:
        raise pa.ArrowInvalid(f"a row of kind {kind} lacks its id or a time")
    return Observation(
        session_id,
        org_id,
        created,
        updated,
        requested,
        seq,
        run_id,
        kind,  # type: ignore[arg-type]  # one of those we write
        body,
        content_hash,
    )


def _well_formed(body: bytes) -> bytes:
    """As the decoder leaves a body: versions before it stored what came."""
    try:
        return well_formed(body) if body else body
    except ValueError:
        return body


def _header(body: bytes) -> UnreadableRow:
    """What an unreadable session's body says of itself. What this program can read by now is kept aside until it comes again."""
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
    """Whatever pyarrow or msgspec say of a file that cannot be read: it is torn. A disk that refuses is not that."""
    try:
        yield
    except pa.ArrowMemoryError as error:  # of a file that is torn, or of one that is large
        raise WarehouseError(
            f"Reading {path} took more memory than there is.",
            "Free memory and run again. If it stays, the file is damaged: move it out of raw/.",
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
        "Move it out of raw/ and run again: what it held is read from the source again.",
    )
