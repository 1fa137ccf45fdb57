"""Takes over from another database what `raw/` cannot give: the ledger of an earlier index, and rows of version 0.1.0.

Functions whose names begin with `earlier` or `adopt_earlier` read `store.duckdb`, the database of version 0.1.0.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from vapi_sessions import schema
from vapi_sessions.core.timestamps import MILLISECOND, floor_ms
from vapi_sessions.errors import WarehouseError
from vapi_sessions.transform.resolve import Known, short
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.index_rows import IndexRow
from vapi_sessions.warehouse.index_schema import INTERVALS, RUNS, STATE, UNREADABLE, WINDOWS

#: The tables that cannot be derived from `raw/`. The others, for example batches and parts, can.
_LEDGER: Final = (RUNS, WINDOWS, INTERVALS, STATE)
#: Whether both databases have the same version of a session. If its JSON was odd, the hashes differ, because it was normalised since.
_SAME: Final = (
    "old.session_id = new.session_id AND old.created_at = new.created_at AND old.updated_at = new.updated_at "
    "AND (old.seq = new.seq OR ('0x' || left(old.content_hash, 16))::UBIGINT = new.content_hash)"
)
#: Times at which a session was seen. The old database may know more of them than `raw/`, whose files can be lost.
_HISTORY: Final = f"""
UPDATE {{home}}.sessions AS new SET
    first_synced_at = least(new.first_synced_at, old.first_synced_at), growth = old.growth, mark_seq = old.mark_seq,
    deleted_at = old.deleted_at, aged_out_at = old.aged_out_at
