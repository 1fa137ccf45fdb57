"""Telephone and card numbers in a text. Pure.

A cheap expression finds runs of digits with the signs that people put between them. What a run is, is decided by how it is
written, by what introduces it (`masking_words`) and by the libraries, which are asked last because they are slow:

- `python-stdnum` has the check digits of cards, `phonenumbers` says which numbers are assigned in a country.
- Taken always: what starts with `+`, and a card with the digits and length of an issuer and the right check digit.
- Taken unless it is introduced as something else: what is written like a telephone number, and what is one in the region.
- Taken if it is introduced as a telephone or a card: any number that is as long as one, be it assigned or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from vapi_sessions.masking_words import REACH, Introduced, introduced

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

CARD: Final = "[card number]"
PHONE: Final = "[phone number]"

#: Seven digits with at most four signs between two: where there is none of these, no number is.
_RUN: Final = re.compile(r"[0-9](?:[ \t./(),-]{0,4}[0-9]){6,}")
_TOKEN: Final = re.compile(r"[^ \t,]*[0-9][^ \t,]*")
#: What a number may begin with, before its first digit; a bracket only if it closes behind an area or country code.
_LEAD: Final = re.compile(r"(?<![0-9])(?:\(?\+\(?|\()\Z")
_AREA: Final = re.compile(r"\+?\(\+?[0-9]{1,5}\)")
_DATE: Final = re.compile(
    r"(?<![0-9])(?:[12][0-9]{3}([-./])[01]?[0-9]\1[0-3]?[0-9]|[0-3]?[0-9]([-./ ])[0-3]?[0-9]\2(?:19|20)[0-9]{2}"
    r"|(?:19|20)[0-9]{2}[ ][01][0-9][ ][0-3][0-9])(?![0-9])"
)
#: A day, perhaps with hours, without signs between; seconds and milliseconds since 1970, from 2014 on.
_MOMENT: Final = re.compile(
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[0-9]{2}){0,3}|1[4-9][0-9]{8}(?:[0-9]{3})?"
)
#: A decimal number, thousands, two years.
_FIGURE: Final = re.compile(
    r"[0-9]+[.,][0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+(?:,[0-9]+)?|[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?"
    r"|(?:19|20)[0-9]{2}[ /-]{1,3}(?:19|20)[0-9]{2}"
)
_AMOUNT: Final = re.compile(r"[0-9]{1,3}(?:([ .,])[0-9]{3})(?:\1[0-9]{3})+")
#: Groups that people choose themselves.
_SPACED: Final = re.compile(r"[0-9]{2,5}(?:[ ][0-9]{2,5}){2,3}")
_EXTENSION: Final = re.compile(
    r"[ ]{0,2}[,;]?[ ]{0,2}(?i:extension|extn?|x|durchwahl|poste|anexo)\.?[ :=]{0,3}[0-9]{1,7}(?![0-9])"
)
_LETTER: Final = re.compile(r"[A-Za-z\u00c0-\u024f]")

_GAP: Final = r"(?:[ ]?[/-][ ]?|[ .])"
_AMERICAN: Final = re.compile(
    rf"(?:1{_GAP})?(?:[2-9][0-9]{{2}}{_GAP}?|\([2-9][0-9]{{2}}\)[ -]?)[0-9]{{3}}{_GAP}?[0-9]{{4}}"
)
_TIGHT: Final = re.compile(r"(?:1[ .-])?[2-9][0-9]{2}([./-])[0-9]{3}[.-][0-9]{4}")
_BRACKETS: Final = re.compile(r"(?:[0-9]{1,3}[ -]?)?\([0-9]{2,5}\)[ -]?[0-9]{2,8}(?:[ -][0-9]{2,5}){0,3}")
_TRUNK: Final = re.compile(rf"0[1-9][0-9]{{0,10}}(?:{_GAP}[0-9]{{2,8}}){{0,5}}")
#: Drawn numbers, times of day.
_ROW: Final = re.compile(r"[0-9]{2}(?:[ .-][0-9]{2}){5,}|[0-9]{4}(?:[ .-][0-9]{4}){2,}")
_INDIAN: Final = re.compile(r"[6-9][0-9]{4}[ -][0-9]{5}")
#: Not a range, whose end is a round number.
_LOCAL: Final = re.compile(r"[2-9][0-9]{2}-(?:0[0-9]{3}|[0-9]{3}[1-9])")
_CODED: Final = re.compile(rf"[1-9][0-9]{{0,2}}(?:{_GAP}[0-9]{{2,8}}){{2,5}}")
#: Digit by digit, or read back in groups: `4-1-5, 5-5-5, 0-1-3-2`.
_SPELLED: Final = re.compile(
    r"[0-9](?:(?:[ -]|[,.][ ])[0-9]){9,}|[0-9](?:-[0-9]){2,3}(?:[ ,]{1,2}[0-9](?:-[0-9]){2,3}){2,}"
)

#: Lengths and first digits by issuer (ISO/IEC 7812).
_ISSUED: Final = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|(?:5[1-5]|2[2-7])[0-9]{14}|3[47][0-9]{13}|3(?:0|6|8|9)[0-9]{12}"
    r"|35[0-9]{14}|6[0-9]{15}|(?:62|6011)[0-9]{15,17}|(?:5[06-8]|6)[0-9]{11,18}"
)
_CARD_GROUPS: Final = re.compile(
    r"[0-9]{12,19}|[0-9]{4}(?:[ \t.,-]{1,3}[0-9]{4}){2,3}(?:[ \t.,-]{1,3}[0-9]{1,4})?|[0-9]{4}[ \t.,-]{1,3}[0-9]{6}[ \t.,-]{1,3}[0-9]{4,5}"
    r"|[0-9](?:[ \t,.-]{1,3}[0-9]){11,18}"
)


class _Written(Enum):
    """How sure the way of writing is: nothing outweighs it, only a word right beside it does, or any word near."""

    SURELY = 2
    LIKELY = 1
    MAYBE = 0


def numbers(text: str, region: str | None = None, name: str = "") -> Iterator[tuple[int, int, str]]:
    """Begin, end and kind of each, in order. The time it takes grows with the length of the text, and no faster.

    `name` introduces what the text begins with.
    """
    tail, last = "", 0  # the end of the text as it will read, which introduces what follows
    for run in _RUN.finditer(text):
        tokens = _tokens(text, *run.span())
        first = 0
        while first < len(tokens):
            begin = tokens[first][0]
            before = (tail + text[max(last, begin - REACH) : begin])[-REACH:]
            if name and begin <= 2:
                before = f"{name}: {before}"
            found = _longest(text, tokens, first, before, region) if begin >= last else None
            if found is None:
                first += 1
                continue
            after, kind = found
            end = tokens[after - 1][1]
            if kind == PHONE and (extension := _EXTENSION.match(text, end)):
                end = extension.end()
            yield begin, end, kind
            tail, last, first = (before + kind)[-REACH:], end, after


def _tokens(text: str, begin: int, end: int) -> list[tuple[int, int]]:
    """What blanks and commas separate in a run, without what belongs to a word, an id or a time."""
    tokens = [(begin + token.start(), begin + token.end()) for token in _TOKEN.finditer(text[begin:end])]
    following = text[end : end + 2]
    if re.match(r"[A-Za-z\u00c0-\u024f]|[_-][A-Za-z0-9]|:[0-9]", following) and not _EXTENSION.match(
        text, end
    ):
        tokens.pop()
    if tokens and tokens[0][0] == begin and begin:
        if _LETTER.match(text[begin - 1]) or re.search(r"[0-9][:,.]\Z", text[max(0, begin - 2) : begin]):
            del tokens[0]
        elif lead := _LEAD.search(text, max(0, begin - 4), begin):
            start = lead.start()
            if "(" in lead[0] and not _AREA.match(text, start):
                start = text.rfind("+", start, begin) if lead[0] in ("+", "(+") else begin
            tokens[0] = (start, tokens[0][1])
    return tokens


def _longest(
    text: str, tokens: list[tuple[int, int]], first: int, before: str, region: str | None
) -> tuple[int, str] | None:
    """The longest number that starts with a token: the token after it, and its kind."""
    begin = tokens[first][0]
    ends = []
    for after in range(first + 1, min(len(tokens), first + 19) + 1):
        candidate = text[begin : tokens[after - 1][1]]
        count = sum(map(str.isdigit, candidate))
        if count > 19:
            break
        if count >= 7:
            ends.append((after, candidate))
    # The longest first; but before all, those that do not end in the middle of a row of groups.
    ends.sort(key=lambda end: (end[0] < len(tokens) and text[tokens[end[0] - 1][1]] != ",", -end[0]))
    for after, candidate in ends:
        if _is_card(candidate):
            return after, CARD
        written = _written(candidate, region)
        if written is None:
            continue
        kind, close = introduced(before, text[tokens[after - 1][1] : tokens[after - 1][1] + REACH])
        other = kind in (Introduced.AS_OTHER, Introduced.AS_CARD)
        if written is _Written.SURELY or not other or (written is _Written.LIKELY and not close):
            return after, PHONE
    for after, candidate in ends:
        kind, _ = introduced(before, text[tokens[after - 1][1] : tokens[after - 1][1] + REACH])
        if doubtful := _in_doubt(candidate, kind):
            return after, doubtful
    return None


def _is_card(candidate: str) -> bool:
    digits = re.sub("[^0-9]", "", candidate)
    return (
        len(digits) >= 12
        and _ISSUED.fullmatch(digits) is not None
        and _CARD_GROUPS.fullmatch(candidate) is not None
        and _has_check_digit(digits)
    )


def _written(candidate: str, region: str | None) -> _Written | None:
    """Whether it is written like a telephone number, and how clearly."""
    digits = re.sub("[^0-9]", "", candidate)
    count = len(digits)
    if count > 17 or _DATE.search(candidate):
        return None
    if "+" in candidate:
        return _Written.SURELY if _is_assigned(digits) else None
    if digits.startswith("00"):
        return _Written.LIKELY if count >= 10 and _is_assigned(digits[2:]) else None
    if digits.startswith("011") and count >= 12 and _is_assigned(digits[3:]):  # from North America
        return _Written.LIKELY
    if candidate == digits or _SPELLED.fullmatch(candidate):
        return _Written.MAYBE if _is_bare_number(digits, region) else None
    if "," in candidate or _FIGURE.fullmatch(candidate):
        return None
    if _AMERICAN.fullmatch(candidate) and (
        "(" in candidate or _TIGHT.fullmatch(candidate) or _is_assigned("1" + digits[-10:])
    ):
        return _Written.SURELY if "(" in candidate else _Written.LIKELY
    bare = (
        candidate.replace("(", "", 1).replace(")", " ", 1).replace("  ", " ")
        if candidate[0] == "("
        else candidate
    )
    if (
        (_TRUNK.fullmatch(bare) and 9 <= count <= 12 and not _ROW.fullmatch(bare))
        or (_BRACKETS.fullmatch(candidate) and 9 <= count <= 12)
        or (_INDIAN.fullmatch(candidate) and _is_assigned("91" + digits))
        or _LOCAL.fullmatch(candidate)
        or (
            region is not None
            and candidate.count("(") == candidate.count(")")
            and _is_number_in(candidate, region)
        )
        or (
            11 <= count <= 13
            and _CODED.fullmatch(candidate)
            and not _AMOUNT.fullmatch(candidate)
            and _is_assigned(digits)
        )
    ):
        return _Written.LIKELY
    return None


def _is_bare_number(digits: str, region: str | None) -> bool:
    if not 9 <= len(digits) <= 13 or _MOMENT.fullmatch(digits):
        return False
    if region is not None and _is_number_in(digits, region, mobile=True):
        return True
    if digits[0] == "0":
        return digits[1] != "0" and 10 <= len(digits) <= 12
    return len(digits) >= 10 and (
        _is_assigned(digits, mobile=True) or (len(digits) == 10 and _is_assigned("1" + digits, mobile=True))
    )


def _in_doubt(candidate: str, kind: Introduced) -> str | None:
    """What is introduced as a number is one, even if no such number is assigned; so is whatever begins with `+`."""
    count = sum(map(str.isdigit, candidate))
    if kind is Introduced.AS_CARD and 12 <= count <= 19 and not _DATE.search(candidate):
        return CARD
    if count > 15 or _DATE.search(candidate) or _FIGURE.fullmatch(candidate.lstrip("+")):
        return None
    if "+" in candidate and "," not in candidate:
        return PHONE
    if kind is Introduced.AS_PHONE and not re.search(r"[0-9]{5},|,[ ]?[0-9]{5}", candidate):
        return PHONE
    return None


@lru_cache(4096)
def _has_check_digit(digits: str) -> bool:
    from stdnum import luhn

    return bool(luhn.is_valid(digits))


@lru_cache(4096)
def _is_assigned(digits: str, *, mobile: bool = False) -> bool:
    """Whether these digits, with their country code, are in use somewhere; or for mobile telephones."""
    import phonenumbers  # takes 15 ms or more, and most texts do not need it

    if not 7 <= len(digits) <= 15 or digits[0] == "0":
        return False
    try:
        number = phonenumbers.parse("+" + digits)
    except phonenumbers.NumberParseException:
        return False
    return _is_mobile(number) if mobile else phonenumbers.is_valid_number(number)


@lru_cache(4096)
def _is_number_in(candidate: str, region: str, *, mobile: bool = False) -> bool:
    """Whether it is written as numbers of that country are, grouping and trunk prefix included; or for mobile telephones."""
    import phonenumbers

    spaced = _SPACED.fullmatch(candidate) and not _AMOUNT.fullmatch(candidate)
    leniency = phonenumbers.Leniency.VALID if spaced else phonenumbers.Leniency.STRICT_GROUPING
    found = phonenumbers.PhoneNumberMatcher(candidate, region, leniency=leniency)
    return any(
        match.start <= 1 and match.end == len(candidate) and (not mobile or _is_mobile(match.number))
        for match in found
    )


def _is_mobile(number: PhoneNumber) -> bool:
    from phonenumbers import PhoneNumberType as Type
    from phonenumbers import number_type

    return number_type(number) in (Type.MOBILE, Type.FIXED_LINE_OR_MOBILE)
