"""Decodes a text to what a person reads, and remembers the original position of each character.

Escapes are decoded, digits of other scripts become ASCII, and invisible characters disappear.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

#: Escapes of JSON (also of JSON inside JSON), of URLs and of HTML; digits of other scripts, blanks, dashes, full-width forms and
#: zero-width characters.
_ENCODED: Final = re.compile(
    r"\\{1,8}(?:u[0-9a-fA-F]{4}|[nrt\"'/])"
    r"|%[2-4][0-9A-Fa-f]|%0[9AaDd]|(?:%[89A-Fa-f][0-9A-Fa-f]){2,4}"
    r"|&(?:\#[0-9]{1,6}|\#[xX][0-9a-fA-F]{1,5}|nbsp|quot|plus|lpar|rpar|commat);"
    r"|[^\W0-9a-zA-Z_](?<=\d)"
    r"|[\xa0\xad\xb7\u061c\u1680\u180e\u2000-\u2015\u2028-\u202f\u205f-\u206f\u2212\u3000\ufe50-\ufe6b\ufeff\uff01-\uff5e]"
)
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t"}
#: Only these are decoded in URLs. Escaped letters and digits stay.
_IN_URLS: Final = frozenset(" \t\n\"&'()+,-./:;<=>@")


@dataclass(frozen=True, slots=True)
class VisibleText:
    """A decoded text. `offsets[i]`: start of character `i` in the original; the last offset is the length of the original."""

    text: str
    offsets: Sequence[int]

    def replaced(self, original: str, spans: Sequence[tuple[int, int, str]]) -> str:
        """The original with some parts replaced. `spans`: begin and end in the decoded text, and the replacement, in order."""
        parts: list[str] = []
        last = 0
        for begin, end, instead in spans:
            parts += (original[last : self.offsets[begin]], instead)
            last = self.offsets[end]
        return "".join((*parts, original[last:]))


def is_plain(text: str) -> bool:
    """A fast test: True if there is nothing to decode."""
    return text.isascii() and "\\" not in text and "%" not in text and "&" not in text


def visible_text(text: str) -> VisibleText:
    """Decodes a text, in linear time. Copies nothing if there is nothing to decode."""
    if is_plain(text) or _ENCODED.search(text) is None:
        return VisibleText(text, range(len(text) + 1))
    parts: list[str] = []
    offsets: list[int] = []
    last = 0
    for match in _ENCODED.finditer(text):
        decoded = _decoded(match[0])
        if decoded is None:
            continue
        begin = match.start()
        parts += (text[last:begin], decoded)
        offsets += range(last, begin)
        offsets += [begin] * len(decoded)
        last = match.end()
    parts.append(text[last:])
    offsets += range(last, len(text) + 1)
    return VisibleText("".join(parts), offsets)


@lru_cache(4096)
def _decoded(found: str) -> str | None:
    """The characters that a match stands for: "" for a zero-width character, None to keep the match."""
    if found[0] == "\\":
        sign = found.lstrip("\\")
        return _CONTROLS.get(sign, sign) if len(sign) == 1 else _character(chr(int(sign[1:], 16)))
    if found[0] == "%":
        sign = unquote(found, errors="replace")
        return (sign if sign in _IN_URLS else None) if sign.isascii() else "".join(map(_character, sign))
    if found[0] == "&" and len(found) > 1:
        return "".join(map(_character, html.unescape(found)))
    return _character(found)


def _character(sign: str) -> str:
    category = unicodedata.category(sign)
    if category == "Nd":
        return str(unicodedata.decimal(sign))
    if category == "Cf":
        return ""
    if category == "Zs":
        return " "
    if category == "Pd" or sign == "\u2212":
        return "-"
    if sign == "\xb7":
        return "."
    compatible = unicodedata.normalize("NFKC", sign)
    return compatible if len(compatible) == 1 else sign
