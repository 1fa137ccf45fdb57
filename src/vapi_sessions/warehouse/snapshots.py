"""Publication: a new snapshot directory of Parquet files, then a new `vapi.duckdb` with views over it.

A snapshot never changes after it has its name, and the next one links its unchanged files. Readers keep the files that they
opened, so publications and readers do not block each other.

`part_sizes` decides which parts are written, `snapshot_writer` and `parts` write them, `views` builds `vapi.duckdb`, and
`retention` removes old snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vapi_sessions import schema
from vapi_sessions.core import faultpoints, interruption
from vapi_sessions.core.details import detail
from vapi_sessions.core.disk_errors import disk_errors, link_in_our_place
from vapi_sessions.core.files import point_link, sync_directory
from vapi_sessions.core.records import Part
from vapi_sessions.core.timestamps import to_datetime
from vapi_sessions.warehouse import checks, damage, told_drift
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.part_sizes import plan_parts
from vapi_sessions.warehouse.published_files import has_every_table, lost_files
from vapi_sessions.warehouse.retention import (
    discard,
    generation,
    remove_old_snapshots,
    remove_unfinished,
    snapshots,
)
from vapi_sessions.warehouse.snapshot_writer import Draft, SnapshotWriter
from vapi_sessions.warehouse.staging import Staging
from vapi_sessions.warehouse.views import publish_views

#: The fact in the state that the user was told that there can be no `parquet/latest`.
_NO_LATEST: Final = "told_of_no_links"


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes the committed state of the index. `now` gives µs; `say` and `warn` take messages and warnings for the user; `wrote`
    is told how many parts are written, of how many. Ctrl-C is postponed until a publication is done: stopped half-way it would have
    to begin again.
    """

    index: Index
    layout: Layout
    staging: Staging
    now: Callable[[], int]
    say: Callable[[str], None] = lambda text: None
    warn: Callable[[str], None] = lambda text: None
    wrote: Callable[[int, int], None] = lambda done, total: None

    def publish(self, *, force: bool = False, before_shown: Callable[[], object] = lambda: None) -> bool:
        """Publish the committed state; returns whether data files were written. If they were, `before_shown` is called then, before
        `vapi.duckdb` is built with a copy of the ledger.

        If no data changed, only `vapi.duckdb` is built again, with the new ledger. Files of the current snapshot that are missing,
        torn or listed in `damaged.json` are derived again from `raw/`, in a new snapshot; with `force` all files are. A publication
        that fails leaves no snapshot. Raises WarehouseDamagedError if lost rows are not in `raw/`, WarehouseError.
        """
        with interruption.postponed():
            return self._publish(force, before_shown)

    def _publish(self, force: bool, before_shown: Callable[[], object]) -> bool:
        faultpoints.reach("publish.begun")
        index, layout = self.index, self.layout
        with disk_errors(layout.parquet):
            remove_unfinished(index, layout)
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
            or not has_every_table(layout.parquet / str(current))
        )
        if changed:
            with disk_errors(layout.parquet):
                current = self._snapshot(None if missing else current, stale, lost)
            before_shown()
        elif batches := index.unpublished():  # no version in them won
            index.record_publication([], [], batches, {})
        with disk_errors(layout.published):
            publish_views(index, layout, str(current))
            remove_old_snapshots(index, layout, str(current), self.now())
            faultpoints.reach("publish.old_removed")
            self._point_latest(str(current))
        faultpoints.reach("publish.latest_swapped")
        self.staging.drop(list(self.staging.batches))
        damage.clear(layout)
        for check, rows in (checks.failing(index.state()) or {}).items():
            self.warn(checks.describe(check, rows, layout.root))
        return changed

    def _snapshot(
        self, previous: str | None, parts: Sequence[Part], lost: Mapping[int, frozenset[str]]
    ) -> str:
        """Write a snapshot and record it in the index; returns its name."""
        index, parquet = self.index, self.layout.parquet
        # Somebody may still read a snapshot that the index does not know, because a process was killed or the index rebuilt.
        taken = [generation(snapshot.name) for snapshot in snapshots(self.layout)]
        number = 1 + max(int(index.state().get("generation", "0")), *taken, 0)
        name = f"{to_datetime(self.now()):%Y%m%dT%H%M%SZ}-{number:06d}"
        draft = Draft(parquet / f".{name}.tmp", number, None if previous is None else parquet / previous)
        batches = index.unpublished()
        rewrites = plan_parts(index, parts)
        faultpoints.reach("publish.planned")
        try:
            writer = SnapshotWriter(index, self.staging, self.layout.raw, draft, batches, lost)
            written = writer.write(parts, rewrites, self.wrote)
            replaced = [part for rewrite in rewrites for part in rewrite.replaced]
            begins = {part.lower for part in replaced}
            kept = [part for part in parts if part.lower not in begins]
            tables = [rewrite.tables for rewrite in rewrites]
            checked = checks.check(
                index, draft.directory, kept, list(zip(written, tables, strict=True)), self.warn
            )
            faultpoints.reach("publish.snapshot_drafted")
            draft.directory.rename(parquet / name)
            sync_directory(parquet)
        except BaseException:  # nobody has seen it
            discard(draft.directory, parquet / name)
            raise
        faultpoints.reach("publish.snapshot_renamed")
        news = told_drift.seen(index.state(), writer.drift)
        # If this fails, it may or may not be committed. The next publication removes the snapshot if it is not recorded.
        index.record_publication(
            written,
            replaced,
            batches,
            {"snapshot": name, "generation": str(number), "published_at": str(self.now()), **checked, **news},
        )
        faultpoints.reach("publish.snapshot_noted")
        detail(
            "publication",
            snapshot=name,
            batches=len(batches),
            parts_written=len(written),
            parts_kept=len(kept),
            files_written=sum(
                len(rewrite.tables & part.files.keys())
                for rewrite, part in zip(rewrites, written, strict=True)
            ),
            sessions_written=sum(part.sessions for part in written),
        )
        return name

    def _point_latest(self, snapshot: str) -> None:
        """Point `parquet/latest` to the snapshot. If the file system has no links, tell the user once."""
        latest = self.layout.parquet / "latest"
        if not point_link(latest, snapshot) and _NO_LATEST not in self.index.state():
            self.say(f"the file system has no symbolic links, so there is no {latest}: use vapi.duckdb")
            self.index.record(Changes(state={_NO_LATEST: "true"}))


def _every_file(parts: Iterable[Part]) -> dict[int, frozenset[str]]:
    return {part.lower: schema.TABLE_NAMES for part in parts}


def _is_directory(path: Path) -> bool:
    """Raises WarehouseError for a symbolic link: its target's files must not get into the next snapshot."""
    if path.is_symlink():
        raise link_in_our_place(path)
    return path.is_dir()
