"""Reads a range of `updatedAt` again, whether it was read before or not: `python flows/backfill.py 2026-01-01 2026-02-01`.

Sessions that did not change are not written. A range that begins before the warehouse's origin extends its history.
"""

from __future__ import annotations

import sys
from typing import Any

if __name__ == "__main__":
    from vapi_sessions.cli import streams

    streams.secure()  # before Prefect opens files and starts its server

from prefect import flow

from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations.schedule import load_flow
from vapi_sessions.settings import Settings, load_settings

_sync = load_flow("sync")


@flow(name="vapi-sessions backfill", task_runner=_sync.RUNNER, persist_result=False)
def backfill_flow(since: str, until: str | None = None) -> Any:
    """Read `[since, until)` (ISO 8601, UTC) again; without `until`, up to now."""
    return _sync.as_state(lambda: _sync.run_tasks(load_settings(since=since, until=until), "backfill flow"))


def settings(arguments: list[str]) -> Settings:
    """The settings of a run with these arguments. Raises ConfigurationError if they are not one or two dates."""
    if len(arguments) not in (1, 2):
        raise ConfigurationError(
            f"A backfill needs one or two dates, not {len(arguments)} arguments.",
            "python flows/backfill.py SINCE [UNTIL]   (ISO 8601, UTC: 2026-01-31 or 2026-01-31T12:00:00Z)",
        )
    return load_settings(**dict(zip(("since", "until"), arguments, strict=False)))


if __name__ == "__main__":
    _sync.command(lambda: settings(sys.argv[1:]), lambda: backfill_flow(*sys.argv[1:]))
