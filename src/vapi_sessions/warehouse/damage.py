"""`damaged.json`: published files that `verify` found damaged. Only a writer may repair them, so it leaves their names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from vapi_sessions.core.files import replace_file
from vapi_sessions.warehouse.layout import Layout


def is_sound(path: Path) -> bool:
    """Whether all page checksums of a Parquet file are right. False if the file cannot be read."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches():
                pass
    except (OSError, pa.ArrowException):
        return False
    return True


def names(layout: Layout) -> frozenset[str]:
    """The names of the damaged files; none if `damaged.json` cannot be read."""
    try:
        return frozenset(msgspec.json.decode(layout.damaged.read_bytes(), type=list[str]))
    except (OSError, msgspec.MsgspecError):
        return frozenset()


def add(layout: Layout, found: Iterable[str]) -> None:
    """Add names for the next writer. Raises OSError."""
    every = sorted({*names(layout), *found})
    replace_file(layout.damaged, msgspec.json.encode(every), layout.damaged.with_suffix(".tmp"))


def clear(layout: Layout) -> None:
    """Remove the list, after all files in it were repaired."""
    with contextlib.suppress(OSError):
        layout.damaged.unlink(missing_ok=True)
