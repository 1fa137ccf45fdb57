"""Records of the ledger for tests of the index."""

from __future__ import annotations

from typing import Final

from constants import EPOCH, ORG
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.records import RunRecord, WindowRecord
from vapi_sessions.core.timestamps import HOUR, MINUTE, to_datetime
from vapi_sessions.warehouse.index import Changes

#: An open window.
WINDOW: Final = WindowRecord(
    run_id="run",
    window_index=0,
    org_id=ORG,
    lower_bound=to_datetime(EPOCH),
    upper_bound=to_datetime(EPOCH + HOUR),
    claimed=False,
    claimed_until=to_datetime(EPOCH + HOUR),
    expected=5,
    first_total=5,
    last_total=4,
    distinct_ids=2,
    requests=1,
    verdict="open",
    left_to_read='[[1, 2, null, ["a"]]]',
    noted_at=to_datetime(EPOCH),
)
#: A claim, an unsettled interval, a window and facts.
PROGRESS: Final = Changes(
    org_id=ORG,
    claims=IntervalSet([(EPOCH, EPOCH + HOUR)]),
    windows=[WINDOW],
    unsettled=IntervalSet([(EPOCH + MINUTE, EPOCH + HOUR)]),
    state={"org_id": ORG, "origin": str(EPOCH)},
)
#: A run that has just begun.
RUN: Final = RunRecord(
    run_id="run",
    command="sync",
    started_at=to_datetime(EPOCH),
    finished_at=None,
    outcome="running",
    error=None,
    org_id=None,
    base_url="http://127.0.0.1",
    bound=None,
    watermark=None,
    requests=0,
    retries=0,
    throttled=0,
    bytes_received=0,
    sessions_read=0,
    sessions_new=0,
    sessions_changed=0,
    messages_written=0,
    sessions_unreadable=0,
    sessions_deleted=0,
    sessions_aged_out=0,
    sessions_restored=0,
    late_rows=0,
    silent_changes=0,
    drift=None,
    program_version="0",
)
