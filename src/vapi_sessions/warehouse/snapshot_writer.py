"""Writes the files of one snapshot: unchanged files are linked, the others are written again, if necessary from `raw/`."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vapi_sessions import schema
from vapi_sessions.core.files import PARTS, link_or_copy, sync_directory
from vapi_sessions.core.records import Part
from vapi_sessions.core.timestamps import show, to_datetime
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.warehouse.derive import derive
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.part_sizes import Rewrite
from vapi_sessions.warehouse.parts import Heads, PartInputs, UntrustedError, write_empty, write_part
from vapi_sessions.warehouse.published_files import part_file
from vapi_sessions.warehouse.staging import StagedBatch, Staging

#: Files that are written at the same time. Most of the work is done outside of the Python interpreter.
THREADS: Final = 2
#: Sessions that an error message names.
_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Draft:
    """A snapshot that is being written. `previous`: the snapshot whose files it can use, if any."""

    directory: Path
    generation: int
    previous: Path | None


@dataclass(frozen=True, slots=True)
class SnapshotWriter:
    """Writes a draft. `raw`: the directory; `lost`: tables whose old files must not be used, by the part's lower bound. `drift` gets
    the fields without a column of the rows that are derived from `raw/`.
    """

    index: Index
    staging: Staging
    raw: Path
    draft: Draft
    batches: Mapping[int, str]
    lost: Mapping[int, frozenset[str]]
    drift: set[str] = field(default_factory=set)

    def write(
        self, parts: Iterable[Part], rewrites: Sequence[Rewrite], wrote: Callable[[int, int], None]
    ) -> list[Part]:
        """Write every file of the snapshot durably; returns the parts that are new. `wrote` is told how many of them are written.

        Raises WarehouseDamagedError if lost rows are not in `raw/`, WarehouseError, OSError.
        """
        directory = self.draft.directory
        directory.mkdir(mode=0o700)
        for table in schema.TABLES:
            (directory / table.name).mkdir(mode=0o700)
        replaced = {part.lower for rewrite in rewrites for part in rewrite.replaced}
        for part in parts:
            if part.lower not in replaced:
                self._link(part, part.files)
        with ThreadPoolExecutor(THREADS, "publish") as pool:
            written: list[Part] = []
            wrote(0, len(rewrites))
            for rewrite in rewrites:
                written.append(self._part(rewrite, pool))
                wrote(len(written), len(rewrites))
        for table in schema.TABLES:
            if not any((directory / table.name).glob(PARTS)):  # so that a glob finds the columns
                write_empty(table, directory / table.name / "created_month=1970-01" / "empty.parquet")
        for path, _, _ in os.walk(directory):
            sync_directory(Path(path))
        return written

    def _link(self, part: Part, files: Mapping[str, str]) -> None:
        for table, name in files.items():
            target = part_file(self.draft.directory, table, part.lower, name)
            target.parent.mkdir(mode=0o700, exist_ok=True)
            link_or_copy(part_file(Path(str(self.draft.previous)), table, part.lower, name), target)

    def _part(self, rewrite: Rewrite, pool: ThreadPoolExecutor) -> Part:
        if not rewrite.sessions:  # the part stays, so that the ranges have no gap
            return Part(rewrite.lower, rewrite.upper, 0, {})
        heads = Heads.read(self.index, rewrite.lower, rewrite.upper, frozenset(self.batches))
        name = f"{to_datetime(rewrite.lower):%Y%m%dT%H%M%S%f}-{self.draft.generation:06d}"
        files: dict[str, str] = {}
        for part in rewrite.replaced:
            unchanged = {table: old for table, old in part.files.items() if table not in rewrite.tables}
            self._link(part, unchanged)
            files |= unchanged
        written = self._tables(rewrite, heads, name, pool)
        files |= {table: name for table, has_rows in written.items() if has_rows}
        return Part(rewrite.lower, rewrite.upper, len(heads), files)

    def _tables(self, rewrite: Rewrite, heads: Heads, name: str, pool: ThreadPoolExecutor) -> dict[str, bool]:
        """Write the tables of a part; returns which of them have rows, and so a file.

        First from the old files and `staging/`. If an old file cannot be trusted, again from `staging/` and `raw/` only.
        """
        tables = [table for table in schema.TABLES if table.name in rewrite.tables]
        untrusted = {table for part in rewrite.replaced for table in self.lost.get(part.lower, ())}
        trusted = [table for table in tables if table.name not in untrusted]
        unstaged = [batch for batch in self.batches if batch not in self.staging.batches]
        derived = self._derive(heads, rewrite, unstaged)
        source = PartInputs(
            {table.name: self._old_files(rewrite, table.name) for table in trusted},
            self.staging.batches | {batch: [one] for batch, one in derived.items()},
        )

        def writing(source: PartInputs) -> Callable[[schema.Table], bool | None]:
            def write(table: schema.Table) -> bool | None:
                target = part_file(self.draft.directory, table.name, rewrite.lower, name)
                try:
                    return write_part(table, heads, rewrite.lower, rewrite.upper, source, target)
                except UntrustedError:
                    target.unlink(missing_ok=True)
                    return None

            return write

        done = dict(zip((table.name for table in trusted), pool.map(writing(source), trusted), strict=True))
        again = [table for table in tables if done.get(table.name) is None]
        if again:
            published = {*heads.column("batch").to_pylist()} - source.staged.keys()
            more = self._derive(heads, rewrite, published)
            write = writing(
                PartInputs(None, {**source.staged, **{batch: [one] for batch, one in more.items()}})
            )
            for table in again:
                done[table.name] = write(table)
                if done[table.name] is None:
                    raise _cannot_derive(rewrite, [])
            _drop(more)
        _drop(derived)
        return {table: bool(has_rows) for table, has_rows in done.items()}

    def _old_files(self, rewrite: Rewrite, table: str) -> list[Path]:
        previous = self.draft.previous
        if previous is None:
            return []
        return [
            part_file(previous, table, part.lower, part.files[table])
            for part in rewrite.replaced
            if table in part.files
        ]

    def _derive(self, heads: Heads, rewrite: Rewrite, batches: Collection[int]) -> dict[int, StagedBatch]:
        """The rows that these batches have in the range, from `raw/`."""
        if not batches:
            return {}
        files = self.index.batch_files(batches)
        wanted = heads.wanted(frozenset(batches))
        staged, missing = derive(self.staging, self.raw, files, wanted, self.drift)
        if missing:
            raise _cannot_derive(rewrite, missing)
        return staged


def _drop(staged: Mapping[int, StagedBatch]) -> None:
    for staged_batch in staged.values():
        for path in staged_batch.files.values():
            path.unlink(missing_ok=True)


def _cannot_derive(rewrite: Rewrite, missing: Sequence[str]) -> WarehouseDamagedError:
    named = ", ".join(sorted(missing)[:_NAMED])
    if len(missing) > _NAMED:
        named += f", and {len(missing) - _NAMED:,} more"
    what = f"{len(missing):,} of them: {named}" if missing else "all of them"
    return WarehouseDamagedError(
        f"Published rows of the sessions created from {show(rewrite.lower)} to {show(rewrite.upper)} are lost, "
        f"and raw/ cannot give {what}.",
        "Nothing was replaced. Put the files of raw/ or of parquet/ back from a copy, and run again.",
    )
