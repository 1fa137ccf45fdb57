"""Many small raw files become one. The new file has all their rows, and lists their names in its footer as `replaces`.

A file that is listed by a whole one is not read any more, whether it is still there because a process was killed, or came back
from a backup. If the new file turns out to be torn, those it replaces count again, where they exist.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from vapi_sessions.core import faultpoints
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import sync_directory
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.warehouse import raw

#: A smaller file, in bytes, is merged with its neighbours.
SMALL: Final = 1_000_000
#: This many neighbours at least, at the end of the directory, where more will come.
AT_LEAST: Final = 16
#: The most bytes of the files that become one.
LARGEST: Final = 2_000_000
#: The most names that a footer lists.
NAMES: Final = 1_000
#: The entry in the footer's progress.
REPLACES: Final = "replaces"
#: In the names of files that were made from others.
_MARK: Final = "-merged-"


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A file that may be merged. `rows`: its observations; `names`: how many files it lists, and itself; `kind`: only files of one
    kind may be merged.
    """

    path: Path
    size: int
    rows: int
    names: int = 1
    kind: object = None


def groups(files: Iterable[SmallFile], *, last: bool) -> Iterator[list[SmallFile]]:
    """The neighbours that are worth merging, from a run of neighbouring small files. `last`: whether later files can join the run.

    While a group can still grow, none of its files has more than half of its rows. So a row is in a file of twice as many rows after
    each merge, and is written again at most log2(n) times; and once more when the group is full.
    """
    group: list[SmallFile] = []
    for file in files:
        fits = (
            group
            and file.kind == group[0].kind
            and sum(one.size for one in group) + file.size <= LARGEST
            and sum(one.names for one in group) + file.names <= NAMES
        )
        if group and not fits:
            yield from _complete(group)
            group = []
        group.append(file)
    yield from _growing(group) if last else _complete(group)


def _complete(group: list[SmallFile]) -> Iterator[list[SmallFile]]:
    if len(group) > 1:
        yield group


def _growing(group: list[SmallFile]) -> Iterator[list[SmallFile]]:
    while len(group) >= AT_LEAST:
        largest = max(range(len(group)), key=lambda n: group[n].rows)
        if 2 * group[largest].rows <= sum(file.rows for file in group):
            yield group
            return
        group = group[largest + 1 :]


def merge(
    directory: Path, paths: Sequence[Path], progress: Mapping[str, Any]
) -> tuple[Path, tuple[str, ...]]:
    """Write the rows of these files, oldest first, as one durable file, and read it back.

    `progress`: what the footers say together. Returns the new path and the names that it replaces, those that the files replaced
    included. Raises WarehouseDamagedError if one of the files is torn, WarehouseError.
    """
    table = pa.concat_tables([raw.read_table(path) for path in paths])
    names = tuple(sorted({name for path in paths for name in (path.name, *replaces(path))}))
    digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    name = f"{paths[0].name[:12]}{_MARK}{digest}.parquet"
    merged = raw.write_table(directory, name, table, {**progress, REPLACES: names})
    if not raw.read_table(merged).equals(table):  # before the last copy of a row is removed
        raise WarehouseDamagedError(
            f"{merged} does not hold what was written to it.", "Check the disk, then run again."
        )
    faultpoints.reach("maintain.raw_written")
    return merged, names


def replaces(path: Path) -> tuple[str, ...]:
    """The names of the files whose rows this one has as well. Raises WarehouseDamagedError if the footer is torn."""
    return tuple(raw.read_progress(path).get(REPLACES, ())) if _MARK in path.name else ()


def replaced(files: Collection[Path], among: Collection[str]) -> dict[str, Path]:
    """Which files of these names are replaced by a whole one: name to that file. Damaged files replace nothing."""
    found: dict[str, Path] = {}
    for path in files:
        with contextlib.suppress(WarehouseDamagedError):
            names = [name for name in replaces(path) if name in among and name != path.name]
            if names:
                raw.read_table(path)
                found |= dict.fromkeys(names, path)
    return found


def holding(directory: Path, names: Collection[str]) -> list[Path]:
    """The files that have the rows of the files with these names: those files, or the ones that replace them."""
    files = {path.name: path for path in raw.files(directory)}
    found = {name: files[name] for name in names if name in files}
    for path in replaced(files.values(), [name for name in names if name not in files]).values():
        found[path.name] = path
    return [found[name] for name in sorted(found)]


def remove(directory: Path, names: Iterable[str]) -> int:
    """Remove these files, which a durable one replaces; returns how many there were. Raises WarehouseError."""
    removed = 0
    with disk_errors(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                (directory / name).unlink()
                removed += 1
                faultpoints.reach("maintain.raw_removed")
        sync_directory(directory)
    return removed
