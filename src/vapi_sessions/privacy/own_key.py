"""Our own key in a text of somebody else, in whatever spelling it comes back. Pure.

A server may echo the request's `Authorization` header in an error: as it is, percent-encoded, with JSON's or HTML's escapes,
wrapped, in Base64 (also of `Bearer …`), in hexadecimal, or cut off at one end. So the text is read character by character with
its escapes undone, and every stretch that shares eight characters in a row with one of these forms of the key is hidden.
"""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from typing import Final

HIDDEN: Final = "***"
#: Characters in a row that tell a stretch of the key. Of a shorter key all.
_TELLING: Final = 8
#: An encoded form of fewer characters, of a key that is no real one, would be found anywhere.
_SHORTEST_FORM: Final = 4

#: One character of a text: an escape of URLs (also `%25…`), JSON, Python or HTML, one with backslashes before it, or itself.
_CHARACTER: Final = re.compile(
    r"%(?:25)*(?P<url>[0-9a-f]{2})"
    r"|\\+(?:u(?P<json>[0-9a-f]{4})|x(?P<python>[0-9a-f]{2})|(?P<escaped>[^\w\s]))"
    r"|&(?:amp;)*(?P<html>\#(?:x[0-9a-f]{1,6}|[0-9]{1,7})|[a-z]{2,8});"
    r"|.",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
#: Base64 has two alphabets, and case makes no difference here: eight characters are no accident all the same.
_FOLDED: Final = str.maketrans("-_", "+/")


class OwnKey:
    """The key of one client, to be hidden from texts. Shows itself nowhere."""

    def __init__(self, key: str) -> None:
        plain = key.encode()
        encoded = [plain.hex()]
        # The same bytes look different in Base64 at each of three distances from its beginning. What shares a character with
        # its neighbours is left out.
        encoded += [
            base64.b64encode(bytes(before) + plain).decode()[
                -(-before * 4 // 3) : (before + len(plain)) * 4 // 3
            ]
            for before in range(3)
        ]
        self._grams: dict[int, set[str]] = {}
        for form in (key, *(form for form in encoded if len(form) >= _SHORTEST_FORM)):
            size = min(_TELLING, len(form))
            found = self._grams.setdefault(size, set())
            found |= {_fold(form[n : n + size]) for n in range(len(form) - size + 1)}

    def __repr__(self) -> str:
        return f"OwnKey({HIDDEN})"

    def hide(self, text: str) -> str:
        """The text without any stretch of the key; the same object if there is none."""
        letters, spans = [], []
        for found in _CHARACTER.finditer(text):
            for letter in _fold(_decoded(found)):
                if (
                    letter.isprintable() and not letter.isspace()
                ):  # else it is passed over: a line break, a zero width
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
        """Where the key is, in order, as far apart as they are."""
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
