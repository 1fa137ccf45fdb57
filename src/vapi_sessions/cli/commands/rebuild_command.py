"""`vapi-sessions rebuild`."""

from __future__ import annotations

from vapi_sessions.cli.options import TimeZone, Warehouse, command_settings
from vapi_sessions.cli.output import summary
from vapi_sessions.core.wording import counted


def rebuild(warehouse: Warehouse = None, time_zone: TimeZone = None) -> None:
    """Derive all tables again from raw/, and publish them.

    Examples:
    vapi-sessions rebuild
    vapi-sessions rebuild --time-zone Europe/Berlin
    """
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations.rebuild import rebuild as run
    from vapi_sessions.warehouse.layout import Keep

    settings = command_settings(warehouse=warehouse, time_zone=time_zone)
    with display("rebuild") as progress:
        files, sessions = run(
            settings.warehouse,
            sanitizer=settings.sanitizer(),
            time_zone=settings.time_zone,
            keep=Keep(settings.keep_snapshots, settings.keep_hours),
            metrics_file=settings.metrics_file,
            progress=progress,
        )
    text = f"Rebuilt {counted(sessions, 'session')} from {counted(files, 'raw file')}."
    summary(text, sessions=sessions, raw_files=files)
