"""How CSV and JSON write values of each type, as the table in docs/tables.md says."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any, Final

import pytest

from vapi_sessions.warehouse import query

#: SQL of a value, its JSON, and its cell in CSV.
VALUES: Final[dict[str, tuple[str, str, str]]] = {
    "null": ("NULL", "null", ""),
    "boolean": ("true", "true", "true"),
    "hugeint": ("170141183460469231731687303715884105727::HUGEINT", *["170141183460469231731687303715884105727"] * 2),
    "decimal": ("1.50::DECIMAL(9, 2)", "1.50", "1.50"),
    "small_decimal": ("0.00000000010::DECIMAL(38, 11)", "1.0E-10", "1.0E-10"),
    "double": ("0.1::DOUBLE", "0.1", "0.1"),
    "not_a_number": ("'nan'::DOUBLE", "null", "nan"),
    "json": ("""'{"a": 1.0}'::JSON""", '{"a": 1.0}', '{"a": 1.0}'),
    "timestamptz": ("TIMESTAMPTZ '2026-01-02 03:04:05+01'", '"2026-01-02T02:04:05Z"', "2026-01-02T02:04:05Z"),
    "timestamp": ("TIMESTAMP '2026-01-02 03:04:05'", '"2026-01-02T03:04:05"', "2026-01-02T03:04:05"),
    "date": ("DATE '2026-01-02'", '"2026-01-02"', "2026-01-02"),
    "uuid": ("'6b3e6f4c-68e8-5743-8737-31383395ef15'::UUID", '"6b3e6f4c-68e8-5743-8737-31383395ef15"', "6b3e6f4c-68e8-5743-8737-31383395ef15"),
    "interval": ("INTERVAL '1 month -3 days'", '"1 month -3 days"', "1 month -3 days"),
    "negative": ("INTERVAL '-2 hours'", '"-02:00:00"', "-02:00:00"),
    "blob": ("'\\xAAb'::BLOB", '"\\\\xAAb"', "\\xAAb"),
    "formula": ("'=1+1'::BLOB", '"=1+1"', "'=1+1"),
    "list": ("[TIMESTAMPTZ '2026-01-02', NULL]", *['["2026-01-02T00:00:00Z",null]'] * 2),
    "array": ("array_value(INTERVAL 3 DAY)", *['["3 days"]'] * 2),
    "struct": ("""{'a "b': 1.5::DECIMAL(3, 1), 'j': '{"k": 1.0}'::JSON, 'i': INTERVAL 3 DAY}""", *['{"a \\"b":1.5,"j":{"k": 1.0},"i":"3 days"}'] * 2),
    "map": ("MAP {1: [true]}", *['{"1":[true]}'] * 2),
}  # fmt: skip
SQL: Final = "SELECT " + ", ".join(f"{sql} AS {name}" for name, (sql, *_) in VALUES.items())


@pytest.fixture(scope="module")
def written(demo_warehouse: Path) -> dict[str, str]:
    """The output of all values, by format."""
    found = {}
    for output in ("csv", "json"):
        out = io.StringIO(newline="")
        query.run(demo_warehouse, SQL, output, out)
        found[output] = out.getvalue()
    return found


@pytest.mark.parametrize("name", VALUES)
def test_json_writes(written: dict[str, str], name: str) -> None:
    """Numbers keep all of their digits; what is JSON already is not changed, also inside of other values."""
    _, expected, _ = VALUES[name]
    assert f'"{name}":{expected}' in written["json"]
    assert json.loads(written["json"])[0][name] == json.loads(expected)


@pytest.mark.parametrize("name", VALUES)
def test_csv_writes(written: dict[str, str], name: str) -> None:
    """Cells as in JSON, without quotes around a text, and none that a spreadsheet would execute."""
    _, _, expected = VALUES[name]
    header, cells = csv.reader(io.StringIO(written["csv"], newline=""))
    assert dict(zip(header, cells, strict=True))[name] == expected


def test_equal_names_survive_the_conversion(demo_warehouse: Path) -> None:
    """Columns that are written as text keep their names and places."""
    out = io.StringIO()
    query.run(demo_warehouse, 'SELECT INTERVAL 1 DAY AS "a ""b", 2 AS a, INTERVAL 3 DAY AS a', "json", out)
    row: dict[str, Any] = json.loads(out.getvalue())[0]
    assert list(row.items()) == [('a "b', "1 day"), ("a", 2), ("a_1", "3 days")]
