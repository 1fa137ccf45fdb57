"""Values that many tests use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from vapi_sessions.core.timestamps import parse

#: The present of the emulator and of `World`.
NOW: Final = datetime(2026, 3, 4, 15, 30, 0, 500_000, tzinfo=UTC)
#: The beginning of time for models, µs.
EPOCH: Final = parse("2026-03-01T00:00:00Z")
#: An API key that occurs nowhere by chance.
KEY: Final = "a-key-that-must-not-show"
ORG: Final = "org-of-the-tests"
