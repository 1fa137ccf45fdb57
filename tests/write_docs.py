"""`make docs`: write the tables, columns and views into `docs/`, as the code and the SQL files declare them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import duckdb

from vapi_sessions import schema
from vapi_sessions.operations.metrics import METRICS
from vapi_sessions.operations.status import json_schema
from vapi_sessions.warehouse.index_schema import SYNC_TABLES
from vapi_sessions.warehouse.view_files import ViewFile, view_files

DOCS = Path(__file__).resolve().parents[1] / "docs"


def between(text: str, name: str, inside: str) -> str:
    """`text` with `inside` between the comments `<!-- name -->` and `<!-- /name -->`."""
    before, rest = text.split(f"<!-- {name} -->", 1)
    _, after = rest.split(f"<!-- /{name} -->", 1)
    return f"{before}<!-- {name} -->\n{inside.strip()}\n<!-- /{name} -->{after}"


def views() -> str:
    """Each view with the question it answers and what one row is."""
    lines = ["| view | question it answers | one row is |", "|---|---|---|"]
    lines += [
        f"| [`{view.name}`](tables.md#{view.name}) | {view.question} | {view.grain} |" for view in _by_name()
    ]
    return "\n".join(lines)


def view_columns() -> str:
    """Each view with its notes and its columns."""
    parts: list[str] = []
    with duckdb.connect() as db:
        create_views(db)
        for view in _by_name():
            parts += [f"### {view.name}", "", f"{view.question} One row is {view.grain}.", ""]
            parts += [view.notes, ""] if view.notes else []
            parts += ["| column | type | meaning |", "|---|---|---|"]
            for name, type_, *_ in db.execute(f"DESCRIBE {view.name}").fetchall():
                shown = type_.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")
                meaning = (view.describe(name) or "").replace("|", "\\|")
                parts.append(f"| `{name}` | {shown} | {meaning} |")
            parts.append("")
    return _escaped("\n".join(parts))


def _by_name() -> list[ViewFile]:
    return sorted(view_files(), key=lambda view: view.name)


def create_views(db: duckdb.DuckDBPyConnection) -> None:
    """Create empty tables and all views over them, as in `vapi.duckdb`."""
    db.execute("CREATE SCHEMA sync").fetchall()
    for table in SYNC_TABLES:
        db.execute(table.ddl("sync")).fetchall()
    for table in schema.TABLES:
        columns = ", ".join(f"{column.name} {column.type}" for column in table.columns)
        db.execute(f"CREATE TABLE {table.name} ({columns})").fetchall()
    for view in view_files():
        db.execute(view.statement()).fetchall()


def _escaped(text: str) -> str:
    """Texts of SQL files are plain: `*` and `<` are no markup there."""
    return re.sub(r"[*<]", r"\\\g<0>", text)


def ledger() -> str:
    """The tables of the schema `sync`, with their columns."""
    lines = ["| table | holds | columns |", "|---|---|---|"]
    for table in SYNC_TABLES:
        columns = ", ".join(f"`{column.name}`" for column in table.columns)
        lines.append(f"| `sync.{table.name}` | {table.description} | {columns} |")
    return "\n".join(lines)


def observations() -> str:
    """The columns of a file in `raw/`."""
    lines = ["| column | type |", "|---|---|"]
    lines += [
        f"| `{field.name}` | {field.type}{', nullable' if field.nullable else ''} |" for field in schema.RAW
    ]
    return "\n".join(lines)


def metric_names() -> str:
    """The Prometheus metrics."""
    lines = ["| metric | labels besides `warehouse` | meaning |", "|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.full_name}` | {labels} | {metric.help} |")
    return "\n".join(lines)


#: File in `docs/`, name of the section, and the function that writes it.
SECTIONS = (
    ("tables.md", "views", views),
    ("tables.md", "tables", schema.as_markdown),
    ("tables.md", "view columns", view_columns),
    ("tables.md", "sync", ledger),
    ("on-disk-format.md", "raw", observations),
    ("operations.md", "metrics", metric_names),
)


def updated() -> dict[Path, str]:
    """The text that each generated document should have."""
    texts: dict[Path, str] = {}
    for file, section, write in SECTIONS:
        path = DOCS / file
        texts[path] = between(texts.get(path) or path.read_text("utf-8"), section, write())
    texts[DOCS / "status.schema.json"] = json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
    return texts


if __name__ == "__main__":
    for path, text in updated().items():
        path.write_text(text, "utf-8")
