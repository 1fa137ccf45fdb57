"""Mistakes in the merging of small raw files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from vapi_sessions.operations import merge_files
from vapi_sessions.warehouse import raw_merging

from .planting import Planting, mutant


@mutant("small raw files are removed before the merged one is durable", "merging")
def removed_before_durable(planting: Planting) -> None:
    """A kill in between loses their rows."""

    def merge(inner: Any, directory: Path, paths: Sequence[Path], *given: Any) -> Any:
        tables = {path: raw_merging.raw.read_table(path) for path in paths}
        names = {path: raw_merging.replaces(path) for path in paths}
        planting.changed()
        raw_merging.remove(directory, [path.name for path in paths])
        with (
            mock.patch.object(raw_merging.raw, "read_table", lambda path: tables.get(path) or _read(path)),
            mock.patch.object(raw_merging, "replaces", lambda path: names[path]),
        ):
            return inner(directory, paths, *given)

    _read: Callable[[Path], Any] = raw_merging.raw.read_table
    planting.around(raw_merging, "merge", merge)


@mutant("small raw files are removed before the ledger names the merged one", "merging")
def removed_before_named(planting: Planting) -> None:
    def merge(inner: Any, directory: Path, paths: Sequence[Path], *given: Any) -> Any:
        found = inner(directory, paths, *given)
        planting.changed()
        raw_merging.remove(directory, [path.name for path in paths])
        return found

    planting.around(raw_merging, "merge", merge)


@mutant("a merged raw file has the footer of the newest small one", "merging")
def newest_footer(planting: Planting) -> None:
    def join(inner: Any, footers: Sequence[Mapping[str, Any]], *given: Any) -> Any:
        right = inner(footers, *given)
        return planting.swap(right, {**right, **{k: footers[-1][k] for k in ("claims", "unsettled")}})

    planting.around(merge_files, "join_progress", join)


@mutant("a row of the oldest small raw file is left out of the merged one", "merging")
def row_left_out(planting: Planting) -> None:
    def concat(inner: Any, tables: Sequence[Any]) -> Any:
        planting.changed(when=tables[0].num_rows > 0)
        return inner([tables[0].slice(1), *tables[1:]])

    planting.around(raw_merging.pa, "concat_tables", concat)
