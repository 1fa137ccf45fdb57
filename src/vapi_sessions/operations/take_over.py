"""Takes over a warehouse of version 0.1.0, whose `store.duckdb` held a copy of every row. Downloads nothing.

Ledger, runs and state come from that database, rows from `raw/`. Where `raw/` does not have a session, the database's rows are
published as they are. The database is removed after the first publication. A run that is killed before that starts over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pyarrow as pa

from vapi_sessions import schema
from vapi_sessions.core import faultpoints
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.records import Batch
from vapi_sessions.core.wording import count
from vapi_sessions.operations.environment import Clocks
from vapi_sessions.operations.erasure import put_in_place
from vapi_sessions.operations.recovery import recover
from vapi_sessions.transform.resolve import Resolution, short
from vapi_sessions.warehouse import erase
from vapi_sessions.warehouse.index import ALL_TABLES, Changes, Index, known
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.staging import Staging
from vapi_sessions.warehouse.suppression import Suppression

#: Sessions that a message names, at most.
_NAMED: Final = 20
#: Both have the same version of a session. Hashes of odd JSON differ, because it is normalised since.
_SAME = (
    "old.session_id = new.session_id AND old.created_at = new.created_at AND old.updated_at = new.updated_at "
    "AND (old.seq = new.seq OR ('0x' || left(old.content_hash, 16))::UBIGINT = new.content_hash)"
)
#: When a session was seen. The old database may know more of that than `raw/`, of which files may be lost.
_HISTORY = f"""
UPDATE {{home}}.sessions AS new SET
    first_synced_at = least(new.first_synced_at, old.first_synced_at), growth = old.growth, mark_seq = old.mark_seq,
    deleted_at = old.deleted_at, aged_out_at = old.aged_out_at
FROM sessions AS old WHERE {_SAME}
"""
#: Sessions whose version in the old database is not in `raw/`.
_LOST = (
    f"SELECT session_id FROM sessions AS old WHERE NOT EXISTS (FROM {{home}}.sessions AS new WHERE {_SAME})"
)


def take_over(layout: Layout, suppression: Suppression, clocks: Clocks, say: Callable[[str], None]) -> None:
    """If version 0.1.0 made this warehouse: derive an index from it and publish it. Raises WarehouseError.

    Raw files that version 0.1.0 had merged come first, with its ledger; then those it had only fetched.
    """
    if not layout.earlier.exists():
        return
    say("version 0.1.0 made this warehouse: converting it, nothing is downloaded")
    layout.create()
    staging = Staging.begin(layout.staging)
    draft = layout.scratch / "taken-over.duckdb"
    with disk_errors(draft):
        draft.unlink(missing_ok=True)
    with Index(draft, layout.scratch, sleep=clocks.sleep) as index:
        with index.attached(layout.earlier, read_only=True):
            merged = {name for (name,) in index.rows("SELECT file FROM sync.batches")}
            tables = {
                name
                for (name,) in index.rows(
                    "SELECT table_name FROM information_schema.tables WHERE table_catalog = current_database()"
                )
            }
        recover(index, layout, now=clocks.now, suppression=suppression, among=merged)
        erase.adopt_ledger(index, layout.earlier)
        if schema.UNREADABLE.name in tables:  # schema version 1 had none
            erase.adopt_ledger(index, layout.earlier, [schema.UNREADABLE])
        with index.attached(layout.earlier, read_only=True) as home:
            with index.transaction():
                index.run(_HISTORY.format(home=home))
            lost = index.rows(_LOST.format(home=home))
        ids = sorted(name for (name,) in lost if not suppression.holds(name))
        if ids:
            _adopt_rows(index, layout, staging, ids, clocks)
        if warning := recover(index, layout, now=clocks.now, suppression=suppression).warning:
            say(warning)
        index.checkpoint()
    with disk_errors(layout.root):
        put_in_place(layout, draft)
    with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
        Publisher(index, layout, staging, clocks.now).publish(force=True)
        index.checkpoint()
    faultpoints.reach("take_over.published")
    with disk_errors(layout.root):
        for path in (layout.earlier, layout.earlier.with_name(f"{layout.earlier.name}.wal")):
            path.unlink(missing_ok=True)
    if ids:
        more = f", and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
        their = "its newest state; its rows stay" if len(ids) == 1 else "their newest states; their rows stay"
        say(
            f"warning: raw/ does not have {count(len(ids), 'session')} or {their} as they were: "
            f"{', '.join(ids[:_NAMED])}{more}"
        )


def _adopt_rows(index: Index, layout: Layout, staging: Staging, ids: list[str], clocks: Clocks) -> None:
    """Stage the old rows of these sessions as a batch that has no raw file, and record it."""
    among = "WHERE session_id IN (SELECT unnest(?::VARCHAR[]))"
    tables: dict[str, pa.Table] = {}
    with index.attached(layout.earlier, read_only=True):
        for table in schema.TABLES:
            there = {name for name, *_ in index.rows(f"DESCRIBE {table.name}")}
            columns = ", ".join(c.name if c.name in there else f"NULL AS {c.name}" for c in table.columns)
            order = ", ".join([table.created_at, *table.key])
            found = index.table(f"SELECT {columns} FROM {table.name} {among} ORDER BY {order}", [ids])
            tables[table.name] = found.cast(table.arrow)
        rows = index.rows(
            "SELECT session_id, epoch_us(created_at), epoch_us(updated_at), seq, content_hash, message_count, epoch_us(first_synced_at), "
            "growth, mark_seq, epoch_us(deleted_at), epoch_us(aged_out_at) "
            f"FROM sessions {among} ORDER BY created_at, session_id",
            [ids],
        )
    number = index.next_batch()
    held = {
        name: known(
            created, updated, seq, number, short(content), messages, 0, 0, 0, first, growth, *tombstone
        )
        for name, created, updated, seq, content, messages, first, growth, *tombstone in rows
    }
    resolution = Resolution(held=held, won=set(held), dirty=dict.fromkeys(held, ALL_TABLES))
    batch = Batch(number, "", "", len(held), clocks.now())
    older = index.known({name: one.created_at for name, one in held.items()})
    index.merge(resolution, older, Changes(batch=batch))
    staging.add(number, staging.write("taken-over", tables, [one.created_at for one in held.values()]))
