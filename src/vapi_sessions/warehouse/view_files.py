"""The files of `sql/views`: one view each, with comments that say what it answers and what its columns mean.

```sql
-- What did the sessions of each day cost? Grain: one row a day on which sessions were created.
-- Notes: what is counted, and what null means.
-- Columns:
--   day: the day on which the sessions were created.
--   cost_usd: sum over sessions that have a price;
--     null if none has.
CREATE OR REPLACE VIEW cost_by_day AS
SELECT …
```

A column that a table or view in the statement has too needs no line, unless these describe it differently. `AT TIME ZONE 'UTC'` stands
for the time zone of the warehouse.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

from vapi_sessions import schema
from vapi_sessions.core import resources
from vapi_sessions.core.paths import literal

#: The time zone of days and hours in the views, if the user sets none.
UTC: Final = "UTC"
_ZONED: Final = f"AT TIME ZONE {literal(UTC)}"
_FIRST: Final = re.compile(r"(.*\?) Grain: one row (an? .*)\.")
_COLUMN: Final = re.compile(r"  ([a-z][a-z0-9_]*): (\S.*)")
_CREATED: Final = re.compile(r"CREATE OR REPLACE VIEW ([a-z0-9_]+) AS")
#: What a statement reads, and the names that it gives to its own queries.
_READ: Final = re.compile(r"\b(?:FROM|JOIN)\s+([a-z][a-z0-9_]*)\b(?!\s*[.(])")
_OWN: Final = re.compile(r"\b([a-z][a-z0-9_]*)\s+AS\s+(?:(?:NOT\s+)?MATERIALIZED\s+)?\(")


@dataclass(frozen=True, slots=True)
class ViewFile:
    """One view. `grain`: what one row is; `columns`: descriptions that the file has; `sql`: the statement, with days in UTC;
    `reads`: tables and views that it uses, in this order.
    """

    name: str
    question: str
    grain: str
    notes: str
    columns: Mapping[str, str]
    sql: str
    reads: tuple[str, ...]

    @property
    def description(self) -> str:
        """The question, what one row is, and the notes."""
        return f"{self.question} One row is {self.grain}. {self.notes}".rstrip()

    def statement(self, zone: str = UTC) -> str:
        """`CREATE OR REPLACE VIEW`, with days and hours in this time zone."""
        return self.sql.replace(_ZONED, f"AT TIME ZONE {literal(zone)}")

    def describe(self, name: str) -> str | None:
        """The description of a column: the file's own, or that of the tables with this column that it reads, or of the views.

        None if the tables, or the views, describe it differently.
        """
        if name in self.columns:
            return self.columns[name]
        read = [_known()[source] for source in self.reads if source in _known()]
        for kind in (schema.Table, ViewFile):
            texts = {one.describe(name) for one in read if isinstance(one, kind)} - {None}
            if texts:
                return texts.pop() if len(texts) == 1 else None
        return None


@functools.cache
def _known() -> dict[str, schema.Table | ViewFile]:
    tables = {table.name: table for table in schema.TABLES}
    return {**tables, **{view.name: view for view in view_files()}}


@functools.cache
def view_files() -> tuple[ViewFile, ...]:
    """All views, each after those that it reads."""
    return ordered(read(path) for path in resources.sql_files("views"))


def ordered(views: Iterable[ViewFile]) -> tuple[ViewFile, ...]:
    """These views, each after those that it reads; otherwise in the order of their names. Raises graphlib.CycleError."""
    found = {view.name: view for view in sorted(views, key=lambda view: view.name)}
    graph = {name: [other for other in view.reads if other in found] for name, view in found.items()}
    return tuple(found[name] for name in TopologicalSorter(graph).static_order())


def read(path: Path) -> ViewFile:
    """One file. Raises ValueError, which names the file and the line, for another form."""
    lines = path.read_text("utf-8").splitlines()
    count = next((n for n, line in enumerate(lines) if not line.startswith("--")), len(lines))
    header = [line.removeprefix("--").removeprefix(" ").rstrip() for line in lines[:count]]
    sql = "\n".join(lines[count:])
    first = _FIRST.fullmatch(header[0]) if header else None
    if first is None:
        raise ValueError(f"{path}: the first line has no question and grain: {lines[:1]}")
    created = _CREATED.match(sql)
    if created is None or created[1] != path.stem:
        raise ValueError(f"{path}: the comments are not followed by CREATE OR REPLACE VIEW {path.stem} AS")
    notes, columns = header[1:], dict[str, str]()
    if "Columns:" in header:
        at = header.index("Columns:")
        notes, columns = header[1:at], _columns(path, header[at + 1 :])
    return ViewFile(path.stem, first[1], first[2], " ".join(notes), columns, sql, _reads(sql))


def _columns(path: Path, lines: Sequence[str]) -> dict[str, str]:
    """The section `Columns:`. Lines that continue a description are indented by four."""
    found: dict[str, list[str]] = {}
    for line in lines:
        column = _COLUMN.fullmatch(line)
        if column is not None and column[1] not in found:
            found[column[1]] = [column[2]]
        elif found and line.startswith("    ") and line.strip():
            found[next(reversed(found))].append(line.strip())
        else:
            raise ValueError(f"{path}: not a new column, nor the continuation of one: {line!r}")
    return {name: " ".join(texts) for name, texts in found.items()}


def _reads(sql: str) -> tuple[str, ...]:
    code = re.sub(r"--[^\n]*|'[^']*'", "", sql)
    own = set(_OWN.findall(code))
    return tuple(name for name in dict.fromkeys(_READ.findall(code)) if name not in own)
