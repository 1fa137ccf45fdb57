"""One spelling for what names a person, and those values found in running text, however they are written there. Pure.

`normalised` is what pseudonyms, the suppression list and `forget` compare by. Telephone numbers are read by phonenumbers, into
E.164 where that can be told: `+1 (415) 555-0100`, `0014155550100`, `14155550100` and, with the region US, `(415) 555-0100` are
one number. `Known` finds values in prompts, metadata and conversations, where they stand in yet other spellings: another case,
without accents, decomposed or full-width characters, with directional marks, wrapped lines, JSON's and URLs' escapes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote

import phonenumbers

#: A value shorter than this is not looked for in other texts: it may be a word. An ideograph counts as two characters.
SHORTEST: Final = 4
#: Digits from which on a number is looked for as a number, and not as a word.
_SHORTEST_NUMBER: Final = 7
#: Digits of the shortest international number that is believed without its `+` although nobody gave out such a number.
_INTERNATIONAL: Final = 11

_PUT_BETWEEN: Final = r"\s().,/_*\u00b7\u2010-\u2015\u2212-"
_NUMBER: Final = re.compile(rf"(\+)?([\d{_PUT_BETWEEN}]*\d[\d{_PUT_BETWEEN}]*)")
_ANGLE: Final = re.compile(r"[^<]*<([^<>]+)>\s*")


def normalised(kind: str, value: str, region: str | None = None) -> str:
    """The spelling of a value that counts: equal for two values that name the same person, in the sense of the kind.

    `number`: E.164, or its digits where the country cannot be told; an extension follows as `;ext=`. `region`: ISO 3166, the
    country of numbers without one. `email` and `sipUri`: the bare address in lower case (`sip:…`). `name`: lower case, single
    blanks. All others (`externalId`, `customerId`, `extension` …) keep their case.
    """
    text = _plain(value)
    if kind == "number":
        return _number(text, region)
    if kind == "email":
        return _address(text, "mailto:")
    if kind == "sipUri":
        bare = re.split("[;?]", _address(text, "sip:", "sips:"), maxsplit=1)[0]
        return f"sip:{bare.removesuffix(':5060')}"
    return " ".join(text.casefold().split()) if kind == "name" else text


def _plain(value: str) -> str:
    """NFKC, with typewriter apostrophes, and without marks that cannot be seen."""
    if value.isascii():
        return value.strip()
    text = unicodedata.normalize("NFKC", value).replace("\u2019", "'").replace("\u2018", "'")
    return "".join(c for c in text if unicodedata.category(c) != "Cf").strip()


def _address(text: str, *schemes: str) -> str:
    text = text.casefold()
    if (inner := _ANGLE.fullmatch(text)) is not None:  # Ann Lee <ann@mail.test>
        text = inner[1].strip()
    for scheme in schemes:
        text = text.removeprefix(scheme)
    return text


@lru_cache(4096)
def _number(text: str, region: str | None) -> str:
    text = text.removeprefix("tel:")
    bare = _NUMBER.fullmatch(text)
    if bare is None:  # an extension, letters, or no number at all
        found = _parsed(text, region)
        return text.casefold() if found is None else _e164(found)
    digits = "".join(str(int(c)) for c in bare[2] if c.isdecimal())
    if bare[1]:
        found = _parsed(text, None)
        return f"+{digits}" if found is None else _e164(found)
    if digits.startswith("00"):
        return _number(f"+{digits[2:]}", None)
    # Numbers that exist first: 13812345678 is one in China, and has the length of one in America.
    local, abroad = _parsed(digits, region), _parsed(f"+{digits}", None)
    for reading in (local, abroad):
        if reading is not None and phonenumbers.is_valid_number(reading):
            return _e164(reading)
    if local is not None:
        return _e164(local)
    return _e164(abroad) if abroad is not None and len(digits) >= _INTERNATIONAL else digits


def _parsed(text: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    """A number of a possible length; None if it is none, or its country cannot be told."""
    try:
        found = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    return found if phonenumbers.is_possible_number(found) else None


def _e164(number: phonenumbers.PhoneNumber) -> str:
    plain = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return f"{plain};ext={number.extension}" if number.extension else plain


@lru_cache(4096)
def region_of(number: str) -> str | None:
    """The country (ISO 3166) that an international telephone number says it is of; None if it says none."""
    found = _parsed(number, None)
    region: str | None = None if found is None else phonenumbers.region_code_for_number(found)
    return region


@lru_cache(4096)
def number_parts(value: str, region: str | None = None) -> tuple[str, str]:
    """A number's country code ("" if it cannot be told) and its digits without it; ("", "") for what is no number."""
    text = normalised("number", value, region).partition(";")[0]
    if text.startswith("+") and (found := _parsed(text, None)) is not None:
        return str(found.country_code), phonenumbers.national_significant_number(found)
    digits = text.removeprefix("+")
    return "", digits if digits.isdecimal() else ""


