"""`vapi-sessions plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vapi_sessions.cli.options import (
    NOT_PUBLISHING,
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
from vapi_sessions.cli.output import duration, upper_bound
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
    """Show what a sync would do. Changes nothing; asks the API only for counts."""
    from vapi_sessions.operations.preview import preview

    settings = command_settings(
        uses=NOT_PUBLISHING, warehouse=warehouse, base_url=base_url, since=since, until=until, full=full or None, settle=settle,
        lookback=lookback, concurrency=concurrency, page_size=page_size,
    )  # fmt: skip
    _print_preview(preview(settings))


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
        f"about {counted(preview.requests, 'request')}, about {duration(preview.seconds)} "
        f"with {preview.concurrency} in parallel at {preview.latency * 1000:.0f} ms per request"
    )
