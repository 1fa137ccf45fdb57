"""`make docs`: write the tables, columns and views into `docs/`, as the code and the SQL files declare them."""

from __future__ import annotations

from pathlib import Path

from vapi_sessions import schema
from vapi_sessions.core import resources
from vapi_sessions.warehouse.index_schema import SYNC_TABLES

DOCS = Path(__file__).resolve().parents[1] / "docs"


def between(text: str, name: str, inside: str) -> str:
    """`text` with `inside` between the comments `<!-- name -->` and `<!-- /name -->`."""
    before, rest = text.split(f"<!-- {name} -->", 1)
    _, after = rest.split(f"<!-- /{name} -->", 1)
    return f"{before}<!-- {name} -->\n{inside.strip()}\n<!-- /{name} -->{after}"


def views() -> str:
    """Each view with the question and the grain that the first line of its file states."""
    lines = ["| view | question it answers | one row is |", "|---|---|---|"]
    for file in resources.sql_files("views"):
        first = file.read_text("utf-8").splitlines()[0].removeprefix("-- ")
        question, grain = first.split(" Grain: one row ", 1)
        lines.append(f"| `{file.stem}` | {question} | {grain.rstrip('.')} |")
    return "\n".join(lines)


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


#: File in `docs/`, name of the section, and the function that writes it.
SECTIONS = (
    ("tables.md", "views", views),
    ("tables.md", "tables", schema.as_markdown),
    ("tables.md", "sync", ledger),
    ("on-disk-format.md", "raw", observations),
)


def updated() -> dict[Path, str]:
    """The text that each generated document should have."""
    texts: dict[Path, str] = {}
    for file, section, write in SECTIONS:
        path = DOCS / file
        texts[path] = between(texts.get(path) or path.read_text("utf-8"), section, write())
    return texts


if __name__ == "__main__":
    for path, text in updated().items():
        path.write_text(text, "utf-8")
