"""`vapi-sessions sync`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vapi_sessions.cli.invocation import as_called
from vapi_sessions.cli.options import (
    BaseUrl,
    Concurrency,
    Full,
    Lookback,
    PageSize,
    Settle,
    Since,
    TimeZone,
    Until,
    Warehouse,
    command_settings,
)
from vapi_sessions.cli.output import warn
from vapi_sessions.core.timestamps import show
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import plain

if TYPE_CHECKING:
    from vapi_sessions.operations.sync import Summary
    from vapi_sessions.settings import Settings


def sync(
    warehouse: Warehouse = None,
    base_url: BaseUrl = None,
    since: Since = None,
    until: Until = None,
    full: Full = False,
    settle: Settle = None,
    lookback: Lookback = None,
    concurrency: Concurrency = None,
    page_size: PageSize = None,
    time_zone: TimeZone = None,
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
        warehouse=warehouse, base_url=base_url, since=since, until=until, full=full or None, settle=settle,
        lookback=lookback, concurrency=concurrency, page_size=page_size, time_zone=time_zone,
    )  # fmt: skip
    with display("sync") as progress:
        summary = operation.sync(settings, progress=progress)
    _print_summary(summary, settings)


def _print_summary(summary: Summary, settings: Settings) -> None:
    counts = summary.counts
    if summary.org_id is None:
        print("The source lists no sessions: nothing was read and nothing is claimed.")
        return
    print(
        f"{counted(counts.sessions_read, 'session')} read: {counts.sessions_new:,} new, {counts.sessions_changed:,} changed, "
        f"{counted(counts.messages_written, 'message')} written, in {summary.seconds:.1f} s with {counted(summary.requests, 'request')}"
    )
    if summary.watermark is not None:
        print(f"complete until {show(summary.watermark)} · query {settings.warehouse / 'vapi.duckdb'}")
    if counts.late_rows:
        warn(
            f"{counted(counts.late_rows, 'change')} appeared later than the settling delay allows; consider a longer --settle"
        )
    if counts.drift:
        top = ", ".join(f"{name} ({count:,})" for name, count in counts.drift.most_common(3))
        print(
            as_called(
                plain(
                    f"note: fields without a column are kept in extra: {top}; see vapi-sessions status for all"
                )
            ),
            file=sys.stderr,
        )
