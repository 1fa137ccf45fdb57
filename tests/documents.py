"""The documents of the repository, and their parts: blocks of code, code inside of sentences, links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
#: Every document, by its path from the root.
TEXTS: Final = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
}
#: Without the changelog, which also names what was removed.
PRESENT: Final = {name: text for name, text in TEXTS.items() if name != "CHANGELOG.md"}

_FENCED: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(language: str, *names: str) -> list[tuple[str, str]]:
    """Document and content of each block in that language; of all documents, unless some are named."""
    return [
        (name, content)
        for name, text in TEXTS.items()
        if not names or name in names
        for found, content in _FENCED.findall(text)
        if found == language
    ]


def inline(text: str) -> list[str]:
    """The code inside of sentences and tables: everything between single backticks."""
    return re.findall(r"`([^`\n]+)`", _FENCED.sub("", text))


def links(text: str) -> list[str]:
    """The targets of links that lead to files."""
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]


def headings(text: str) -> set[str]:
    """The anchors of the headings, as forges make them."""
    found = re.findall(r"^#+ (.*)$", _FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}
