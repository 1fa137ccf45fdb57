"""Message text with what identifies a person replaced by its kind, or gone but for its length. Pure.

Masked are e-mail addresses, IBANs (by their check digits), card numbers (by theirs) and telephone numbers (any 7 to 15
digits that are written like one). No library: `phonenumbers` needs to know the country of a number without prefix, which a
session does not say, and passes over what it cannot place, while a mask should rather take too much; the check digits of
cards and IBANs are a line each. Names, addresses and numbers said in words stay.
"""

from __future__ import annotations

import re
from typing import Final

#: Part of every content hash: raise it when a rule changes.
MASKING_VERSION: Final = 1

EMAIL: Final = "[email]"
IBAN: Final = "[iban]"
CARD: Final = "[card number]"
PHONE: Final = "[phone number]"

_EMAIL: Final = re.compile(
    r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])", re.UNICODE
)
_IBAN: Final = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){11,30}(?![A-Za-z0-9])", re.IGNORECASE
)
#: Digits with the signs that people put between them; not inside a word, an id or a decimal number.
_DIGITS: Final = re.compile(
    r"(?<![\w.,:/-])(?:\+|\(|00)?\d(?:[ ./()\u2010-\u2015-]{0,3}\d){6,18}(?![\w])(?![.,:/-]\d)", re.ASCII
)
_DATE: Final = re.compile(r"\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./ ]\d{1,2}[-./ ]\d{4}")
#: Every text that is masked matches this; for a scan over whole pages, in Rust.
SUSPECT: Final = r"@|[0-9](?:[^0-9A-Za-z\"]{0,4}[0-9]){6}|[A-Za-z]{2}[0-9]{2}[ -]?[A-Za-z0-9]"


def mask(text: str, region: str | None = None) -> str:
    """The text with the kinds in place of the values; the same object if there are none."""
    clean = text
    if "@" in clean:
        clean = _EMAIL.sub(EMAIL, clean)
    if sum(map(str.isdigit, clean)) >= 7:
        clean = _IBAN.sub(_iban, clean)
        clean = _DIGITS.sub(_digits, clean)
    return text if clean == text else clean


def drop(text: str) -> str:
    """As many x as the text has characters: what was said is gone, how long it was stays."""
    clean = "x" * len(text)
    return text if clean == text else clean


def _iban(match: re.Match[str]) -> str:
    compact = re.sub("[ -]", "", match[0]).upper()
    for end in range(len(compact), 14, -1):  # the next word may have been taken for a part of it
        number = compact[:end]
        if int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 == 1:
            rest = _rest(match[0], end)
            return IBAN + rest
    return match[0]


def _rest(text: str, characters: int) -> str:
    """What follows after so many characters that are neither blank nor hyphen."""
    for position, character in enumerate(text):
        if character not in " -":
            characters -= 1
        if not characters:
            return text[position + 1 :]
    return ""


def _digits(match: re.Match[str]) -> str:
    digits = [int(c) for c in match[0] if c.isdigit()]
    if len(digits) >= 13 and _luhn(digits):
        return CARD
    if _DATE.fullmatch(match[0]):
        return match[0]
    return PHONE if len(digits) <= 15 else match[0]


def _luhn(digits: list[int]) -> bool:
    doubled = [sum(divmod(2 * d, 10)) for d in digits[-2::-2]]
    return (sum(doubled) + sum(digits[-1::-2])) % 10 == 0
