"""`vapi-sessions reconcile`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vapi_sessions.cli import options
from vapi_sessions.cli.output import summary
from vapi_sessions.core.wording import counted

if TYPE_CHECKING:
    from vapi_sessions.operations.reconcile import Reconciled


def reconcile(
    warehouse: options.Warehouse = None,
    base_url: options.BaseUrl = None,
    recheck: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="Also re-read sessions created within this period, such as 48h."
        ),
    ] = None,
    accept_deletions: Annotated[
        bool,
        typer.Option("--accept-deletions", help="Accept more deletions than the safety limit allows."),
    ] = False,
    settle: options.Settle = None,
    page_size: options.PageSize = None,
) -> None:
    """Mark sessions that were deleted at the source, and fetch those that are missing here. One deletion costs about twenty requests.

    Examples:
    vapi-sessions reconcile
    vapi-sessions reconcile --recheck 48h    # once a day
    """
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations.reconcile import reconcile as run

    settings = options.command_settings(
        warehouse=warehouse, base_url=base_url, settle=settle, page_size=page_size
    )
    period = options.duration("--recheck", recheck) if recheck is not None else 0
    with display("reconcile") as progress:
        done = run(settings, recheck=period, accept_deletions=accept_deletions, progress=progress)
    print_reconciled(done)


def print_reconciled(done: Reconciled) -> None:
    """Print the outcome."""
    from vapi_sessions.operations import run_report

    counts = done.counts
    summary(
        run_report.reconciled(done),
        f"{counted(done.differing, 'differing window')} read, {counted(done.checked, 'id')} checked, "
        f"in {done.seconds:.1f} s with {counted(done.requests, 'request')}",
        seconds=round(done.seconds, 3),
        requests=done.requests,
        differing_windows=done.differing,
        ids_checked=done.checked,
        sessions_deleted=counts.deleted,
        sessions_aged_out=counts.aged_out,
        sessions_restored=counts.restored,
        sessions_new=counts.sessions_new,
        sessions_changed=counts.sessions_changed,
    )
