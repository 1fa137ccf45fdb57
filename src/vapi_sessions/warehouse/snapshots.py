"""What people open: a snapshot directory of Parquet files, and `vapi.duckdb`, a small database of views over it.

A snapshot is never touched again once it carries its name; unchanged files are linked into the next one. Readers keep
what they opened, so a publication never blocks them and is never blocked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import duckdb
import msgspec

from vapi_sessions import schema
from vapi_sessions.core import faultpoints, resources, timestamps
from vapi_sessions.core.disk_errors import disk_errors, link_in_our_place
from vapi_sessions.core.files import (
    PARTS,
    link_or_copy,
    make_private,
    opened,
    point_link,
    remove_directory,
    replace_derived,
    sync_directory,
    sync_file,
)
from vapi_sessions.core.paths import literal, pattern
from vapi_sessions.core.records import Part
from vapi_sessions.errors import WarehouseDamagedError, WarehouseError
from vapi_sessions.warehouse import damage
from vapi_sessions.warehouse.database_errors import database_errors
from vapi_sessions.warehouse.derive import derive
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.part_ranges import Rewrite, plan_parts
from vapi_sessions.warehouse.parts import Heads, PartInputs, UntrustedError, write_empty, write_part
from vapi_sessions.warehouse.staging import StagedBatch, Staging

#: Files written side by side: most of the work needs no interpreter.
THREADS: Final = 2
#: So many sessions are named to a person.
_NAMED: Final = 20
KEEP: Final = 24 * timestamps.HOUR
KEEP_SNAPSHOTS: Final = 3
#: The fact of the state that says since when each snapshot has been shown, µs.
_SHOWN: Final = "shown"
#: The fact of the state that says that a person was told of what `parquet/latest` lacks.
_NO_LATEST: Final = "told_of_no_links"
#: Name of the DuckDB variable that overrides where the views of `vapi.duckdb` look for the warehouse. It is for those who moved
#: one and open that file directly: `connect` makes views of its own.
ROOT_VARIABLE: Final = "vapi_warehouse"
#: The oldest DuckDB whose file format `vapi.duckdb` has. Most tools have a DuckDB of their own, which opens no newer format.
OLDEST_DUCKDB: Final = "v1.0.0"


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes what the index has committed. `now` gives µs; `note` takes what to tell a person."""

    index: Index
    layout: Layout
    staging: Staging
    now: Callable[[], int]
    say: Callable[[str], None] = lambda text: None

    def publish(self, *, force: bool = False) -> bool:
        """Publish the committed state; returns whether data files were written.

        Without changed data only `vapi.duckdb` is built anew, for the ledger's sake. Files of the current snapshot that
        are missing, torn or noted as damaged are derived again from `raw/`, in a new snapshot; with `force` all are. A publication
        that fails leaves no snapshot behind. Raises WarehouseDamagedError if `raw/` cannot give what a file has lost, WarehouseError.
        """
        faultpoints.reach("publish.begun")
        index, layout = self.index, self.layout
        with disk_errors(layout.parquet):
            _remove_unfinished(index, layout)
        current = index.state().get("snapshot")
        missing = current is None or not _is_directory(layout.parquet / current)
        parts = index.parts()
        lost = (
            _every_file(parts)
            if force or missing
            else lost_files(parts, layout.parquet / str(current), layout)
        )
        stale = [replace(part, dirty=part.dirty | lost.get(part.lower, frozenset())) for part in parts]
        changed = (
            missing
            or force
            or any(part.dirty for part in stale)
            or not _has_every_table(layout.parquet / str(current))
        )
        if changed:
            with disk_errors(layout.parquet):
                current = self._snapshot(None if missing else current, stale, lost)
        elif batches := index.unpublished():  # of which no version won
            index.record_publication([], [], batches, {})
        with disk_errors(layout.published):
            _publish_views(index, layout, str(current))
            _remove_old_snapshots(index, layout, str(current), self.now())
            faultpoints.reach("publish.old_removed")
            _point_latest(index, layout, str(current), self.say)
        faultpoints.reach("publish.latest_swapped")
        self.staging.drop(list(self.staging.batches))
        damage.clear(layout)
        return changed

    def _snapshot(
        self, previous: str | None, parts: Sequence[Part], lost: Mapping[int, frozenset[str]]
    ) -> str:
        # Snapshots that the index does not know of, because it was killed or rebuilt, may still be somebody's.
        index, layout = self.index, self.layout
        taken = [_generation(snapshot.name) for snapshot in _snapshots(layout)]
        generation = 1 + max(int(index.state().get("generation", "0")), *taken, 0)
        name = f"{timestamps.to_datetime(self.now()):%Y%m%dT%H%M%SZ}-{generation:06d}"
        target, draft = layout.parquet / name, layout.parquet / f".{name}.tmp"
        batches = index.unpublished()
        rewrites = plan_parts(index, parts)
        faultpoints.reach("publish.planned")
        try:
            draft.mkdir(mode=0o700)
            for table in schema.TABLES:
                (draft / table.name).mkdir(mode=0o700)
            replaced = {part.lower for rewrite in rewrites for part in rewrite.instead_of}
            for part in parts:
                if part.lower not in replaced:
                    _link(layout.parquet / str(previous), draft, part, part.files)
            writing = _Writing(
                self,
                None if previous is None else layout.parquet / previous,
                draft,
                generation,
                batches,
                lost,
            )
            written = writing.write(rewrites)
            for table in schema.TABLES:
                if not any((draft / table.name).glob(PARTS)):  # a glob over the directory must find a schema
                    write_empty(table, draft / table.name / "created_month=1970-01" / "empty.parquet")
            for directory, _, _ in os.walk(draft):
                sync_directory(Path(directory))
            faultpoints.reach("publish.snapshot_drafted")
            draft.rename(target)
            sync_directory(layout.parquet)
        except BaseException:  # nobody has seen it
            _discard(draft, target)
            raise
        faultpoints.reach("publish.snapshot_renamed")
        # If this fails, nobody knows whether it was noted: who publishes next removes what was not.
        index.record_publication(
            written,
            [part for rewrite in rewrites for part in rewrite.instead_of],
            batches,
            {"snapshot": name, "generation": str(generation), "published_at": str(self.now())},
        )
        faultpoints.reach("publish.snapshot_noted")
        return name


