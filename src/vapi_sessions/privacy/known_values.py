"""Finds values of a person in text, in any spelling.

In prompts, metadata and conversations, the spelling may differ from the normal form (`identity`): letter case, accents, decomposed and
full-width characters, directional marks, line breaks, escapes of JSON and URLs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote

from vapi_sessions.privacy.identity import normalised, number_parts

#: Shorter values are not searched for in texts, because they may be words. An ideograph counts as two characters.
_SHORTEST: Final = 4
#: A number with fewer digits is searched for as a word.
_SHORTEST_NUMBER: Final = 7


class KnownValues:
    """Finds values of one person in texts. Cheap to create, because each session needs its own."""

    __slots__ = ("_numbers", "_words")

    def __init__(self, values: Iterable[tuple[str, str]], region: str | None = None) -> None:
        """`values`: pairs of kind and value. Those that are too short (`_SHORTEST`) are ignored."""
        self._words: list[_Word] = []
        self._numbers: list[_Number] = []
        for kind, value in values:
            if kind == "number":
                country, national = number_parts(value, region)
                if len(national) >= _SHORTEST_NUMBER:
                    self._numbers.append(_Number(country, national, national.encode(), value))
                    continue
            text = normalised(kind, value, region).removeprefix("sip:") if kind == "sipUri" else value
            parts = _fold(text).split()
            word = " ".join(parts)
            if len(word) + sum(c >= "\u2e80" for c in word) >= _SHORTEST:
                self._words.append(_Word(word, max(parts, key=len), kind, value))

    def __bool__(self) -> bool:
        return bool(self._words or self._numbers)

    def may_be_in(self, body: bytes) -> bool:
        """False only if a JSON document contains none of the values. Faster than `found`.

        Raises ValueError if the document is not UTF-8.
        """
        if not self:
            return False
        text = body.decode()
        if "\\u" in text or "%" in text:  # letters and digits may be written as escapes
            return self.found(text)
        if not text.isascii():
            text = _fold_non_ascii(text)
        if self._numbers:
            digits = text.encode("ascii", "ignore").translate(None, _NOT_DIGITS)
            if any(number.digits in digits for number in self._numbers):
                return True
        if not self._words:
            return False
        if "\\" in text:
            for escape in ("\\n", "\\t", "\\r"):
                text = text.replace(escape, " ")
        lower = text.lower()
        return any(
            not _ESCAPABLE.isdisjoint(word.word)
            or (word.longest_part in lower and any(_words_in(lower, word)))
            for word in self._words
        )

    def found(self, text: str) -> bool:
        """Whether the text contains one of the values."""
        return bool(self._hits(_fold(text)))

    def replace(self, text: str, instead: Callable[[str, str], str]) -> str:
        """The text with each value replaced by `instead(kind, value)`; the same object if it contains none. `value` has the spelling
        that the constructor got.
        """
        hits = self._hits(_fold(text))
        if not hits:
            return text
        spans = _spans(text)
        parts, end = list[str](), 0
        for start, stop, kind, value in sorted(hits, key=lambda hit: (hit[0], -hit[1])):
            begins, ends = spans[start][0], spans[stop - 1][1]
            if begins >= end:
                parts += [text[end:begins], instead(kind, value)]
                end = ends
        clean = "".join([*parts, text[end:]])
        return text if clean == text else clean

    def _hits(self, folded: str) -> list[tuple[int, int, str, str]]:
        """Start and stop of each value in a folded text, with its kind and the value."""
        hits = list[tuple[int, int, str, str]]()
        for word in self._words:
            if word.longest_part in folded:  # fast test
                hits += _words_in(folded, word)
        if self._numbers:
            compact = folded.encode("ascii", "ignore").translate(None, _BETWEEN)
            wanted = [number for number in self._numbers if number.digits in compact]
            if wanted:
                for run in _RUN.finditer(folded):
                    hits += _numbers_in(folded, run.start(), run[0], wanted)
        return hits


class _Word(NamedTuple):
    """A value, folded. `longest_part`: its longest part without a blank."""

    word: str
    longest_part: str
    kind: str
    value: str


class _Number(NamedTuple):
    """A telephone number. `national`: without the country code; `digits`: the same as bytes."""

    country: str
    national: str
    digits: bytes
    value: str


def _words_in(folded: str, word: _Word) -> Iterator[tuple[int, int, str, str]]:
    parts = word.word.split()
    start = folded.find(parts[0])
    while start >= 0:
        stop = _end(folded, start, parts)
        if stop and not (_joined(folded, start - 1, start) or _joined(folded, stop, stop - 1)):
            yield start, stop, word.kind, word.value
        start = folded.find(parts[0], start + 1)


def _end(folded: str, start: int, parts: Iterable[str]) -> int:
    """The end of these parts, which begin at `start` and have white space between them; 0 if they are not there.

    Not a regular expression, because compiling one for each customer takes longer than this search.
    """
    stop = start
    for part in parts:
        begin = stop
        while stop > start and folded[begin : begin + 1].isspace():
            begin += 1
        if (begin == stop and stop > start) or not folded.startswith(part, begin):
            return 0
        stop = begin + len(part)
    return stop


def _numbers_in(
    folded: str, offset: int, run: str, numbers: Iterable[_Number]
) -> Iterator[tuple[int, int, str, str]]:
    at = [offset + n for n, c in enumerate(run) if c in _DIGITS]
    digits = "".join(c for c in run if c in _DIGITS)
    for number in numbers:
        first = digits.find(number.national)
        while first >= 0:
            last = first + len(number.national) - 1
            start = _start(folded, at, digits[:first], number.country)
            if start is not None and folded[at[last] + 1 : at[last] + 2] not in _DIGITS:
                yield start, at[last] + 1, "number", number.value
            first = digits.find(number.national, first + 1)


def _start(folded: str, at: list[int], before: str, country: str) -> int | None:
    """The start of a number, given the digits before its national part in the same run; None if it is part of a longer number."""
    for prefix in _prefixes(country) if country else [before[-n:] for n in (1, 2, 3)]:
        first = len(before) - len(prefix)
        start = at[first]
        if prefix and before.endswith(prefix) and (country or folded[start - 1 : start] == "+"):
            break
    else:
        prefix = "0" if before.endswith("0") and country != "1" else ""
        start = at[len(before) - len(prefix)]
    if folded[start - 1 : start].isdecimal():
        start = at[len(before)]
        if folded[start - 1 : start].isdecimal():
            return None
    if folded[start - 1 : start] == "(" and ")" in folded[start : at[len(before)] + 8]:
        start -= 1
    return start - (folded[start - 1 : start] == "+")


@cache
def _prefixes(country: str) -> tuple[str, ...]:
    """Digits that may precede the national part of a number, the longest first."""
    return f"011{country}", f"00{country}0", f"00{country}", f"{country}0", country


#: Separators between digits, in folded text; and a run of digits with separators.
_BETWEEN: Final = b" ().,/_*+-\t\r\n"
_NOT_DIGITS: Final = bytes(set(range(256)) - set(b"0123456789"))
_RUN: Final = re.compile(r"[0-9](?:[\s().,/_*+\u00b7-]{0,4}[0-9]){6,}")
_DIGITS: Final = frozenset("0123456789")
#: Scripts without blanks between words, or with endings on names: any character may follow a name.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def _joined(folded: str, outside: int, edge: int) -> bool:
    """Whether the character at `outside` belongs to the same word as the one at `edge`."""
    return (
        0 <= outside < len(folded)
        and folded[outside].isalnum()
        and folded[edge].isalnum()
        and not _UNSPACED.match(folded[edge])
    )


#: Escapes of JSON, of JSON inside JSON, and of URLs.
_ESCAPE: Final = re.compile(  # each alternative begins with a fixed character, because `re` searches faster then
    r"""\\\\*(?:u[dD][89abAB][0-9a-fA-F]{2}\\+u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[nrtbf]|(?=["'/]))"""
    r"|%[0-9a-fA-F]{2}(?:%[0-9a-fA-F]{2})*"
)
#: Characters that JSON may escape with a backslash.
_ESCAPABLE: Final = frozenset('"\\/')
_TOKEN: Final = re.compile(rf"{_ESCAPE.pattern}|.", re.DOTALL)
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


def _fold(text: str) -> str:
    """A text in lower case, with escapes decoded, without accents and invisible characters, with ASCII digits, dashes and quotes."""
    if "\\" in text or "%" in text:
        text = _ESCAPE.sub(_unescaped, text)
    if not text.isascii():
        text = _fold_non_ascii(text)
    return text.lower()


_ASCII: Final = bytes(range(128))
#: With more distinct characters, one expression is faster than replacing each character.
_FEW: Final = 40


def _fold_non_ascii(text: str) -> str:
    others = text.encode("utf-8", "surrogatepass").translate(None, _ASCII).decode("utf-8", "surrogatepass")
    distinct = set(others)
    if len(distinct) > _FEW:
        return _NOT_ASCII.sub(lambda match: _folded(match[0]), text)
    for character in distinct:
        folded = _folded(character)
        if folded != character:
            text = text.replace(character, folded)
    return text


def _spans(text: str) -> list[tuple[int, int]]:
    """For each character of the folded text, its start and stop in the original."""
    return [token.span() for token in _TOKEN.finditer(text) for _ in _fold(token[0])]


def _unescaped(match: re.Match[str]) -> str:
    text = match[0]
    if text[0] == "%":
        return unquote(text)
    codes = re.findall("u([0-9a-fA-F]{4})", text)
    if not codes:
        return " " if text[-1] != "\\" else ""
    return b"".join(bytes.fromhex(code) for code in codes).decode("utf-16-be", "surrogatepass")


@lru_cache(4096)
def _folded(text: str) -> str:
    return "".join(map(_fold_character, unicodedata.normalize("NFKD", text).casefold()))


@cache
def _fold_character(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Mn", "Me", "Cf"):
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Pd" or character == "\u2212":
        return "-"
    return "'" if character in "\u2018\u2019" else character
