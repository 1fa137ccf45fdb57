"""Runs the checks of `sql/checks` on the parts that a publication has written, and keeps what they found in `sync.state`.

A part holds all rows of its sessions, so a check of one part is right about it. Two contradictions can only show across parts:
a session that is in two of them, and a second organisation. `verify`, which runs all checks on everything, finds them.

Most syncs write few tables of a part again. A check of rows that were not written is then left out: sessions are counted against the
index when they are written, and their createdAt never changes, so these rows still agree with them.

Results are kept by part: a check counts as failing until the rows in which it failed are written again and pass. Parts that were
not checked yet, because an earlier version wrote them or an error prevented it, are checked with the next ones that are written.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import duckdb
import msgspec

from vapi_sessions import schema
from vapi_sessions.core import resources
from vapi_sessions.core.paths import literal, pattern
from vapi_sessions.core.records import Part
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import WarehouseError
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.published_files import part_file
from vapi_sessions.warehouse.views import view_of

#: The fact in the state with the failing checks: JSON {name: rows}. It is missing until checks have run.
FAILING: Final = "checks"
#: The fact with the same by part, and the parts that were not checked.
_BY_PART: Final = "checks_by_part"
#: Sessions that are checked at a time, which limits the memory.
_SESSIONS_AT_ONCE: Final = 16_000
#: The tables that must have been written for a check to run. Checks that are not here run on every part that is written.
_CAUSES: Final = {
    "costs_of_sessions": {"costs"},
    "structured_outputs_of_sessions": {"structured_outputs"},
    "tool_calls_of_messages": {"messages", "tool_calls"},
}
_NONE: Final = frozenset[str]()
#: Parts, and which of their tables are to be checked.
_Due: TypeAlias = Sequence[tuple[Part, frozenset[str]]]


class _Results(msgspec.Struct):
    """Parts by their lower bound, µs. `failing`: the rows that each failing check found in a part."""

    failing: dict[str, dict[int, int]] = {}
    unchecked: list[int] = []

    def found(self) -> dict[str, int]:
        return {name: sum(rows.values()) for name, rows in sorted(self.failing.items())}


def check(
    index: Index,
    directory: Path,
    kept: Collection[Part],
    written: _Due,
    warn: Callable[[str], None],
) -> dict[str, str]:
    """Check the written parts of a snapshot; returns the new facts for `sync.state`. `written`: with the tables that were written;
    `kept`: the other parts, which are unchanged.

    An error is told as a warning, since the rows are stored and complete; the parts then count as unchecked.
    """
    before = _results(index.state())
    unseen = None if before is None else set(before.unchecked)

    def due(part: Part, tables: frozenset[str]) -> frozenset[str]:
        return schema.TABLE_NAMES if unseen is None or part.lower in unseen else tables

    # A part of which only some tables were written has its bounds of before.
    everything = [(part, due(part, tables)) for part, tables in (*((part, _NONE) for part in kept), *written)]
    parts = [(part, tables) for part, tables in everything if tables and part.sessions]
    stays = {part.lower: tables for part, tables in everything}
    after = _Results()
    for name, rows in before.failing.items() if before is not None else ():
        after.failing[name] = {
            lower: count for lower, count in rows.items() if lower in stays and not _runs(name, stays[lower])
        }
    try:
        for name, rows in _run(index, directory, parts).items():
            after.failing[name] = after.failing.get(name, {}) | rows
    except (WarehouseError, duckdb.Error) as error:
        # The text of another error of DuckDB may quote a value.
        reason = error.fact if isinstance(error, WarehouseError) else type(error).__name__
        after.unchecked = [part.lower for part, _ in parts]
        warn(f"the checks could not be run on {counted(len(parts), 'part')}: {reason}")
    after.failing = {name: rows for name, rows in after.failing.items() if rows}
    facts = {_BY_PART: msgspec.json.encode(after).decode()}
    if before is not None or not after.unchecked:
        facts[FAILING] = msgspec.json.encode(after.found()).decode()
    return facts


def failing(state: Mapping[str, str]) -> dict[str, int] | None:
    """The failing checks and the rows that they found, by the facts of `sync.state`; None if no check has run yet."""
    return msgspec.json.decode(state[FAILING], type=dict[str, int]) if FAILING in state else None


def unchecked(state: Mapping[str, str]) -> int:
    """The number of parts in which an error kept the checks from running."""
    results = _results(state)
    return len(results.unchecked) if results is not None else 0


def describe(name: str, rows: int, warehouse: Path) -> str:
    """A message about a failing check, with a command that shows the rows."""
    file = resources.directory("sql") / "checks" / f"{name}.sql"
    words = ["sql", "--warehouse", str(warehouse), "--file", str(file)]
    return f"the check {name} finds {counted(rows, 'row')}; see: vapi-sessions {shlex.join(words)}"


def _results(state: Mapping[str, str]) -> _Results | None:
    return msgspec.json.decode(state[_BY_PART], type=_Results) if _BY_PART in state else None


def _runs(name: str, tables: frozenset[str]) -> bool:
    """Whether a check runs on a part of which these tables were written."""
    return bool(tables) and (name not in _CAUSES or bool(_CAUSES[name] & tables))


def _run(index: Index, directory: Path, due: _Due) -> dict[str, dict[int, int]]:
    """The rows that each failing check finds, by part."""
    texts = {file.stem: file.read_text("utf-8") for file in resources.sql_files("checks")}
    found: dict[str, dict[int, int]] = {}
    for group in _groups(due):
        tables = _NONE.union(*(written for _, written in group))
        parts = [part for part, _ in group]
        wanted = {name: text for name, text in texts.items() if _runs(name, tables)}
        for name, rows in _rows_found(index, directory, parts, wanted).items():
            one = {name: texts[name]}  # only a failing check is run again, on each part
            alone = {part.lower: _rows_found(index, directory, [part], one).get(name, 0) for part in parts}
            among = {lower: count for lower, count in alone.items() if count} or {parts[0].lower: rows}
            found[name] = found.get(name, {}) | among
    return found


def _groups(due: _Due) -> Iterator[_Due]:
    """The parts in groups, so that there are fewer queries."""
    group: list[tuple[Part, frozenset[str]]] = []
    sessions = 0
    for part, tables in due:
        if group and sessions + part.sessions > _SESSIONS_AT_ONCE:
            yield group
            group, sessions = [], 0
        group.append((part, tables))
        sessions += part.sessions
    if group:
        yield group


def _rows_found(
    index: Index, directory: Path, parts: Sequence[Part], texts: Mapping[str, str]
) -> dict[str, int]:
    """The number of rows that each failing check finds in these parts together."""
    with index.in_memory():
        for table in schema.TABLES:
            names = [column.name for column in table.columns]
            files = [
                literal(pattern(part_file(directory, table.name, part.lower, part.files[table.name])))
                for part in parts
                if table.name in part.files
            ]
            if files:
                index.run(
                    view_of(table, names, f"read_parquet([{', '.join(files)}], hive_partitioning = false)")
                )
            else:
                columns = ", ".join(f"{column.name} {column.type}" for column in table.columns)
                index.run(f"CREATE TABLE {table.name} ({columns})")
        found = {name: len(index.rows(text)) for name, text in texts.items()}
    return {name: rows for name, rows in found.items() if rows}
