"""`damaged.json`: published files in which `verify` found rot. Nobody but a writer may mend them, so their names are left for the next one."""

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
    """Whether every page of a Parquet file is as it was written, by its checksum. False for what cannot be read."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches():
                pass
    except (OSError, pa.ArrowException):
        return False
    return True


def names(layout: Layout) -> frozenset[str]:
    """The names of the files that were found damaged; none if the file cannot be read."""
    try:
        return frozenset(msgspec.json.decode(layout.damaged.read_bytes(), type=list[str]))
    except (OSError, msgspec.MsgspecError):
        return frozenset()


def add(layout: Layout, found: Iterable[str]) -> None:
    """Leave these names for the next writer. Raises OSError."""
    every = sorted({*names(layout), *found})
    replace_file(layout.damaged, msgspec.json.encode(every), layout.damaged.with_suffix(".tmp"))


def clear(layout: Layout) -> None:
    """Everything in it is mended."""
    with contextlib.suppress(OSError):
        layout.damaged.unlink(missing_ok=True)
