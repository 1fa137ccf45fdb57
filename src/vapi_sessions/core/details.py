"""Details of a run (each request, window, batch and publication), for the standard `logging`: logger `vapi_sessions`, level DEBUG.

They come from all layers, so they take the way that every library offers, and cost nothing while nobody listens. `--verbose` listens;
so can a program that calls the operations itself.
"""

from __future__ import annotations

import logging
from typing import Final

LOGGER: Final = logging.getLogger("vapi_sessions")


def detail(event: str, **fields: object) -> None:
    """Log an event. A record has them as `event` and `fields`, besides its message. Never pass a key or content of a session."""
    if LOGGER.isEnabledFor(logging.DEBUG):
        text = ", ".join(f"{name} {value}" for name, value in fields.items() if value is not None)
        LOGGER.debug("%s: %s", event, text, extra={"event": event, "fields": fields})
