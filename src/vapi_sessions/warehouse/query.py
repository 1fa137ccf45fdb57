"""Ad hoc SQL on what was published, written as a table, CSV or JSON."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import duckdb

from vapi_sessions.errors import ConfigurationError
from vapi_sessions.warehouse import reader

FORMATS = ("table", "csv", "json")
_ROWS_IN_A_TABLE = 200


def run(warehouse: Path, query: str, output: str, out: TextIO) -> None:
    """Execute `query` and write its rows to `out`. Raises ConfigurationError for SQL or a format that does not work.

    CSV and JSON carry every row; a table shows the first 200. Moments are ISO 8601 in UTC.
    """
    if output not in FORMATS:
        raise ConfigurationError(f"'{output}' is not a format.", f"Choose from: {', '.join(FORMATS)}.")
    with reader.reading(warehouse) as db:
        try:
            relation = db.sql(query)
            if relation is None:
                return
            if output == "table":
                width = shutil.get_terminal_size((200, 50)).columns if out.isatty() else 500
                relation.show(max_rows=_ROWS_IN_A_TABLE, max_width=width)
                return
            names, types = list(relation.columns), [str(kind) for kind in relation.types]
            rows = relation.fetchall()
        except duckdb.IOException:
            raise  # the files', not the query's
        except duckdb.Error as error:
            if "arquet" in str(error) and "read_parquet" not in query:
                raise
            text = str(error).strip().splitlines()
            raise ConfigurationError(f"DuckDB does not accept the query: {text[0]}", _hint(text)) from None
    if output == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_plain(value) for value in row] for row in rows)
    else:
        decoded = [
            {name: _decoded(value, kind) for name, value, kind in zip(names, row, types, strict=True)}
            for row in rows
        ]
        json.dump(decoded, out, ensure_ascii=False, indent=2, default=str)
        out.write("\n")


def _hint(lines: list[str]) -> str:
    candidates = [
        line.strip() for line in lines[1:] if line.strip().startswith(("Did you mean", "Candidate"))
    ]
    return candidates[0] if candidates else 'Try: vapi-sessions sql "SHOW TABLES" or "DESCRIBE sessions".'


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return _moment(value)
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else value


def _decoded(value: Any, kind: str) -> Any:
    if isinstance(value, datetime):
        return _moment(value)
    if kind == "JSON" and isinstance(value, str):
        return json.loads(value)
    return value


def _moment(value: datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
