"""Hides our own API key in texts of the server, in any encoding.

A server may echo the `Authorization` header in an error: plain, percent-encoded, with escapes of JSON or HTML, wrapped, in Base64
(also of `Bearer …`), in hexadecimal, or truncated at either end. So each text is read with its escapes decoded, and every stretch
that shares eight consecutive characters with one of these forms of the key is hidden.
"""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from typing import Final

HIDDEN: Final = "***"
#: Consecutive characters that identify a part of the key. A shorter key must occur whole.
_GRAM: Final = 8
#: A shorter encoded form, of a key that is not a real one, would occur in any text.
_SHORTEST_FORM: Final = 4

#: One character of a text: an escape of URLs (also `%25…`), JSON, Python or HTML, a character after backslashes, or a plain one.
_CHARACTER: Final = re.compile(
    r"%(?:25)*(?P<url>[0-9a-f]{2})"
    r"|\\+(?:u(?P<json>[0-9a-f]{4})|x(?P<python>[0-9a-f]{2})|(?P<escaped>[^\w\s]))"
    r"|&(?:amp;)*(?P<html>\#(?:x[0-9a-f]{1,6}|[0-9]{1,7})|[a-z]{2,8});"
    r"|.",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
#: Base64 has two alphabets. Case is ignored: eight equal characters are no coincidence anyway.
_FOLDED: Final = str.maketrans("-_", "+/")


class OwnKey:
    """The key of one client, to be hidden in texts. Its `repr` does not show it."""

    def __init__(self, key: str) -> None:
        plain = key.encode()
        encoded = [plain.hex()]
        # In Base64, the same bytes look different at each of three offsets. Characters that also encode neighbouring bytes are left
        # out.
        encoded += [
            base64.b64encode(bytes(before) + plain).decode()[
                -(-before * 4 // 3) : (before + len(plain)) * 4 // 3
            ]
            for before in range(3)
        ]
        self._grams: dict[int, set[str]] = {}
        for form in (key, *(form for form in encoded if len(form) >= _SHORTEST_FORM)):
            size = min(_GRAM, len(form))
            found = self._grams.setdefault(size, set())
            found |= {_fold(form[n : n + size]) for n in range(len(form) - size + 1)}

    def __repr__(self) -> str:
        return f"OwnKey({HIDDEN})"

    def hide(self, text: str) -> str:
        """The text with every part of the key hidden; the same object if there is none."""
        letters, spans = [], []
        for found in _CHARACTER.finditer(text):
            for letter in _fold(_decoded(found)):
                if (
                    letter.isprintable() and not letter.isspace()
                ):  # skips line breaks and zero-width characters
                    letters.append(letter)
                    spans.append(found.span())
        read = "".join(letters)
        kept, end = list[str](), 0
        for start, stop in self._stretches(read):
            first, last = spans[start][0], spans[stop - 1][1]
            kept += [text[end:first], HIDDEN] if first > end or not kept else []
            end = max(end, last)
        return "".join([*kept, text[end:]]) if kept else text

    def _stretches(self, read: str) -> list[tuple[int, int]]:
        """Start and end of each part of the key, in order; overlapping ones are joined."""
        joined: list[tuple[int, int]] = []
        hits = sorted(
            (n, n + size)
            for size, grams in self._grams.items()
            for n in range(len(read) - size + 1)
            if read[n : n + size] in grams
        )
        for start, stop in hits:
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
            else:
                joined.append((start, stop))
        return joined


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower().translate(_FOLDED)


def _decoded(found: re.Match[str]) -> str:
    code = found["url"] or found["json"] or found["python"]
    if code:
        return chr(int(code, 16))
    if found["html"]:
        return html.unescape(f"&{found['html']};")
    return found["escaped"] or found[0]
