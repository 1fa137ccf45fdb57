"""Updates `src/vapi_sessions/privacy/fields.tsv` from the contract. New fields get the class `?`, which must be replaced by hand.

    python tests/write_fields.py

Lines that end with `seen` stay as they are: the contract does not declare these fields, or says less about them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import contract

TABLE: Final = Path(__file__).parents[1] / "src" / "vapi_sessions" / "privacy" / "fields.tsv"
UNKNOWN: Final = "?"


def updated(table: str) -> str:
    """The table with a line for each member in the contract, and the lines that end with `seen`."""
    known = {line.split("\t")[0]: line for line in table.splitlines()}
    kept = {field: line for field, line in known.items() if line.endswith("\tseen")}
    for schema, structure in contract.schemas().items():
        for member, inner in structure.get("properties", {}).items():
            field = f"{schema}.{member}"
            field_class = known[field].split("\t")[1] if field in known else UNKNOWN
            leads_to = " ".join(sorted(set(_leads_to(inner))))
            kept.setdefault(field, f"{field}\t{field_class}\t{leads_to}".rstrip("\t"))
    return "".join(f"{kept[field]}\n" for field in sorted(kept))


def _leads_to(schema: dict[str, Any]) -> Iterator[str]:
    """The schemas that a value, or an item of a list, may have; `*` precedes the schema of a member with any name."""
    if "$ref" in schema:
        yield schema["$ref"].split("/")[-1]
    for kind in ("oneOf", "anyOf", "allOf"):
        for choice in schema.get(kind, ()):
            yield from _leads_to(choice)
    if "items" in schema:
        yield from _leads_to(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        for name in _leads_to(schema["additionalProperties"]):
            yield f"*{name}"


if __name__ == "__main__":
    text = updated(TABLE.read_text("utf-8"))
    TABLE.write_text(text, "utf-8")
    count = text.count(UNKNOWN)
    sys.exit(f"{count} {'field has' if count == 1 else 'fields have'} no class yet" if count else 0)
