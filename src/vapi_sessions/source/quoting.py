"""How text received from the source may appear in a message."""

from __future__ import annotations

from typing import Final

from vapi_sessions.errors import plain
from vapi_sessions.privacy.own_key import OwnKey
from vapi_sessions.privacy.redaction_text import redact_text

#: Characters of the quoted text, and of the text it is taken from.
_LONGEST_QUOTE: Final = 160
_LONGEST_INPUT: Final = 4_000


class Quoter:
    """Makes quotes that are one short line without credentials and without our own key."""

    def __init__(self, key: str) -> None:
        self._own_key = OwnKey(key)

    def quote(self, text: str) -> str:
        """The text as a message may show it. Secrets are removed before the text is cut, so none is cut in half."""
        line = " ".join(text[:_LONGEST_INPUT].split())
        clean = redact_text(self._own_key.hide(line))
        return plain("".join(c for c in clean if c.isprintable()), _LONGEST_QUOTE)
