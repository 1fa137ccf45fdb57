"""Where the files of parts are in a snapshot, and which of them are missing or damaged."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vapi_sessions import schema
from vapi_sessions.core import timestamps
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import PARTS, opened
from vapi_sessions.core.records import Part
from vapi_sessions.warehouse import damage
from vapi_sessions.warehouse.layout import Layout


def part_file(snapshot: Path, table: str, lower: int, name: str) -> Path:
    """The file of a part that begins at `lower`, µs."""
    return snapshot / table / f"created_month={timestamps.to_datetime(lower):%Y-%m}" / f"{name}.parquet"


def published_files(parts: Iterable[Part], snapshot: Path) -> Iterator[tuple[Part, str, Path]]:
    """Every published file, with its part and table."""
    for part in parts:
        for table, name in part.files.items():
            yield part, table, part_file(snapshot, table, part.lower, name)


def lost_files(parts: Sequence[Part], snapshot: Path, layout: Layout) -> dict[int, frozenset[str]]:
    """The tables whose files are missing, torn, or listed in `damaged.json` and really damaged, by the part's lower bound."""
    reported = damage.names(layout)
    found: dict[int, set[str]] = {}
    for part, table, path in published_files(parts, snapshot):
        if not _looks_whole(path) or (path.name in reported and not damage.is_sound(path)):
            found.setdefault(part.lower, set()).add(table)
    return {lower: frozenset(tables) for lower, tables in found.items()}


def has_every_table(snapshot: Path) -> bool:
    """Whether each table has a file. A table without rows has an empty one, so that a glob finds its columns."""
    return all(any((snapshot / table.name).glob(PARTS)) for table in schema.TABLES)


def _looks_whole(path: Path) -> bool:
    """Whether a Parquet file has its footer. This reads 8 bytes, so it can be checked for each file in each publication.

    Raises WarehouseError if the disk fails: that is no reason to write the file again.
    """
    with disk_errors(path):
        try:
            with opened(path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 8))
                end = file.read(8)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False
        except OSError as error:
            if error.errno == errno.ELOOP:  # a symbolic link, which we never create here
                return False
            raise
    return end[4:] == b"PAR1" and size >= 12 + int.from_bytes(end[:4], "little")
