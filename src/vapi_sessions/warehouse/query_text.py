"""The formats of `vapi-sessions sql` for people: a table, a line for each value, Markdown.

Values look as DuckDB writes them. Control characters are escaped, so that data cannot command a terminal.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TextIO

import duckdb

from vapi_sessions.core import text_tables

#: Rows that a table reads, and those of them that it shows: the first and the last hundred.
_READ: Final = 10_000
_AT_EACH_END: Final = 100
#: Tables beside which nobody finds a row again.
_MOST_TABLES: Final = 4
#: Characters of a value in a table.
LONGEST: Final = 1_000
#: The lines of a table, and their replacements for encodings without them.
_LINES: Final = "┌┐└┘├┤┬┴┼─│"
_PLAIN_LINES: Final = str.maketrans(_LINES, "+++++++++-|")
#: C0 except line feed, DEL, C1, line separators, and characters that change the direction of a line.
_CONTROL: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
#: What Markdown would interpret. An underscore inside of a word is none.
_MARKUP: Final = re.compile(r"[\\|`*<\[&~]|(?<![^\W_])_|_(?![^\W_])")
_NUMERIC: Final = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*|BIGNUM")

Batches = Iterator[list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A result that has not been read: its columns, of distinct names, and the relation that gives its rows."""

    names: list[str]
    relation: duckdb.DuckDBPyRelation

    @property
    def numeric(self) -> list[bool]:
        """Which columns are numbers."""
        return [bool(_NUMERIC.fullmatch(str(kind))) for kind in self.relation.types]

    def rows(
        self, db: duckdb.DuckDBPyConnection, at_once: int, most: int | None = None
    ) -> Iterator[list[str]]:
        """The rows as DuckDB writes their values, or the first 10,000 with values of at most `most` characters."""
        texts = [f"CAST(#{n} AS VARCHAR)" for n in range(1, len(self.names) + 1)]
        relation = self.relation
        if most is not None:
            relation = relation.limit(_READ)
            texts = [f"left({text}, {most + 1})" for text in texts]
        text = relation.project(", ".join(f"{text} AS c{n}" for n, text in enumerate(texts)))
        result = db.execute(text.sql_query())  # fetched in batches; a relation would keep all of its rows
        while batch := result.fetchmany(at_once):
            for row in batch:
                yield ["NULL" if value is None else _shown(value, most) for value in row]


def write_table(answer: Answer, rows: Iterable[list[str]], out: TextIO, *, chosen: bool) -> str | None:
    """Write 200 of the rows as a table, or as several if the columns do not fit side by side.

    If it was not `chosen` and lines are shorter than several tables, lines are written. Returns a note for the user about that, and
    about rows that are left out of a file.
    """
    first: list[list[str]] = []
    last: deque[list[str]] = deque(maxlen=_AT_EACH_END)
    count = 0
    for count, row in enumerate(rows, start=1):
        (first if count <= _AT_EACH_END else last).append(row)
    shown = len(first) + len(last)
    names = [_name(name) for name in answer.names]
    gap = [["…"] * len(names)] if shown < count else []
    table = text_tables.Grid(names, answer.numeric, [*first, *gap, *last])
    total = text_tables.columns_of(out)
    texts = text_tables.boxes(table, total, len(names) if chosen else _MOST_TABLES)
    if not texts and chosen:
        texts = text_tables.boxes(table, total, len(names), words=False)
        texts = texts or text_tables.boxes(table, text_tables.UNLIMITED, 1)
    notes = []
    if len(texts) != 1 and not chosen and table.rows:
        lines = "\n".join([*(text_tables.vertical(names, row, total) for row in table.rows), ""])
        if not texts or lines.count("\n") < sum(text.count("\n") for text in texts):
            texts = [lines]
            notes.append(
                f"{len(names)} columns do not fit into {total} characters; --format table shows tables."
            )
    if shown < count and not out.isatty():  # where nobody looks at the last line
        notes.append(f"{_rows(count, shown)}; --format csv, json, line or markdown writes all.")
    parts = f", {len(names)} columns in {len(texts)} tables" if len(texts) > 1 else ""
    out.write(_encodable(f"{''.join(texts)}({_rows(count, shown)}{parts})\n", out))
    return " ".join(notes) or None


def write_lines(answer: Answer, rows: Iterable[list[str]], out: TextIO) -> None:
    """Write every row as it arrives, one `name = value` a line, with an empty line between rows."""
    names, total = [_name(name) for name in answer.names], text_tables.columns_of(out)
    between = ""
    for row in rows:
        out.write(between + text_tables.vertical(names, row, total))
        between = "\n"
    if not between:
        out.write("(0 rows)\n")


def write_markdown(answer: Answer, rows: Iterable[list[str]], out: TextIO) -> None:
    """Write every row as it arrives, as a table of GitHub's Markdown. What Markdown would interpret is escaped."""
    _write_markdown_row(map(_name, answer.names), out)
    out.write("|" + "".join(" ---: |" if numeric else " --- |" for numeric in answer.numeric) + "\n")
    for row in rows:
        _write_markdown_row(row, out)


def _write_markdown_row(values: Iterable[str], out: TextIO) -> None:
    cells = [_MARKUP.sub(r"\\\g<0>", value).replace("\n", "<br>") for value in values]
    out.write(f"| {' | '.join(cells)} |\n")


def _rows(count: int, shown: int) -> str:
    if count == shown:
        return f"{count} row{'' if count == 1 else 's'}"
    return f"{count if count < _READ else f'>{_READ - 1}'} rows, {shown} shown"


def _shown(value: str, most: int | None) -> str:
    cut = f"{value[:most]}…" if most is not None and len(value) > most else value
    return _CONTROL.sub(_escape, cut)


def _name(name: str) -> str:
    return _shown(name, LONGEST).replace("\n", "\\n")


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return "\\t" if code == 9 else f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _encodable(text: str, out: TextIO) -> str:
    try:
        _LINES.encode(out.encoding or "utf-8")
    except UnicodeEncodeError:
        return text.translate(_PLAIN_LINES)
    return text
