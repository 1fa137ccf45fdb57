"""The databases of the warehouse, opened from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import duckdb

from vapi_sessions.core.intervals import IntervalSet

from .connections import Parsed

#: A digest of the sessions that the index and the published table must agree on.
_HEADS: Final = (
    "SELECT count(*), count(DISTINCT session_id), sum(hash(session_id, created_at, updated_at, message_count, first_synced_at, "
    "deleted_at, aged_out_at, {content}::UBIGINT)::HUGEINT)::VARCHAR FROM sessions"
)
HEADS_HELD: Final = _HEADS.format(content="content_hash")
HEADS_PUBLISHED: Final = _HEADS.format(content="('0x' || content_hash[:16])")


@cache
def _observer() -> Parsed:
    """One connection for all queries from outside: opening one takes longer than a query."""
    db = Parsed(duckdb.connect(config={"threads": 1}))
    db.execute("SET TimeZone = 'UTC'")
    return db


@contextmanager
def observing(file: Path) -> Iterator[Parsed]:
    """Open a database of the warehouse read-only, and close it afterwards so that the engine can open it."""
    db = _observer()
    if file.name == "vapi.duckdb":
        db.execute("SET VARIABLE vapi_warehouse = ?", [str(file.parent)])
    db.execute(f"ATTACH '{file}' AS observed (READ_ONLY)")
    db.execute("USE observed")
    try:
        yield db
    finally:
        db.execute("USE memory")
        db.execute("DETACH observed")


def claimed(db: Parsed) -> IntervalSet:
    """The intervals that the ledger claims."""
    return IntervalSet(
        db.execute("SELECT epoch_us(lower_bound), epoch_us(upper_bound) FROM sync.intervals").fetchall()
    )


@dataclass(frozen=True, slots=True)
class Held:
    """A session in the index. Times in µs."""

    created_at: int
    updated_at: int
    content_hash: str
    deleted: bool
    aged_out: bool
