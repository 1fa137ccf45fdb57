"""Normalises values that identify a person.

Pseudonyms, the suppression list and `forget` compare values by `normalised`. phonenumbers parses telephone numbers, into E.164 if the
country is known: `+1 (415) 555-0100`, `0014155550100`, `14155550100` and, with the region US, `(415) 555-0100` are one number.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

import phonenumbers

#: A number without `+` that is not assigned anywhere counts as international from this number of digits on.
_INTERNATIONAL: Final = 11

_SEPARATORS: Final = r"\s().,/_*\u00b7\u2010-\u2015\u2212-"
_NUMBER: Final = re.compile(rf"(\+)?([\d{_SEPARATORS}]*\d[\d{_SEPARATORS}]*)")
#: Ann Lee <ann@mail.test>
_ANGLE_ADDRESS: Final = re.compile(r"[^<]*<([^<>]+)>\s*")


def normalised(kind: str, value: str, region: str | None = None) -> str:
    """The normal form of a value, which is equal for all spellings of one value of this kind.

    `number`: E.164, or only digits if the country is unknown, with `;ext=` and the extension if there is one. `email` and `sipUri`: the
    bare address in lower case (`sip:…`). `name`: lower case, single blanks. Others (`externalId`, `customerId`, `extension` …)
    keep their case. `region`: country (ISO 3166) of telephone numbers without one.
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
    """NFKC, with ASCII apostrophes and without invisible characters."""
    if value.isascii():
        return value.strip()
    text = unicodedata.normalize("NFKC", value).replace("\u2019", "'").replace("\u2018", "'")
    return "".join(c for c in text if unicodedata.category(c) != "Cf").strip()


def _address(text: str, *schemes: str) -> str:
    text = text.casefold()
    if (inner := _ANGLE_ADDRESS.fullmatch(text)) is not None:
        text = inner[1].strip()
    for scheme in schemes:
        text = text.removeprefix(scheme)
    return text


@lru_cache(4096)
def _number(text: str, region: str | None) -> str:
    text = text.removeprefix("tel:")
    bare = _NUMBER.fullmatch(text)
    if bare is None:  # with an extension or letters, or not a number
        found = _parsed(text, region)
        return text.casefold() if found is None else _e164(found)
    digits = "".join(str(int(c)) for c in bare[2] if c.isdecimal())
    if bare[1]:
        found = _parsed(text, None)
        return f"+{digits}" if found is None else _e164(found)
    if digits.startswith("00"):
        return _number(f"+{digits[2:]}", None)
    # Assigned numbers win: 13812345678 is one in China, and has the length of an American number.
    local, abroad = _parsed(digits, region), _parsed(f"+{digits}", None)
    for candidate in (local, abroad):
        if candidate is not None and phonenumbers.is_valid_number(candidate):
            return _e164(candidate)
    if local is not None:
        return _e164(local)
    return _e164(abroad) if abroad is not None and len(digits) >= _INTERNATIONAL else digits


def _parsed(text: str, region: str | None) -> phonenumbers.PhoneNumber | None:
    """A number of a possible length; None if it is not one, or its country is unknown."""
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
    """The country (ISO 3166) of an international telephone number; None if it is unknown."""
    found = _parsed(number, None)
    region: str | None = None if found is None else phonenumbers.region_code_for_number(found)
    return region


@lru_cache(4096)
def number_parts(value: str, region: str | None = None) -> tuple[str, str]:
    """The country code of a number ("" if unknown) and its other digits; ("", "") if it is not a number."""
    text = normalised("number", value, region).partition(";")[0]
    if text.startswith("+") and (found := _parsed(text, None)) is not None:
        return str(found.country_code), phonenumbers.national_significant_number(found)
    digits = text.removeprefix("+")
    return "", digits if digits.isdecimal() else ""
