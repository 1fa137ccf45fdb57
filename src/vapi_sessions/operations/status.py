"""How fresh and how complete the published warehouse is. Reads published files only; takes no lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from vapi_sessions.core.timestamps import show
from vapi_sessions.operations.merge_files import unmerged_files
from vapi_sessions.operations.running import Running, running
from vapi_sessions.warehouse import reader
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.published_state import PublishedState, RunHistory
from vapi_sessions.warehouse.space import Space, space

#: `schema_version` of `status --json`.
JSON_VERSION: Final = 1
FirstSync = Literal["running", "not finished"]
#: A moment, ISO 8601 in UTC.
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
#: Fields without a column that are listed, the most frequent first: a source may invent any number of names.
_FIELDS: Final = 300


@dataclass(frozen=True, slots=True)
class LastRun:
    """One run of a command that writes to the warehouse."""

    run_id: str
    command: Annotated[
        str, Field(description="sync, reconcile, … ; those of Prefect end with the word flow.")
    ]
    started_at: Moment
    finished_at: Moment | None
    outcome: Annotated[str, Field(description="running, done, failed, interrupted or killed.")]
    error: Annotated[str | None, Field(description="The message of a run that failed.")]
    requests: int | None
    sessions_read: int | None
    sessions_new: int | None
    sessions_changed: int | None
    late_rows: Annotated[
        int | None, Field(description="Changes that became visible later than the settling delay.")
    ]
    silent_changes: Annotated[
        int | None, Field(description="Sessions whose content changed while updatedAt did not.")
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How fresh and how complete a published warehouse is, as `vapi-sessions status --json` prints it.

    Later versions of the program may add members. A member is removed, or changes its meaning, only with another `schema_version`.
    """

    schema_version: Annotated[Literal[1], Field(description="Version of this format.")] = JSON_VERSION
    warehouse: Annotated[str, Field(description="Directory of the warehouse.")]
    org_id: Annotated[str | None, Field(description="The organisation; null before the first session.")]
    base_url: Annotated[str | None, Field(description="The source, as the last sync addressed it.")]
    origin: Annotated[Moment | None, Field(description="Where the history begins.")]
    origin_reason: Annotated[
        str | None, Field(description="oldest session, or since: --since of the first sync.")
    ]
    watermark: Annotated[
        Moment | None,
        Field(description="All changes before this moment are in the warehouse; null: nothing yet."),
    ]
    first_sync: Annotated[
        FirstSync | None,
        Field(description="Until a first sync has succeeded, which publishes before its end; then null."),
    ]
    age_seconds: Annotated[float | None, Field(description="Age of the watermark.")]
    gaps: Annotated[
        list[tuple[str, str]],
        Field(description="Ranges of updatedAt that were not read completely: lower and upper bound."),
    ]
    published_at: Annotated[Moment | None, Field(description="When rows were last published.")]
    snapshot: Annotated[str | None, Field(description="Name of the directory in parquet/.")]
    rows: Annotated[dict[str, int], Field(description="Rows by table.")]
    deleted_sessions: Annotated[int, Field(description="Sessions that the source has deleted.")]
    aged_out_sessions: Annotated[
        int, Field(description="Sessions that the source no longer lists, by retention.")
    ]
    pending_cost_sessions: Annotated[int, Field(description="Sessions whose cost is not known yet.")]
    unmerged_raw_files: Annotated[int, Field(description="Files of raw/ that the next run merges.")]
    unreadable: Annotated[
        dict[str, str], Field(description="Sessions that cannot be read and are kept aside: id to problem.")
    ]
    last_runs: Annotated[list[LastRun], Field(description="The newest first.")]
    drift: Annotated[dict[str, int], Field(description="Rows by field without a column; at most 300 fields.")]
    checks: Annotated[
        dict[str, int] | None,
        Field(description="Rows that each failing check finds; null before any check has run."),
    ]
    unchecked_parts: Annotated[
        int, Field(description="Parts on which an error kept the checks from running.")
    ]
    bytes: Annotated[dict[str, int], Field(description="Sizes on disk, by file or directory.")]
    space: Annotated[Space, Field(description="The space that the warehouse takes, in bytes.")]
    running: Annotated[Running | None, Field(description="The run that is writing now.")] = None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data, for `--json`."""
        return asdict(self)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `status --json`, which `docs/status.schema.json` has."""
    from pydantic import TypeAdapter

    made = TypeAdapter(Status).json_schema(mode="serialization")
    made["properties"]["schema_version"].pop("default", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "required": list(made["properties"]),
    }


def measure(warehouse: Path, *, now: int) -> tuple[Status, RunHistory]:
    """The status without drift, whose view reads all rows, and the sums over all runs, of the same published state."""
    return _read(warehouse, now=now, runs=0, fields=0)


def status(warehouse: Path, *, now: int, runs: int = 5) -> Status:
    """Read the status; `now` in µs. Raises ConfigurationError if nothing was published there and no run is writing,
    WarehouseError if another version of this program published it.
    """
    return _read(warehouse, now=now, runs=runs, fields=_FIELDS)[0]


def _read(warehouse: Path, *, now: int, runs: int, fields: int) -> tuple[Status, RunHistory]:
    layout = Layout(warehouse)
    writing = running(layout)
    if writing is not None and not layout.published.exists():
        return _unpublished(warehouse, writing), RunHistory()
    with reader.reading(warehouse) as db:
        reader.check_version(db, warehouse)
        state = PublishedState(db)
        facts, ledger = state.facts, state.ledger()
        counts = state.row_counts()
        deleted, aged_out, pending = state.session_states()
        last, outcomes = state.runs(runs), state.sync_outcomes()
        drift = state.drift(fields) if fields else {}
        history = state.run_history()
        failing, unchecked = state.failing_checks(), state.unchecked_parts()
        unreadable, merged = state.unreadable(), state.merged_files()
    watermark, taken = ledger.watermark, space(layout, facts)
    found = Status(
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
        last_runs=[_shown(run) for run in last],
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
        running=writing,
    )
    return found, history


def _unpublished(warehouse: Path, writing: Running) -> Status:
    """The status during a first sync that has not published anything."""
    return Status(
        warehouse=str(warehouse.resolve()), org_id=None, base_url=None, origin=None, origin_reason=None, watermark=None,
        first_sync="running", age_seconds=None, gaps=[], published_at=None, snapshot=None, rows={}, deleted_sessions=0,
        aged_out_sessions=0, pending_cost_sessions=0, unmerged_raw_files=0, unreadable={}, last_runs=[], drift={}, checks=None,
        unchecked_parts=0, bytes={}, space=space(Layout(warehouse), {}), running=writing,
    )  # fmt: skip


def _shown(run: dict[str, Any]) -> LastRun:
    moments = {name: show(run[name]) for name in ("started_at", "finished_at") if run[name] is not None}
    return LastRun(**{**run, **moments})


def _first_sync(outcomes: Sequence[str], writing: Running | None) -> FirstSync | None:
    """The state of the first sync; None once a sync has succeeded. `outcomes` of all syncs, the newest first."""
    if not outcomes or "done" in outcomes:
        return None
    return "running" if outcomes[0] == "running" and writing is not None else "not finished"
