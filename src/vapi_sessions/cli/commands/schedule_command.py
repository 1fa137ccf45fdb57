"""`vapi-sessions schedule`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vapi_sessions.cli import options


def schedule(
    every: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Time between runs, such as 15m or 1h30m.")
    ] = None,
    cron: Annotated[
        str | None, typer.Option(metavar="CRON", help="Cron expression in UTC, instead of --every.")
    ] = None,
    warehouse: options.Warehouse = None,
    base_url: options.BaseUrl = None,
) -> None:
    """Run the sync on a schedule, as a Prefect deployment, until interrupted.

    Examples:
    vapi-sessions schedule --every 15m
    vapi-sessions schedule --cron "0 * * * *"    # every hour
    """
    from vapi_sessions.operations.schedule import serve

    settings = options.command_settings(warehouse=warehouse, base_url=base_url)
    interval = options.duration("--every", every) if every is not None else None
    serve(settings, interval=interval, cron=cron, say=lambda text: print(text, file=sys.stderr))
