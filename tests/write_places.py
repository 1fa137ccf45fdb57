"""Brings `src/vapi_sessions/privacy/fields.tsv` up to date with the contract: what is new gets the class `?`, for somebody to say what it is.

    python tests/write_places.py

Lines that are marked `seen` are ours: the contract does not have them, or says less. Everything else follows `contract.json`.
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
    """The table with a line for each member of the contract, and the lines that are marked."""
    known = {line.split("\t")[0]: line for line in table.splitlines()}
    kept = {where: line for where, line in known.items() if line.endswith("\tseen")}
    for schema, structure in contract.schemas().items():
        for member, inner in structure.get("properties", {}).items():
            where = f"{schema}.{member}"
            what = known[where].split("\t")[1] if where in known else UNKNOWN
            leads_to = " ".join(sorted(set(_leads_to(inner))))
            kept.setdefault(where, f"{where}\t{what}\t{leads_to}".rstrip("\t"))
    return "".join(f"{kept[where]}\n" for where in sorted(kept))


def _leads_to(schema: dict[str, Any]) -> Iterator[str]:
    """The schemas that a value of this one can be, or be a list of; with `*` before those of values under any name."""
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
    sys.exit(f"{text.count(UNKNOWN)} places have no class yet" if UNKNOWN in text else 0)
