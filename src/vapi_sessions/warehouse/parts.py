"""Writes one part: the Parquet file of one table for a range of createdAt, from the old file and from `staging/`.

The index has the sessions of the range and the batch with the newest version of each. Rows of published versions are copied from
the old file, the others come from `staging/`. Columns that only the index knows are set on the way: when a session was first
read, its tombstone, and when each message was first seen.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vapi_sessions import schema
from vapi_sessions.core import faultpoints
from vapi_sessions.core.timestamps import to_datetime
from vapi_sessions.transform.columns import repeat_each
from vapi_sessions.transform.resolve import Growth
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.index_rows import decode_growth
from vapi_sessions.warehouse.staging import StagedBatch

#: Columns whose values rarely repeat: Parquet would start to build a dictionary for them and give it up late.
_DISTINCT: Final = frozenset({"content", "arguments", "result", "content_hash", "tool_call_id"})
#: Rows of an old file that are read at a time, and bytes after which a row group ends. These limit the memory for each file that
#: is being written. Rows of `sessions` are larger: they have the artifact and the metadata.
_ROWS_AT_ONCE: Final = 8_192
_SESSIONS_AT_ONCE: Final = 1_024
_GROUP_BYTES: Final = 16_000_000
_TIME: Final = pa.timestamp("us", "UTC")


class UntrustedError(Exception):
    """An old file does not have the rows that it should have by the index."""


@dataclass(frozen=True)
class Heads:
    """The rows of the index for one range, and the numbers of the unpublished batches.

    `table`: session_id, batch, seq, updated_at (µs), first_synced_at, deleted_at, aged_out_at, growth, message_count.
    """

    table: pa.Table
    unpublished: frozenset[int]

    @classmethod
    def read(cls, index: Index, lower: int, upper: int, unpublished: frozenset[int]) -> Heads:
        """The rows of the sessions created in [lower, upper), µs."""
        found = index.table(
            "SELECT session_id, batch, seq, epoch_us(updated_at) AS updated_at, first_synced_at, deleted_at, aged_out_at, growth, "
            "message_count FROM sessions WHERE created_at >= ? AND created_at < ?",
            [to_datetime(lower), to_datetime(upper)],
        )
        return cls(found.combine_chunks(), unpublished)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> pa.Array:
        """One column, as one array."""
        chunks = self.table.column(name).chunks
        return chunks[0] if chunks else pa.array([], self.table.schema.field(name).type)

    @cached_property
    def places(self) -> dict[int, dict[str, int]]:
        """For each batch, the sessions whose newest version it has, and their positions; all published batches count as batch 0."""
        found: dict[int, dict[str, int]] = {}
        ids, batches = self.column("session_id").to_pylist(), self.column("batch").to_pylist()
        for at, (session_id, batch) in enumerate(zip(ids, batches, strict=True)):
            found.setdefault(batch if batch in self.unpublished else 0, {})[session_id] = at
        return found

    def wanted(self, batches: Collection[int]) -> dict[int, dict[str, int]]:
        """For each of these batches, the sessions whose newest version it has, with the number of its request."""
        found: dict[int, dict[str, int]] = {}
        columns = (self.column(name).to_pylist() for name in ("session_id", "batch", "seq"))
        for session_id, batch, seq in zip(*columns, strict=True):
            if batch in batches:
                found.setdefault(batch, {})[session_id] = seq
        return found

    @cached_property
    def growth(self) -> dict[int, Growth]:
        """The growth of those sessions that were seen with several lengths, by position."""
        growth = self.column("growth")
        places = pc.indices_nonzero(growth.is_valid())
        return {at: decode_growth(growth[at].as_py()) for at in places.to_pylist()}


@dataclass(frozen=True, slots=True)
class PartInputs:
    """Sources of the rows of one part. `old`: published files by table; None: they must not be used. `staged`: rows by batch."""

    old: Mapping[str, Sequence[Path]] | None
    staged: Mapping[int, Sequence[StagedBatch]]


def write_part(
    table: schema.Table, heads: Heads, lower: int, upper: int, source: PartInputs, target: Path
) -> bool:
    """Write the part of one table for a range (µs); returns whether it has rows. Without rows it has no file.

    Raises UntrustedError if an old file is not as the index says, WarehouseError, OSError.
    """
    counted = _Counted(table, heads)
    rows = counted.each(_rows(table, heads, lower, upper, source))
    written = _write(rows, table, target)
    counted.check()
    faultpoints.reach("publish.file_written")
    return written


class _Counted:
    """Counts the rows and compares with the index, which knows the number of sessions and of messages."""

    def __init__(self, table: schema.Table, heads: Heads) -> None:
        self._expected: int | None = None
        if table is schema.SESSIONS:
            self._expected = len(heads)
        elif table is schema.MESSAGES:
            self._expected = pc.sum(heads.column("message_count")).as_py() or 0
        self._found = 0

    def each(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            self._found += batch.num_rows
            yield batch

    def check(self) -> None:
        if self._expected is not None and self._found != self._expected:
            raise UntrustedError(f"{self._found} rows instead of {self._expected}")


def _rows(
    table: schema.Table, heads: Heads, lower: int, upper: int, source: PartInputs
) -> Iterator[pa.RecordBatch]:
    if source.old is None:
        heads = Heads(heads.table, frozenset(source.staged))
    for number, places in heads.places.items():
        if number:
            old = (
                batch
                for staged_batch in source.staged.get(number, ())
                for batch in staged_batch.rows(table, lower, upper)
            )
        else:
            old = (batch for path in (source.old or {}).get(table.name, ()) for batch in _read(path, table))
        for batch in old:
            yield from _chosen(table, batch, places, heads)


def _read(path: Path, table: schema.Table) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if file.schema_arrow.names != table.arrow.names:
                raise UntrustedError(str(path))
            yield from file.iter_batches(_SESSIONS_AT_ONCE if table is schema.SESSIONS else _ROWS_AT_ONCE)
    except (OSError, pa.ArrowException) as error:
        if isinstance(error, pa.ArrowMemoryError):
            raise
        raise UntrustedError(str(path)) from error


def _chosen(
    table: schema.Table, batch: pa.RecordBatch, places: Mapping[str, int], heads: Heads
) -> Iterator[pa.RecordBatch]:
    """The rows of these sessions (id to position in `heads`), with the columns that the index knows."""
    ids = batch.column("session_id").dictionary_encode()
    found = pa.array(map(places.get, ids.dictionary.to_pylist()), pa.int32()).take(ids.indices)
    if found.null_count:
        batch, found = batch.filter(found.is_valid()), found.drop_null()
    if batch.num_rows:
        yield _completed(table, batch, found, heads)


def _completed(table: schema.Table, batch: pa.RecordBatch, places: pa.Array, heads: Heads) -> pa.RecordBatch:
    if table is schema.SESSIONS:
        for name in ("first_synced_at", "deleted_at", "aged_out_at"):
            batch = _with(batch, table, name, heads.column(name).take(places))
    elif table is schema.MESSAGES:
        batch = _with(
            batch, table, "first_seen_at", _first_seen(batch.column("message_index"), places, heads)
        )
    return batch


def _with(batch: pa.RecordBatch, table: schema.Table, name: str, values: pa.Array) -> pa.RecordBatch:
    return batch.set_column(batch.schema.get_field_index(name), table.arrow.field(name), values)


def _first_seen(indices: pa.Array, places: pa.Array, heads: Heads) -> pa.Array:
    """For each message, the updatedAt at which its session was first seen with that many. `places`: the session's position."""
    if not heads.growth:
        return heads.column("updated_at").take(places).cast(_TIME)
    updated = heads.column("updated_at")
    runs = pc.run_end_encode(places)
    begins = 0
    times: list[int] = []
    lengths: list[int] = []
    for place, ends in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        grown = heads.growth.get(place)
        if grown is None:
            times.append(updated[place].as_py())
            lengths.append(ends - begins)
        else:
            position, last = indices[begins].as_py(), indices[ends - 1].as_py() + 1
            for at, total in grown:
                above = min(total, last)
                if above > position:
                    times.append(at)
                    lengths.append(above - position)
                    position = above
        begins = ends
    return pa.array(times, _TIME).take(repeat_each(lengths))


