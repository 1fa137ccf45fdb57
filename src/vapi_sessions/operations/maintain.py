"""`vapi-sessions maintain`: keeps a warehouse small. It asks the source nothing and needs no key.

Syncs merge small raw files and remove old snapshots themselves. This does the rest too: by-products of earlier versions, everything
at once after an upgrade, and the removal of old snapshots where no sync runs.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from vapi_sessions import __version__
from vapi_sessions.core import faultpoints
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.files import sync_directory
from vapi_sessions.core.records import RunRecord, new_run_id, outcome_of, reason
from vapi_sessions.core.timestamps import from_datetime, to_datetime
from vapi_sessions.errors import ConfigurationError, VapiSessionsError
from vapi_sessions.operations import metrics
from vapi_sessions.operations.merge_files import MergedFiles, merge_small_files
from vapi_sessions.operations.progress import Progress, Silent
from vapi_sessions.operations.writer import Writer
from vapi_sessions.settings import Settings
from vapi_sessions.source.environment import Environment
from vapi_sessions.warehouse import erase
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.retention import snapshots
from vapi_sessions.warehouse.space import Space, note_size, space


@dataclass(frozen=True, slots=True)
class Maintained:
    """The outcome. `raw`: small files that were merged; `snapshots`: how many were removed; `by_products`: names of removed files."""

    raw: MergedFiles
    snapshots: int
    by_products: tuple[str, ...]
    before: Space
    after: Space


def maintain(
    settings: Settings, *, environment: Environment | None = None, progress: Progress | None = None
) -> Maintained:
    """Merge small raw files, remove old snapshots and by-products, prune the record of runs, and publish the ledger.

    Raises ConfigurationError if there is no warehouse, WarehouseBusyError, WarehouseError.
    """
    environment, progress = environment or Environment(), progress or Silent()
    started = environment.now()
    run_id = new_run_id(started)
    layout = Layout(settings.warehouse)
    layout.check()
    if not layout.raw.is_dir():
        raise ConfigurationError(
            f"{settings.warehouse} is not a warehouse: it has no raw/ directory.",
            "Give one with --warehouse.",
        )
    with (
        metrics.written(
            settings.metrics_file, settings.warehouse, "maintain", environment.now, progress.warn
        ),
        Writer(settings, environment.clocks, progress, "maintain") as writer,
    ):
        index = writer.index
        before = space(layout, index.state())
        present = {path.name for path in snapshots(layout)}
        try:
            merged = merge_small_files(index, layout, warn=progress.warn)
            note_size(index, layout, environment.now())
            _record(index, run_id, started, environment.now())
            if "snapshot" in index.state():
                writer.publisher.publish()
            removed = _remove_by_products(index, layout)
        except BaseException as error:
            with contextlib.suppress(VapiSessionsError):  # the next publication shows it
                _record(index, run_id, started, environment.now(), error)
            raise
        writer.conclude()
        left = {path.name for path in snapshots(layout)}
        after = space(layout, index.state())
    return Maintained(merged, len(present - left), removed, before, after)


def _record(index: Index, run_id: str, started: int, now: int, error: BaseException | None = None) -> None:
    """Record the run (moments in µs), by which a schedule knows when the next one is due."""
    ledger = index.ledger()
    index.put_run(
        RunRecord(
            run_id=run_id,
            command="maintain",
            started_at=to_datetime(started),
            finished_at=to_datetime(now),
            outcome=outcome_of(error),
            error=reason(error),
            org_id=ledger.org_id,
            base_url=index.state().get("base_url", ""),
            watermark=to_datetime(ledger.watermark) if ledger.watermark is not None else None,
            program_version=__version__,
        )
    )


def _remove_by_products(index: Index, layout: Layout) -> tuple[str, ...]:
    """Remove databases that a rebuild of version 0.1.0 put aside, if a run has succeeded since: then they are not needed."""
    ((last,),) = index.rows("SELECT max(started_at) FROM sync.runs WHERE outcome = 'done'")
    if last is None:
        return ()
    removed = []
    with disk_errors(layout.root):
        for path in erase.put_aside(layout):
            if path.stat().st_mtime * 1e6 < from_datetime(last):
                path.unlink()
                removed.append(path.name)
                faultpoints.reach("maintain.by_product_removed")
        sync_directory(layout.root)
    return tuple(removed)
