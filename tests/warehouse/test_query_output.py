"""The output of `vapi-sessions sql`: columns with equal names, many rows, little memory."""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Final

import duckdb
import pytest

from selection import first
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.warehouse import query


def written(warehouse: Path, output: str, sql: str) -> str:
    """The whole output."""
    out = io.StringIO()
    query.run(warehouse, sql, output, out)
    return out.getvalue()


#: Two equal names, one that differs only in case, and the name that the second one would get.
EQUAL: Final = "SELECT 1 a, 2 a, 3 A, 4 a_1"
RENAMED: Final = ["a", "a_1", "A_2", "a_1_1"]


def test_equal_names_are_told_apart_in_json(demo_warehouse: Path) -> None:
    """No column is lost."""
    (row,) = json.loads(written(demo_warehouse, "json", EQUAL))
    assert list(row.items()) == list(zip(RENAMED, (1, 2, 3, 4), strict=True))


def test_equal_names_are_told_apart_in_csv(demo_warehouse: Path) -> None:
    """By the same names as in JSON."""
    header, row = csv.reader(io.StringIO(written(demo_warehouse, "csv", EQUAL)))
    assert (header, row) == (RENAMED, ["1", "2", "3", "4"])


def test_equal_names_are_told_apart_in_a_table(demo_warehouse: Path) -> None:
    """By the same names as in JSON."""
    lines = written(demo_warehouse, "table", EQUAL).splitlines()
    assert lines[1].replace("│", " ").split() == RENAMED
    assert lines[3].replace("│", " ").split() == ["1", "2", "3", "4"]


def test_equal_names_are_told_apart_in_lines_and_markdown(demo_warehouse: Path) -> None:
    """By the same names as in JSON."""
    lines = [line.split(" = ") for line in written(demo_warehouse, "line", EQUAL).splitlines()]
    assert [name.strip() for name, _ in lines] == RENAMED
    header = written(demo_warehouse, "markdown", EQUAL).splitlines()[0]
    assert header.replace("|", " ").split() == RENAMED


def test_columns_are_renamed_as_in_a_subquery() -> None:
    """It is DuckDB's own rule."""
    chance = random.Random(4)
    with duckdb.connect() as db:
        for _ in range(300):
            names = chance.choices(
                ["a", "A", "a_1", "A_1", "a_2", "b", "a_1_1", "Ä", "ä"], k=chance.randint(1, 9)
            )
            columns = ", ".join(f'{n} AS "{name}"' for n, name in enumerate(names))
            assert query.distinct(names) == db.sql(f"FROM (SELECT {columns})").columns, names


@pytest.mark.parametrize(
    ("rows", "expected"), [(0, "[]\n"), (1, '[{"n":0}]\n'), (3, '[{"n":0},{"n":1},{"n":2}]\n')]
)
def test_json_output_is_one_list(demo_warehouse: Path, rows: int, expected: str) -> None:
    """With no row, one row and several rows."""
    assert written(demo_warehouse, "json", f"SELECT range::INTEGER AS n FROM range({rows})") == expected


@pytest.mark.parametrize(
    "rows", first([query._ROWS_AT_ONCE, 3000, query._ROWS_AT_ONCE - 1, query._ROWS_AT_ONCE + 1], 2)
)
def test_rows_are_complete_and_in_order_over_several_batches(demo_warehouse: Path, rows: int) -> None:
    """Every row once."""
    sql = f"SELECT range AS n, 'a,b' AS t FROM range({rows}) ORDER BY n"
    assert json.loads(written(demo_warehouse, "json", sql)) == [{"n": n, "t": "a,b"} for n in range(rows)]
    _, *lines = csv.reader(io.StringIO(written(demo_warehouse, "csv", sql)))
    assert lines == [[str(n), "a,b"] for n in range(rows)]


@pytest.mark.parametrize("output", first(query.FORMATS))
def test_of_several_statements_the_last_one_is_shown(demo_warehouse: Path, output: str) -> None:
    """The others set up what it needs."""
    assert "one" in written(demo_warehouse, output, "SET threads = 2; SELECT 1 AS one")


@pytest.mark.parametrize("sql", ["", ";", "-- nothing", "/* nothing */;"])
def test_a_query_without_a_statement_is_refused(demo_warehouse: Path, sql: str) -> None:
    """A script with an empty variable must not look like success."""
    with pytest.raises(ConfigurationError, match="contains no statement"):
        written(demo_warehouse, "csv", sql)


class _EnoughError(Exception):
    """The reader stops."""


class _Impatient(io.StringIO):
    """A file that accepts a few writes."""

    left = 3

    def write(self, text: str) -> int:
        self.left -= 1
        if not self.left:
            raise _EnoughError
        return super().write(text)


@pytest.mark.parametrize("output", ["csv", "json", "line", "markdown"])
def test_rows_are_written_while_the_query_runs(demo_warehouse: Path, output: str) -> None:
    """The whole result would not fit into the memory limit."""
    limits = "SET memory_limit = '100MB'; SET max_temp_directory_size = '0KB'"
    rows = "SELECT range AS n, repeat(md5(range::VARCHAR), 3) AS t FROM range(20000000)"
    with pytest.raises(_EnoughError):
        query.run(demo_warehouse, f"{limits}; {rows}", output, _Impatient())


def test_a_table_reads_only_the_rows_that_it_can_show(demo_warehouse: Path) -> None:
    """The query has far too many."""
    shown = written(demo_warehouse, "table", "SELECT range AS n FROM range(1000000000000)")
    assert "(>9999 rows, 200 shown)" in shown
    numbers = [int(line.strip("│ ")) for line in shown.splitlines() if line.strip("│ ").isdecimal()]
    assert numbers == [*range(100), *range(9900, 10_000)]


@pytest.mark.parametrize("output", query.FORMATS)
def test_an_error_in_a_late_row_is_an_error_of_the_query(demo_warehouse: Path, output: str) -> None:
    """Earlier rows may have been written."""
    sql = "SELECT CASE WHEN range < 9000 THEN '1' ELSE 'one' END::INTEGER AS n FROM range(10000)"
    with pytest.raises(ConfigurationError, match="DuckDB does not accept the query: Conversion Error"):
        written(demo_warehouse, output, sql)


#: `ru_maxrss` would count the memory of the process that started this one.
PEAK: Final = """
import sys
from pathlib import Path
from vapi_sessions.warehouse import query
sql = "SELECT repeat('x', 1000) || range AS t, range AS n FROM range(" + sys.argv[3] + ")"
with open("/dev/null", "w") as out:
    query.run(Path(sys.argv[1]), sql, sys.argv[2], out)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.proof
@pytest.mark.parametrize("output", query.FORMATS)
def test_memory_does_not_grow_with_the_rows(demo_warehouse: Path, tmp_path: Path, output: str) -> None:
    """300 MB of text need less than 80 MB more than none."""
    script = tmp_path / "peak.py"
    script.write_text(PEAK)
    few, many = (
        int(subprocess.check_output([sys.executable, script, demo_warehouse, output, rows]))
        for rows in ("0", "300000")
    )
    assert many - few < 80_000
