"""The ledger and the state in `index.duckdb`: reading and writing the tables of schema `sync`.

Methods that change a table belong into a transaction of `Index`.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec

from vapi_sessions import schema
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.ledger import Ledger
from vapi_sessions.core.records import Batch, OpenWindow, Part, RunRecord, WindowRecord, columns_of, window_of
from vapi_sessions.core.timestamps import month_of, to_datetime
from vapi_sessions.errors import WarehouseError
from vapi_sessions.transform.resolve import UNNAMED, Resolution, Unreadable
from vapi_sessions.warehouse import run_totals
from vapi_sessions.warehouse.database import Database

#: Columns of `sync.windows` that are moments.
_MOMENTS: Final = ("lower_bound", "upper_bound", "claimed_until", "noted_at")


def parts_of(rows: Callable[[str], list[tuple[Any, ...]]]) -> list[Part]:
    """The published parts, in order; `rows(sql)` runs a query in the index or in `vapi.duckdb`."""
    found: dict[tuple[int, int], Part] = {}
    for lower, upper, table, sessions, file, dirty in rows(
        "SELECT epoch_us(lower_bound), epoch_us(upper_bound), table_name, sessions, file, dirty FROM sync.parts ORDER BY lower_bound"
    ):
        part = found.get((lower, upper)) or Part(lower, upper, sessions, {})
        found[lower, upper] = Part(
            lower,
            upper,
            sessions,
            {**part.files, table: file} if file is not None else part.files,
            part.dirty | {table} if dirty else part.dirty,
        )
    return list(found.values())


class IndexTables(Database):
    """The tables of schema `sync`."""

    # Caches of `sync.state`, the claimed intervals, the next batch number and the unreadable sessions; None: not read yet. They
    # include the changes of an open transaction.
    _facts: dict[str, str] | None = None
    _claimed: IntervalSet | None = None
    _next_batch: int | None = None
    _aside: dict[str, Unreadable] | None = None

    def _forget_cached(self) -> None:
        self._facts = self._claimed = self._next_batch = self._aside = None

    # -- state and claims ----------------------------------------------------------------------------------------

    def state(self) -> dict[str, str]:
        """All facts of `sync.state`."""
        if self._facts is None:
            self._facts = dict(self.rows("SELECT key, value FROM sync.state"))
        return dict(self._facts)

    def ledger(self) -> Ledger:
        """The progress of all runs. Times in µs."""
        facts = self.state()
        if self._claimed is None:
            self._claimed = IntervalSet(
                self.rows("SELECT epoch_us(lower_bound), epoch_us(upper_bound) FROM sync.intervals")
            )
        return Ledger(
            org_id=facts.get("org_id"),
            origin=int(facts["origin"]) if "origin" in facts else None,
            completed=self._claimed,
            unsettled=self._unsettled(),
        )

    def _unsettled(self) -> IntervalSet:
        spans = msgspec.json.decode(self.state().get("unsettled", "[]"))
        return IntervalSet((lower, upper) for lower, upper in spans)

    def _settle(self, settled: IntervalSet, unsettled: IntervalSet) -> dict[str, str]:
        """The new fact `unsettled`, if it changes."""
        before = self._unsettled()
        after = (before | unsettled) - settled
        return {"unsettled": msgspec.json.encode(list(after)).decode()} if after != before else {}

    def _set_state(self, facts: Mapping[str, str]) -> None:
        before = self.state()
        changed = {key: value for key, value in facts.items() if key not in before or before[key] != value}
        if not changed:
            return
        self.run(f"DELETE FROM sync.state WHERE key IN ({_placeholders(len(changed))})", list(changed))
        self.run(
            f"INSERT INTO sync.state (key, value) VALUES {', '.join(['(?, ?)'] * len(changed))}",
            [text for fact in changed.items() for text in fact],
        )
        self._facts = before | changed

    def _claim(self, org_id: str, claims: IntervalSet) -> None:
        before = self.ledger().completed
        if (after := before | claims) != before:
            self._replace_claims(org_id, after)

    def withdraw(self, claims: IntervalSet) -> None:
        """One transaction: these intervals do not count as read any more, and no open window is continued."""
        ledger = self.ledger()
        with self.transaction():
            if ledger.org_id is not None:
                self._replace_claims(ledger.org_id, ledger.completed - claims)
            self._supersede_windows()

    def _replace_claims(self, org_id: str, after: IntervalSet) -> None:
        self.run("DELETE FROM sync.intervals")
        for lower, upper in after:
            bounds = {"lower_bound": to_datetime(lower), "upper_bound": to_datetime(upper)}
            self._insert_row("intervals", {"org_id": org_id, **bounds})
        self._claimed = after

    # -- windows and runs ----------------------------------------------------------------------------------------

    def open_windows(self) -> list[OpenWindow]:
        """Windows that an earlier run did not finish."""
        return open_windows_of(self.rows)

    def windows(self, run_id: str, most: int) -> list[WindowRecord]:
        """The newest windows of a run, at most `most`, in the order of time."""
        names = WindowRecord.__struct_fields__
        shown = ", ".join(f"epoch_us({name})" if name in _MOMENTS else name for name in names)
        found = self.rows(
            f"SELECT {shown} FROM sync.windows WHERE run_id = ? ORDER BY window_index DESC LIMIT {most:d}",
            [run_id],
        )
        return [
            window_of(
                {
                    name: to_datetime(value) if name in _MOMENTS and value is not None else value
                    for name, value in zip(names, row, strict=True)
                }
            )
            for row in reversed(found)
        ]

    def _supersede_windows(self) -> None:
        self.run("UPDATE sync.windows SET verdict = 'superseded' WHERE verdict = 'open'")

    def _put_window(self, window: WindowRecord) -> None:
        self.run(
            "DELETE FROM sync.windows WHERE run_id = ? AND window_index = ?",
            [window.run_id, window.window_index],
        )
        self._insert_row("windows", columns_of(window))

    def put_run(self, run: RunRecord) -> None:
        """Write or replace one row of `sync.runs`."""
        with self.transaction():
            self.run("DELETE FROM sync.runs WHERE run_id = ?", [run.run_id])
            self._insert_row("runs", columns_of(run))

    def close_dead_runs(self) -> None:
        """Set the outcome of runs to killed that an earlier process left as running."""
        if self.rows("SELECT 1 FROM sync.runs WHERE outcome = 'running' LIMIT 1"):
            self.run("UPDATE sync.runs SET outcome = 'killed' WHERE outcome = 'running'")

    def prune_history(self, *, windows_before: int, runs_before: int, runs_kept: int) -> None:
        """Remove the record of old windows and runs (times in µs). Nothing is decided by it: claims are in `sync.intervals`.

        Open windows stay, and so do the newest `runs_kept` runs and the last successful run of each command.
        """
        with self.transaction():
            self.run(
                "DELETE FROM sync.windows WHERE verdict <> 'open' AND noted_at < ?",
                [to_datetime(windows_before)],
            )
            old = (
                "started_at < ? AND run_id NOT IN (SELECT run_id FROM sync.runs ORDER BY started_at DESC LIMIT ?) "
                "AND run_id NOT IN (SELECT arg_max(run_id, started_at) FROM sync.runs WHERE outcome = 'done' GROUP BY command)"
            )
            parameters = [to_datetime(runs_before), runs_kept]
            pruned = run_totals.totals(self.rows, old, parameters)
            if pruned.outcomes:
                self._set_state(run_totals.as_fact(run_totals.pruned(self.state()) + pruned))
                self.run(f"DELETE FROM sync.runs WHERE {old}", parameters)

    # -- batches -------------------------------------------------------------------------------------------------

    def merged_files(self) -> set[str]:
        """Names of the merged raw files."""
        return {name for (name,) in self.rows("SELECT file FROM sync.batches")}

    def batch_files(self, batches: Iterable[int]) -> dict[int, str]:
        """The raw files of these batches: number to name."""
        sql = "SELECT batch, file FROM sync.batches WHERE batch IN (SELECT unnest(?::BIGINT[]))"
        return dict(self.rows(sql, [list(batches)]))

    def published_batches(self) -> dict[str, Batch]:
        """The batches whose changes are published and that have a raw file, by its name."""
        sql = (
            "SELECT batch, file, run_id, observations, epoch_us(merged_at) FROM sync.batches "
            "WHERE published AND file <> ''"
        )
        return {
            file: Batch(number, file, run_id, observations, merged_at, published=True)
            for number, file, run_id, observations, merged_at in self.rows(sql)
        }

    def shown_files(self, published: Path) -> set[str]:
        """The raw files that the ledger in `vapi.duckdb` names; none if it cannot be read."""
        try:
            with self.attached(published, read_only=True):
                return self.merged_files()
        except (WarehouseError, duckdb.Error):
            return set()

    def next_batch(self) -> int:
        """The number of the next batch."""
        if self._next_batch is None:
            self._next_batch = 1 + self.rows("SELECT coalesce(max(batch), 0) FROM sync.batches")[0][0]
        return self._next_batch

    def unpublished(self) -> dict[int, str]:
        """The batches whose changes are not published: number to name in `raw/`."""
        return dict(self.rows("SELECT batch, file FROM sync.batches WHERE NOT published ORDER BY batch"))

    def _insert_batch(self, batch: Batch) -> None:
        if batch.replaces:
            self._take_batches(batch)
        self._insert_row(
            "batches",
            {
                "batch": batch.number,
                "file": batch.file,
                "run_id": batch.run_id,
                "observations": batch.observations,
                "merged_at": to_datetime(batch.merged_at),
                "published": batch.published,
            },
        )
        self._next_batch = batch.number + 1

    def _take_batches(self, batch: Batch) -> None:
        """Give the sessions of the batches that this one replaces to it, and remove those batches."""
        sql = "SELECT batch FROM sync.batches WHERE file IN (SELECT unnest(?::VARCHAR[]))"
        old = [number for (number,) in self.rows(sql, [list(batch.replaces)])]
        if old:
            among = "batch IN (SELECT unnest(?::BIGINT[]))"
            self.run(f"UPDATE sessions SET batch = ? WHERE {among}", [batch.number, old])
            self.run(f"DELETE FROM sync.batches WHERE {among}", [old])

    # -- parts ---------------------------------------------------------------------------------------------------

    def parts(self) -> list[Part]:
        """The parts, in the order of createdAt."""
        return parts_of(self.rows)

    def touch(self, changes: Iterable[tuple[int, frozenset[str]]]) -> None:
        """Set the dirty flags of parts: `changes` are a session's createdAt (µs) and tables. A new month becomes one part."""
        parts = self.parts()
        lowers = [part.lower for part in parts]
        stale: dict[str, set[int]] = {}
        fresh: dict[int, Part] = {}
        for created_at, tables in changes:
            at = bisect.bisect_right(lowers, created_at) - 1
            if at >= 0 and created_at < parts[at].upper:
                for table in tables - parts[at].dirty:
                    stale.setdefault(table, set()).add(lowers[at])
            else:
                lower, upper = month_of(created_at)
                fresh[lower] = Part(lower, upper, 0, {}, schema.TABLE_NAMES)
        of_tables: dict[tuple[int, ...], list[str]] = {}  # a new session changes all tables: one statement
        for table, at_lower in stale.items():
            of_tables.setdefault(tuple(sorted(at_lower)), []).append(table)
        for lower_bounds, names in of_tables.items():
            self.run(
                "UPDATE sync.parts SET dirty = true WHERE table_name IN (SELECT unnest(?::VARCHAR[])) "
                "AND lower_bound IN (SELECT unnest(?::TIMESTAMPTZ[]))",
                [names, [to_datetime(lower) for lower in lower_bounds]],
            )
        self._insert_parts(fresh.values())

    def _insert_parts(self, parts: Iterable[Part]) -> None:
        rows = [
            (
                to_datetime(part.lower),
                to_datetime(part.upper),
                table.name,
                part.sessions,
                part.files.get(table.name),
                table.name in part.dirty,
            )
            for part in parts
            for table in schema.TABLES
        ]
        if rows:
            values = ", ".join([f"({_placeholders(6)})"] * len(rows))
            self.run(f"INSERT INTO sync.parts VALUES {values}", [value for row in rows for value in row])

    def record_publication(
        self,
        parts: Iterable[Part],
        replaced: Iterable[Part],
        batches: Iterable[int],
        state: Mapping[str, str],
    ) -> None:
        """One transaction: a snapshot with `parts` instead of `replaced` is published, with all changes of these batches."""
        with self.transaction():
            self.run(
                "DELETE FROM sync.parts WHERE lower_bound IN (SELECT unnest(?::TIMESTAMPTZ[]))",
                [sorted({to_datetime(part.lower) for part in replaced})],
            )
            self._insert_parts(parts)
            self.run(
                "UPDATE sync.batches SET published = true WHERE batch IN (SELECT unnest(?::BIGINT[]))",
                [sorted(batches)],
            )
            self._set_state(state)

    # -- unreadable sessions -------------------------------------------------------------------------------------

    def unreadable(self) -> dict[str, Unreadable]:
        """The sessions kept aside as unreadable, without their bodies."""
        if self._aside is None:
            self._aside = self._read_unreadable()
        return dict(self._aside)

    def _read_unreadable(self) -> dict[str, Unreadable]:
        found = self.rows(
            "SELECT session_id, epoch_us(created_at), epoch_us(updated_at), epoch_us(requested_at), seq, problem, content_hash "
            "FROM sync.unreadable"
        )
        return {
            name: Unreadable(
                session_id=name,
                named=not name.startswith(UNNAMED),
                org_id=None,
                created_at=created,
                updated_at=updated,
                requested_at=requested,
                seq=seq,
                run_id="",
                body=b"",
                content_hash=content_hash,
                problem=problem,
            )
            for name, created, updated, requested, seq, problem, content_hash in found
        }

    def _set_aside(self, resolution: Resolution) -> None:
        changed = [*resolution.unreadable, *resolution.released]
        if changed:
            self._aside = None
            self.run(
                f"DELETE FROM sync.unreadable WHERE session_id IN ({_placeholders(len(changed))})", changed
            )
        for name, one in resolution.unreadable.items():
            created, updated = (
                to_datetime(at) if at is not None else None for at in (one.created_at, one.updated_at)
            )
            row = {
                "session_id": name,
                "created_at": created,
                "updated_at": updated,
                "problem": one.problem,
                "requested_at": to_datetime(one.requested_at),
                "seq": one.seq,
                "content_hash": one.content_hash,
            }
            self._insert_row("unreadable", row)

    def _insert_row(self, table: str, row: Mapping[str, Any]) -> None:
        self.run(
            f"INSERT INTO sync.{table} ({', '.join(row)}) VALUES ({_placeholders(len(row))})",
            list(row.values()),
        )


def _placeholders(count: int) -> str:
    return ", ".join("?" * count)


def open_windows_of(query: Callable[[str], list[tuple[Any, ...]]]) -> list[OpenWindow]:
    """Windows that an earlier run did not finish. `query` gives the rows of a query, also in the published database."""
    found = query(
        "SELECT run_id, window_index, epoch_us(lower_bound), epoch_us(upper_bound), greatest(0, expected - distinct_ids), "
        "epoch_us(claimed_until), left_to_read "
        "FROM sync.windows WHERE verdict = 'open' ORDER BY lower_bound"
    )
    return [OpenWindow._make((*row[:6], msgspec.json.decode(row[6] or "[]"))) for row in found]
