"""`vapi-sessions maintain`."""

from __future__ import annotations

from vapi_sessions.cli.options import Warehouse, command_settings
from vapi_sessions.cli.output import summary


def maintain(warehouse: Warehouse = None) -> None:
    """Save space: merge small raw files, remove old snapshots and by-products. Needs no key.

    Examples:
    vapi-sessions maintain
    """
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations import run_report
    from vapi_sessions.operations.maintain import maintain as run

    settings = command_settings(warehouse=warehouse)
    with display("maintain") as progress:
        done = run(settings, progress=progress)
    summary(
        *run_report.maintained(done),
        raw_files_merged=done.raw.files,
        snapshots_removed=done.snapshots,
        bytes=done.after.total_bytes,
    )
