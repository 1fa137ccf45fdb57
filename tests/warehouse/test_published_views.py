"""`vapi.duckdb`: views over the files of a snapshot, and a copy of the ledger."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from publications import (
    JANUARY,
    MARCH,
    NAMES,
    PublishedWarehouse,
    full,
    small_parts,
    with_three_months,
)

import vapi_sessions
from vapi_sessions import schema
from vapi_sessions.core import resources
from vapi_sessions.core.timestamps import HOUR
from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError
from vapi_sessions.warehouse.index_schema import SYNC_TABLES


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[PublishedWarehouse]:
    """An empty warehouse."""
    with PublishedWarehouse(tmp_path / "warehouse") as opened:
        yield opened


@pytest.fixture
def three_months(warehouse: PublishedWarehouse) -> PublishedWarehouse:
    """One published session in each of three months."""
    return with_three_months(warehouse)


@pytest.fixture
def rich(warehouse: PublishedWarehouse, monkeypatch: pytest.MonkeyPatch) -> PublishedWarehouse:
    """A few hundred sessions in three months and many files, published twice."""
    small_parts(monkeypatch, 20)
    rng = random.Random(1)
    created = [rng.randrange(JANUARY, MARCH) for _ in range(200)]
    warehouse.merge(*(full(f"s-{n:03d}", 1, at) for n, at in enumerate(created)))
    warehouse.publish()
    warehouse.merge(*(full(f"s-{n:03d}", 2, created[n], updated=HOUR) for n in range(0, 200, 17)))
    warehouse.publish()
    return warehouse


@pytest.mark.proof
def test_a_glob_over_a_table_equals_its_view(rich: PublishedWarehouse) -> None:
    """Polars and DuckDB show the same rows and columns for the plain files as for the published view."""
    for table in schema.TABLES:
        glob = f"{rich.layout.parquet}/latest/{table.name}/*/*.parquet"
        order = ", ".join(table.key)
        plain = ", ".join(column.name for column in table.columns)
        as_text = ", ".join(
            f"{c.name}::VARCHAR AS {c.name}" if c.type == "JSON" else c.name for c in table.columns
        )
        by_polars = pl.read_parquet(glob, hive_partitioning=False).sort(table.key)
        with duckdb.connect() as db:
            db.execute("SET TimeZone = 'UTC'").fetchall()
            files = f"read_parquet('{glob}', hive_partitioning = false)"
            by_duckdb = db.sql(f"SELECT {plain} FROM {files} ORDER BY {order}").pl()
        with vapi_sessions.connect(rich.layout.root) as db:
            by_view = db.sql(f"SELECT {as_text} FROM {table.name} ORDER BY {order}").pl()
        assert by_polars.height >= 200
        assert by_polars.columns == [column.name for column in table.columns]
        assert by_duckdb.equals(by_polars)
        assert by_view.equals(by_polars)


def test_all_files_of_a_table_have_the_declared_schema(warehouse: PublishedWarehouse) -> None:
    """The empty files of a new warehouse have the same names and types as files with rows."""
    warehouse.publish()
    empty = warehouse.snapshot
    warehouse.merge(full("a", 1, MARCH))
    warehouse.publish()
    for table in schema.TABLES:
        declared = [(column.name, column.arrow.type) for column in table.columns]
        for snapshot in (empty, warehouse.snapshot):
            (path,) = snapshot.joinpath(table.name).rglob("*.parquet")
            assert [(field.name, field.type) for field in pq.read_schema(path)] == declared


def test_latest_resolves_to_the_newest_snapshot(three_months: PublishedWarehouse) -> None:
    """It is a relative link, so that a warehouse can be moved."""
    link = three_months.layout.parquet / "latest"
    first = link.readlink()
    assert not first.is_absolute()
    three_months.merge(full("mar", 9, MARCH, updated=HOUR))
    three_months.publish()
    assert link.readlink() != first
    assert (link / "sessions").is_dir()
    assert link.readlink().name == three_months.index.state()["snapshot"]


@pytest.mark.proof
def test_the_views_of_an_empty_warehouse_have_no_rows(warehouse: PublishedWarehouse) -> None:
    """No table, view or glob fails before the first session."""
    assert warehouse.publish() is True
    for name in NAMES:
        assert warehouse.ask(f"FROM {name}") == []
        assert pl.read_parquet(warehouse.snapshot / name / "*" / "*.parquet").height == 0
    views = [path.stem for path in resources.sql_files("views")]
    assert views
    for view in views:
        rows = warehouse.ask(f"SELECT COUNT(*) FROM {view}")
        assert rows == [(1 if view == "freshness" else 0,)], view
    assert warehouse.ask("SELECT count(*) FROM sync.runs") == [(0,)]


@pytest.mark.proof  # `test_connect` queries all of them in another warehouse
def test_every_view_can_be_queried(rich: PublishedWarehouse) -> None:
    """The published database has all views of `sql/views`."""
    with vapi_sessions.connect(rich.layout.root) as db:
        for path in resources.sql_files("views"):
            assert db.execute(f"SELECT count(*) >= 0 FROM {path.stem}").fetchall() == [(True,)]


def test_json_columns_are_json_in_the_views(three_months: PublishedWarehouse) -> None:
    """JSON operators work on them."""
    assert three_months.ask("SELECT metadata->'variableValues'->>'a' FROM sessions LIMIT 1") == [("1",)]
    assert three_months.ask("SELECT result->>'score' FROM structured_outputs LIMIT 1") == [("5",)]


def test_a_reader_keeps_the_state_it_opened(three_months: PublishedWarehouse) -> None:
    """A publication changes nothing for an open reader, and a new reader sees the new state."""
    inode = three_months.layout.published.stat().st_ino
    with vapi_sessions.connect(three_months.layout.root) as reader:
        assert reader.execute("SELECT count(*) FROM sessions").fetchall() == [(3,)]
        three_months.merge(full("new", 9, MARCH))
        three_months.publish()
        assert reader.execute("SELECT count(*) FROM sessions").fetchall() == [(3,)]
        assert reader.execute("SELECT count(*) FROM messages").fetchall() == [(6,)]
        with vapi_sessions.connect(three_months.layout.root) as later:
            assert later.execute("SELECT count(*) FROM sessions").fetchall() == [(4,)]
    assert three_months.layout.published.stat().st_ino != inode


def test_duckdb_opens_the_views_without_us(three_months: PublishedWarehouse, tmp_path: Path) -> None:
    """In another process, from any directory, while the writer has its own database open."""
    code = "import duckdb, sys; print(duckdb.connect(sys.argv[1], read_only=True).execute(sys.argv[2]).fetchall())"
    query = "SELECT count(*) FROM sessions JOIN messages USING (session_id)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(three_months.layout.published), query],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.stdout == "[(6,)]\n", done.stderr


def test_a_moved_warehouse_can_be_read(three_months: PublishedWarehouse, tmp_path: Path) -> None:
    """The views find the files at the new path, also with a quote in it."""
    three_months.index.checkpoint()
    moved = tmp_path / "it's moved"
    three_months.layout.root.rename(moved)
    with vapi_sessions.connect(moved) as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchall() == [(3,)]
    moved.rename(three_months.layout.root)


def test_the_ledger_is_published(three_months: PublishedWarehouse) -> None:
    """Every table of `sync` is there, with its rows. Only the fact since when this snapshot is shown is written later."""
    for table in SYNC_TABLES:
        columns = three_months.ask(f"SELECT column_name FROM (DESCRIBE sync.{table.name})")
        assert [name for (name,) in columns] == [column.name for column in table.columns]
    published = dict(three_months.ask("SELECT key, value FROM sync.state"))
    assert {"shown", *published} == three_months.index.state().keys()
    assert published.items() <= three_months.index.state().items()


def test_connecting_without_a_publication_is_an_error(tmp_path: Path) -> None:
    """The message says what to do."""
    with pytest.raises(ConfigurationError, match="There is no published warehouse") as caught:
        vapi_sessions.connect(tmp_path)
    assert "sync" in caught.value.remedy


def test_damaged_views_are_an_error_until_the_next_publication(three_months: PublishedWarehouse) -> None:
    """The publication replaces them."""
    three_months.layout.published.write_bytes(b"no database at all" * 1000)
    with pytest.raises(WarehouseDamagedError):
        vapi_sessions.connect(three_months.layout.root)
    three_months.publish()
    assert three_months.ask("SELECT count(*) FROM sessions") == [(3,)]