# ---------------------------------------------------------------------------------------------------------------------
# In running text.


class KnownValues:
    """Values of a person, to be found in texts. Cheap to make: one is made for each session."""

    __slots__ = ("_numbers", "_words")

    def __init__(self, values: Iterable[tuple[str, str]], region: str | None = None) -> None:
        """`values`: pairs of kind and value; those that are too short to be told from a word are left out."""
        self._words: list[_Word] = []
        self._numbers: list[_Number] = []
        for kind, value in values:
            if kind == "number":
                country, national = number_parts(value, region)
                if len(national) >= _SHORTEST_NUMBER:
                    self._numbers.append(_Number(country, national, national.encode(), value))
                    continue
            text = normalised(kind, value, region).removeprefix("sip:") if kind == "sipUri" else value
            pieces = _fold(text).split()
            word = " ".join(pieces)
            if len(word) + sum(c >= "\u2e80" for c in word) >= SHORTEST:
                self._words.append(_Word(word, max(pieces, key=len), kind, value))

    def __bool__(self) -> bool:
        return bool(self._words or self._numbers)

    def may_be_in(self, body: bytes) -> bool:
        """Whether a JSON document needs to be looked at: False only if none of the values is in it. Cheaper than `found`.

        Raises ValueError if the document is not UTF-8.
        """
        if not self:
            return False
        text = body.decode()
        if "\\u" in text or "%" in text:  # letters and digits may be written as escapes
            return self.found(text)
        if not text.isascii():
            text = _even_text(text)
        if self._numbers:
            digits = text.encode("ascii", "ignore").translate(None, _NO_DIGITS)
            if any(number.digits in digits for number in self._numbers):
                return True
        if not self._words:
            return False
        if "\\" in text:
            for escape in ("\\n", "\\t", "\\r"):
                text = text.replace(escape, " ")
        lower = text.lower()
        return any(
            not _ESCAPABLE.isdisjoint(word.word) or (word.piece in lower and any(_words_in(lower, word)))
            for word in self._words
        )

    def found(self, text: str) -> bool:
        """Whether one of the values is in the text."""
        return bool(self._hits(_fold(text)))

    def replace(self, text: str, instead: Callable[[str, str], str]) -> str:
        """The text with `instead(kind, value)` for each of the values, which is passed as it was given; the same object if none
        is there.
        """
        hits = self._hits(_fold(text))
        if not hits:
            return text
        spans = _spans(text)
        pieces, end = list[str](), 0
        for start, stop, kind, value in sorted(hits, key=lambda hit: (hit[0], -hit[1])):
            begins, ends = spans[start][0], spans[stop - 1][1]
            if begins >= end:
                pieces += [text[end:begins], instead(kind, value)]
                end = ends
        clean = "".join([*pieces, text[end:]])
        return text if clean == text else clean

    def _hits(self, folded: str) -> list[tuple[int, int, str, str]]:
        """Where the values are in a folded text (start, stop), with kind and value."""
        hits = list[tuple[int, int, str, str]]()
        for word in self._words:
            if word.piece in folded:  # else nothing need be copied
                hits += _words_in(folded, word)
        if self._numbers:
            compact = folded.encode("ascii", "ignore").translate(None, _BETWEEN)
            wanted = [number for number in self._numbers if number.digits in compact]
            if wanted:
                for run in _RUN.finditer(folded):
                    hits += _numbers_in(folded, run.start(), run[0], wanted)
        return hits


class _Word(NamedTuple):
    """Folded; `piece`: its longest part without a blank."""

    word: str
    piece: str
    kind: str
    value: str


class _Number(NamedTuple):
    """`digits`: those of `national`."""

    country: str
    national: str
    digits: bytes
    value: str


