"""`vapi-sessions maintain`."""

from __future__ import annotations

from vapi_sessions.cli.options import Warehouse, command_settings
from vapi_sessions.core.wording import counted


def maintain(warehouse: Warehouse = None) -> None:
    """Save space: merge small raw files, remove old snapshots and by-products. Needs no key."""
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations.maintain import maintain as run

    settings = command_settings(warehouse=warehouse)
    with display("maintain") as progress:
        done = run(settings, progress=progress)
    if done.raw.files:
        print(f"Merged {counted(done.raw.files, 'small raw file')} into {done.raw.into:,}.")
    if done.snapshots:
        print(f"Removed {counted(done.snapshots, 'old snapshot')}.")
    for name in done.by_products:
        print(f"Removed {name}.")
    before, after = done.before.total_bytes / 1e6, done.after.total_bytes / 1e6
    print(f"{after:,.1f} MB, before {before:,.1f} MB; {counted(done.after.snapshots, 'snapshot')} kept.")
