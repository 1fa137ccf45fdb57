"""`vapi-sessions rebuild`: derives index and published files from `raw/` again."""

from __future__ import annotations

from pathlib import Path

from vapi_sessions.core import faultpoints
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.memory import fewer_collections
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError
from vapi_sessions.operations import erasure, metrics, policy_change
from vapi_sessions.operations.progress import Progress, Silent
from vapi_sessions.operations.recovery import recover
from vapi_sessions.operations.running import Reported
from vapi_sessions.privacy.sanitizer import Sanitizer
from vapi_sessions.source.environment import Environment
from vapi_sessions.warehouse import adopt, raw, reader, told_drift
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Keep, Layout, writer_lock
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.staging import Staging
from vapi_sessions.warehouse.suppression import Suppression
from vapi_sessions.warehouse.time_zone import set_time_zone


def rebuild(
    warehouse: Path,
    *,
    sanitizer: Sanitizer | None = None,
    time_zone: str | None = None,
    keep: Keep | None = None,
    metrics_file: Path | None = None,
    environment: Environment | None = None,
    progress: Progress | None = None,
) -> tuple[int, int]:
    """Derive index and rows from `raw/` again and publish them; then rewrite everything if the `sanitizer` is stricter than before.

    Returns the numbers of raw files merged and of sessions. The new index is made beside the old one and replaces it at the end, so
    a rebuild that fails earlier changes nothing. The record of earlier runs and windows is kept, and so is the time zone of the
    views unless one is given. Raises ConfigurationError if there is nothing to rebuild from, or for another pseudonym key,
    WarehouseDamagedError if files of `raw/` seem to be missing, WarehouseError.
    """
    environment = environment or Environment()
    layout = Layout(warehouse, keep or Keep())
    layout.check()
    if not layout.raw.is_dir():
        raise ConfigurationError(
            f"{warehouse} is not a warehouse: it has no raw/ directory.", "Give one with --warehouse."
        )
    if not raw.files(layout.raw):
        raise ConfigurationError(
            f"There is nothing to rebuild from: {layout.raw} holds no observations.",
            "Restore its files from a backup, or run vapi-sessions sync with another --warehouse.",
        )
    layout.create()
    progress = progress or Silent()
    with (
        metrics.written(metrics_file, warehouse, "rebuild", environment.now, progress.warn),
        fewer_collections(),
        writer_lock(layout),
        Reported(progress, layout, "rebuild", environment.now) as progress,
    ):
        region = sanitizer.policy.region if sanitizer is not None else None
        suppression = Suppression.open(layout, create=True, region=region)
        clocks = environment.clocks
        progress.phase("reading")
        draft = layout.scratch / "rebuilt.duckdb"
        earlier = (layout.index, layout.earlier, layout.published)
        with Index(draft, layout.scratch) as index:
            recovery = recover(index, layout, now=environment.now, suppression=suppression, progress=progress)
            if recovery.warning:
                progress.warn(recovery.warning)
            sessions = index.count()
            stricter = sanitizer is not None and policy_change.check_sanitizer(
                index.state(), sanitizer, empty=not sessions
            )
            adopt.adopt_history(index, earlier)
            set_time_zone(index, time_zone, earlier)
            told_drift.prepare(index, earlier)
            index.checkpoint()
        # Sessions of a torn file are read again, and sessions that are being forgotten are still published. Of a file that is gone
        # nothing is known: then fewer sessions are derived than are published.
        explained = recovery.torn or suppression.pending
        published = 0 if explained else reader.sessions_published(layout.root)
        if sessions + len(recovery.forgotten) < published:
            with disk_errors(draft):
                draft.unlink()
            raise WarehouseDamagedError(
                f"{layout.raw} has {counted(sessions, 'session')}, and {published:,} are published: files of it are missing.",
                "Restore them from a backup. To go on without them, move vapi.duckdb away and rebuild again.",
            )
        faultpoints.reach("rebuild.derived")
        with disk_errors(layout.root):
            erasure.put_in_place(layout, draft)
        faultpoints.reach("rebuild.swapped")
        with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
            staging = Staging.begin(layout.staging)
            progress.phase("publishing")
            publisher = Publisher(
                index, layout, staging, environment.now, progress.say, progress.warn, progress.publishing
            )
            publisher.publish(force=True)
            index.checkpoint()
            # Forgotten sessions are not in the new index, but raw/ and databases that were put aside may still hold them.
            held = erasure.still_held(index, layout, suppression, now=environment.now, say=progress.say)
        if held:
            erasure.erase_forgotten(layout, suppression, clocks, progress)
        if stricter and sanitizer is not None:
            progress.say(policy_change.stricter_message(sanitizer))
            policy_change.tighten(layout, sanitizer, clocks, suppression, progress)
        with disk_errors(layout.root):
            layout.earlier.unlink(missing_ok=True)  # everything in it has been derived again
    return recovery.merged, sessions
