"""A text as it reads: without escapes, other scripts' digits and invisible marks; and where each character stood. Pure."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

#: Escapes of JSON (also of JSON within JSON), of URLs and of HTML; digits of other scripts, blanks, dashes, full-width
#: forms and marks without width.
_ODD: Final = re.compile(
    r"\\{1,8}(?:u[0-9a-fA-F]{4}|[nrt\"'/])"
    r"|%[2-4][0-9A-Fa-f]|%0[9AaDd]|(?:%[89A-Fa-f][0-9A-Fa-f]){2,4}"
    r"|&(?:\#[0-9]{1,6}|\#[xX][0-9a-fA-F]{1,5}|nbsp|quot|plus|lpar|rpar|commat);"
    r"|[^\W0-9a-zA-Z_](?<=\d)"
    r"|[\xa0\xad\xb7\u061c\u1680\u180e\u2000-\u2015\u2028-\u202f\u205f-\u206f\u2212\u3000\ufe50-\ufe6b\ufeff\uff01-\uff5e]"
)
_CONTROLS: Final = {"n": "\n", "r": "\r", "t": "\t"}
#: What a letter or digit of an escaped URL stands for is left to whoever decodes it.
_IN_URLS: Final = frozenset(" \t\n\"&'()+,-./:;<=>@")


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as it reads; `where[i]` is the place in the original at which character `i` begins, one more at the end."""

    text: str
    where: Sequence[int]

    def replaced(self, original: str, spans: Sequence[tuple[int, int, str]]) -> str:
        """The original with those parts of the reading (from, to, instead; in order) replaced."""
        pieces: list[str] = []
        last = 0
        for begin, end, instead in spans:
            pieces += (original[last : self.where[begin]], instead)
            last = self.where[end]
        return "".join((*pieces, original[last:]))


def is_plain(text: str) -> bool:
    """Whether a glance shows that the text reads as it stands."""
    return text.isascii() and "\\" not in text and "%" not in text and "&" not in text


def read(text: str) -> Reading:
    """Costs the length of the text; nothing is copied where it reads as it stands."""
    if is_plain(text) or _ODD.search(text) is None:
        return Reading(text, range(len(text) + 1))
    pieces: list[str] = []
    where: list[int] = []
    last = 0
    for match in _ODD.finditer(text):
        clean = _clean(match[0])
        if clean is None:
            continue
        begin = match.start()
        pieces += (text[last:begin], clean)
        where += range(last, begin)
        where += [begin] * len(clean)
        last = match.end()
    pieces.append(text[last:])
    where += range(last, len(text) + 1)
    return Reading("".join(pieces), where)


@lru_cache(4096)
def _clean(odd: str) -> str | None:
    """The character that an escape or an odd character stands for; "" for one without width; None: leave it."""
    if odd[0] == "\\":
        sign = odd.lstrip("\\")
        return _CONTROLS.get(sign, sign) if len(sign) == 1 else _character(chr(int(sign[1:], 16)))
    if odd[0] == "%":
        sign = unquote(odd, errors="replace")
        return (sign if sign in _IN_URLS else None) if sign.isascii() else "".join(map(_character, sign))
    if odd[0] == "&" and len(odd) > 1:
        return "".join(map(_character, html.unescape(odd)))
    return _character(odd)


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
