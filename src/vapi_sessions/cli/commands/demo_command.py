"""`vapi-sessions demo`."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    directory: Annotated[
        str,
        typer.Option(
            "--dir", metavar="DIR", help="Directory of the demo. An earlier demo there is replaced."
        ),
    ] = "demo",
    sessions: Annotated[
        int, typer.Option(min=1, max=200_000, metavar="N", help="Number of sessions to generate.")
    ] = 2_000,
    days: Annotated[
        int, typer.Option(min=1, max=3650, metavar="N", help="Number of days over which sessions are spread.")
    ] = 30,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Random seed: the same seed generates the same history.")
    ] = 1,
) -> None:
    """Emulate Vapi, sync, simulate traffic, sync again, show first answers.

    Examples:
    vapi-sessions demo
    vapi-sessions demo --dir /tmp/demo --sessions 500
    """
    from vapi_sessions.cli.demo import demo as run

    run(directory, sessions=sessions, days=days, seed=seed)
