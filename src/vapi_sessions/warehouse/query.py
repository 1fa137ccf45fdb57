"""`vapi-sessions sql`: runs a query on the published tables and writes the rows in one of the formats."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import duckdb
import msgspec

from vapi_sessions.errors import ConfigurationError
from vapi_sessions.warehouse import query_text, reader

FORMATS = ("table", "line", "markdown", "csv", "json")
#: Rows that are in memory at a time; a row can have megabytes.
_ROWS_AT_ONCE = 256
_Rows = list[tuple[Any, ...]]


def run(warehouse: Path, query: str, output: str | None, out: TextIO) -> str | None:
    """Execute `query` and write its rows to `out`. Raises ConfigurationError for an unknown format or a query that fails.

    A table shows 200 of the first 10,000 rows; the other formats have every row, with a few hundred in memory at a time.
    Without `output`, it is a table that fits the terminal or `COLUMNS`, or lines if it cannot; a note that says so is returned.
    If columns have equal names, the later ones are renamed. Times in CSV and JSON are ISO 8601 in UTC. In CSV, a text that a
    spreadsheet would take for a formula gets an apostrophe before it. So does a text with apostrophes before such a sign, so
    removing one always gives the original.
    """
    if output is not None and output not in FORMATS:
        raise ConfigurationError(f"'{output}' is not a format.", f"Choose from: {', '.join(FORMATS)}.")
    with reader.reading(warehouse) as db:
        db.execute(
            "SET python_enable_replacements = false"
        )  # else `FROM out` would find variables of this program
        try:
            if output in ("csv", "json"):
                _stream(db, query, _write_csv if output == "csv" else _write_json, out)
                return None
            return _write_text(db, query, output, out)
        except duckdb.Error as error:
            of_files = isinstance(error, duckdb.IOException) or "arquet" in str(error)
            if of_files and not any(name in str(error) for name in _PATH.findall(query)):
                raise  # an error about our files, not about files in the query
            text = str(error).strip().splitlines()
            raise ConfigurationError(
                f"DuckDB does not accept the query: {text[0]}{_place(error, query)}", _hint(text)
            ) from None


def write_csv(db: duckdb.DuckDBPyConnection, query: str, out: TextIO) -> None:
    """Write the rows of a query as CSV, in the form of `run`."""
    _stream(db, query, _write_csv, out)


def _write_text(db: duckdb.DuckDBPyConnection, query: str, output: str | None, out: TextIO) -> str | None:
    relation = db.sql(query)
    if relation is None:  # only comments
        return None
    answer = query_text.Answer(distinct(relation.columns), relation)
    if output == "line":
        query_text.write_lines(answer, answer.rows(db, _ROWS_AT_ONCE), out)
    elif output == "markdown":
        query_text.write_markdown(answer, answer.rows(db, _ROWS_AT_ONCE), out)
    else:
        return query_text.write_table(
            answer, answer.rows(db, _ROWS_AT_ONCE, query_text.LONGEST), out, chosen=output is not None
        )
    return None


def _stream(
    db: duckdb.DuckDBPyConnection,
    query: str,
    write: Callable[[list[str], list[str], Iterator[_Rows], TextIO], None],
    out: TextIO,
) -> None:
    result = db.execute(query)
    if result is None:  # only comments
        return
    names = distinct(column[0] for column in result.description)
    types = [str(column[1]) for column in result.description]
    write(names, types, iter(lambda: result.fetchmany(_ROWS_AT_ONCE), []), out)


def _write_csv(names: list[str], _types: list[str], batches: Iterator[_Rows], out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    cell = _visible if out.isatty() else _plain
    writer.writerow([cell(name) for name in names])  # PIVOT makes column names of values
    for rows in batches:
        writer.writerows([cell(value) for value in row] for row in rows)


def _write_json(names: list[str], types: list[str], batches: Iterator[_Rows], out: TextIO) -> None:
    columns = list(zip(names, types, strict=True))
    before = "["
    for rows in batches:
        decoded = [
            {name: _decoded(value, kind) for (name, kind), value in zip(columns, row, strict=True)}
            for row in rows
        ]
        encoded = msgspec.json.encode(decoded, enc_hook=str).decode()
        out.write(before + _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", encoded[1:-1]))
        before = ","
    out.write("]\n" if before == "," else "[]\n")


def distinct(names: Iterable[str]) -> list[str]:
    """`a, a, A` as `a, a_1, A_2`. DuckDB renames the columns of a subquery in the same way, ignoring case."""
    found: list[str] = []
    used: dict[bytes, int] = {}
    for name in names:
        new, key = name, _folded(name)
        while _folded(new) in used:
            new = f"{name}_{used[key]}"
            used[key] += 1
        used[_folded(new)] = 1
        found.append(new)
    return found


def _folded(name: str) -> bytes:
    return name.encode().lower()  # bytes.lower changes only A to Z, as DuckDB does


def _place(error: duckdb.Error, query: str) -> str:
    """The line of a syntax error. DuckDB counts lines of other errors from places that it chooses."""
    found = re.search(r"^LINE (\d+):", str(error), re.MULTILINE)
    known = isinstance(error, duckdb.ParserException) and "\n" in query.strip()
    return f" in line {found[1]}" if found and known else ""


def _hint(lines: list[str]) -> str:
    candidates = [
        line.strip() for line in lines[1:] if line.strip().startswith(("Did you mean", "Candidate"))
    ]
    return candidates[0] if candidates else 'Try: vapi-sessions describe, or sql "SHOW TABLES".'


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, str):
        # A text must not become a formula in a spreadsheet. Telephone numbers look like one and are not.
        return f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value


#: A path in a query. A string without such a sign is a value: 'user' is part of many paths.
_PATH = re.compile(r"'([^']*[/.\\][^']*)'")
_FORMULA = re.compile("'*\\s*[=+@\uff1d\uff0b\uff20-]|'*[\t\r\n]")
_NUMBER = re.compile(r"[+-]?[\d .,()/-]*")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _visible(value: Any) -> Any:
    """For a terminal: control characters are shown as escapes."""
    plain = _plain(value)
    return _CONTROL.sub(_escape, plain) if isinstance(plain, str) else plain


def _escape(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"


def _decoded(value: Any, kind: str) -> Any:
    if isinstance(value, datetime):
        return _moment(value)
    if kind == "JSON" and isinstance(value, str):
        return msgspec.Raw(value)  # unchanged, including the digits of numbers
    return value


def _moment(value: datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
