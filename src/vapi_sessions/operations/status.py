"""How fresh and how complete the published warehouse is. Reads published files only; takes no lock."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from vapi_sessions.core.timestamps import show
from vapi_sessions.operations.merge_files import unmerged_files
from vapi_sessions.operations.running import Running, running
from vapi_sessions.warehouse import reader
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.published_state import PublishedState
from vapi_sessions.warehouse.space import Space, space

#: Fields without a column that are listed, the most frequent first: a source may invent any number of names.
_FIELDS: Final = 300


@dataclass(frozen=True, slots=True)
class Status:
    """Moments are ISO 8601 in UTC, ages in seconds, sizes in bytes. `drift`: rows by field without a column.
    `checks`: rows found by each failing check; None if no check has run. `unchecked_parts`: parts where an error kept them from running.

    `first_sync`: "running" or "not finished" until the first sync has succeeded; it publishes parts before its end.
    `running`: the run that is writing now.
    """

    warehouse: str
    org_id: str | None
    base_url: str | None
    origin: str | None
    origin_reason: str | None
    watermark: str | None
    first_sync: str | None
    age_seconds: float | None
    gaps: list[tuple[str, str]]
    published_at: str | None
    snapshot: str | None
    rows: dict[str, int]
    deleted_sessions: int
    aged_out_sessions: int
    pending_cost_sessions: int
    unmerged_raw_files: int
    unreadable: dict[str, str]
    last_runs: list[dict[str, Any]]
    drift: dict[str, int]
    checks: dict[str, int] | None
    unchecked_parts: int
    bytes: dict[str, int]
    space: Space
    running: Running | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data, for `--json`."""
        return asdict(self)


def status(warehouse: Path, *, now: int, runs: int = 5) -> Status:
    """Read the status; `now` in µs. Raises ConfigurationError if nothing was published there and no run is writing,
    WarehouseError if another version of this program published it.
    """
    layout = Layout(warehouse)
    writing = running(layout)
    if writing is not None and not layout.published.exists():
        return _unpublished(warehouse, writing)
    with reader.reading(warehouse) as db:
        reader.check_version(db, warehouse)
        state = PublishedState(db)
        facts, ledger = state.facts, state.ledger()
        counts = state.row_counts()
        deleted, aged_out, pending = state.session_states()
        last, outcomes = state.runs(runs), state.sync_outcomes()
        drift = state.drift(_FIELDS)
        failing, unchecked = state.failing_checks(), state.unchecked_parts()
        unreadable, merged = state.unreadable(), state.merged_files()
    watermark = ledger.watermark
    return Status(
        warehouse=str(warehouse.resolve()),
        org_id=ledger.org_id,
        base_url=facts.get("base_url"),
        origin=show(ledger.origin) if ledger.origin is not None else None,
        origin_reason=facts.get("origin_reason"),
        watermark=show(watermark) if watermark is not None else None,
        first_sync=_first_sync(outcomes, writing),
        age_seconds=(now - watermark) / 1e6 if watermark is not None else None,
        gaps=[(show(lower), show(upper)) for lower, upper in ledger.gaps],
        published_at=show(int(facts["published_at"])) if "published_at" in facts else None,
        snapshot=facts.get("snapshot"),
        rows=counts,
        deleted_sessions=deleted,
        aged_out_sessions=aged_out,
        pending_cost_sessions=pending,
        unmerged_raw_files=unmerged_files(layout.raw, merged),
        unreadable=unreadable,
        last_runs=[
            {
                name: show(value) if name.endswith("_at") and value is not None else value
                for name, value in run.items()
            }
            for run in last
        ],
        drift=drift,
        checks=failing,
        unchecked_parts=unchecked,
        bytes={
            "index.duckdb": _size(layout.index),
            "vapi.duckdb": _size(layout.published),
            "raw": _size(layout.raw),
            "parquet": _size(layout.parquet),
        },
        space=space(layout, facts),
        running=writing,
    )


def _unpublished(warehouse: Path, writing: Running) -> Status:
    """The status during a first sync that has not published anything."""
    return Status(
        warehouse=str(warehouse.resolve()), org_id=None, base_url=None, origin=None, origin_reason=None, watermark=None,
        first_sync="running", age_seconds=None, gaps=[], published_at=None, snapshot=None, rows={}, deleted_sessions=0,
        aged_out_sessions=0, pending_cost_sessions=0, unmerged_raw_files=0, unreadable={}, last_runs=[], drift={}, checks=None,
        unchecked_parts=0, bytes={}, space=space(Layout(warehouse), {}), running=writing,
    )  # fmt: skip


def _first_sync(outcomes: Sequence[str], writing: Running | None) -> str | None:
    """The state of the first sync; None once a sync has succeeded. `outcomes` of all syncs, the newest first."""
    if not outcomes or "done" in outcomes:
        return None
    return "running" if outcomes[0] == "running" and writing is not None else "not finished"


def _size(path: Path) -> int:
    """Bytes on disk. A file that is linked into several snapshots counts once."""
    if path.is_file():
        return path.stat().st_size
    seen: dict[int, int] = {}
    for directory, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a run may remove files meanwhile
                stat = Path(directory, name).lstat()
                seen[stat.st_ino] = stat.st_size
    return sum(seen.values())
