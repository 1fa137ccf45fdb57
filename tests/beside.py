"""Files next to the checkout that are not part of it. Tests that need one are skipped if it is absent."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).resolve().parents[2] / "shared"
#: The description of the API by its vendor, as of August 2026.
CONTRACT: Final = FOLDER / "api" / "sessions-openapi-2026-08.json"
#: Real conversations with a tool-calling agent, one a line.
CORPUS: Final = FOLDER / "corpus" / "airline-agent-conversations.jsonl"
#: A page of sessions that each load alone and once failed together, one a line.
ODD_PAGE: Final = FOLDER / "cases" / "deep-and-half-emoji.jsonl"


def _needs(file: Path) -> pytest.MarkDecorator:
    """Skip a test where the file is absent: it is not ours to publish, and a clone of the repository alone must pass."""
    return pytest.mark.skipif(
        not file.is_file(), reason=f"needs {file.name}, which is not part of the checkout"
    )


needs_contract: Final = _needs(CONTRACT)
needs_corpus: Final = _needs(CORPUS)
needs_odd_page: Final = _needs(ODD_PAGE)
