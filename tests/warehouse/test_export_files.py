"""Tables and views as CSV and Parquet files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import vapi_sessions
from exporting import exported
from selection import first
from vapi_sessions import schema
from vapi_sessions.warehouse import query, table_files
from vapi_sessions.warehouse.view_files import view_files
from worlds import World

TABLES: Final = [table.name for table in schema.TABLES]
#: A table, a view with a list, a view with JSON, and a table of the ledger.
NAMES: Final = ["messages", "session_summary", "structured_output_values", "sync.runs"]


@pytest.mark.proof
@pytest.mark.parametrize("output", first(["csv", "parquet"]))
def test_without_names_every_table_has_a_file(demo_warehouse: Path, tmp_path: Path, output: str) -> None:
    """Views are written if they are named."""
    path = exported(demo_warehouse, tmp_path / "tables", output=output)
    assert {file.name for file in path.iterdir()} == {f"{name}.{output}" for name in TABLES}
    path = exported(demo_warehouse, tmp_path / "views", "cost_by_day", "drift", "drift", output=output)
    assert {file.name for file in path.iterdir()} == {f"cost_by_day.{output}", f"drift.{output}"}


@pytest.mark.parametrize("name", first(NAMES[1:] + NAMES[:1], 1))
def test_csv_has_the_lines_of_sql(demo_warehouse: Path, tmp_path: Path, name: str) -> None:
    """Times in ISO 8601, JSON as text. Their order is not defined."""
    path = exported(demo_warehouse, tmp_path / "x", name, output="csv")
    out = io.StringIO(newline="")
    query.run(demo_warehouse, f"FROM {name}", "csv", out)
    header, *rows = _lines(out.getvalue())
    found, *lines = _lines((path / f"{name}.csv").read_bytes().decode())
    assert found == header
    assert sorted(lines) == sorted(rows)
    assert rows


def test_csv_has_no_formulas(world: World, tmp_path: Path) -> None:
    """A text that a spreadsheet would execute gets an apostrophe, as in `sql`."""
    world.insert(1, lambda n: (world.ago(hours=2), world.ago(hours=1)), name="=HYPERLINK(1)")
    world.sync()
    path = exported(world.warehouse, tmp_path / "x", "sessions", output="csv")
    header, values = _lines((path / "sessions.csv").read_bytes().decode())
    row = dict(zip(header, values, strict=True))
    assert row["name"] == "'=HYPERLINK(1)"
    assert row["created_at"].endswith("Z")


@pytest.mark.parametrize("name", first([*NAMES[1:], *TABLES], 1))
def test_parquet_has_the_rows_of_the_table_or_view(
    demo_warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In one file with zstd; also if it has several row groups."""
    monkeypatch.setattr(table_files, "_GROUP_BYTES", 100_000)
    path = exported(demo_warehouse, tmp_path / "x", name, output="parquet") / f"{name}.parquet"
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
        assert {group.column(0).compression for group in groups} == {"ZSTD"}
        assert all(group.num_rows for group in groups)
        assert len(groups) > 1 or name != "messages"
    with vapi_sessions.connect(demo_warehouse) as db:
        rows = db.execute(f"FROM {name}").fetchall()
        found = db.execute(f"FROM read_parquet('{path}')").fetchall()
    assert sorted(found, key=repr) == sorted(rows, key=repr)


@pytest.mark.parametrize("table", schema.TABLES, ids=lambda table: table.name)
def test_parquet_has_the_columns_of_the_published_files(
    demo_warehouse: Path, tmp_path: Path, table: schema.Table
) -> None:
    """With their types, nullability and descriptions."""
    path = exported(demo_warehouse, tmp_path / "x", table.name, output="parquet")
    found = pq.read_schema(path / f"{table.name}.parquet")
    assert found.remove_metadata().equals(table.parquet, check_metadata=False)
    assert {field.name: _described(field) for field in found} == {
        c.name: c.description for c in table.columns
    }


def test_columns_of_views_have_descriptions(demo_warehouse: Path, tmp_path: Path) -> None:
    """Those that the view files give; JSON is text."""
    view = next(view for view in view_files() if view.name == "session_summary")
    path = exported(demo_warehouse, tmp_path / "x", view.name, output="parquet")
    found = pq.read_table(path / "session_summary.parquet")
    assert {field.name: _described(field) for field in found.schema} == {
        name: view.describe(name) for name in found.column_names
    }
    assert found.schema.field("structured_outputs").type == pa.string()
    assert all(json.loads(text) for text in found.column("structured_outputs").to_pylist() if text)


def _lines(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def _described(field: pa.Field) -> str | None:
    text = (field.metadata or {}).get(b"description")
    return None if text is None else text.decode()
