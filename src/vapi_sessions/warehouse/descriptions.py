"""Comments on tables, views and columns, so that DuckDB explains them: their texts are declared in the schemas and in the view files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final, Literal

from vapi_sessions import schema
from vapi_sessions.core.paths import literal
from vapi_sessions.warehouse.index_schema import SYNC_TABLES
from vapi_sessions.warehouse.view_files import ViewFile, view_files

#: The columns of the current database, in order: schema, table or view, column.
COLUMNS: Final = (
    "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE database_name = current_database() "
    "AND NOT internal ORDER BY ALL"
)
_Kind = Literal["TABLE", "VIEW"]


def described() -> dict[tuple[str, str], schema.Table | ViewFile]:
    """Everything that has a description, by schema and name."""
    return {
        **{("main", table.name): table for table in schema.TABLES},
        **{("main", view.name): view for view in view_files()},
        **{("sync", table.name): table for table in SYNC_TABLES},
    }


def comments(columns: Iterable[tuple[str, str, str]], published: _Kind = "VIEW") -> str:
    """Statements that describe these columns, in the form and order of `COLUMNS`, and their tables and views.

    `published`: whether the published tables are views, as in `vapi.duckdb`, or tables, as in an export. Tables, views and columns of
    others stay as they are.
    """
    return "; ".join(_statements(columns, published))


def _statements(columns: Iterable[tuple[str, str, str]], published: _Kind) -> Iterator[str]:
    known = described()
    for place, group in groupby(columns, lambda column: column[:2]):
        if (one := known.get(place)) is None:
            continue
        name = f'{place[0]}."{place[1]}"'
        kind = "TABLE" if place[0] == "sync" else published if isinstance(one, schema.Table) else "VIEW"
        yield f"COMMENT ON {kind} {name} IS {literal(one.description)}"
        for _, _, column in group:
            if text := one.describe(column):
                yield f'COMMENT ON COLUMN {name}."{column}" IS {literal(text)}'
