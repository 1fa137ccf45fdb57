"""The hashes in `suppression.json`: quick ones for session ids, slow ones for values that identify a customer."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final

_MOST_MEMORY: Final = 2**28


class SuppressionHashes:
    """The hashes with one list's key. `cost`: scrypt's n, r and p."""

    def __init__(self, key: str, cost: tuple[int, int, int]) -> None:
        self._key = bytes.fromhex(key)
        self._cost = cost
        self._slow: dict[tuple[str, str], str] = {}

    def quick(self, kind: str, text: str) -> str:
        """A keyed hash."""
        return hmac.digest(self._key, _message(kind, text), "sha256").hex()

    def slow(self, kind: str, text: str, before: Callable[[], None]) -> str:
        """A scrypt hash with the key as salt, computed once, after a call of `before`. Other threads can work meanwhile."""
        if (kind, text) not in self._slow:
            before()
            n, r, p = self._cost
            message = _message(kind, text)
            hashed = hashlib.scrypt(message, salt=self._key, n=n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=32)
            self._slow[kind, text] = hashed.hex()
        return self._slow[kind, text]


def _message(kind: str, text: str) -> bytes:
    return f"{kind}\0{text}".encode("utf-8", "surrogatepass")


def earlier_spelling(kind: str, value: str) -> str:
    """The spelling that earlier versions hashed."""
    value = value.strip()
    if kind == "number":
        return re.sub(r"[\s().\u2010-\u2015/-]", "", value) or value
    return value.lower() if kind in ("email", "sipUri") else value
