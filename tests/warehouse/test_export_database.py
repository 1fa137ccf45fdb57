"""The portable DuckDB file: native tables with the published rows, and views that work without the warehouse."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

import duckdb
import pytest

import vapi_sessions
from exporting import exported, opened, rows_of
from selection import first
from vapi_sessions import schema
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.warehouse import export_source, reader
from vapi_sessions.warehouse import portable as portable_file
from vapi_sessions.warehouse.index_schema import SYNC_TABLES
from vapi_sessions.warehouse.view_files import view_files

TABLES: Final = [table.name for table in schema.TABLES]
LEDGER: Final = [f"sync.{table.name}" for table in SYNC_TABLES]
VIEWS: Final = [view.name for view in view_files()]


@pytest.fixture(scope="module")
def portable(demo_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the demo warehouse."""
    return exported(demo_warehouse, tmp_path_factory.mktemp("portable") / "vapi-export.duckdb")


@pytest.mark.parametrize("names", first([TABLES, LEDGER, VIEWS], 2), ids=["tables", "ledger", "views"])
def test_the_file_answers_as_the_warehouse(demo_warehouse: Path, portable: Path, names: list[str]) -> None:
    """Every row of every table and view, with equal names and types of columns."""
    with vapi_sessions.connect(demo_warehouse) as db, opened(portable) as ours:
        assert rows_of(ours, names) == rows_of(db, names)
        for name in names:
            described = [db.execute(f"DESCRIBE {name}").fetchall() for db in (db, ours)]
            assert [row[:2] for row in described[0]] == [row[:2] for row in described[1]]


def test_tables_are_native_and_views_are_views(portable: Path) -> None:
    """JSON is JSON, required columns are NOT NULL, and nothing refers to a file."""
    with opened(portable) as db:
        tables = db.execute("SELECT schema_name || '.' || table_name FROM duckdb_tables()").fetchall()
        views = db.execute("SELECT view_name, sql FROM duckdb_views() WHERE NOT internal").fetchall()
        columns = db.execute(
            "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() "
            "WHERE schema_name = 'main' AND table_name IN (SELECT table_name FROM duckdb_tables())"
        ).fetchall()
    assert {name for (name,) in tables} == {*(f"main.{name}" for name in TABLES), *LEDGER}
    assert {name for name, _ in views} == set(VIEWS)
    assert not any("parquet" in sql for _, sql in views)
    declared = {
        (
            table.name,
            c.name,
            "TIMESTAMP WITH TIME ZONE" if c.type == "TIMESTAMPTZ" else c.type,
            not c.required,
        )
        for table in schema.TABLES
        for c in table.columns
    }
    assert set(columns) == declared


def test_the_file_is_private_and_nothing_is_beside_it(portable: Path) -> None:
    """Mode 0600, as in the warehouse; no log and no temporary file."""
    assert stat.S_IMODE(portable.stat().st_mode) == 0o600
    assert list(portable.parent.iterdir()) == [portable]


@pytest.mark.proof
def test_days_are_those_of_the_warehouses_time_zone(demo_warehouse: Path, tmp_path: Path) -> None:
    """The views in the file have the zone that the warehouse has stored."""
    with reader.reading(demo_warehouse) as db:
        export_source.prepare(db, demo_warehouse, tmp_path, tables_only=True)
        db.execute("DELETE FROM memory.sync.state").fetchall()
        db.execute("INSERT INTO memory.sync.state VALUES ('time_zone', 'Asia/Tokyo')").fetchall()
        portable_file.write_database(db, tmp_path / "x.duckdb", None)
    with opened(tmp_path / "x.duckdb") as db:
        days = "SELECT count(DISTINCT CAST(created_at AT TIME ZONE 'Asia/Tokyo' AS DATE)) FROM sessions"
        assert db.execute("SELECT count(*) FROM cost_by_day").fetchall() == db.execute(days).fetchall()
        (sql,) = db.execute("SELECT sql FROM duckdb_views() WHERE view_name = 'cost_by_day'").fetchall()[0]
        assert "Asia/Tokyo" in sql


@pytest.mark.parametrize(
    ("given", "tag"), first([(None, "v1.0.0+"), ("1.4.4", "v1.4.0+"), ("v1.2.0", "v1.2.0+")])
)
def test_the_format_is_that_of_the_storage_version(
    demo_warehouse: Path, tmp_path: Path, given: str | None, tag: str
) -> None:
    """By default that of `vapi.duckdb`."""
    path = exported(demo_warehouse, tmp_path / "x.duckdb", version=given)
    with duckdb.connect(path, read_only=True) as db:
        ((tags,),) = db.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'x'").fetchall()
    assert tags["storage_version"] == tag


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("v0.10.2", "too old for the views"),
        ("v9.9.9", "does not know version v9.9.9"),
        ("v1.2.99", "does not know version"),
        ("latest", "'latest' is not a version"),
        ("1'0", "is not a version"),
        ("", "is not a version"),
    ],
)
def test_another_storage_version_is_refused(
    demo_warehouse: Path, tmp_path: Path, given: str, message: str
) -> None:
    """Before anything is written."""
    with pytest.raises(ConfigurationError, match=message):
        exported(demo_warehouse, tmp_path / "x.duckdb", version=given)
    assert list(tmp_path.iterdir()) == []


def test_tables_views_and_columns_have_their_comments(demo_warehouse: Path, portable: Path) -> None:
    """The same as in a connection to the warehouse."""
    comments = (
        "SELECT schema_name, table_name, NULL, comment FROM duckdb_tables() WHERE NOT internal AND database_name = $1 "
        "UNION ALL SELECT schema_name, view_name, NULL, comment FROM duckdb_views() WHERE NOT internal AND database_name = $1 "
        "UNION ALL SELECT schema_name, table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal AND database_name = $1"
    )
    with vapi_sessions.connect(demo_warehouse) as db, opened(portable) as ours:
        expected = set(db.execute(comments, ["memory"]).fetchall())
        found = set(ours.execute(comments, [portable.stem]).fetchall())
    assert found == expected
    assert sum(comment is None for *_, comment in found) < len(found) / 2
    assert {comment for _, name, column, comment in found if (name, column) == ("sessions", None)} == {
        schema.SESSIONS.description
    }


@pytest.mark.proof
def test_a_file_for_duckdb_1_3_has_no_text_that_it_would_misread(
    demo_warehouse: Path, tmp_path: Path
) -> None:
    """It reads null where DuckDB 2 has used this compression; 1.4 does not."""
    used = {}
    for version in ("v1.3.2", "v1.4.0"):
        path = exported(demo_warehouse, tmp_path / f"{version}.duckdb", version=version)
        with opened(path) as db:
            found = db.execute("SELECT DISTINCT compression FROM pragma_storage_info('sessions')").fetchall()
        used[version] = {compression for (compression,) in found}
    assert "DICT_FSST" not in used["v1.3.2"]
    assert "DICT_FSST" in used["v1.4.0"]
