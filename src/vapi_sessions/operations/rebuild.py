"""`vapi-sessions rebuild`: derives everything again from `raw/`."""

from __future__ import annotations

import time
from pathlib import Path

from vapi_sessions.core import faultpoints
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.memory import fewer_collections
from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError
from vapi_sessions.operations import erasure
from vapi_sessions.operations.progress import Progress, Silent
from vapi_sessions.operations.recovery import recover
from vapi_sessions.privacy.sanitizer import Sanitizer
from vapi_sessions.source.environment import Environment
from vapi_sessions.warehouse import adopt, raw, reader
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout, writer_lock
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.staging import Staging
from vapi_sessions.warehouse.suppression import Suppression


def rebuild(
    warehouse: Path,
    *,
    sanitizer: Sanitizer | None = None,
    environment: Environment | None = None,
    progress: Progress | None = None,
) -> tuple[int, int]:
    """Derive index and rows again from `raw/` and publish them; then put all of it through a `treatment` that is stricter.

    Returns the raw files merged and the sessions. The new index is made beside the old one and takes its place at the end, so a rebuild
    that fails before changes nothing; what is published stays as it is until everything is derived. The record of earlier runs is kept.
    Raises ConfigurationError if there is nothing to rebuild from, or for another pseudonym key, WarehouseDamagedError if files of `raw/` seem to be
    missing, WarehouseError.
    """
    environment = environment or Environment()
    layout = Layout(warehouse)
    layout.check()
    if not layout.raw.is_dir():
        raise ConfigurationError(
            f"{warehouse} is not a warehouse: it has no raw/ directory.", "Give one with --warehouse."
        )
    if not raw.files(layout.raw):
        raise ConfigurationError(
            f"There is nothing to rebuild from: {layout.raw} holds no observations.",
            "Put its files back from a copy, or run vapi-sessions sync into another directory.",
        )
    layout.create()
    with fewer_collections(), writer_lock(layout):
        region = sanitizer.policy.region if sanitizer is not None else None
        suppression = Suppression.open(layout, create=True, region=region)
        clocks = erasure.Clocks(environment.now, environment.sleep or time.sleep)
        progress = progress or Silent()
        draft = layout.scratch / "rebuilt.duckdb"
        with Index(draft, layout.scratch) as index:
            recovery = recover(index, layout, now=environment.now, suppression=suppression)
            if recovery.warning:
                progress.say(recovery.warning)
            sessions = index.count()
            stricter = sanitizer is not None and erasure.check_sanitizer(
                index.state(), sanitizer, empty=not sessions
            )
            adopt.adopt_runs(index, (layout.index, layout.earlier, layout.published))
            index.checkpoint()
        # What a torn file held is read again, and what is to be forgotten is still published; nobody knows of a file that is gone.
        explained = recovery.torn or suppression.pending
        published = 0 if explained else reader.sessions_published(layout.root)
        if sessions + len(recovery.forgotten) < published:
            with disk_errors(draft):
                draft.unlink()
            raise WarehouseDamagedError(
                f"{layout.raw} gives {sessions:,} sessions, and {published:,} are published: files of it are missing.",
                "Put them back from a copy. To go on with those that are there, move vapi.duckdb away, and rebuild again.",
            )
        faultpoints.reach("rebuild.derived")
        with disk_errors(layout.root):
            erasure.put_in_place(layout, draft)
        faultpoints.reach("rebuild.swapped")
        with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
            staging = Staging.begin(layout.staging)
            Publisher(index, layout, staging, environment.now, progress.say).publish(force=True)
            index.checkpoint()
            # What raw/ holds of the forgotten did not get here; it is there all the same, and in what was put aside.
            held = erasure.still_held(index, layout, suppression, now=environment.now, say=progress.say)
        if held:
            erasure.erase_forgotten(layout, suppression, clocks)
        if stricter and sanitizer is not None:
            progress.say(erasure.stricter_note(sanitizer))
            erasure.tighten(layout, sanitizer, clocks, suppression)
        with disk_errors(layout.root):
            layout.earlier.unlink(missing_ok=True)  # what it held has been derived
    return recovery.merged, sessions
