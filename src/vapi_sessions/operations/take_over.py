"""Takes over a warehouse of version 0.1.0, whose `store.duckdb` held a copy of every row. Downloads nothing.

Ledger, runs and state come from that database, rows from `raw/`. Where `raw/` does not have a session, the database's rows are
published as they are. The database is removed after the first publication. A run that is killed before that starts over.
"""

from __future__ import annotations

from typing import Final

from vapi_sessions.core import faultpoints
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.records import Batch
from vapi_sessions.core.wording import counted
from vapi_sessions.operations.erasure import put_in_place
from vapi_sessions.operations.progress import Progress
from vapi_sessions.operations.recovery import recover
from vapi_sessions.schema import TABLE_NAMES
from vapi_sessions.source.environment import Clocks
from vapi_sessions.transform.resolve import Resolution
from vapi_sessions.warehouse import adopt, told_drift
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.staging import Staging
from vapi_sessions.warehouse.suppression import Suppression

#: Sessions that a message names, at most.
_NAMED: Final = 20


def take_over(layout: Layout, suppression: Suppression, clocks: Clocks, progress: Progress) -> None:
    """If version 0.1.0 made this warehouse: derive an index from it and publish it. Raises WarehouseError.

    Raw files that version 0.1.0 had merged come first, with its ledger; then those it had only fetched.
    """
    if not layout.earlier.exists():
        return
    progress.say("version 0.1.0 made this warehouse: converting it, nothing is downloaded")
    layout.create()
    staging = Staging.begin(layout.staging)
    draft = layout.scratch / "taken-over.duckdb"
    with disk_errors(draft):
        draft.unlink(missing_ok=True)
    with Index(draft, layout.scratch, sleep=clocks.sleep) as index:
        merged = adopt.earlier_files(index, layout.earlier)
        recover(index, layout, now=clocks.now, suppression=suppression, among=merged)
        adopt.adopt_earlier_ledger(index, layout.earlier)
        told_drift.prepare(index)
        lost = adopt.adopt_earlier_history(index, layout.earlier)
        ids = sorted(name for name in lost if not suppression.holds(name))
        if ids:
            _adopt_rows(index, layout, staging, ids, clocks)
        if warning := recover(index, layout, now=clocks.now, suppression=suppression).warning:
            progress.warn(warning)
        index.checkpoint()
    with disk_errors(layout.root):
        put_in_place(layout, draft)
    with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
        Publisher(index, layout, staging, clocks.now, progress.say, progress.warn).publish(force=True)
        index.checkpoint()
    faultpoints.reach("take_over.published")
    with disk_errors(layout.root):
        for path in (layout.earlier, layout.earlier.with_name(f"{layout.earlier.name}.wal")):
            path.unlink(missing_ok=True)
    if ids:
        more = f", and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
        their = "its newest state; its rows stay" if len(ids) == 1 else "their newest states; their rows stay"
        progress.warn(
            f"raw/ does not have {counted(len(ids), 'session')} or {their} as they were: "
            f"{', '.join(ids[:_NAMED])}{more}"
        )


def _adopt_rows(index: Index, layout: Layout, staging: Staging, ids: list[str], clocks: Clocks) -> None:
    """Stage the old rows of these sessions as a batch that has no raw file, and record it."""
    number = index.next_batch()
    tables, held = adopt.earlier_rows(index, layout.earlier, ids, number)
    resolution = Resolution(held=held, won=set(held), dirty=dict.fromkeys(held, TABLE_NAMES))
    batch = Batch(number, "", "", len(held), clocks.now())
    older = index.known({name: one.created_at for name, one in held.items()})
    index.merge(resolution, older, Changes(batch=batch))
    staging.add(number, staging.write("taken-over", tables, [one.created_at for one in held.values()]))
