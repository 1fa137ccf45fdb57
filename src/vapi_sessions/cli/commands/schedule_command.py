"""`vapi-sessions schedule`."""

from __future__ import annotations

from typing import Annotated

import typer

from vapi_sessions.cli import log, options
from vapi_sessions.core.timestamps import DAY


def schedule(
    every: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Time between two syncs, such as 15m or 1h30m.")
    ] = None,
    cron: Annotated[
        str | None, typer.Option(metavar="CRON", help="Cron expression of the syncs, instead of --every.")
    ] = None,
    cron_time_zone: Annotated[
        str,
        typer.Option(metavar="ZONE", help="Time zone of the cron expression, such as Europe/Berlin."),
    ] = "UTC",
    reconcile_every: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="Time between two runs of reconcile (VAPI_RECONCILE_EVERY; default: 24h).",
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=65535,
            help="Port of the Prefect server that is started (default: 4200 if it is free).",
        ),
    ] = None,
    warehouse: options.Warehouse = None,
    base_url: options.BaseUrl = None,
) -> None:
    """Serve sync, reconcile, maintenance and backfill as Prefect deployments, until interrupted.

    Examples:
    vapi-sessions schedule --every 15m
    vapi-sessions schedule --cron "0 * * * *"    # every hour
    """
    from vapi_sessions.operations.schedule import serve
    from vapi_sessions.operations.schedule_timing import Timing

    settings = options.command_settings(
        warehouse=warehouse, base_url=base_url, reconcile_every=reconcile_every
    )
    timing = Timing(
        every=options.duration("--every", every) if every is not None else None,
        cron=cron,
        zone=cron_time_zone,
        reconcile_every=settings.reconcile_every or DAY,
    )
    serve(settings, timing, port=port, say=lambda text: log.write("info", "message", text))
