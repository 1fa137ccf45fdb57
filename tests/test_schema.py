"""The declarations from which DDL, Arrow schemas and documentation derive."""

from __future__ import annotations

import re
from typing import get_args

import duckdb
import pyarrow as pa
import pytest

from vapi_sessions import schema
from vapi_sessions.schema import CHILDREN, INDEX, RAW, SYNC_TABLES, TABLES, UNREADABLE, Column, SqlType, Table

ALL = (*TABLES, *SYNC_TABLES, INDEX)


def ids(table: Table) -> str:
    """Name of a case."""
    return table.name


@pytest.mark.parametrize("table", ALL, ids=ids)
def test_each_column_is_described_and_named_by_the_rules(table: Table) -> None:
    """A sentence each; snake_case; no name twice."""
    assert table.description.endswith(".")
    for column in table.columns:
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", column.name)
        assert len(column.description) > 5
        assert column.description[-1] in ".…"
    names = [column.name for column in table.columns]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("table", ALL, ids=ids)
def test_the_key_is_declared_and_required(table: Table) -> None:
    """As is the column that ranges are cut on, but for a session that does not say when it was created."""
    columns = {column.name: column for column in table.columns}
    for name in (*table.key, table.created_at):
        assert columns[name].required or (table is UNREADABLE and name == "created_at")


@pytest.mark.parametrize("table", TABLES, ids=ids)
def test_a_key_can_be_published(table: Table) -> None:
    """What tells rows apart is not internal."""
    published = {column.name for column in table.columns}
    assert {*table.key, table.created_at} <= published


@pytest.mark.parametrize("table", CHILDREN, ids=ids)
def test_children_carry_their_session_and_its_beginning(table: Table) -> None:
    """By which they are replaced as a set, and pruned."""
    first, second = table.columns[:2]
    assert (first.name, first.type, first.required) == ("session_id", "VARCHAR", True)
    assert (second.name, second.type, second.required) == ("session_created_at", "TIMESTAMPTZ", True)
    assert table.created_at == "session_created_at"


@pytest.mark.parametrize("type_", get_args(SqlType))
def test_every_type_maps_to_arrow_as_duckdb_does(type_: SqlType) -> None:
    """What DuckDB makes of a column and what we say of it are the same type."""
    column = Column("c", type_, "A column.")
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'").fetchall()
        db.execute(f"CREATE TABLE t (c {column.storage_type})").fetchall()
        found = db.sql("FROM t").to_arrow_table().schema.field("c")
    assert found.type == column.arrow.type


@pytest.mark.parametrize("required", [True, False])
def test_nullability_maps_to_arrow(required: bool) -> None:
    """A required column is not nullable there."""
    assert Column("c", "VARCHAR", "A column.", required).arrow.nullable is not required


def test_json_is_stored_as_text() -> None:
    """Parquet's JSON annotation would make other readers see bytes."""
    column = Column("c", "JSON", "A column.")
    assert (column.storage_type, column.arrow.type) == ("VARCHAR", pa.string())


@pytest.mark.parametrize("table", ALL, ids=ids)
def test_ddl_makes_the_declared_table(table: Table) -> None:
    """Names, types, order and NOT NULL; twice without harm; no key, no index."""
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
    """As they are declared."""
    assert table.arrow.names == [column.name for column in table.columns]


@pytest.mark.parametrize("table", TABLES, ids=ids)
def test_units_are_in_names(table: Table) -> None:
    """Moments end in _at, money in _usd, and only they."""
    for column in table.columns:
        assert (column.type == "TIMESTAMPTZ") == column.name.endswith("_at")
        assert not column.name.endswith("_usd") or column.type == "DOUBLE"


def test_the_index_is_narrow_and_its_own_columns_are_not_published() -> None:
    """It has no text of a session but the id and the steps of its growth; what both have means the same."""
    published = {column.name: column.type for column in schema.SESSIONS.columns}
    own = {column.name: column.type for column in INDEX.columns}
    assert [name for name, kind in own.items() if kind == "VARCHAR"] == ["session_id", "growth"]
    shared = own.keys() & published.keys() - {"content_hash"}  # of which the index has the first half
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


def test_raw_observations_carry_their_origin() -> None:
    """Who, when created and changed, when and in which order asked, by which run, what kind, and the body."""
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
    ]  # a session may not say what it is
    assert [field.name for field in RAW if field.nullable] == optional


def test_the_documentation_names_every_published_column() -> None:
    """The tables of the README derive from the declarations, descriptions included."""
    text = schema.as_markdown()
    for table in TABLES:
        assert table.description in text
        for column in table.columns:
            assert f"`{column.name}`" in text
            assert column.description.replace("|", "\\|") in text
