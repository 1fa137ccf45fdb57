"""`staging/`: the flattened rows of batches that are committed and not published, as Arrow IPC files.

It is a cache: all rows can be derived again from `raw/`, and only the run that wrote a file uses it. The sessions of a batch are in
the order of createdAt, and their children in the order of the sessions, so that a part needs one slice of each table. Files are
read, not mapped: with a mapped file, an error of the disk would be a signal that ends the process.
"""

from __future__ import annotations

import bisect
import contextlib
import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Final

import pyarrow as pa

from vapi_sessions import schema
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import empty_directory, new_file
from vapi_sessions.errors import WarehouseError

#: Sessions in one record batch. A part reads whole record batches, so at each end it reads fewer than this many in vain.
_AT_ONCE: Final = 256


@dataclass(frozen=True, slots=True)
class StagedBatch:
    """Rows of sessions of one batch. `created`: each createdAt (µs), ascending; `ends`: for each table, where each session's rows end."""

    files: dict[str, Path]
    created: array[int]
    ends: dict[str, array[int]]
    size: int

    def rows(self, table: schema.Table, lower: int, upper: int) -> Iterator[pa.RecordBatch]:
        """The rows of the sessions created in [lower, upper), µs. Raises WarehouseError."""
        first, last = bisect.bisect_left(self.created, lower), bisect.bisect_left(self.created, upper)
        if first >= last or table.name not in self.files:
            return
        ends = self.ends[table.name]
        path = self.files[table.name]
        with _read_errors(path), pa.OSFile(os.fspath(path)) as source, pa.ipc.open_file(source) as reader:
            for number in range(first // _AT_ONCE, (last - 1) // _AT_ONCE + 1):
                begins = number * _AT_ONCE
                offset = ends[begins - 1] if begins else 0
                start = (ends[first - 1] if first else 0) if first > begins else offset
                end = ends[min(last, begins + _AT_ONCE, len(ends)) - 1]
                if end > start:
                    yield reader.get_batch(number).slice(start - offset, end - start)


@dataclass(slots=True)
class Staging:
    """The staged batches of this run. Only `write` is thread-safe."""

    directory: Path
    #: The staged rows of committed batches, by the number of the batch.
    batches: dict[int, list[StagedBatch]] = field(default_factory=dict)

    @classmethod
    def begin(cls, directory: Path) -> Staging:
        """An empty one: files of an earlier run are removed. Raises WarehouseError."""
        with disk_errors(directory):
            directory.mkdir(mode=0o700, exist_ok=True)
            empty_directory(directory)
        return cls(directory)

    def write(self, name: str, tables: Mapping[str, pa.Table], created: Sequence[int]) -> StagedBatch:
        """Write the rows of sessions of one batch, in the order of `created` (µs), to files named after `name`. Thread-safe.

        Raises WarehouseError.
        """
        files: dict[str, Path] = {}
        ends: dict[str, array[int]] = {}
        owners = tables[schema.SESSIONS.name].column("session_id")
        for table in schema.TABLES:
            rows = tables[table.name]
            if not rows.num_rows:
                continue
            counts = (
                _counts(rows.column("session_id"), owners)
                if table is not schema.SESSIONS
                else [1] * len(created)
            )
            ends[table.name] = array("q", accumulate(counts))
            path = files[table.name] = self.directory / f"{name}.{table.name}.arrow"
            with disk_errors(path):
                _write(path, rows.combine_chunks(), ends[table.name])
        return StagedBatch(
            files, array("q", created), ends, sum(path.stat().st_size for path in files.values())
        )

    def add(self, batch: int, staged: StagedBatch) -> None:
        """Add the rows of a committed batch."""
        self.batches.setdefault(batch, []).append(staged)

    @property
    def size(self) -> int:
        """Bytes on disk of committed batches."""
        return sum(staged.size for batches in self.batches.values() for staged in batches)

    def drop(self, batches: Sequence[int]) -> None:
        """Remove the rows of these batches."""
        for batch in batches:
            for staged in self.batches.pop(batch, ()):
                for path in staged.files.values():
                    path.unlink(missing_ok=True)


@contextlib.contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    """Turn errors of a file that cannot be read, or is damaged, into WarehouseError."""
    try:
        with disk_errors(path):
            yield
    except pa.ArrowInvalid as error:
        raise WarehouseError(
            f"{path} is damaged.", "Run again: unpublished rows are derived again from raw/."
        ) from error


def _counts(owned: pa.ChunkedArray, owners: pa.ChunkedArray) -> list[int]:
    """The number of rows of each session. Both columns have the ids in the same order."""
    counts = dict.fromkeys(owners.to_pylist(), 0)
    for pair in owned.value_counts().to_pylist():
        counts[pair["values"]] = pair["counts"]
    return list(counts.values())


def _write(path: Path, rows: pa.Table, ends: array[int]) -> None:
    with os.fdopen(new_file(path), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
        start = 0
        for number in range(_AT_ONCE, len(ends) + _AT_ONCE, _AT_ONCE):
            end = ends[min(number, len(ends)) - 1]
            batches = rows.slice(start, end - start).to_batches()
            writer.write_batch(batches[0] if batches else pa.RecordBatch.from_pylist([], schema=rows.schema))
            start = end
