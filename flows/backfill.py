"""Read a range of `updatedAt` again, whatever the ledger says: `python flows/backfill.py 2026-01-01 2026-02-01`.

What did not change is not written. A range that begins before the warehouse's origin extends its history.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    from vapi_sessions import streams

    streams.secure()  # before Prefect opens files and starts its server

from vapi_sessions.config import load_settings
from vapi_sessions.schedule import load_flow

_sync = load_flow("sync")  # first: it prepares Prefect's environment

from prefect import flow  # noqa: E402  # after that


@flow(name="vapi-sessions backfill", task_runner=_sync.RUNNER, persist_result=False)
def backfill_flow(since: str, until: str | None = None) -> None:
    """Read `[since, until)` (ISO 8601, UTC) again; without `until`, up to now."""
    _sync.run_steps(load_settings(since=since, until=until), "backfill flow")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python flows/backfill.py SINCE [UNTIL]   (dates in ISO 8601, UTC)")
    backfill_flow(*sys.argv[1:])