@dataclass(slots=True)
class _Writing:
    """The files of one snapshot that are written. `lost`: tables whose old files are not to be trusted, by the part's lower bound."""

    by: Publisher
    previous: Path | None
    draft: Path
    generation: int
    batches: Mapping[int, str]
    lost: Mapping[int, frozenset[str]]

    def write(self, rewrites: Sequence[Rewrite]) -> list[Part]:
        with ThreadPoolExecutor(THREADS, "publish") as pool:
            return [self._part(rewrite, pool) for rewrite in rewrites]

    def _part(self, rewrite: Rewrite, pool: ThreadPoolExecutor) -> Part:
        if not rewrite.sessions:  # it stays, so that ranges leave no gap
            return Part(rewrite.lower, rewrite.upper, 0, {})
        heads = Heads.read(self.by.index, rewrite.lower, rewrite.upper, frozenset(self.batches))
        file = f"{timestamps.to_datetime(rewrite.lower):%Y%m%dT%H%M%S%f}-{self.generation:06d}"
        files: dict[str, str] = {}
        for part in rewrite.instead_of:
            kept = {table: name for table, name in part.files.items() if table not in rewrite.tables}
            _link(self.previous, self.draft, part, kept)
            files |= kept
        tables = [table for table in schema.TABLES if table.name in rewrite.tables]
        untrusted = {table for part in rewrite.instead_of for table in self.lost.get(part.lower, ())}
        unstaged = [batch for batch in self.batches if batch not in self.by.staging.batches]
        extra = self._derive(heads, rewrite, unstaged)
        trusted = [table for table in tables if table.name not in untrusted]
        source = PartInputs(
            {
                table.name: [
                    self.previous / table.name / month(part.lower) / f"{part.files[table.name]}.parquet"
                    for part in rewrite.instead_of
                    if table.name in part.files and self.previous is not None
                ]
                for table in trusted
            },
            {**self.by.staging.batches, **{batch: [staged_batch] for batch, staged_batch in extra.items()}},
        )

        def one(table: schema.Table, source: PartInputs = source) -> bool | None:
            target = self.draft / table.name / month(rewrite.lower) / f"{file}.parquet"
            try:
                return write_part(table, heads, rewrite.lower, rewrite.upper, source, target)
            except UntrustedError:
                target.unlink(missing_ok=True)
                return None

        done = dict(zip((table.name for table in trusted), pool.map(one, trusted), strict=True))
        again = [table for table in tables if done.get(table.name) is None]
        if again:
            rest = {*heads.column("batch").to_pylist()} - source.staged.keys()
            more = self._derive(heads, rewrite, rest)
            whole = PartInputs(
                None, {**source.staged, **{batch: [staged_batch] for batch, staged_batch in more.items()}}
            )
            for table in again:
                done[table.name] = write = one(table, whole)
                if write is None:
                    raise _cannot_derive(rewrite, [])
            self._drop(more)
        self._drop(extra)
        files |= {name: file for name, wrote in done.items() if wrote}
        return Part(rewrite.lower, rewrite.upper, len(heads), files)

    def _derive(self, heads: Heads, rewrite: Rewrite, batches: Collection[int]) -> dict[int, StagedBatch]:
        """Rows from `raw/` of what these batches have in the range."""
        if not batches:
            return {}
        index = self.by.index
        files = dict(
            index.rows(
                "SELECT batch, file FROM sync.batches WHERE batch IN (SELECT unnest(?::BIGINT[]))",
                [list(batches)],
            )
        )
        staged, lacking = derive(self.by.staging, self.by.layout.raw, files, heads.wanted(frozenset(batches)))
        if lacking:
            raise _cannot_derive(rewrite, lacking)
        return staged

    def _drop(self, staged: Mapping[int, StagedBatch]) -> None:
        for staged_batch in staged.values():
            for path in staged_batch.files.values():
                path.unlink(missing_ok=True)


