"""How fresh and how complete the published warehouse is. Reads published files only; takes no lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from vapi_sessions.core.timestamps import show
from vapi_sessions.operations.merge_files import unmerged_files
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

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data, for `--json`."""
        return asdict(self)


def status(warehouse: Path, *, now: int, runs: int = 5) -> Status:
    """Read the status; `now` in µs. Raises ConfigurationError if nothing was published there,
    WarehouseError if another version of this program published it.
    """
    layout = Layout(warehouse)
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
    watermark, taken = ledger.watermark, space(layout, facts)
    return Status(
        warehouse=str(warehouse.resolve()),
        org_id=ledger.org_id,
        base_url=facts.get("base_url"),
        origin=show(ledger.origin) if ledger.origin is not None else None,
        origin_reason=facts.get("origin_reason"),
        watermark=show(watermark) if watermark is not None else None,
        first_sync=_first_sync(outcomes),
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
            "index.duckdb": taken.index_bytes,
            "vapi.duckdb": taken.views_bytes,
            "raw": taken.raw_bytes,
            "parquet": taken.snapshot_bytes,
        },
        space=taken,
    )


def _first_sync(outcomes: Sequence[str]) -> str | None:
    """The state of the first sync; None once a sync has succeeded. `outcomes` of all syncs, the newest first."""
    if not outcomes or "done" in outcomes:
        return None
    return "running" if outcomes[0] == "running" else "not finished"
