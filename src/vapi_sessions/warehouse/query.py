"""`vapi-sessions sql`: runs a query on the published tables and writes the rows in one of the formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TextIO

import duckdb
from duckdb.sqltypes import DuckDBPyType

from vapi_sessions.errors import ConfigurationError
from vapi_sessions.warehouse import query_data, query_text, reader
from vapi_sessions.warehouse.query_errors import changed_in_memory, refusal

FORMATS = ("table", "line", "markdown", "csv", "json")
#: Rows that are in memory at a time; a row can have megabytes.
_ROWS_AT_ONCE: Final = 256


def run(warehouse: Path, query: str, output: str | None, out: TextIO) -> str | None:
    """Execute `query` and write its rows to `out`. Raises ConfigurationError for an unknown format or a query that fails.

    A table shows 200 of the first 10,000 rows; the other formats have every row, with a few hundred in memory at a time.
    Without `output`, it is a table that fits the terminal or `COLUMNS`, or lines if it cannot. Returns a note for the user if
    something else is shown than was expected. If columns have equal names, the later ones are renamed. Times in CSV and JSON are
    ISO 8601 in UTC. In CSV, a text that a spreadsheet would take for a formula gets an apostrophe before it. So does a text with
    apostrophes before such a sign, so removing one always gives the original.
    """
    if output is not None and output not in FORMATS:
        raise ConfigurationError(f"'{output}' is not a format.", f"Choose from: {', '.join(FORMATS)}.")
    with reader.reading(warehouse) as db:
        db.execute(
            "SET python_enable_replacements = false"
        )  # else `FROM out` would find variables of this program
        try:
            relation = db.sql(query)
            if relation is None:  # nothing, or only comments
                raise reader.without_statement()
            if output in ("csv", "json"):
                _stream(db, relation, query_data.write_csv if output == "csv" else query_data.write_json, out)
                note = None
            else:
                note = _write_text(db, relation, output, out)
            return note or changed_in_memory(db, query)
        except duckdb.Error as error:
            found = refusal(db, error, query)
            if found is None:
                raise
            raise found from None


def write_csv(db: duckdb.DuckDBPyConnection, query: str, out: TextIO) -> None:
    """Write the rows of a query as CSV, in the form of `run`."""
    _stream(db, db.sql(query), query_data.write_csv, out)


def _write_text(
    db: duckdb.DuckDBPyConnection, relation: duckdb.DuckDBPyRelation, output: str | None, out: TextIO
) -> str | None:
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
    relation: duckdb.DuckDBPyRelation,
    write: Callable[[Sequence[str], Sequence[DuckDBPyType], query_data.Batches, TextIO], None],
    out: TextIO,
) -> None:
    shown = query_data.readable(relation)
    result = db.execute(shown.sql_query())  # fetched in batches; a relation would keep all of its rows
    write(distinct(shown.columns), shown.types, iter(lambda: result.fetchmany(_ROWS_AT_ONCE), []), out)


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
