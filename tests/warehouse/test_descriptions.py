"""Tables, views and columns say what they mean: in `vapi.duckdb`, in a connection, and in the fields of Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from publications import JANUARY, MARCH, PublishedWarehouse, full, small_parts

import vapi_sessions
from vapi_sessions import schema
from vapi_sessions.core.timestamps import HOUR
from vapi_sessions.warehouse.descriptions import described

#: Comments of columns, and of tables and views.
OF_COLUMNS = (
    "SELECT schema_name, table_name, column_name, comment FROM duckdb_columns() WHERE database_name = current_database() "
    "AND NOT internal"
)
OF_VIEWS = "SELECT schema_name, view_name, comment FROM duckdb_views() WHERE database_name = current_database() AND NOT internal"
OF_TABLES = (
    "SELECT schema_name, table_name, comment FROM duckdb_tables() WHERE database_name = current_database()"
)


def declared(columns: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The same columns with their declared descriptions."""
    known = described()
    return [(place, name, column, known[place, name].describe(column)) for place, name, column, _ in columns]


@pytest.fixture(scope="module")
def published(demo_warehouse: Path) -> Path:
    """The database that people open."""
    return demo_warehouse / "vapi.duckdb"


def test_the_published_database_describes_everything(published: Path) -> None:
    """Each table, each view, and each column, as declared."""
    with duckdb.connect(published, read_only=True) as db:
        columns = db.execute(OF_COLUMNS).fetchall()
        places = db.execute(f"{OF_VIEWS} UNION ALL {OF_TABLES}").fetchall()
    assert len(columns) > 250
    assert columns == declared(columns)
    assert {(place, name): text for place, name, text in places} == {
        key: one.description for key, one in described().items()
    }


def test_a_connection_has_the_same_descriptions(published: Path) -> None:
    """Cursors have them too."""
    with duckdb.connect(published, read_only=True) as db:
        columns = db.execute(OF_COLUMNS).fetchall()
        places = db.execute(f"{OF_VIEWS} UNION ALL {OF_TABLES}").fetchall()
    with vapi_sessions.connect(published.parent) as db:
        for cursor in (db, db.cursor()):
            assert sorted(cursor.execute(OF_COLUMNS).fetchall()) == sorted(columns)
            assert sorted(cursor.execute(f"{OF_VIEWS} UNION ALL {OF_TABLES}").fetchall()) == sorted(places)


def test_a_table_of_the_user_is_left_alone(tmp_path: Path) -> None:
    """A table that was added to the published database, with comments or without."""
    with PublishedWarehouse(tmp_path / "warehouse") as warehouse:
        warehouse.publish()
        with duckdb.connect(warehouse.layout.published) as db:
            db.execute("CREATE TABLE sync.notes AS SELECT 1 AS one").fetchall()
            db.execute("CREATE TABLE aliens AS SELECT 1 AS session_id").fetchall()
        with vapi_sessions.connect(warehouse.layout.root) as db:
            found = db.execute(f"{OF_COLUMNS} AND table_name IN ('notes', 'aliens')").fetchall()
    assert sorted(found) == [("main", "aliens", "session_id", None), ("sync", "notes", "one", None)]


def test_an_older_ledger_is_shown_with_what_it_has(tmp_path: Path) -> None:
    """A column that an earlier version did not have is no error."""
    with PublishedWarehouse(tmp_path / "warehouse") as warehouse:
        warehouse.publish()
        with duckdb.connect(warehouse.layout.published) as db:
            db.execute("ALTER TABLE sync.runs DROP COLUMN program_version").fetchall()
        with vapi_sessions.connect(warehouse.layout.root) as db:
            columns = db.execute(f"{OF_COLUMNS} AND table_name = 'runs'").fetchall()
    assert len(columns) > 20
    assert sorted(columns) == sorted(declared(columns))


# -- Parquet -----------------------------------------------------------------------------------------------------------


def texts(path: Path) -> dict[str, str]:
    """The description of each field of a file."""
    return {field.name: field.metadata[b"description"].decode() for field in pq.read_schema(path)}


def test_parquet_fields_have_the_descriptions_of_their_columns(tmp_path: Path) -> None:
    """Files with rows, and the empty ones of a new warehouse."""
    with PublishedWarehouse(tmp_path / "warehouse") as warehouse:
        warehouse.publish()
        empty = warehouse.snapshot
        warehouse.merge(full("a", 1, MARCH))
        warehouse.publish()
        for table in schema.TABLES:
            for snapshot in (empty, warehouse.snapshot):
                (path,) = snapshot.joinpath(table.name).rglob("*.parquet")
                assert texts(path) == {column.name: column.description for column in table.columns}


@pytest.fixture
def mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A warehouse whose January was written before there were descriptions, and its March after that."""
    small_parts(monkeypatch, 20)
    with PublishedWarehouse(tmp_path / "warehouse") as warehouse:
        with monkeypatch.context() as before:
            before.setattr(schema.Table, "parquet", schema.Table.arrow)
            warehouse.merge(full("january", 1, JANUARY), full("old", 2, MARCH))
            warehouse.publish()
        warehouse.merge(full("march", 3, MARCH), full("old", 4, MARCH, updated=HOUR, other=True))
        warehouse.publish()
        yield warehouse


def test_files_with_and_without_descriptions_are_read_together(mixed: PublishedWarehouse) -> None:
    """By pyarrow, polars and DuckDB, in either order."""
    for table in schema.TABLES:
        files = mixed.files(table.name)
        assert len(files) == 2
        assert [bool(pq.read_schema(path).field("session_id").metadata) for path in files] == [False, True]
        expected = sorted({"january", "old", "march"})
        for paths in (files, files[::-1]):
            names = [str(path) for path in paths]
            of_arrow = ds.dataset(names).to_table(columns=["session_id"])["session_id"].to_pylist()
            of_polars = pl.scan_parquet(names).select("session_id").collect()["session_id"].to_list()
            of_duckdb = [name for (name,) in duckdb.read_parquet(names).select("session_id").fetchall()]
            for found in (of_arrow, of_polars, of_duckdb):
                assert sorted(set(found)) == expected
        glob = mixed.snapshot / table.name / "*" / "*.parquet"
        assert pl.scan_parquet(glob, hive_partitioning=False).collect().columns == table.arrow.names
        assert ds.dataset(mixed.snapshot / table.name).to_table(columns=table.arrow.names).num_rows >= 3


def test_a_file_without_descriptions_is_a_source_of_rows(mixed: PublishedWarehouse) -> None:
    """Its part is written again from it, and not from `raw/`."""
    for path in mixed.layout.raw.iterdir():
        path.unlink()
    mixed.merge(full("late", 9, JANUARY + HOUR))
    mixed.publish()
    rows = mixed.tables()["messages"]
    assert {row["session_id"] for row in rows} == {"january", "old", "march", "late"}
    assert texts(mixed.files("messages")[0])["role"] == schema.MESSAGES.describe("role")
