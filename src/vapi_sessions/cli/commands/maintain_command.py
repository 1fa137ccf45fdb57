"""`vapi-sessions maintain`."""

from __future__ import annotations

from vapi_sessions.cli.options import Warehouse, command_settings
from vapi_sessions.cli.output import summary
from vapi_sessions.core.wording import counted


def maintain(warehouse: Warehouse = None) -> None:
    """Save space: merge small raw files, remove old snapshots and by-products. Needs no key.

    Examples:
    vapi-sessions maintain
    """
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations.maintain import maintain as run

    settings = command_settings(warehouse=warehouse)
    with display("maintain") as progress:
        done = run(settings, progress=progress)
    before, after = done.before.total_bytes / 1e6, done.after.total_bytes / 1e6
    lines = [f"Removed {name}." for name in done.by_products]
    if done.snapshots:
        lines.insert(0, f"Removed {counted(done.snapshots, 'old snapshot')}.")
    if done.raw.files:
        lines.insert(0, f"Merged {counted(done.raw.files, 'small raw file')} into {done.raw.into:,}.")
    summary(
        *lines,
        f"{after:,.1f} MB, before {before:,.1f} MB; {counted(done.after.snapshots, 'snapshot')} kept.",
        raw_files_merged=done.raw.files,
        snapshots_removed=done.snapshots,
        bytes=done.after.total_bytes,
    )
