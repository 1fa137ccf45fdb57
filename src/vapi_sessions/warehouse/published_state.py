"""What the published database says of a warehouse: facts, ledger, runs, counts. Used by the commands that only read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb

from vapi_sessions import schema
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.ledger import Ledger
from vapi_sessions.core.records import OpenWindow, Part
from vapi_sessions.warehouse import checks
from vapi_sessions.warehouse.index_tables import open_windows_of, parts_of
from vapi_sessions.warehouse.live_sessions import LiveSessions
from vapi_sessions.warehouse.run_totals import RunTotals, pruned, totals
from vapi_sessions.warehouse.suppression import Suppression

_RUN_COLUMNS: Final = (
    "run_id",
    "command",
    "started_at",
    "finished_at",
    "outcome",
    "error",
    "requests",
    "sessions_read",
    "sessions_new",
    "sessions_changed",
    "late_rows",
    "silent_changes",
)


@dataclass(frozen=True, slots=True)
class RunHistory:
    """All runs of the published ledger. Moments in µs.

    `last`: for each command, start, end and outcome of its last run that has ended. `successes`: command to end of its last
    success. `totals`: over all runs.
    """

    last: list[tuple[str, int, int, str]] = field(default_factory=list)
    successes: dict[str, int] = field(default_factory=dict)
    totals: RunTotals = field(default_factory=RunTotals)


@dataclass(frozen=True)
class PublishedState:
    """One published state, through a connection of `reader.reading`. `facts`: all of `sync.state`."""

    db: duckdb.DuckDBPyConnection
    facts: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "facts", dict(self._rows("SELECT key, value FROM sync.state")))

    def ledger(self) -> Ledger:
        """Organisation, origin and completed intervals (µs)."""
        origin = self.facts.get("origin")
        intervals = self._rows("SELECT epoch_us(lower_bound), epoch_us(upper_bound) FROM sync.intervals")
        return Ledger(
            org_id=self.facts.get("org_id"),
            origin=None if origin is None else int(origin),
            completed=IntervalSet(intervals),
        )

    def open_windows(self) -> list[OpenWindow]:
        """Windows that an earlier run did not finish."""
        return open_windows_of(self._rows)

    def parts(self) -> list[Part]:
        """The published parts."""
        return parts_of(self._rows)

    def live_sessions(self, suppression: Suppression) -> LiveSessions:
        """The sessions that the source should still list."""
        return LiveSessions(self._rows, suppression)

    def unreadable(self) -> dict[str, str]:
        """Unreadable sessions that are kept aside: name to problem."""
        return dict(self._rows("SELECT session_id, problem FROM sync.unreadable ORDER BY session_id"))

    def session_ids(self) -> list[str]:
        """All sessions, unreadable ones included."""
        found = self._rows("SELECT session_id FROM sessions UNION SELECT session_id FROM sync.unreadable")
        return [session_id for (session_id,) in found]

    def row_counts(self) -> dict[str, int]:
        """The number of rows of each table."""
        return {
            table.name: int(self._rows(f"SELECT count(*) FROM {table.name}")[0][0]) for table in schema.TABLES
        }

    def session_states(self) -> tuple[int, int, int]:
        """The numbers of deleted sessions, of aged-out ones, and of those with pending cost."""
        sql = "SELECT count(deleted_at), count(aged_out_at), count(*) FILTER (cost_usd IS NULL) FROM sessions"
        deleted, aged_out, pending = self._rows(sql)[0]
        return deleted, aged_out, pending

    def drift(self, most: int) -> dict[str, int]:
        """Rows by field without a column, the most frequent fields first."""
        return dict(
            self._rows(f"SELECT field, row_count FROM drift ORDER BY row_count DESC, field LIMIT {most:d}")
        )

    def runs(self, most: int) -> list[dict[str, Any]]:
        """The last runs, the newest first. Moments are µs."""
        shown = ", ".join(f"epoch_us({name})" if name.endswith("_at") else name for name in _RUN_COLUMNS)
        found = self._rows(f"SELECT {shown} FROM sync.runs ORDER BY started_at DESC LIMIT {most:d}")
        return [dict(zip(_RUN_COLUMNS, row, strict=True)) for row in found]

    def sync_outcomes(self) -> list[str]:
        """The outcomes of all syncs and backfills, those of flows included, the newest first."""
        sql = "SELECT outcome FROM sync.runs WHERE split_part(command, ' ', 1) IN ('sync', 'backfill') ORDER BY started_at DESC"
        return [outcome for (outcome,) in self._rows(sql)]

    def merged_files(self) -> set[str]:
        """The raw files that the published ledger names."""
        return {file for (file,) in self._rows("SELECT file FROM sync.batches")}

    def failed_ids(self, check: Path) -> list[str]:
        """The ids in the rows that a check of `sql/checks` finds: the first column, usually of sessions."""
        return [str(row[0]) for row in self._rows(check.read_text("utf-8"))]

    def last_success(self, command: str) -> int | None:
        """When the last successful run of a command, its flow included, began, or else the first successful run of all; µs."""
        ((last,),) = self._rows(
            "SELECT epoch_us(coalesce(max(started_at) FILTER (split_part(command, ' ', 1) = ?), min(started_at))) "
            "FROM sync.runs WHERE outcome = 'done'",
            [command],
        )
        return None if last is None else int(last)

    def run_history(self) -> RunHistory:
        """What all runs did, those of flows under the command's name."""
        command = "split_part(command, ' ', 1)"
        ended = "FROM sync.runs WHERE finished_at IS NOT NULL"
        last = self._rows(
            f"SELECT {command}, epoch_us(started_at), epoch_us(finished_at), outcome {ended} "
            f"QUALIFY row_number() OVER (PARTITION BY {command} ORDER BY started_at DESC) = 1 ORDER BY 1"
        )
        successes = self._rows(
            f"SELECT {command}, epoch_us(max(finished_at)) {ended} AND outcome = 'done' GROUP BY 1 ORDER BY 1"
        )
        return RunHistory(last, dict(successes), pruned(self.facts) + totals(self._rows))

    def failing_checks(self) -> dict[str, int] | None:
        """The checks that fail in published rows, with the number of rows; None if no check has run."""
        return checks.failing(self.facts)

    def unchecked_parts(self) -> int:
        """The number of parts in which an error kept the checks from running."""
        return checks.unchecked(self.facts)

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self.db.execute(sql, list(parameters)).fetchall()
