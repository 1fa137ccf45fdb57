"""Rows of `sessions` in the index, from and to `Known`, the form in which versions are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa

from vapi_sessions.transform.flatten import Head
from vapi_sessions.transform.resolve import Growth, Known, Tombstone
from vapi_sessions.warehouse.index_schema import INDEX

#: The columns in a SELECT that gives an `IndexRow`.
COLUMNS: Final = ", ".join(
    f"epoch_us({column.name})" if column.type == "TIMESTAMPTZ" else column.name for column in INDEX.columns
)


class IndexRow(NamedTuple):
    """One row, in the order of `INDEX.columns`; times in µs."""

    session_id: str
    created_at: int
    updated_at: int
    seq: int
    batch: int
    message_count: int
    content_hash: int
    messages_hash: int
    costs_hash: int
    outputs_hash: int
    first_synced_at: int
    growth: str | None
    mark_seq: int | None
    deleted_at: int | None
    aged_out_at: int | None

    @property
    def known(self) -> Known:
        """The row without its id."""
        return Known(
            self.created_at,
            self.updated_at,
            self.seq,
            self.batch,
            self.content_hash,
            Head(self.message_count, self.messages_hash, self.costs_hash, self.outputs_hash),
            self.first_synced_at,
            decode_growth(self.growth) if self.growth else ((self.updated_at, self.message_count),),
            self._tombstone,
        )

    @property
    def _tombstone(self) -> Tombstone | None:
        if self.mark_seq is None:
            return None
        if self.deleted_at is not None:
            return Tombstone("deleted", self.deleted_at, self.mark_seq)
        return Tombstone("aged_out", self.aged_out_at or 0, self.mark_seq)


def decode_growth(text: str) -> Growth:
    """The column `growth`, where it is not null."""
    return tuple((updated, count) for updated, count in msgspec.json.decode(text))


def to_arrow(held: Mapping[str, Known]) -> pa.Table:
    """Rows for the index (at least one), in the order of createdAt so that scans can skip row groups."""
    ordered = sorted(held.items(), key=lambda item: item[1].created_at)
    columns = zip(*(_row(session_id, known) for session_id, known in ordered), strict=True)
    schema = INDEX.arrow
    return pa.Table.from_arrays(
        [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema
    )


def _row(session_id: str, known: Known) -> IndexRow:
    head, tombstone = known.head, known.tombstone
    once = known.growth == ((known.updated_at, head.message_count),)
    return IndexRow(
        session_id,
        known.created_at,
        known.updated_at,
        known.seq,
        known.batch,
        head.message_count,
        known.content_hash,
        head.messages_hash,
        head.costs_hash,
        head.outputs_hash,
        known.first_synced_at,
        None if once else msgspec.json.encode(known.growth).decode(),
        tombstone.seq if tombstone else None,
        tombstone.requested_at if tombstone and tombstone.kind == "deleted" else None,
        tombstone.requested_at if tombstone and tombstone.kind == "aged_out" else None,
    )
