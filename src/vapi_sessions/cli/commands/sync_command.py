"""`vapi-sessions sync`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vapi_sessions.cli.options import (
    AcceptSource,
    BaseUrl,
    Concurrency,
    Full,
    Lookback,
    PageSize,
    ReconcileEvery,
    Settle,
    Since,
    TimeZone,
    Until,
    Warehouse,
    command_settings,
)
from vapi_sessions.cli.output import summary as print_summary
from vapi_sessions.cli.output import warn
from vapi_sessions.core.timestamps import show
from vapi_sessions.core.wording import counted

if TYPE_CHECKING:
    from vapi_sessions.operations.sync import Summary
    from vapi_sessions.settings import Settings


def sync(
    warehouse: Warehouse = None,
    base_url: BaseUrl = None,
    since: Since = None,
    until: Until = None,
    full: Full = False,
    accept_source: AcceptSource = False,
    settle: Settle = None,
    lookback: Lookback = None,
    concurrency: Concurrency = None,
    page_size: PageSize = None,
    time_zone: TimeZone = None,
    reconcile_every: ReconcileEvery = None,
) -> None:
    """Fetch all sessions on the first run, then only changes. Needs VAPI_API_KEY or VAPI_API_KEY_FILE.

    Examples:
    vapi-sessions sync
    vapi-sessions sync --since 2026-01-01    # the first time: without what is older
    vapi-sessions sync --full                # read everything again
    """
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations import sync as operation

    settings = command_settings(
        warehouse=warehouse, base_url=base_url, since=since, until=until, full=full or None,
        accept_source=accept_source or None, settle=settle, lookback=lookback, concurrency=concurrency, page_size=page_size,
        time_zone=time_zone, reconcile_every=reconcile_every,
    )  # fmt: skip
    with display("sync") as progress:
        summary = operation.sync(settings, progress=progress)
    _print_summary(summary, settings)
    if settings.reconcile_every is not None:
        _reconcile_if_due(settings)


def _reconcile_if_due(settings: Settings) -> None:
    from vapi_sessions.cli.commands.reconcile_command import print_reconciled
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations.reconcile import reconcile
    from vapi_sessions.operations.reconcile_due import is_due

    if is_due(settings):
        with display("reconcile") as progress:
            done = reconcile(settings, progress=progress)
        print_reconciled(done)


def _print_summary(summary: Summary, settings: Settings) -> None:
    from vapi_sessions.operations import run_report

    counts = summary.counts
    if summary.org_id is None:
        lines = [f"{run_report.synced(summary)}."]
    else:
        lines = [run_report.synced(summary)]
        if complete := run_report.complete_until(summary):
            lines.append(f"{complete} · query {settings.warehouse / 'vapi.duckdb'}")
    print_summary(
        *lines,
        run_id=summary.run_id,
        seconds=round(summary.seconds, 3),
        requests=summary.requests,
        windows=summary.windows,
        sessions_read=counts.sessions_read,
        sessions_new=counts.sessions_new,
        sessions_changed=counts.sessions_changed,
        messages_written=counts.messages_written,
        late_rows=counts.late_rows,
        silent_changes=counts.silent_changes,
        sessions_unreadable=len(summary.unreadable),
        published=summary.published,
        complete_until=show(summary.watermark) if summary.watermark is not None else None,
        new_drift=list(summary.new_drift),
        failing_checks=dict(summary.failing_checks),
    )
    if counts.late_rows:
        warn(
            f"{counted(counts.late_rows, 'change')} appeared later than the settling delay allows; consider a longer --settle"
        )