def _cannot_derive(rewrite: Rewrite, lacking: Sequence[str]) -> WarehouseDamagedError:
    part = f"{timestamps.show(rewrite.lower)} to {timestamps.show(rewrite.upper)}"
    named = ", ".join(sorted(lacking)[:_NAMED]) + (
        f", and {len(lacking) - _NAMED:,} more" if len(lacking) > _NAMED else ""
    )
    what = f"{len(lacking):,} of them: {named}" if lacking else "all of them"
    return WarehouseDamagedError(
        f"Published rows of the sessions created from {part} are lost, and raw/ cannot give {what}.",
        "Nothing was replaced. Put the files of raw/ or of parquet/ back from a copy, and run again.",
    )


def _link(previous: Path | None, draft: Path, part: Part, files: Mapping[str, str]) -> None:
    for table, name in files.items():
        path = Path(table, month(part.lower), f"{name}.parquet")
        (draft / path).parent.mkdir(mode=0o700, exist_ok=True)
        link_or_copy(Path(str(previous)) / path, draft / path)


def _every_file(parts: Iterable[Part]) -> dict[int, frozenset[str]]:
    return {part.lower: frozenset(table.name for table in schema.TABLES) for part in parts}


def _is_directory(path: Path) -> bool:
    """Raises WarehouseError for a link: the files of the next snapshot would be linked from where it leads."""
    if path.is_symlink():
        raise link_in_our_place(path)
    return path.is_dir()


def _discard(*directories: Path) -> None:
    for directory in directories:
        if directory.name.startswith("."):
            shutil.rmtree(directory, ignore_errors=True)
        else:  # nobody must find half of it
            with contextlib.suppress(OSError):
                remove_directory(directory)