def write_empty(table: schema.Table, target: Path) -> None:
    """Write a file with the columns of a table and no row."""
    with _parquet(target, table) as writer:
        writer.write_table(table.arrow.empty_table())


def _write(batches: Iterator[pa.RecordBatch], table: schema.Table, target: Path) -> bool:
    """Write a file if there is a row. One row group at a time is in memory."""
    waiting: list[pa.RecordBatch] = []
    size = 0
    with contextlib.ExitStack() as stack:
        writer: Any = None

        def flush() -> None:
            nonlocal writer, size
            if writer is None:
                writer = stack.enter_context(_parquet(target, table))
            writer.write_table(pa.Table.from_batches(waiting, table.arrow))
            waiting.clear()
            size = 0

        for batch in batches:
            waiting.append(batch)
            size += batch.nbytes
            if size >= _GROUP_BYTES:
                flush()
        if waiting:
            flush()
        return writer is not None


@contextlib.contextmanager
def _parquet(target: Path, table: schema.Table) -> Iterator[pq.ParquetWriter]:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        with pq.ParquetWriter(
            file,
            table.parquet,
            compression="snappy",  # half the time of zstd for a fifth more bytes, and parts are written often
            use_dictionary=[c.name for c in table.columns if c.type != "JSON" and c.name not in _DISTINCT],
            write_page_checksum=True,  # there is no other copy
        ) as writer:
            yield writer
        file.flush()
        os.fsync(file.fileno())
