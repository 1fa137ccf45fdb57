"""Prefect's telemetry, which is on by default: what it sends when it is imported in a terminal, and what its server sends."""

from __future__ import annotations

import os
from typing import Final

_SERVER: Final = "PREFECT_SERVER_ANALYTICS_ENABLED"
_CLIENT: Final = "DO_NOT_TRACK"


def off() -> None:
    """Turn it off for this process and those it starts, unless the user has turned the server's on. Call it before Prefect is imported."""
    os.environ.setdefault(_SERVER, "false")
    if os.environ[_SERVER].lower() not in ("1", "true", "yes", "on", "t", "y"):
        os.environ.setdefault(_CLIENT, "1")
