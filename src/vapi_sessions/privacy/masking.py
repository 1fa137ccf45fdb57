"""Masks text: replaces identifying values by their kind, or drops everything except the length.

`mask` finds e-mail addresses, IBANs, and telephone, card and American social security numbers. It searches the visible text
(`visible_text`), so escapes, full-width digits and zero-width characters hide nothing. It does not find names, postal addresses,
dates of birth and numbers in words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Final

from vapi_sessions.privacy.masking_context import REACH
from vapi_sessions.privacy.masking_numbers import CARD, PHONE, RUN, SOCIAL, numbers
from vapi_sessions.privacy.visible_text import is_plain, visible_text

__all__ = ["CARD", "EMAIL", "IBAN", "MASKING_VERSION", "PHONE", "SOCIAL", "drop", "mask"]

#: Part of every content hash. Raise it when a rule changes: stored sessions are then sanitized again.
MASKING_VERSION: Final = 2

_Spans = Iterator[tuple[int, int, str]]
_Finder = Callable[[str], _Spans]

EMAIL: Final = "[email]"
IBAN: Final = "[iban]"

#: Seven digits near each other, in a text with escapes or other scripts.
_HIDDEN_DIGITS: Final = re.compile(r"\d(?:\D{0,16}\d){6}")

#: Shorter texts contain no number or address.
_SHORTEST: Final = 6
#: The most frequent text with many digits; skipping it saves time.
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_SIGN: Final = r"(?:[ ]?[(\[{][ ]?at[ ]?[)\]}][ ]?|[ ]?@[ ]?)"
_DOT: Final = r"(?:\.|[ ]?[(\[{][ ]?dot[ ]?[)\]}][ ]?)"
_ADDRESS: Final = re.compile(
    rf"(?:\"[^\"\n@]{{1,64}}\"|(?<![\w.+%&'-])[\w.+%-][\w.+%&'-]*){_SIGN}"
    rf"(?:[\w-]{{1,63}}{_DOT}){{1,8}}(?:xn--[a-z0-9-]{{2,59}}|[^\W\d_]{{2,24}})(?![\w-])",
    re.IGNORECASE,
)
_SPOKEN_WORD: Final = r"[\w.+-]+(?:[ ](?:dot|underscore|dash|hyphen|plus)[ ][\w.+-]+)*"
_SPOKEN: Final = re.compile(rf"(?<![\w.+-]){_SPOKEN_WORD}[ ]at[ ][\w-]+(?:[ ]dot[ ][\w-]+)+", re.IGNORECASE)

_IBAN_START: Final = re.compile(
    r"[0-9](?:(?<=[A-Za-z]{2}[0-9])|(?<=[A-Za-z]{2}[ ][0-9]))[0-9](?=(?:[ .-]?[A-Za-z0-9]){11})"
)
_ALPHANUMERIC: Final = re.compile(r"[ .-]?([A-Za-z0-9])")


def mask(text: str, region: str | None = None, *, name: str = "") -> str:
    """The text with each value replaced by its kind; the same object if there is none.

    `region`: country (ISO 3166) whose national telephone numbers are recognised; others are recognised by their format. `name`: of
    the object member that has this text as its value, which says what a bare number is.
    """
    if len(text) < _SHORTEST or (len(text) == 36 and _UUID.fullmatch(text)):
        return text
    plain = is_plain(text)
    finders: list[_Finder] = []
    if _has_at(text, plain):
        finders.append(_addresses)
    if " dot " in text:
        finders.append(_spoken_addresses)
    if (RUN if plain else _HIDDEN_DIGITS).search(text):
        finders += (_ibans, partial(numbers, region=region, name=name))
    if not finders:
        return text
    clean, visible = text, visible_text(text)
    for find in finders:
        if spans := list(find(visible.text)):
            clean = visible.replaced(clean, spans)
            visible = visible_text(clean)
    return text if clean == text else clean


def drop(text: str) -> str:
    """As many x as the text has characters."""
    clean = "x" * len(text)
    return text if clean == text else clean


def _has_at(text: str, plain: bool) -> bool:
    """Whether there may be an address. Searching for strings is faster than a regular expression."""
    if "@" in text or "(at)" in text or "[at]" in text or "(AT)" in text:
        return True
    return not plain and (
        "\uff20" in text or "%40" in text or "u0040" in text or "#64;" in text or "commat" in text
    )


def _addresses(text: str) -> _Spans:
    for match in _ADDRESS.finditer(text):
        yield match.start(), match.end(), EMAIL


def _spoken_addresses(text: str) -> _Spans:
    """`ann dot lee at example dot com`, in a text that mentions mail."""
    if "mail" in text.lower():
        for match in _SPOKEN.finditer(text):
            yield match.start(), match.end(), EMAIL


def _ibans(text: str) -> _Spans:
    """IBANs, by the length in their country and the check digits; after the word IBAN, by the length alone."""
    last = 0
    for match in _IBAN_START.finditer(text):
        begin = match.start() - (3 if text[match.start() - 1] == " " else 2)
        if begin < last or (begin and _is_alphanumeric(text[begin - 1])):
            continue
        length = _iban_length(text[begin : begin + 2].upper())
        number, end = "", begin
        while len(number) < length and (sign := _ALPHANUMERIC.match(text, end)):
            number, end = number + sign[1], sign.end()
        if not length or len(number) < length or _is_alphanumeric(text[end : end + 1]):
            continue
        before = text[max(0, begin - REACH) : begin].rpartition(IBAN)[2].lower()
        named = "iban" in before and text[begin + 2] != " " and sum(map(str.isdigit, number)) >= 10
        if named or _is_iban(number):
            yield begin, end, IBAN
            last = end


def _is_alphanumeric(sign: str) -> bool:
    return sign.isascii() and sign.isalnum()


@lru_cache
def _iban_length(country: str) -> int:
    """The length of IBANs of a country; 0 if it has none."""
    from stdnum import numdb

    (_, facts), *_ = numdb.get("iban").info(country)
    return 4 + sum(map(int, re.findall(r"(\d+)!", facts["bban"]))) if "bban" in facts else 0


def _is_iban(number: str) -> bool:
    from stdnum import iban

    return bool(iban.is_valid(number, check_country=False))
