"""Rows of the ledger, as the code passes them around: named fields instead of dictionaries. Their columns are in `schema.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

#: How a run ended, or that it has not.
Outcome: TypeAlias = Literal["running", "done", "failed", "interrupted", "killed"]


class WindowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A window of a run, as `sync.windows` has it and as footers in `raw/` carry it. `left_to_read`: pieces as JSON."""

    run_id: str
    window_index: int
    org_id: str
    lower_bound: datetime
    upper_bound: datetime | None
    claimed: bool
    claimed_until: datetime | None = None
    expected: int
    first_total: int | None
    last_total: int | None
    distinct_ids: int
    requests: int
    verdict: Literal["complete", "open", "superseded"]
    left_to_read: str | None
    noted_at: datetime


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as `sync.runs` has it. `drift`: counts as JSON."""

    run_id: str
    command: str
    started_at: datetime
    finished_at: datetime | None
    outcome: Outcome
    error: str | None
    org_id: str | None
    base_url: str
    bound: datetime | None
    watermark: datetime | None
    requests: int
    retries: int
    throttled: int
    bytes_received: int
    sessions_read: int
    sessions_new: int
    sessions_changed: int
    messages_written: int
    sessions_unreadable: int
    sessions_deleted: int
    sessions_aged_out: int
    sessions_restored: int
    late_rows: int
    silent_changes: int
    drift: str | None
    program_version: str


class OpenWindow(NamedTuple):
    """A window that an earlier run left in the middle; moments in µs. `upper` None: open to the right. `left`: pieces, decoded.

    `claimed_until`: where its claim would have ended. `expected`: sessions that were still to come.
    """

    run_id: str
    window_index: int
    lower: int
    upper: int | None
    expected: int
    claimed_until: int | None
    left: list[Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """A raw file that is merged. `number`: from 1, in the order of merging; `file`: its name in raw/; `merged_at`: µs."""

    number: int
    file: str
    run_id: str
    observations: int
    merged_at: int


@dataclass(frozen=True, slots=True)
class Part:
    """A range of createdAt (µs, half-open, within a month) as it is published. `files`: by table; no file: no row there."""

    lower: int
    upper: int
    sessions: int
    files: Mapping[str, str]
    dirty: frozenset[str] = frozenset()


def window_of(row: Mapping[str, Any]) -> WindowRecord:
    """A window from a footer. Raises msgspec.ValidationError for what is none."""
    return msgspec.convert(row, WindowRecord, strict=False)


def columns_of(record: msgspec.Struct) -> dict[str, Any]:
    """Column to value."""
    return msgspec.structs.asdict(record)
