"""The formats of `vapi-sessions sql` for people: tables of a given width, lines and Markdown."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Final

import pytest
from rich.cells import cell_len

from selection import first
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.warehouse import query
from vapi_sessions.warehouse.reader import connect

DAYS: Final = "FROM cost_by_day ORDER BY day"


def shown(
    warehouse: Path, sql: str, output: str | None = None, *, columns: int | None = None
) -> tuple[str, str | None]:
    """The output and the note, in a terminal of so many columns."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        if columns is not None:
            patch.setenv("COLUMNS", str(columns))
        note = query.run(warehouse, sql, output, out)
    return out.getvalue(), note


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each line of each table."""
    found: list[list[list[str]]] = []
    for line in text.splitlines():
        if line[0] == "┌":
            found.append([])
        elif line[0] == "│":
            found[-1].append([cell.strip() for cell in line.strip("│").split("│")])
    return found


@pytest.mark.parametrize("columns", first([80, 120, 200]))
def test_every_value_of_a_view_is_visible(demo_warehouse: Path, columns: int) -> None:
    """In tables that fit, each with the day."""
    text, note = shown(demo_warehouse, DAYS, columns=columns)
    assert note is None
    assert max(map(cell_len, text.splitlines())) <= columns
    with connect(demo_warehouse) as db:
        view = db.sql(DAYS)
        names, rows = view.columns, view.project("CAST(COLUMNS(*) AS VARCHAR)").fetchall()
    found: list[tuple[str, ...]] = []
    for number, cells in enumerate(tables(text)):
        found += list(zip(*cells, strict=True))[1 if number else 0 :]
    heads = [column[: -len(rows)] for column in found]
    assert ["".join(head) for head in heads] == names
    values = [column[-len(rows) :] for column in found]
    assert list(zip(*values, strict=True)) == [tuple(v or "NULL" for v in row) for row in rows]
    assert text.splitlines()[-1].startswith(f"({len(rows)} rows")


def test_one_wide_row_is_shown_as_lines(demo_warehouse: Path) -> None:
    """A note says how to get tables."""
    text, note = shown(demo_warehouse, "FROM sessions LIMIT 1", columns=80)
    assert re.search(r"^ +session_id = [0-9a-f-]{36}$", text, re.MULTILINE)
    assert text.endswith("\n\n(1 row)\n")
    assert note == "34 columns do not fit into 80 characters; --format table shows tables."
    assert max(map(cell_len, text.splitlines())) <= 80


def test_a_chosen_table_stays_one(demo_warehouse: Path) -> None:
    """As many as necessary; the whole width if the terminal is too narrow even for two columns."""
    text, note = shown(demo_warehouse, "FROM sessions LIMIT 1", "table", columns=80)
    count = len(tables(text))
    assert (count > 4, note) == (True, None)
    assert text.endswith(f"(1 row, 34 columns in {count} tables)\n")
    text, note = shown(demo_warehouse, "SELECT 12345 AS a, 67890 AS b", "table", columns=10)
    assert (tables(text), note) == ([[["a", "b"], ["12345", "67890"]]], None)


def test_without_a_terminal_nothing_is_wrapped(demo_warehouse: Path) -> None:
    """A table in a file has one line a row."""
    text, note = shown(demo_warehouse, "SELECT range AS n, repeat('word ', 100) AS t FROM range(3)")
    assert (len(text.splitlines()), note) == (8, None)


def test_values_look_as_duckdb_writes_them(demo_warehouse: Path) -> None:
    """Nulls, lists, structures, times and numbers."""
    values = (
        "NULL AS a, [1, NULL] AS b, {'x': 'y'} AS c, true AS d, 1.50 AS e, TIMESTAMPTZ '2026-01-01' AS f, "
        "INTERVAL 3 DAY AS g, '\\xAA'::BLOB AS h, '{\"i\":1}'::JSON AS i"
    )
    text, _ = shown(demo_warehouse, f"SELECT {values}")
    assert tables(text)[0][1] == [
        "NULL", "[1, NULL]", "{'x': y}", "true", "1.50", "2026-01-01 00:00:00+00", "3 days", "\\xAA", '{"i":1}',
    ]  # fmt: skip


def test_ids_are_not_wrapped(demo_warehouse: Path) -> None:
    """So that they can be copied; texts become narrower, and columns continue in a further table."""
    ids = (
        "SELECT session_id, created_at, updated_at, org_id, status FROM sessions ORDER BY session_id LIMIT 9"
    )
    with connect(demo_warehouse) as db:
        rows = db.execute(ids).fetchall()
    text, _ = shown(demo_warehouse, ids, columns=80)
    assert [row[0] for row in tables(text)[0] if row[0].count("-") == 4] == [row[0] for row in rows]
    assert text.count(rows[0][3]) == len(rows)
    assert max(map(cell_len, text.splitlines())) <= 80
    text, _ = shown(demo_warehouse, "SELECT uuid() AS a, uuid() AS b", "table", columns=60)
    assert max(map(cell_len, text.splitlines())) <= 60


def test_a_file_with_some_of_the_rows_is_told(demo_warehouse: Path) -> None:
    """Its last line says it too, but nobody looks there."""
    text, note = shown(demo_warehouse, "FROM range(1000)")
    assert text.endswith("(1000 rows, 200 shown)\n")
    assert note == "1000 rows, 200 shown; --format csv, json, line or markdown writes all."


def test_numbers_are_aligned_to_the_right(demo_warehouse: Path) -> None:
    """Of every numeric type; digits that are a text are not."""
    kinds = ("UTINYINT", "INTEGER", "HUGEINT", "UBIGINT", "FLOAT", "DOUBLE", "DECIMAL(9,0)")
    selected = ", ".join(f"range::{kind} AS number_{n}" for n, kind in enumerate(kinds))
    text, _ = shown(demo_warehouse, f"SELECT {selected}, range::VARCHAR AS some_text FROM range(1)")
    *numbers, last = text.splitlines()[3].strip("│").split("│")
    assert [number.endswith("0 ") for number in numbers] == [True] * len(kinds)
    assert last.startswith(" 0 ")


def test_long_values_are_cut_in_tables_only(demo_warehouse: Path) -> None:
    """A table shows 1,000 characters, `line` and `markdown` all of them."""
    sql = "SELECT repeat('x', 5000) AS t"
    text, _ = shown(demo_warehouse, sql, columns=80)
    assert (text.count("x"), text.count("…")) == (1000, 1)
    for output in ("line", "markdown"):
        assert shown(demo_warehouse, sql, output, columns=80)[0].count("x") == 5000


@pytest.mark.parametrize(
    ("sql", "output", "expected"),
    [
        (
            "SELECT 1 AS n, 'x' AS t WHERE false",
            None,
            "┌───┬───┐\n│ n │ t │\n├───┼───┤\n└───┴───┘\n(0 rows)\n",
        ),
        ("FROM sessions WHERE false", None, "(0 rows)\n"),
        ("SELECT 1 AS n WHERE false", "line", "(0 rows)\n"),
        ("SELECT 1 AS n WHERE false", "markdown", "| n |\n| ---: |\n"),
    ],
)
def test_no_rows(demo_warehouse: Path, sql: str, output: str | None, expected: str) -> None:
    """There is an answer, and no note."""
    assert shown(demo_warehouse, sql, output, columns=80) == (expected, None)


def test_lines_are_one_value_each(demo_warehouse: Path) -> None:
    """Names are aligned, rows are separated by an empty line."""
    text, _ = shown(demo_warehouse, "SELECT range AS n, 'a\nb = c' AS text FROM range(2)", "line")
    row = "   n = {}\ntext = a\n       b = c\n"
    assert text == row.format(0) + "\n" + row.format(1)


@pytest.mark.parametrize(("output", "row"), first([("line", r"^n = (\d+)$"), ("markdown", r"^\| (\d+) \|$")]))
def test_all_rows_are_there_in_order(demo_warehouse: Path, output: str, row: str) -> None:
    """Those of many batches, which several threads could make."""
    text, _ = shown(demo_warehouse, "SELECT range AS n FROM range(30000) ORDER BY hash(n), n", output)
    found = [int(number) for number in re.findall(row, text, re.MULTILINE)]
    with connect(demo_warehouse) as db:
        expected = db.execute("SELECT range FROM range(30000) ORDER BY hash(range), range").fetchall()
    assert found == [number for (number,) in expected]


def test_markdown_shows_data_as_it_is(demo_warehouse: Path) -> None:
    """What would end a cell or be interpreted is escaped. Names of columns are not, because `_` inside of a word means nothing."""
    text, _ = shown(
        demo_warehouse,
        r"""SELECT 'a|b\c' AS first_name, 'one' || chr(10) || 'two' AS "x|y", '<b> *x* _i_ [l](u) `c` ~s~ &amp;' AS m, 5 AS n""",
        "markdown",
    )
    assert text.splitlines() == [
        r"| first_name | x\|y | m | n |",
        "| --- | --- | --- | ---: |",
        r"| a\|b\\c | one<br>two | \<b> \*x\* \_i\_ \[l](u) \`c\` \~s\~ \&amp; | 5 |",
    ]


@pytest.mark.parametrize("output", [None, "table", "line", "markdown"])
def test_control_characters_are_escaped(demo_warehouse: Path, output: str | None) -> None:
    """In values and in names, also those that reverse the direction of a line."""
    odd = "".join(map(chr, (27, 7, 13, 9, 0x9B, 0x202E, 0x2066)))
    text, _ = shown(demo_warehouse, f"SELECT 'a{odd}' AS \"b{odd}\", 1 AS c", output)
    assert not set(odd) & set(text)
    escapes = r"\x1b\x07\x0d\t\x9b\u202e\u2066"
    assert text.count(escapes.replace("\\", "\\\\") if output == "markdown" else escapes) == 2


def test_variables_of_the_program_are_not_tables(demo_warehouse: Path) -> None:
    """DuckDB would find those that hold a relation or a table of Arrow."""
    for name in ("relation", "answer", "db"):
        with pytest.raises(ConfigurationError, match=f"Table with name {name} does not exist"):
            shown(demo_warehouse, f"FROM {name}")


@pytest.mark.parametrize("output", query.FORMATS)
def test_a_script_shows_its_last_result(demo_warehouse: Path, output: str) -> None:
    """It can create tables beside the published ones."""
    script = "CREATE TEMP TABLE t AS SELECT 41 AS n;\n-- a comment; with a semicolon\nSELECT n + 1 AS answer FROM t;\n"
    text, _ = shown(demo_warehouse, script, output)
    assert "answer" in text
    assert "42" in text


def test_a_syntax_error_in_a_script_names_the_line(demo_warehouse: Path) -> None:
    """A script can be long."""
    with pytest.raises(ConfigurationError, match=r'syntax error at or near "SELEKT" in line 3\n') as refused:
        shown(demo_warehouse, "SELECT 1;\n\nSELEKT 2;")
    assert refused.value.remedy.startswith("An example: ")
