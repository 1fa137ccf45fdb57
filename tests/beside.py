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

needs_contract: Final = pytest.mark.skipif(
    not CONTRACT.is_file(), reason=f"needs {CONTRACT.name}, which is not part of the checkout"
)
needs_corpus: Final = pytest.mark.skipif(
    not CORPUS.is_file(), reason=f"needs {CORPUS.name}, which is not part of the checkout"
)
