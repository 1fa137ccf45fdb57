"""Reads a range of `updatedAt` again, whether it was read before or not: `python flows/backfill.py 2026-01-01 2026-02-01`.

Sessions that did not change are not written. A range that begins before the warehouse's origin extends its history.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

if __name__ == "__main__":
    from vapi_sessions.cli import streams
    from vapi_sessions.core import telemetry

    streams.secure()  # before Prefect opens files and starts its server
    telemetry.off()

from prefect import flow

from vapi_sessions.core.timestamps import from_datetime, parse, show, to_datetime
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations.schedule import load_flow
from vapi_sessions.settings import Settings, load_settings

_shared = load_flow("shared")
_sync = load_flow("sync")


@flow(
    name="vapi-sessions backfill",
    description="Read a range of changes again, or history from before the first sync.",
    flow_run_name=_shared.name_at_start("backfill"),
    task_runner=_sync.RUNNER,
    persist_result=False,
    validate_parameters=False,  # `settings` does it, with an error of one line
)
def backfill_flow(since: datetime, until: datetime | None = None) -> Any:
    """Read the changes in `[since, until)` again.

    Args:
        since: Read changes (updatedAt) from this moment on. Without an offset it is in UTC.
        until: Read changes before this moment. Leave it empty to read up to now.
    """
    return _shared.flow_state(lambda: _sync.run_tasks(settings(since, until), "backfill"))


def settings(since: datetime | str, until: datetime | str | None = None) -> Settings:
    """The settings of a backfill of this range. Raises ConfigurationError if it is none."""
    given = load_settings(since=_text("--since", since), until=_text("--until", until))
    if given.since is None:
        raise ConfigurationError(
            "A backfill needs a date to begin at.", "For example 2026-01-31 or 2026-01-31T12:00:00Z."
        )
    if given.since >= from_datetime(datetime.now(UTC)):
        raise ConfigurationError(
            f"--since {show(given.since)} is in the future.", "Give the beginning of the changes to read."
        )
    return given


def arguments(given: list[str]) -> list[str]:
    """The arguments of `python flows/backfill.py`. Raises ConfigurationError if they are not one or two."""
    if len(given) not in (1, 2):
        raise ConfigurationError(
            f"A backfill needs one or two dates, not {len(given)} arguments.",
            "python flows/backfill.py SINCE [UNTIL]   (ISO 8601, UTC: 2026-01-31 or 2026-01-31T12:00:00Z)",
        )
    return given


def _text(option: str, moment: object) -> str | None:
    """A parameter as text: over Prefect's API, any JSON may arrive."""
    if moment is None or isinstance(moment, str):
        return moment or None
    if isinstance(moment, datetime):
        return moment.isoformat()
    raise ConfigurationError(
        f"{option}: a date is needed, not {type(moment).__name__}.",
        "For example 2026-01-31 or 2026-01-31T12:00:00Z.",
    )


if __name__ == "__main__":
    _shared.command(
        "sync",
        lambda: settings(*arguments(sys.argv[1:])),
        lambda: backfill_flow(*(to_datetime(parse(text)) for text in sys.argv[1:])),
    )
