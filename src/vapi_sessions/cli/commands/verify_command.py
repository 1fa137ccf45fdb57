"""`vapi-sessions verify`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from vapi_sessions.cli.invocation import as_called
from vapi_sessions.cli.options import BaseUrl, Everything, PageSize, Warehouse, command_settings
from vapi_sessions.cli.output import NAMED, and_more, print_names, summary, upper_bound, warn
from vapi_sessions.core.timestamps import show
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import DifferenceError, plain

if TYPE_CHECKING:
    from vapi_sessions.operations.findings import Finding


def verify(
    warehouse: Warehouse = None,
    base_url: BaseUrl = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Compare the content and the rows of every session, not only counts."),
    ] = False,
    page_size: PageSize = None,
    everything: Everything = False,
) -> None:
    """Compare the warehouse with the source. Lists the differences, with remedies, and exits with code 6 if there are any.

    Examples:
    vapi-sessions verify
    vapi-sessions verify --deep    # every session, row by row
    """
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations.coordinator import describe
    from vapi_sessions.operations.verify import verify as run

    settings = command_settings(
        ignores=("time_zone",), warehouse=warehouse, base_url=base_url, page_size=page_size
    )
    with display("verify") as progress:
        done = run(settings, deep=deep, everything=everything, progress=progress)
    print_findings(done.findings, everything=everything)
    if unreadable := describe(done.unreadable, everything=everything):
        warn(unreadable)
    how, sessions = "row by row" if deep else "by counts", counted(done.sessions, "session")
    if done.findings:
        raise DifferenceError(
            f"{counted(len(done.findings), 'difference')} among {sessions}, compared {how}.",
            "The remedies are listed above, on stdout.",
        )
    summary(
        f"{sessions} agree{'s' if done.sessions == 1 else ''} with the source, compared {how}, "
        f"for changes until {show(done.until)} ({counted(done.requests, 'request')}, {done.seconds:.1f} s)",
        seconds=round(done.seconds, 3),
        requests=done.requests,
        sessions=done.sessions,
        complete_until=show(done.until),
    )


def print_findings(findings: Sequence[Finding], *, everything: bool) -> None:
    """Each with its sessions and its remedy; only the first ones, unless `everything` is to be shown."""
    shown = findings if everything else findings[:NAMED]
    for finding in shown:
        _print_finding(finding)
    if more := len(findings) - len(shown):
        print(and_more(more))


def _print_finding(finding: Finding) -> None:
    where = ""
    if finding.window is not None:
        where = f"created {show(finding.window.lower)} … {upper_bound(finding.window.upper)}: "
    print(as_called(plain(f"{where}{finding.what}; remedy: {finding.remedy}")))
    more = finding.number - len(finding.ids)
    print_names([*finding.ids, and_more(more)] if more > 0 else finding.ids)
