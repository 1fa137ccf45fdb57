"""The declarations of tables: names, types, keys and documentation."""

from __future__ import annotations

import re
from typing import get_args

import duckdb
import pyarrow as pa
import pytest

from vapi_sessions import schema
from vapi_sessions.schema import CHILDREN, RAW, TABLES, Column, SqlType, Table
from vapi_sessions.warehouse.index_schema import INDEX, SYNC_TABLES, UNREADABLE

ALL = (*TABLES, *SYNC_TABLES, INDEX)


def ids(table: Table) -> str:
    """The id of a case."""
    return table.name


@pytest.mark.parametrize("table", ALL, ids=ids)
def test_each_column_has_a_description_and_a_snake_case_name(table: Table) -> None:
    """Descriptions are sentences, and no name occurs twice."""
    assert table.description.endswith(".")
    for column in table.columns:
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", column.name)
        assert len(column.description) > 5
        assert column.description[-1] in ".…"
    names = [column.name for column in table.columns]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("table", ALL, ids=ids)
def test_key_columns_are_declared_and_required(table: Table) -> None:
    """So is the column by which a table is cut, except for unreadable sessions without a createdAt."""
    columns = {column.name: column for column in table.columns}
    for name in (*table.key, table.created_at):
        assert columns[name].required or (table is UNREADABLE and name == "created_at")


@pytest.mark.parametrize("table", TABLES, ids=ids)
def test_key_columns_are_published(table: Table) -> None:
    """Readers can tell rows apart."""
    published = {column.name for column in table.columns}
    assert {*table.key, table.created_at} <= published


@pytest.mark.parametrize("table", CHILDREN, ids=ids)
def test_child_tables_begin_with_their_session_and_its_created_at(table: Table) -> None:
    """They are replaced as a set by the one, and pruned by the other."""
    first, second = table.columns[:2]
    assert (first.name, first.type, first.required) == ("session_id", "VARCHAR", True)
    assert (second.name, second.type, second.required) == ("session_created_at", "TIMESTAMPTZ", True)
    assert table.created_at == "session_created_at"


@pytest.mark.parametrize("type_", get_args(SqlType))
def test_every_type_maps_to_arrow_as_duckdb_does(type_: SqlType) -> None:
    """DuckDB's Arrow type of a column is the declared one."""
    column = Column("c", type_, "A column.")
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'").fetchall()
        db.execute(f"CREATE TABLE t (c {column.storage_type})").fetchall()
        found = db.sql("FROM t").to_arrow_table().schema.field("c")
    assert found.type == column.arrow.type


@pytest.mark.parametrize("required", [True, False])
def test_nullability_maps_to_arrow(required: bool) -> None:
    """A required column is not nullable."""
    assert Column("c", "VARCHAR", "A column.", required).arrow.nullable is not required


def test_json_is_stored_as_text() -> None:
    """Parquet's JSON type would make other readers see bytes."""
    column = Column("c", "JSON", "A column.")
    assert (column.storage_type, column.arrow.type) == ("VARCHAR", pa.string())


@pytest.mark.parametrize("table", ALL, ids=ids)
def test_ddl_creates_the_declared_table(table: Table) -> None:
    """Names, types, order and NOT NULL, without a key or an index. It can run twice."""
    with duckdb.connect() as db:
        db.execute("CREATE SCHEMA sync").fetchall()
        for _ in range(2):
            db.execute(table.ddl("sync")).fetchall()
        found = db.execute(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
            "WHERE table_name = ? ORDER BY ordinal_position",
            [table.name],
        ).fetchall()
        constraints = db.execute(
            "SELECT DISTINCT constraint_type FROM duckdb_constraints() WHERE constraint_type <> 'NOT NULL'"
        ).fetchall()
        indexes = db.execute("SELECT count(*) FROM duckdb_indexes()").fetchall()
    long = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}
    assert found == [
        (c.name, long.get(c.storage_type, c.storage_type), "NO" if c.required else "YES")
        for c in table.columns
    ]
    assert (constraints, indexes) == ([], [(0,)])


@pytest.mark.parametrize("table", ALL, ids=ids)
def test_the_arrow_schema_has_every_column_in_order(table: Table) -> None:
    """The order of the declaration."""
    assert table.arrow.names == [column.name for column in table.columns]


@pytest.mark.parametrize("table", TABLES, ids=ids)
def test_units_are_in_names(table: Table) -> None:
    """Only times end in _at, and only amounts of money in _usd."""
    for column in table.columns:
        assert (column.type == "TIMESTAMPTZ") == column.name.endswith("_at")
        assert not column.name.endswith("_usd") or column.type == "DOUBLE"


def test_the_index_is_narrow_and_its_own_columns_are_not_published() -> None:
    """Its only texts are the id and the growth. Columns that are published too have the same types."""
    published = {column.name: column.type for column in schema.SESSIONS.columns}
    own = {column.name: column.type for column in INDEX.columns}
    assert [name for name, kind in own.items() if kind == "VARCHAR"] == ["session_id", "growth"]
    shared = own.keys() & published.keys() - {"content_hash"}  # the index has its first half
    assert {name: own[name] for name in shared} == {name: published[name] for name in shared}
    assert own.keys() - published.keys() == {
        "seq",
        "batch",
        "messages_hash",
        "costs_hash",
        "outputs_hash",
        "growth",
        "mark_seq",
    }


def test_raw_has_the_declared_columns() -> None:
    """Only columns that an unreadable session may not have are nullable."""
    assert RAW.names == [
        "session_id",
        "org_id",
        "created_at",
        "updated_at",
        "requested_at",
        "seq",
        "run_id",
        "kind",
        "body",
    ]
    optional = [
        "session_id",
        "org_id",
        "created_at",
        "updated_at",
        "body",
    ]
    assert [field.name for field in RAW if field.nullable] == optional


def test_the_documentation_has_every_published_column() -> None:
    """It is generated from the declarations, descriptions included."""
    text = schema.as_markdown()
    for table in TABLES:
        assert table.description in text
        for column in table.columns:
            assert f"`{column.name}`" in text
            assert column.description.replace("|", "\\|") in text