def published_files(parts: Iterable[Part], snapshot: Path) -> Iterator[tuple[Part, str, Path]]:
    """Every published file, with its part and table."""
    for part in parts:
        for table, name in part.files.items():
            yield part, table, snapshot / table / month(part.lower) / f"{name}.parquet"


def lost_files(parts: Sequence[Part], snapshot: Path, layout: Layout) -> dict[int, frozenset[str]]:
    """The tables whose published files are missing, torn, or noted as damaged and really are, by the part's lower bound."""
    noted = damage.names(layout)
    found: dict[int, set[str]] = {}
    for part, table, path in published_files(parts, snapshot):
        if not _looks_whole(path) or (path.name in noted and not damage.is_sound(path)):
            found.setdefault(part.lower, set()).add(table)
    return {lower: frozenset(tables) for lower, tables in found.items()}


def _has_every_table(snapshot: Path) -> bool:
    """Whether each table has a file: one without a row has an empty one, where there is none a glob finds no schema."""
    return all(any((snapshot / table.name).glob(PARTS)) for table in schema.TABLES)


def _looks_whole(path: Path) -> bool:
    """Whether a Parquet file is there with its end, which names its own length: cheap enough to ask each time.

    Raises WarehouseError if the disk does not say: that is no reason to write the file again.
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
            if error.errno == errno.ELOOP:  # a link, which is not ours
                return False
            raise
    return end[4:] == b"PAR1" and size >= 12 + int.from_bytes(end[:4], "little")


def month(lower: int) -> str:
    """The name of the directory of a part that begins then, µs."""
    return f"created_month={timestamps.to_datetime(lower):%Y-%m}"


def _point_latest(index: Index, layout: Layout, name: str, say: Callable[[str], None]) -> None:
    """Let `parquet/latest` show the snapshot that `vapi.duckdb` shows. Where that is impossible, it is said once."""
    if not point_link(layout.parquet / "latest", name) and _NO_LATEST not in index.state():
        say(
            f"the file system has no symbolic links, so there is no {layout.parquet / 'latest'}: use vapi.duckdb"
        )
        index.record(Changes(state={_NO_LATEST: "true"}))


def _publish_views(index: Index, layout: Layout, snapshot: str) -> None:
    """Build `vapi.duckdb` aside and rename it over the old one."""
    draft = layout.scratch / "vapi.duckdb"
    for left in (draft, _log_of(draft)):  # by a process that died
        left.unlink(missing_ok=True)
    with database_errors(draft), _new_views(index, draft) as origin:
        make_private(draft)
        for table in schema.SYNC_TABLES:
            index.run(f"INSERT INTO sync.{table.name} BY NAME FROM {origin}.sync.{table.name}")
        for table in schema.TABLES:
            root = f"coalesce(getvariable('{ROOT_VARIABLE}'), {literal(pattern(layout.root))})"
            columns = [(column.name, column.type) for column in table.columns]
            index.run(view_of(table.name, columns, f"{root} || {literal(below_root(snapshot, table.name))}"))
        index.checkpoint()  # on detaching, a full disk would go unnoticed
    sync_file(draft)
    faultpoints.reach("publish.views_built")
    # By somebody who opened the old one to write in it, and died or is still there: for the new one it would count as damage.
    _log_of(layout.published).unlink(missing_ok=True)
    replace_derived(draft, layout.published)
    sync_directory(layout.root)
    faultpoints.reach("publish.views_renamed")


def _log_of(database: Path) -> Path:
    return database.with_name(f"{database.name}.wal")


@contextlib.contextmanager
def _new_views(index: Index, draft: Path) -> Iterator[str]:
    """A new `vapi.duckdb`, current while inside, with the tables of `sync`, empty, and the views of `sql/views`; yields the name
    of the index.

    Those views name the tables dozens of times, and a view is bound when it is made: over the tables' own views that would
    open files each time. So they are made over empty tables of the same columns, which then give way.
    """
    with index.attached(draft, made_for=OLDEST_DUCKDB) as origin:
        index.run("CREATE SCHEMA sync")
        for table in schema.SYNC_TABLES:
            index.run(table.ddl("sync"))
        for table in schema.TABLES:
            columns = ", ".join(f"{c.name} {c.type}" for c in table.columns)
            index.run(f"CREATE TABLE {table.name} ({columns})")
        for file in resources.sql_files("views"):
            index.run(file.read_text("utf-8"))
        for table in schema.TABLES:
            index.run(f"DROP TABLE {table.name}")
        yield origin


def view_of(table: str, columns: Iterable[tuple[str, str]], files: str) -> str:
    """The statement that makes a table's view: its columns with their types, and SQL for the pattern of its files."""
    selected = ", ".join(
        f'"{name}"::JSON AS "{name}"' if kind == "JSON" else f'"{name}"' for name, kind in columns
    )
    return f"CREATE OR REPLACE VIEW {table} AS SELECT {selected} FROM read_parquet({files}, hive_partitioning = false)"


