"""The formats of `vapi-sessions sql` for programs: CSV and JSON. docs/tables.md says how values of each type are written."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import duckdb
import msgspec
from duckdb.sqltypes import DuckDBPyType

Batches = Iterator[list[tuple[Any, ...]]]
_Decoder = Callable[[Any], Any]

#: Types that Python does not have, or shows in another way: a month of an interval would become 30 days. They are written as DuckDB does.
_AS_TEXT: Final = ("interval", "blob", "bit", "bignum")
_NESTED: Final = ("list", "array", "struct", "map")
_FORMULA: Final = re.compile("'*\\s*[=+@\uff1d\uff0b\uff20-]|'*[\t\r\n]")
#: Telephone numbers and intervals look like formulas and are none.
_NUMBER: Final = re.compile(r"[+-]?([\d .,:()/-]|(year|month|day)s?)*")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ENCODER: Final = msgspec.json.Encoder(enc_hook=str, decimal_format="number")


def readable(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """The relation, with values as text where the types of Python would not do."""
    columns = [f"#{n}" for n in range(1, len(relation.columns) + 1)]
    casts = [
        f"CAST({column} AS {sql}) AS {_quoted(name)}" if (sql := _sql(kind)) != str(kind) else column
        for column, name, kind in zip(columns, relation.columns, relation.types, strict=True)
    ]
    return relation.project(", ".join(casts)) if casts != columns else relation


def parts(kind: DuckDBPyType) -> Iterator[DuckDBPyType]:
    """The type, and those of its elements, members, keys and values."""
    yield kind
    if kind.id in (*_NESTED, "union"):
        for _, child in _members(kind):
            if isinstance(child, DuckDBPyType):
                yield from parts(child)


def write_csv(names: Sequence[str], types: Sequence[DuckDBPyType], batches: Batches, out: TextIO) -> None:
    """Write a header and all rows."""
    writer = csv.writer(out, lineterminator="\n")
    cell = _visible if out.isatty() else _cell
    decoders = [_decoder(kind) if kind.id in _NESTED else None for kind in types]
    writer.writerow([cell(name) for name in names])  # PIVOT makes column names of values
    for rows in batches:
        writer.writerows(map(cell, map(_decoded, decoders, row)) for row in rows)


def write_json(names: Sequence[str], types: Sequence[DuckDBPyType], batches: Batches, out: TextIO) -> None:
    """Write one list with an object for each row."""
    decoders = list(map(_decoder, types))
    before = "["
    for rows in batches:
        decoded = [dict(zip(names, map(_decoded, decoders, row), strict=True)) for row in rows]
        encoded = _ENCODER.encode(decoded).decode()
        out.write(before + _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", encoded[1:-1]))
        before = ","
    out.write("]\n" if before == "," else "[]\n")


def _sql(kind: DuckDBPyType) -> str:
    """The type in SQL, with text in place of the types of `_AS_TEXT`."""
    match kind.id:
        case "list":
            return f"{_sql(_child(kind, 0))}[]"
        case "array":
            return f"{_sql(_child(kind, 0))}[{_child(kind, 1)}]"
        case "struct":
            return f"STRUCT({', '.join(f'{_quoted(name)} {_sql(child)}' for name, child in _members(kind))})"
        case "map":
            return f"MAP({_sql(_child(kind, 0))}, {_sql(_child(kind, 1))})"
    return "VARCHAR" if kind.id in _AS_TEXT else str(kind)


def _members(kind: DuckDBPyType) -> list[tuple[str, Any]]:
    """Names and types of what a type is made of. An array also has its size."""
    return kind.children


def _child(kind: DuckDBPyType, position: int) -> Any:
    return _members(kind)[position][1]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _decoder(kind: DuckDBPyType) -> _Decoder | None:
    """What has to be done with a value before it is encoded as JSON; None for nothing."""
    if str(kind) == "JSON":
        return msgspec.Raw  # unchanged, including the digits of numbers
    if kind.id in ("timestamp", "timestamp with time zone"):
        return _moment
    if kind.id in ("list", "array") and (inside := _decoder(_child(kind, 0))) is not None:
        return lambda values: [_decoded(inside, value) for value in values]
    if kind.id == "struct":
        members = {name: decode for name, child in _members(kind) if (decode := _decoder(child)) is not None}
        if members:
            return lambda value: value | {name: _decoded(members[name], value[name]) for name in members}
    return None


def _decoded(decode: _Decoder | None, value: Any) -> Any:
    return value if decode is None or value is None else decode(value)


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, str):
        # A text must not become a formula in a spreadsheet.
        return f"'{value}" if _FORMULA.match(value) and not _NUMBER.fullmatch(value) else value
    return _ENCODER.encode(value).decode() if isinstance(value, list | tuple | dict) else value


def _visible(value: Any) -> Any:
    """For a terminal: control characters are shown as escapes."""
    cell = _cell(value)
    return _CONTROL.sub(_escape, cell) if isinstance(cell, str) else cell


def _escape(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"


def _moment(value: Any) -> Any:
    if not isinstance(value, datetime):  # a time that Python does not have
        return value
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
