"""`vapi-sessions rebuild`."""

from __future__ import annotations

from vapi_sessions.cli.options import TimeZone, Warehouse, command_settings
from vapi_sessions.core.wording import counted


def rebuild(warehouse: Warehouse = None, time_zone: TimeZone = None) -> None:
    """Derive all tables again from raw/, and publish them.

    Examples:
    vapi-sessions rebuild
    vapi-sessions rebuild --time-zone Europe/Berlin
    """
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations.rebuild import rebuild as run

    settings = command_settings(warehouse=warehouse, time_zone=time_zone)
    with display("rebuild") as progress:
        files, sessions = run(
            settings.warehouse,
            sanitizer=settings.sanitizer(),
            time_zone=settings.time_zone,
            progress=progress,
        )
    print(f"Rebuilt {counted(sessions, 'session')} from {counted(files, 'raw file')}.")
