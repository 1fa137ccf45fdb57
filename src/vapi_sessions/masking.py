"""Message text with what identifies a person replaced by its kind, or gone but for its length. Pure.

Masked are e-mail addresses, IBANs, card numbers and telephone numbers, in the text as it reads (`masking_reading`): an escape,
a full-width digit or a mark without width hides nothing. Names, postal addresses, dates of birth and numbers said in words
stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from vapi_sessions.masking_numbers import CARD, PHONE, numbers
from vapi_sessions.masking_reading import read
from vapi_sessions.masking_words import REACH

__all__ = ["CARD", "EMAIL", "IBAN", "MASKING_VERSION", "PHONE", "drop", "mask"]

#: Part of every content hash: raise it when a rule changes.
MASKING_VERSION: Final = 2

EMAIL: Final = "[email]"
IBAN: Final = "[iban]"

#: A text without any of these is left as it is; so is one in which seven digits never stand near each other.
_AT: Final = ("@", "\uff20", "%40", "u0040", "&#64;", "&commat;", "(at)", "[at]")
_DIGITS: Final = re.compile(r"\d(?:\D{0,16}\d){6}")

_SIGN: Final = r"(?:[ ]?[(\[{][ ]?at[ ]?[)\]}][ ]?|[ ]?@[ ]?)"
_DOT: Final = r"(?:\.|[ ]?[(\[{][ ]?dot[ ]?[)\]}][ ]?)"
_ADDRESS: Final = re.compile(
    rf"(?:\"[^\"\n@]{{1,64}}\"|(?<![\w.+%&'-])[\w.+%-][\w.+%&'-]*){_SIGN}"
    rf"(?:[\w-]{{1,63}}{_DOT}){{1,8}}(?:xn--[a-z0-9-]{{2,59}}|[^\W\d_]{{2,24}})(?![\w-])",
    re.IGNORECASE,
)
_SPOKEN_WORD: Final = r"[\w.+-]+(?:[ ](?:dot|underscore|dash|hyphen|plus)[ ][\w.+-]+)*"
_SPOKEN: Final = re.compile(rf"(?<![\w.+-]){_SPOKEN_WORD}[ ]at[ ][\w-]+(?:[ ]dot[ ][\w-]+)+", re.IGNORECASE)

_ACCOUNT: Final = re.compile(r"[0-9](?<=[A-Za-z]{2}[0-9])[0-9](?:[ .-]?[A-Za-z0-9]){11}")
_ALPHANUMERIC: Final = re.compile(r"[ .-]?([A-Za-z0-9])")


def mask(text: str, region: str | None = None, *, name: str = "") -> str:
    """The text with the kinds in place of the values; the same object if there are none.

    `region` is the country (ISO 3166, two letters) whose national numbers are known; elsewhere they are known by how they are
    written. `name` is the member of an object that the text was the value of: it says what a bare number is.
    """
    reading = None
    clean = text
    if any(sign in clean for sign in _AT) or " dot " in clean:
        reading = read(clean)
        if spans := list(_addresses(reading.text)):
            clean, reading = reading.replaced(clean, spans), None
    if _DIGITS.search(clean):
        reading = reading or read(clean)
        if spans := list(_accounts(reading.text)):
            clean = reading.replaced(clean, spans)
            reading = read(clean)
        if spans := list(numbers(reading.text, region, name)):
            clean = reading.replaced(clean, spans)
    return text if clean == text else clean


def drop(text: str) -> str:
    """As many x as the text has characters: what was said is gone, how long it was stays."""
    clean = "x" * len(text)
    return text if clean == text else clean


def _addresses(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _ADDRESS.finditer(text):
        yield match.start(), match.end(), EMAIL
    if " dot " in text and "mail" in text:
        for match in _SPOKEN.finditer(text):
            yield match.start(), match.end(), EMAIL


def _accounts(text: str) -> Iterator[tuple[int, int, str]]:
    """IBANs by their country's length and their check digits; if introduced as one, by the length alone."""
    last = 0
    for match in _ACCOUNT.finditer(text):
        begin = match.start() - 2
        if begin < last or (begin and text[begin - 1].isascii() and text[begin - 1].isalnum()):
            continue
        length = _length(text[begin : begin + 2].upper())
        number, end = "", begin
        while len(number) < length and (sign := _ALPHANUMERIC.match(text, end)):
            number, end = number + sign[1], sign.end()
        if (
            len(number) < length
            or not length
            or (text[end : end + 1].isascii() and text[end : end + 1].isalnum())
        ):
            continue
        if _is_account(number) or re.search("iban", text[max(0, begin - REACH) : begin], re.IGNORECASE):
            yield begin, end, IBAN
            last = end


@lru_cache
def _length(country: str) -> int:
    """Of an IBAN of that country; 0 if it has none."""
    from stdnum import numdb

    (_, facts), *_ = numdb.get("iban").info(country)
    return 4 + sum(map(int, re.findall(r"(\d+)!", facts["bban"]))) if "bban" in facts else 0


def _is_account(number: str) -> bool:
    from stdnum import iban

    return bool(iban.is_valid(number, check_country=False))
