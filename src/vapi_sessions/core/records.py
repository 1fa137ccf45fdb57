"""Rows of the ledger as typed objects. Their columns are described in `schema.py`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from vapi_sessions.core.timestamps import to_datetime
from vapi_sessions.errors import VapiSessionsError

#: How a run ended; `running` if it has not.
Outcome: TypeAlias = Literal["running", "done", "failed", "interrupted", "killed"]


class WindowRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A window of a run, as in `sync.windows` and in the footers of files in `raw/`. `left_to_read`: cursors as JSON."""

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


def new_run_id(started: int) -> str:
    """The id of a run that started then, µs."""
    return f"{to_datetime(started):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def outcome_of(error: BaseException | None) -> Outcome:
    """How a run ended that this error ended, if any."""
    if error is None:
        return "done"
    return "failed" if isinstance(error, Exception) else "interrupted"


def reason(error: BaseException | None) -> str | None:
    """The message of the error that ended a run, for `sync.runs`."""
    if error is None:
        return None
    return error.fact if isinstance(error, VapiSessionsError) else type(error).__name__


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A run, as in `sync.runs`. `drift`: counts as JSON."""

    run_id: str
    command: str
    started_at: datetime
    finished_at: datetime | None
    outcome: Outcome
    org_id: str | None
    base_url: str
    watermark: datetime | None
    program_version: str
    error: str | None = None
    bound: datetime | None = None
    requests: int = 0
    retries: int = 0
    throttled: int = 0
    bytes_received: int = 0
    sessions_read: int = 0
    sessions_new: int = 0
    sessions_changed: int = 0
    messages_written: int = 0
    sessions_unreadable: int = 0
    sessions_deleted: int = 0
    sessions_aged_out: int = 0
    sessions_restored: int = 0
    late_rows: int = 0
    silent_changes: int = 0
    drift: str | None = None


class OpenWindow(NamedTuple):
    """A window that an earlier run did not finish; times in µs. `upper` None: open to the right. `left`: cursors, decoded.

    `claimed_until`: where its claim would have ended. `expected`: the number of sessions that were still unread.
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
    """The observations of one raw file, merged. `number`: from 1, in merge order; `file`: its name in raw/; `merged_at`: µs.

    `replaces`: the raw files whose observations it has as well; their batches become this one. `published`: whether its changes are.
    """

    number: int
    file: str
    run_id: str
    observations: int
    merged_at: int
    replaces: tuple[str, ...] = ()
    published: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A published range of createdAt (µs, half-open, within a month). `files`: by table; a table without rows has no file."""

    lower: int
    upper: int
    sessions: int
    files: Mapping[str, str]
    dirty: frozenset[str] = frozenset()


def window_of(row: Mapping[str, Any]) -> WindowRecord:
    """A window from a footer. Raises msgspec.ValidationError if the row is invalid."""
    return msgspec.convert(row, WindowRecord, strict=False)


def columns_of(record: msgspec.Struct) -> dict[str, Any]:
    """The values of a record by column."""
    return msgspec.structs.asdict(record)
