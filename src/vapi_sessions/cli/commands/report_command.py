"""`vapi-sessions report`."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from vapi_sessions.cli import options
from vapi_sessions.cli.output import summary, warn
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import ConfigurationError, plain


def report(
    warehouse: options.Warehouse = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The HTML file to write; an earlier one is replaced.")
    ] = Path("vapi-report.html"),
    since: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="First day of the period, such as 2026-01-31 (default: the last 30 days, or fewer in a shorter history).",
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show the report in the web browser.")] = False,
) -> None:
    """Write a report on costs, conversations, tools and customers: one HTML file that needs no network.

    Examples:
    vapi-sessions report
    vapi-sessions report --since 2026-01-31 --out january.html
    """
    import webbrowser

    from vapi_sessions.report.report_file import write_report

    settings = options.command_settings(uses=options.READERS, warehouse=warehouse)
    written = write_report(settings.warehouse, out, since=_day(since))
    since_when = f" since {written.since}" if written.since else ""
    about = f"{counted(written.sessions, 'session')}{since_when}"
    text = plain(f"{written.path}: {written.size / 1e6:.1f} MB, {about}")
    summary(text, path=str(written.path), bytes=written.size, sessions=written.sessions)
    if open_ and not webbrowser.open(written.path.as_uri()):
        warn(f"No web browser could be started. Open {written.path} yourself.")


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text is not None else None
    except ValueError:
        raise ConfigurationError(f"--since: '{text}' is not a day.", "Write it as 2026-01-31.") from None