def below_root(snapshot: str, table: str) -> str:
    """The pattern of a table's files, from the warehouse on."""
    return f"/parquet/{snapshot}/{table}/{PARTS}"


def _remove_unfinished(index: Index, layout: Layout) -> None:
    """Drop what a process that died had not shown to anybody: drafts, and snapshots newer than the one that `vapi.duckdb` shows.

    The snapshot that the state names stays, shown or not. Where nobody can say what is shown, nothing goes.
    """
    for draft in layout.parquet.glob(".*.tmp"):
        if draft.is_dir() and not draft.is_symlink():
            _discard(draft)
    facts = index.state()
    newest = max(map(_generation, _times_shown(facts)), default=0)
    newer = [
        s for s in _snapshots(layout) if _generation(s.name) > newest and s.name != facts.get("snapshot")
    ]
    if newer and (shown := _shown(index, layout)):
        _discard(*(snapshot for snapshot in newer if _generation(snapshot.name) > _generation(shown)))


def _times_shown(facts: Mapping[str, str]) -> dict[str, int]:
    """Since when each snapshot has been shown, µs."""
    return msgspec.json.decode(facts.get(_SHOWN, "{}"), type=dict[str, int])


def _shown(index: Index, layout: Layout) -> str | None:
    """The snapshot that `vapi.duckdb` shows; None if there is none, or that cannot be told."""
    try:
        with index.attached(layout.published, read_only=True):
            return str(index.rows("SELECT value FROM sync.state WHERE key = 'snapshot'")[0][0])
    except (WarehouseError, duckdb.Error, IndexError):
        return None


def _remove_old_snapshots(index: Index, layout: Layout, current: str, now: int) -> None:
    """Drop snapshots that nobody can have opened for a day, except the newest three.

    A snapshot is opened until another one is shown, however old it is by then: where little changes, or where runs die
    between a snapshot and its views, for days. So the state remembers since when `vapi.duckdb` has shown each.
    """
    present = _snapshots(layout)
    noted = _times_shown(index.state())
    shown = {current: now} | {s.name: noted[s.name] for s in present if s.name in noted}
    if shown != noted:
        index.record(Changes(state={_SHOWN: msgspec.json.encode(shown).decode()}))
    opened = max((_generation(name) for name, since in shown.items() if since < now - KEEP), default=0)
    for snapshot in present[:-KEEP_SNAPSHOTS]:
        if snapshot.name != current and _generation(snapshot.name) < opened:
            _discard(snapshot)


def _snapshots(layout: Layout) -> list[Path]:
    """Ours, oldest first: others' directories are left alone, and are none of those that are kept."""
    return sorted(
        p for p in layout.parquet.iterdir() if _is_ours(p.name) and p.is_dir() and not p.is_symlink()
    )


def _generation(name: str) -> int:
    number = name.partition("-")[2]
    return int(number) if number.isdecimal() else 0


def _is_ours(name: str) -> bool:
    """Whether a snapshot of that name can be one: others are left alone."""
    try:
        datetime.strptime(name.split("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True