def _words_in(folded: str, word: _Word) -> Iterator[tuple[int, int, str, str]]:
    pieces = word.word.split()
    start = folded.find(pieces[0])
    while start >= 0:
        stop = _end(folded, start, pieces)
        if stop and not (_joined(folded, start - 1, start) or _joined(folded, stop, stop - 1)):
            yield start, stop, word.kind, word.value
        start = folded.find(pieces[0], start + 1)


def _end(folded: str, start: int, pieces: Iterable[str]) -> int:
    """Where pieces end that begin at `start`, with some white space between them; 0 if they are not there.

    Not an expression: one is made for each customer, and to compile it takes longer than to look.
    """
    stop = start
    for piece in pieces:
        begin = stop
        while stop > start and folded[begin : begin + 1].isspace():
            begin += 1
        if (begin == stop and stop > start) or not folded.startswith(piece, begin):
            return 0
        stop = begin + len(piece)
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
    """Where a number begins of which `before` are the digits ahead of its national part, in the same run; None if it is a piece
    of a longer one.
    """
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
    """What may stand ahead of a number's national part, the longest first."""
    return f"011{country}", f"00{country}0", f"00{country}", f"{country}0", country


#: What people put between digits, folded; and digits with that.
_BETWEEN: Final = b" ().,/_*+-\t\r\n"
_NO_DIGITS: Final = bytes(set(range(256)) - set(b"0123456789"))
_RUN: Final = re.compile(r"[0-9](?:[\s().,/_*+\u00b7-]{0,4}[0-9]){6,}")
_DIGITS: Final = frozenset("0123456789")
#: Scripts without blanks between words, or that put endings on names: a name there ends where it ends.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def _joined(folded: str, outside: int, edge: int) -> bool:
    """Whether the character outside belongs to the same word as the one at the edge."""
    return (
        0 <= outside < len(folded)
        and folded[outside].isalnum()
        and folded[edge].isalnum()
        and not _UNSPACED.match(folded[edge])
    )


#: Escapes of JSON, also of JSON inside JSON, and of URLs.
_ESCAPE: Final = re.compile(  # each alternative begins with its own character, which is what `re` looks for first
    r"""\\\\*(?:u[dD][89abAB][0-9a-fA-F]{2}\\+u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[nrtbf]|(?=["'/]))"""
    r"|%[0-9a-fA-F]{2}(?:%[0-9a-fA-F]{2})*"
)
#: JSON writes them with a backslash.
_ESCAPABLE: Final = frozenset('"\\/')
_TOKEN: Final = re.compile(rf"{_ESCAPE.pattern}|.", re.DOTALL)
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


def _fold(text: str) -> str:
    """Lower case, without accents and marks that cannot be seen, plain digits, dashes and quotes, and with escapes resolved."""
    if "\\" in text or "%" in text:
        text = _ESCAPE.sub(_unescaped, text)
    if not text.isascii():
        text = _even_text(text)
    return text.lower()


_ASCII: Final = bytes(range(128))
#: From so many on, to replace each by itself takes longer than to look at every one.
_FEW: Final = 40


def _even_text(text: str) -> str:
    others = text.encode("utf-8", "surrogatepass").translate(None, _ASCII).decode("utf-8", "surrogatepass")
    distinct = set(others)
    if len(distinct) > _FEW:
        return _NOT_ASCII.sub(_evened, text)
    for character in distinct:
        even = _even_piece(character)
        if even != character:
            text = text.replace(character, even)
    return text


def _spans(text: str) -> list[tuple[int, int]]:
    """For each character of the folded text, where it comes from in the text."""
    return [token.span() for token in _TOKEN.finditer(text) for _ in _fold(token[0])]


def _unescaped(match: re.Match[str]) -> str:
    text = match[0]
    if text[0] == "%":
        return unquote(text)
    codes = re.findall("u([0-9a-fA-F]{4})", text)
    if not codes:
        return " " if text[-1] != "\\" else ""
    return b"".join(bytes.fromhex(code) for code in codes).decode("utf-16-be", "surrogatepass")


def _evened(match: re.Match[str]) -> str:
    return _even_piece(match[0])


@lru_cache(4096)
def _even_piece(text: str) -> str:
    return "".join(map(_even, unicodedata.normalize("NFKD", text).casefold()))


@cache
def _even(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Mn", "Me", "Cf"):
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Pd" or character == "\u2212":
        return "-"
    return "'" if character in "\u2018\u2019" else character
