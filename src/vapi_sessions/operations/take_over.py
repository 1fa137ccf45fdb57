"""Takes over a warehouse of version 0.1.0, whose `store.duckdb` held a copy of every row, without a download.

The ledger, the runs and the state come from that database, rows from `raw/`. Of sessions that `raw/` cannot give, its rows are
published as they are. It goes after the first publication; a run that is killed before begins again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vapi_sessions.core import faultpoints
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.records import Batch
from vapi_sessions.operations import erasure
from vapi_sessions.operations.recovery import recover
from vapi_sessions.schema import TABLE_NAMES
from vapi_sessions.transform.resolve import Resolution
from vapi_sessions.warehouse import adopt
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.staging import Staging
from vapi_sessions.warehouse.suppression import Suppression

#: So many sessions are named to a person.
_NAMED: Final = 20


def take_over(
    layout: Layout, suppression: Suppression, clocks: erasure.Clocks, say: Callable[[str], None]
) -> None:
    """Make an index of what is there and publish it, if version 0.1.0 made this warehouse. Raises WarehouseError.

    First what that version had merged, which its ledger and its database describe; then what it had only fetched.
    """
    if not layout.earlier.exists():
        return
    say("an earlier version made this warehouse: taking it over, without a download")
    layout.create()
    staging = Staging.begin(layout.staging)
    draft = layout.scratch / "taken-over.duckdb"
    with disk_errors(draft):
        draft.unlink(missing_ok=True)
    with Index(draft, layout.scratch, sleep=clocks.sleep) as index:
        merged = adopt.earlier_files(index, layout.earlier)
        recover(index, layout, now=clocks.now, suppression=suppression, among=merged)
        adopt.adopt_earlier_ledger(index, layout.earlier)
        lost = adopt.adopt_earlier_history(index, layout.earlier)
        ids = sorted(name for name in lost if not suppression.holds(name))
        if ids:
            _adopt_rows(index, layout, staging, ids, clocks)
        if warning := recover(index, layout, now=clocks.now, suppression=suppression).warning:
            say(warning)
        index.checkpoint()
    with disk_errors(layout.root):
        erasure.put_in_place(layout, draft)
    with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
        Publisher(index, layout, staging, clocks.now).publish(force=True)
        index.checkpoint()
    faultpoints.reach("take_over.published")
    with disk_errors(layout.root):
        for path in (layout.earlier, layout.earlier.with_name(f"{layout.earlier.name}.wal")):
            path.unlink(missing_ok=True)
    if ids:
        more = f", and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
        say(
            f"warning: raw/ lacks {len(ids):,} session(s) or their newest state; their rows stay as they were: "
            f"{', '.join(ids[:_NAMED])}{more}"
        )


def _adopt_rows(
    index: Index, layout: Layout, staging: Staging, ids: list[str], clocks: erasure.Clocks
) -> None:
    """Stage the old rows of these sessions as a batch without a raw file, and note it."""
    number = index.next_batch()
    tables, held = adopt.earlier_rows(index, layout.earlier, ids, number)
    resolution = Resolution(held=held, won=set(held), dirty=dict.fromkeys(held, TABLE_NAMES))
    batch = Batch(number, "", "", len(held), clocks.now())
    older = index.known({name: one.created_at for name, one in held.items()})
    index.merge(resolution, older, Changes(batch=batch))
    staging.add(number, staging.write("taken-over", tables, [one.created_at for one in held.values()]))