FROM sessions AS old WHERE {_SAME}
"""
#: The sessions whose version in the old database is not in `raw/`.
_LOST: Final = (
    f"SELECT session_id FROM sessions AS old WHERE NOT EXISTS (FROM {{home}}.sessions AS new WHERE {_SAME})"
)
#: From the first to the last change (µs) of the sessions whose version in the old database was not derived. Policies change hashes.
_NOT_DERIVED: Final = """
SELECT epoch_us(min(updated_at)), epoch_us(max(updated_at)) FROM sessions AS old WHERE NOT EXISTS (
    FROM {home}.sessions AS new
    WHERE new.session_id = old.session_id AND (new.updated_at, new.seq) >= (old.updated_at, old.seq)
)
"""
#: Windows that wrote no file of raw/, because nothing in them was new. Open ones are read again. Cursors may name forgotten sessions.
_WINDOWS: Final = """
INSERT INTO {home}.sync.windows BY NAME SELECT {columns} FROM sync.windows AS old
WHERE verdict <> 'open' AND NOT EXISTS (
    FROM {home}.sync.windows AS new WHERE new.run_id = old.run_id AND new.window_index = old.window_index
)
"""
#: What users were told, the progress of the scrub, and what runs measured.
_FACTS: Final = """
INSERT INTO {home}.sync.state BY NAME FROM sync.state AS old
WHERE (key LIKE 'told%' OR key LIKE 'scrub%' OR key IN ('sizes', 'speed', 'pruned_runs')) AND NOT EXISTS (FROM {home}.sync.state AS new WHERE new.key = old.key)
"""
#: The source may have moved without a change of its data, so that no file of raw/ has its address.
_ADDRESS: Final = """
UPDATE {home}.sync.state AS new SET value = old.value FROM sync.state AS old WHERE new.key = old.key AND old.key = 'base_url'
"""
_AMONG: Final = "WHERE session_id IN (SELECT unnest(?::VARCHAR[]))"


def adopt_ledger(index: Index, other: Path, tables: Sequence[schema.Table] = _LEDGER) -> None:
    """Replace these tables by those of another database, which may have an earlier schema version."""
    with index.attached(other, read_only=True) as home, index.transaction():
        for table in tables:
            index.run(f"DELETE FROM {home}.sync.{table.name}")
            index.run(f"INSERT INTO {home}.sync.{table.name} BY NAME FROM sync.{table.name}")
        index.run(
            f"UPDATE {home}.sync.state SET value = ? WHERE key = 'schema_version'",
            [str(schema.SCHEMA_VERSION)],
        )


def not_derived(index: Index, other: Path) -> tuple[int, int] | None:
    """The interval of updatedAt (µs) with the sessions, or newer versions of them, that only the other database has, if any."""
    with index.attached(other, read_only=True) as home:
        ((first, last),) = index.rows(_NOT_DERIVED.format(home=home))
    return (floor_ms(first), floor_ms(last) + MILLISECOND) if first is not None else None


def adopt_history(index: Index, others: Iterable[Path]) -> None:
    """Take over the runs, the windows and some facts of the first of these databases that exists and can be read.

    Windows and facts that `raw/` gave stay. Claims are not taken over: only what `raw/` has counts as read.
    """
    for other in others:
        if not other.exists():
            continue
        with contextlib.suppress(WarehouseError, duckdb.Error):
            with index.attached(other, read_only=True) as home, index.transaction():
                index.run(f"DELETE FROM {home}.sync.runs")
                index.run(
                    f"INSERT INTO {home}.sync.runs BY NAME SELECT {_shared(index, RUNS)} FROM sync.runs"
                )
                index.run(_WINDOWS.format(home=home, columns=_shared(index, WINDOWS, but="left_to_read")))
                for statement in (_FACTS, _ADDRESS):
                    index.run(statement.format(home=home))
            return


def _shared(index: Index, table: schema.Table, but: str = "") -> str:
    """The columns that the attached table has too: it may be of an earlier or of a later form."""
    there = {name for name, *_ in index.rows(f"DESCRIBE sync.{table.name}")}
    return ", ".join(c.name for c in table.columns if c.name in there and c.name != but)


def earlier_files(index: Index, earlier: Path) -> set[str]:
    """The names of the raw files that version 0.1.0 had merged."""
    with index.attached(earlier, read_only=True):
        return index.merged_files()


def adopt_earlier_ledger(index: Index, earlier: Path) -> None:
    """Take over the ledger and the list of unreadable sessions, which schema version 1 did not have."""
    adopt_ledger(index, earlier)
    with index.attached(earlier, read_only=True):
        tables = index.rows(
            "SELECT 1 FROM information_schema.tables WHERE table_catalog = current_database() AND table_name = ?",
            [UNREADABLE.name],
        )
    if tables:
        adopt_ledger(index, earlier, [UNREADABLE])


def adopt_earlier_history(index: Index, earlier: Path) -> list[str]:
    """Take over when sessions were seen, and their tombstones; returns the sessions whose old version is not in `raw/`."""
    with index.attached(earlier, read_only=True) as home:
        with index.transaction():
            index.run(_HISTORY.format(home=home))
        return [session_id for (session_id,) in index.rows(_LOST.format(home=home))]


def earlier_rows(
    index: Index, earlier: Path, ids: Sequence[str], batch: int
) -> tuple[dict[str, pa.Table], dict[str, Known]]:
    """The rows of these sessions by table, in the order of a staged batch, and what the index has to hold of them."""
    tables: dict[str, pa.Table] = {}
    with index.attached(earlier, read_only=True):
        for table in schema.TABLES:
            there = {name for name, *_ in index.rows(f"DESCRIBE {table.name}")}
            columns = ", ".join(c.name if c.name in there else f"NULL AS {c.name}" for c in table.columns)
            order = ", ".join([table.created_at, *table.key])
            found = index.table(f"SELECT {columns} FROM {table.name} {_AMONG} ORDER BY {order}", [ids])
            tables[table.name] = found.cast(table.arrow)
        rows = index.rows(
            "SELECT session_id, epoch_us(created_at), epoch_us(updated_at), seq, message_count, content_hash, "
            "epoch_us(first_synced_at), growth, mark_seq, epoch_us(deleted_at), epoch_us(aged_out_at) "
            f"FROM sessions {_AMONG} ORDER BY created_at, session_id",
            [ids],
        )
    held = {
        # Without hashes of its children, the next version of a session counts as different in all tables.
        name: IndexRow(name, created, updated, seq, batch, count, short(content), 0, 0, 0, *history).known
        for name, created, updated, seq, count, content, *history in rows
    }
    return tables, held
