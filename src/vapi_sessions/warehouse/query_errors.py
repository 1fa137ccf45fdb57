"""Errors of queries: what DuckDB says, where in the query, and what to do about it."""

from __future__ import annotations

import re
from typing import Final

import duckdb

from vapi_sessions.errors import ConfigurationError

_COPY: Final = "To change a copy of the tables: vapi-sessions export."
#: A path in a query. A string without such a sign is a value: 'user' is part of many paths.
_PATH: Final = re.compile(r"'([^']*[/.\\][^']*)'")
#: DuckDB's own suggestions, on one line or several. Nobody means its internal tables.
_SUGGESTED: Final = re.compile(
    r'^\s*(Did you mean (?!"(?:pg|duckdb|sqlite|pragma)_).*|Candidate bindings: .*)$', re.MULTILINE
)
_FUNCTIONS: Final = re.compile(r"^\s*Candidate functions:\n((?:\t.*\n?)+)", re.MULTILINE)
_MOST_FUNCTIONS: Final = 3
_NAMES: Final = re.compile("does not exist|not found|Ambiguous reference")
_VALUES: Final = re.compile("convert|cast|field|out of range")
_WRITING: Final = frozenset(
    getattr(duckdb.StatementType, name)
    for name in ("INSERT", "UPDATE", "DELETE", "MERGE_INTO", "CREATE", "DROP", "ALTER")
)


def refusal(db: duckdb.DuckDBPyConnection, error: duckdb.Error, query: str) -> ConfigurationError | None:
    """Our error for one of a query; None if it is about our files, not about the query or files in it."""
    text = str(error)
    of_files = isinstance(error, duckdb.IOException) or "arquet" in text
    if of_files and "extension" not in text and not any(name in text for name in _PATH.findall(query)):
        return None
    first = text.strip().splitlines()[0]
    return ConfigurationError(
        f"DuckDB does not accept the query: {first}{_place(error, query)}", _remedy(db, error, query)
    )


def changed_in_memory(db: duckdb.DuckDBPyConnection, query: str) -> str | None:
    """A note if the last statement changed tables or views. Those of the program's database in memory end with the command."""
    statements = _statements(db, query)
    attached = duckdb.StatementType.ATTACH in statements
    if not statements or statements[-1] not in _WRITING or attached:
        return None
    return f"the change was in memory only, and is gone. {_COPY}"


def _statements(db: duckdb.DuckDBPyConnection, query: str) -> list[duckdb.StatementType]:
    return [statement.type for statement in db.extract_statements(query)]


def _place(error: duckdb.Error, query: str) -> str:
    """The line of a syntax error. DuckDB counts lines of other errors from places that it chooses."""
    found = re.search(r"^LINE (\d+):", str(error), re.MULTILINE)
    known = isinstance(error, duckdb.ParserException) and "\n" in query.strip()
    return f" in line {found[1]}" if found and known else ""


def _remedy(db: duckdb.DuckDBPyConnection, error: duckdb.Error, query: str) -> str:
    text = str(error)
    if suggested := _SUGGESTED.search(text):
        return suggested[1]
    if functions := _FUNCTIONS.search(text):
        known = [" ".join(line.split()) for line in functions[1].splitlines()]
        more = f" and {len(known) - _MOST_FUNCTIONS} more" if len(known) > _MOST_FUNCTIONS else ""
        return (
            f"Cast the values, for example x::DOUBLE. There is: {', '.join(known[:_MOST_FUNCTIONS])}{more}."
        )
    if isinstance(error, duckdb.ConversionException) and _VALUES.search(text):
        return "TRY_CAST(x AS …) gives NULL for a value that cannot be converted."
    if isinstance(error, duckdb.ParserException):
        return 'An example: sql "FROM cost_by_day ORDER BY day DESC LIMIT 5".'
    if _NAMES.search(text):
        return 'Try: vapi-sessions describe, or sql "SHOW TABLES".'
    if _WRITING & set(_statements(db, query)):
        return f"The published tables are read-only. {_COPY}"
    return ""
