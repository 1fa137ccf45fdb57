"""Put the tables, as the code declares them, and the names of the views into the README: `make docs`."""

from __future__ import annotations

from pathlib import Path

from vapi_sessions import schema
from vapi_sessions.core import resources

README = Path(__file__).resolve().parents[1] / "README.md"


def between(text: str, name: str, inside: str) -> str:
    """`text` with what stands between the two marks called `name` replaced."""
    before, rest = text.split(f"<!-- {name} -->", 1)
    _, after = rest.split(f"<!-- /{name} -->", 1)
    return f"{before}<!-- {name} -->{inside}<!-- /{name} -->{after}"


def updated(text: str) -> str:
    """The README as it should be."""
    lines, line = [], ""
    for view in resources.sql_files("views"):
        word = f"`{view.stem}`, "
        if len(line) + len(word) > 110:
            lines.append(line.rstrip())
            line = ""
        line += word
    views = "\n" + "\n".join([*lines, line.removesuffix(", ") + ". "])
    text = between(text, "views", views)
    return between(text, "tables", "\n" + schema.as_markdown())


if __name__ == "__main__":
    README.write_text(updated(README.read_text()))
