"""`vapi-sessions plan`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vapi_sessions.cli.options import (
    BaseUrl,
    Concurrency,
    Full,
    Lookback,
    PageSize,
    Settle,
    Since,
    Until,
    Warehouse,
    command_settings,
)
from vapi_sessions.cli.output import duration, upper_bound, warn
from vapi_sessions.core.timestamps import show
from vapi_sessions.core.wording import counted

if TYPE_CHECKING:
    from vapi_sessions.operations.preview import Preview


def plan(
    warehouse: Warehouse = None,
    base_url: BaseUrl = None,
    since: Since = None,
    until: Until = None,
    full: Full = False,
    settle: Settle = None,
    lookback: Lookback = None,
    concurrency: Concurrency = None,
    page_size: PageSize = None,
) -> None:
    """Show what a sync would do: windows, sessions, requests and time. Changes nothing; asks the API only for counts.

    Examples:
    vapi-sessions plan
    vapi-sessions plan --full
    """
    from vapi_sessions.cli.display import display
    from vapi_sessions.operations.preview import preview

    settings = command_settings(
        ignores=("time_zone",), warehouse=warehouse, base_url=base_url, since=since, until=until, full=full or None, settle=settle,
        lookback=lookback, concurrency=concurrency, page_size=page_size,
    )  # fmt: skip
    with display("plan") as progress:
        found = preview(settings, progress=progress)
    _print_preview(found)


def _print_preview(preview: Preview) -> None:
    plan = preview.plan
    if plan.bound is None:
        print("The source lists no sessions: a sync would claim nothing.")
        return
    print(f"{'from':24}  {'until':24}  {'sessions':>9}  {'requests':>8}")
    for planned in plan.windows:
        lower = planned.claim[0] if planned.claim else planned.window.lower
        print(
            f"{show(lower):24}  {upper_bound(planned.window.upper):24}  "
            f"{planned.expected:>9,}  {preview.requests_for(planned):>8,}"
        )
    print(
        f"{counted(len(plan.windows), 'window')}, {counted(plan.sessions, 'session')}, "
        f"about {counted(preview.requests, 'request')}, about {duration(preview.estimate.seconds)} "
        f"with {preview.concurrency} in parallel"
    )
    for line in _basis(preview):
        print(line)
    if preview.throttled:
        warn("the source limited the rate of these few requests, so a sync may take much longer")
    if preview.running is not None:
        print(f"note: a run is writing: {preview.running.text}", file=sys.stderr)


def _basis(preview: Preview) -> Iterator[str]:
    """What the estimate adds up, and what it is based on."""
    from vapi_sessions.operations.estimate import LOADING, PUBLISHING

    times, concurrent = preview.estimate, "while they run, " if preview.estimate.in_parallel else ""
    yield (
        f"  start and planning {times.planning:.1f} s; requests {times.requests:.1f} s; {concurrent}loading {times.loading:.1f} s; "
        f"publishing {times.publishing:.1f} s"
    )
    if preview.speed is not None:
        per_second = preview.speed.sessions / max(
            preview.speed.loading_seconds + preview.speed.publishing_seconds, 1e-3
        )
        based = f"an earlier sync that loaded and published {per_second:,.0f} sessions/s"
    else:
        based = (
            f"{preview.timing.session_bytes / 1000:,.1f} kB per session, "
            f"loaded at {LOADING / 1e6:.0f} MB/s and published at {PUBLISHING / 1e6:.0f} MB/s"
        )
    yield f"  based on {preview.timing.latency * 1000:.0f} ms per request, measured now, and on {based}"
