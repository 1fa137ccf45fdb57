"""What lies beside the checkout and is no part of it: tests that read it skip where it is absent, and say so."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).resolve().parents[2] / "shared"
#: The vendor's description of the API, as of August 2026.
CONTRACT: Final = FOLDER / "api" / "sessions-openapi-2026-08.json"
#: Real conversations with a tool-calling agent, one a line.
CORPUS: Final = FOLDER / "corpus" / "airline-agent-conversations.jsonl"

needs_contract: Final = pytest.mark.skipif(
    not CONTRACT.is_file(), reason="the contract lies beside the checkout, and is not part of it"
)
needs_corpus: Final = pytest.mark.skipif(
    not CORPUS.is_file(), reason="the corpus lies beside the checkout, and is not part of it"
)
