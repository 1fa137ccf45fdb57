"""Writes `contract.json` beside this file: the vendor's contract, reduced to the names and the structure of its schemas.

The tests need it to know what a session may contain, and then need no file outside of the checkout. It has every schema that a session
may contain, with the members and whether each is a string, a number, a list or another schema. Descriptions, examples, limits
and the values of enumerations are left out. The file names the document that it comes from.

    python tests/write_contract.py path/to/openapi.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

REDUCED: Final = Path(__file__).with_name("contract.json")
#: When the document was published.
AS_OF: Final = "August 2026"
_PREFIX: Final = "#/components/schemas/"


def reduced(document: dict[str, Any]) -> str:
    """The text of `contract.json` for an OpenAPI document, with a line for each schema."""
    kept: dict[str, Any] = {}
    todo = ["Session"]
    while todo:
        name = todo.pop()
        if name not in kept:
            kept[name] = _structure(document["components"]["schemas"][name], todo)
    lines = ",\n".join(f"{json.dumps(name)}:{_compact(kept[name])}" for name in sorted(kept))
    info, server = document["info"], document["servers"][0]["url"]
    source = f"{info['title']} {info['version']}, {server}, {AS_OF}: the vendor's OpenAPI document, names and structure only"
    return f'{{"source":{json.dumps(source)},"components":{{"schemas":{{\n{lines}\n}}}}}}\n'


def _structure(schema: dict[str, Any], named: list[str]) -> dict[str, Any]:
    """The structure of a schema. Appends the schemas that it refers to to `named`."""
    if "$ref" in schema:
        named.append(schema["$ref"].removeprefix(_PREFIX))
        return {"$ref": schema["$ref"]}
    found: dict[str, Any] = {}
    if "type" in schema:
        found["type"] = schema["type"]
    if "enum" in schema:
        found["enum"] = []
    for kind in ("oneOf", "anyOf", "allOf"):
        if kind in schema:
            found[kind] = [_structure(choice, named) for choice in schema[kind]]
    if "properties" in schema:
        found["properties"] = {name: _structure(inner, named) for name, inner in schema["properties"].items()}
    for kind in ("items", "additionalProperties"):
        if isinstance(schema.get(kind), dict):
            found[kind] = _structure(schema[kind], named)
    return found


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


if __name__ == "__main__":
    REDUCED.write_text(reduced(json.loads(Path(sys.argv[1]).read_text("utf-8"))), "utf-8")
