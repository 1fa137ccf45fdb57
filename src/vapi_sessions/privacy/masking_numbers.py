"""Finds telephone, card and American social security numbers in a text.

A fast expression finds runs of digits with separators. Then the format of a run, the words next to it (`masking_context`) and, last
because they are slow, two libraries decide whether it is a number: `python-stdnum` checks the digits of cards and the ranges of
social security numbers, `phonenumbers` knows which telephone numbers are assigned.

- Always a number: anything that starts with `+`; a card with the prefix and length of an issuer and the right check digit; a
  social security number with hyphens.
- A number unless the words say something else: the format of a telephone number, or an assigned number of the region.
- A number only if the words say so: any other run of a suitable length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from vapi_sessions.privacy.masking_context import REACH, Introduced, explained, introduced

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

CARD: Final = "[card number]"
PHONE: Final = "[phone number]"
SOCIAL: Final = "[social security number]"

#: Seven digits with at most four separators between two, which are not just a date. A text without such a run contains no number.
#: (The lookbehind comes after the first digit, because Python searches faster if an expression begins with a set of characters.)
RUN: Final = re.compile(
    r"[0-9](?<![0-9]{2})(?!(?<=[12])[0-9]{3}-[0-9]{2}-[0-9]{2}(?![ \t./(),-]{0,4}[0-9]))(?:[ \t./(),-]{0,4}[0-9]){6,}"
)
#: Tokens are separated by blanks, commas, and a slash between four digits and three. Single digits in a row are one token.
_TOKEN: Final = re.compile(
    r"(?<![^ \t,])[0-9](?:[ ][0-9](?![^ \t,])){2,}|(?<![^ \t,])[0-9](?:,[ ]?[0-9](?![^ \t,])){2,}"
    r"|(?:[^ \t,/]|/(?<![0-9]{4}/)|/(?!\(?[0-9]{3}))+"
)
#: The most tokens of a number.
_TOKENS: Final = 8
#: Characters before the first digit that belong to the number; a bracket only if it closes after an area or country code.
_LEAD: Final = re.compile(r"(?:\(?\+\(?|\()\Z")
_AREA: Final = re.compile(r"\+?\(\+?[0-9]{1,5}\)")
_DATE: Final = re.compile(
    r"(?<![0-9])(?:[12][0-9]{3}([-./])[01]?[0-9]\1[0-3]?[0-9]|[0-3]?[0-9]([-./])[0-3]?[0-9]\2(?:19|20)[0-9]{2})(?![0-9])"
)
#: A date, perhaps with a time, without separators; seconds or milliseconds since 1970, from 2014 on.
_TIMESTAMP: Final = re.compile(
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[0-9]{2}){0,3}|1[4-9][0-9]{8}(?:[0-9]{3})?"
)
#: A decimal number, a number with thousands separators, two years, a date with blanks.
_FIGURE: Final = re.compile(
    r"(?:0|[1-9][0-9]*)[.,][0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+(?:,[0-9]+)?|[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?"
    r"|(?:19|20)[0-9]{2}[ /-]{1,3}(?:19|20)[0-9]{2}"
    r"|[0-3]?[0-9][ ][01]?[0-9][ ](?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}[ ][01]?[0-9][ ][0-3]?[0-9]"
)
_AMOUNT: Final = re.compile(r"[0-9]{1,3}(?:([ .,])[0-9]{3})(?:\1[0-9]{3})+")
#: Groups of digits that vary from person to person.
_SPACED: Final = re.compile(r"[0-9]{2,5}(?:[ ][0-9]{2,5}){2,3}")
_EXTENSION: Final = re.compile(
    r"[ ]{0,2}[,;]?[ ]{0,2}(?i:extension|extn?|x|durchwahl|poste|anexo)\.?[ :=]{0,3}[0-9]{1,7}(?!-?[0-9])"
)
#: A token without the punctuation around it.
_CORE: Final = re.compile(r"\(?[0-9](?:.*[0-9])?")
_NO_DIGIT: Final = re.compile("[^0-9]")
#: Two numbers separated by a comma.
_LISTED: Final = re.compile(r"[0-9]{5},|,[ ]?[0-9]{5}")
#: Followed by this, the last digits are part of a word, an id or a time.
_GOES_ON: Final = re.compile(r"[A-Za-z\u00c0-\u024f]|[_-][A-Za-z0-9]|:[0-9]")
#: After this, the first digits are part of a word.
_STUCK: Final = re.compile(
    r"(?<!phone)(?<!tel)(?<!mobile)(?<!cell)(?<!fax)(?<!whatsapp)(?<=[a-z\u00c0-\u024f])\Z", re.IGNORECASE
)

_GAP: Final = r"(?:[ ]?[/-][ ]?|[ .])"
_AMERICAN: Final = re.compile(
    rf"(?:1{_GAP})?(?:[2-9][0-9]{{2}}{_GAP}?|\([2-9][0-9]{{2}}\)[ -]?)[0-9]{{3}}{_GAP}?[0-9]{{4}}"
)
_TIGHT: Final = re.compile(r"(?:1[ .-])?[2-9][0-9]{2}([./-])[0-9]{3}[.-][0-9]{4}")
_BRACKETS: Final = re.compile(r"(?:[0-9]{1,3}[ -]?)?\([0-9]{2,5}\)[ -]?[0-9]{2,8}(?:[ -][0-9]{2,5}){0,3}")
_SOCIAL: Final = re.compile(r"[0-9]{3}-[0-9]{2}-[0-9]{4}")
_TRUNK: Final = re.compile(rf"0[1-9][0-9]{{0,10}}(?:{_GAP}[0-9]{{2,8}}){{0,5}}")
#: Lottery numbers, times of day.
_ROW: Final = re.compile(r"[0-9]{2}(?:[ .-][0-9]{2}){5,}|[0-9]{4}(?:[ .-][0-9]{4}){2,}")
_INDIAN: Final = re.compile(r"[6-9][0-9]{4}[ -][0-9]{5}")
#: Seven digits. A range such as 100-2000 usually ends with a round number.
_LOCAL: Final = re.compile(r"[2-9][0-9]{2}-(?:0[0-9]{3}|[0-9]{3}[1-9])")
_CODED: Final = re.compile(rf"[1-9][0-9]{{0,2}}(?:{_GAP}[0-9]{{2,8}}){{2,5}}")
#: Digit by digit, or in groups of such: `4-1-5, 5-5-5, 0-1-3-2`.
_SPELLED: Final = re.compile(
    r"[0-9](?:(?:[ -]|[,.][ ])[0-9]){9,}|[0-9](?:-[0-9]){2,3}(?:[ ,]{1,2}[0-9](?:-[0-9]){2,3}){2,}"
)

#: Prefixes and lengths of card issuers (ISO/IEC 7812).
_ISSUED: Final = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|(?:5[1-5]|2[2-7])[0-9]{14}|3[47][0-9]{13}|3(?:0|6|8|9)[0-9]{12}"
    r"|35[0-9]{14}|6[0-9]{15}|(?:62|6011)[0-9]{15,17}|(?:5[06-8]|6)[0-9]{11,18}"
)
_CARD_GROUPS: Final = re.compile(
    r"[0-9]{12,19}|[0-9]{4}(?:[ \t./,-]{1,3}[0-9]{4}){2,3}(?:[ \t./,-]{1,3}[0-9]{1,4})?|[0-9]{4}[ \t./,-]{1,3}[0-9]{6}[ \t./,-]{1,3}[0-9]{4,5}"
    r"|[0-9](?:[ \t,.-]{1,3}[0-9]){11,18}"
)


class _Certainty(Enum):
    """How certain a format is: no word contradicts it, only a close word does, or any word does."""

    SURE = 3
    LIKELY = 2
    POSSIBLE = 1


def numbers(text: str, region: str | None = None, name: str = "") -> Iterator[tuple[int, int, str]]:
    """Begin, end and kind of each number, in order. Takes linear time. `name` counts as a label before the text."""
    tail, last = "", 0  # the end of the masked text so far, which may introduce the next number
    for run in RUN.finditer(text):
        tokens = _tokens(text, *run.span(), last)
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


def _tokens(text: str, begin: int, end: int, last: int) -> list[tuple[int, int]]:
    """Begin and end of the tokens in a run, without those that are part of a word, an id or a time.

    A sign may directly follow the number that ended at `last`, but no other digit.
    """
    tokens = []
    for token in _TOKEN.finditer(text, begin, end):
        if core := _CORE.search(text, *token.span()):
            opens = text[core.start()] == "(" and not _AREA.match(text, core.start())
            tokens.append((core.start() + opens, core.end()))
    following = text[end : end + 2]
    if (
        _GOES_ON.match(following)
        and not _EXTENSION.match(text, end)
        and (following[0] != ":" or tokens[-1][1] - tokens[-1][0] <= 2)
    ):
        tokens.pop()
    if not tokens or tokens[0][0] != begin or not begin:
        return tokens
    end = tokens[0][1]
    former = text[max(0, begin - 9) : begin]
    if _STUCK.search(former) or (end - begin <= 2 and re.search(r"[0-9]:\Z", former)):
        del tokens[0]
    elif lead := _LEAD.search(text, max(0, begin - 4), begin):
        start = lead.start()
        if start and start != last and text[start - 1].isdigit():
            start = begin
        elif "(" in lead[0] and not _AREA.match(text, start):
            start = begin - (lead[0] == "(+")
        tokens[0] = (start, end)
    return tokens


class _Candidate(NamedTuple):
    """The text of some consecutive tokens, its digits, and the index of the next token."""

    text: str
    digits: str
    after: int


def _longest(
    text: str, tokens: list[tuple[int, int]], first: int, before: str, region: str | None
) -> tuple[int, str] | None:
    """The longest number that starts with token `first`: the index of the next token, and the kind."""
    begin = tokens[first][0]
    candidates = []
    digits = ""
    for after, (_, end) in enumerate(tokens[first : first + _TOKENS], first + 1):
        digits += _NO_DIGIT.sub("", text[tokens[after - 1][0] : end])
        if len(digits) > 19:
            break
        if len(digits) >= 7:
            candidates.append(_Candidate(text[begin:end], digits, after))
    if not candidates:
        return None
    candidates.reverse()
    introduction, close = introduced(before)
    by_words = None
    for candidate in candidates:
        if kind := _by_check(candidate):
            return candidate.after, kind
        explanation = explained(text, begin + len(candidate.text))
        if explanation is Introduced.AS_OTHER or introduction is Introduced.AS_NOTHING:
            as_what = explanation
        else:
            as_what = introduction
        certainty = _certainty(candidate, region)
        other = as_what is Introduced.AS_OTHER
        near = close or explanation is Introduced.AS_OTHER
        if certainty is _Certainty.SURE or (
            certainty and not (other and (near or certainty is _Certainty.POSSIBLE))
        ):
            return candidate.after, PHONE
        if by_words is None and (kind := _by_words(candidate, as_what)):
            by_words = candidate.after, kind
    return by_words


def _by_check(candidate: _Candidate) -> str | None:
    """A card or a social security number, if it is written as one and its digits are right."""
    digits = candidate.digits
    if len(digits) == 9:
        return SOCIAL if _SOCIAL.fullmatch(candidate.text) and _is_social(candidate.text) else None
    if len(digits) < 12 or not _ISSUED.fullmatch(digits) or not _CARD_GROUPS.fullmatch(candidate.text):
        return None
    return CARD if _has_check_digit(digits) else None


def _certainty(candidate: _Candidate, region: str | None) -> _Certainty | None:
    """How certainly the format is that of a telephone number; None if it is not."""
    text, digits, _ = candidate
    count = len(digits)
    if "+" in text:
        return _Certainty.SURE if count <= 15 and _is_assigned(digits) else None
    if count > 17 or _DATE.search(text):
        return None
    if digits.startswith("00"):
        return _Certainty.LIKELY if count >= 10 and _is_assigned(digits[2:]) else None
    if digits.startswith("011") and count >= 12 and _is_assigned(digits[3:]):  # from North America
        return _Certainty.LIKELY
    if text == digits or _SPELLED.fullmatch(text):
        return _Certainty.POSSIBLE if _is_bare_number(digits, region) else None
    if "," in text or _FIGURE.fullmatch(text):
        return None
    if _AMERICAN.fullmatch(text) and (
        "(" in text or _TIGHT.fullmatch(text) or _is_assigned("1" + digits[-10:])
    ):
        return _Certainty.SURE if "(" in text else _Certainty.LIKELY
    usual = (
        _is_with_trunk_prefix(text, count)
        or (_BRACKETS.fullmatch(text) and 9 <= count <= 12)
        or (_INDIAN.fullmatch(text) and _is_assigned("91" + digits))
        or _LOCAL.fullmatch(text)
        or (
            _CODED.fullmatch(text)
            and 11 <= count <= 13
            and not _AMOUNT.fullmatch(text)
            and _is_assigned(digits)
        )
        or (region is not None and text.count("(") == text.count(")") and _is_number_in(text, region))
    )
    return _Certainty.LIKELY if usual else None


def _is_with_trunk_prefix(text: str, count: int) -> bool:
    """Whether it is a national number with its leading zero, with or without brackets."""
    bare = text.lstrip("(").replace(")", " ", 1).replace("  ", " ") if text[0] == "(" else text
    return 9 <= count <= 12 and _TRUNK.fullmatch(bare) is not None and not _ROW.fullmatch(bare)


def _is_bare_number(digits: str, region: str | None) -> bool:
    if not 9 <= len(digits) <= 13 or _TIMESTAMP.fullmatch(digits):
        return False
    if region is not None and _is_number_in(digits, region, mobile=True):
        return True
    if digits[0] == "0":
        return digits[1] != "0" and 10 <= len(digits) <= 12
    if len(digits) == 11 and digits[0] == "1":  # North America, in demos often unassigned; a mobile in China
        return digits[1] not in "01"
    return len(digits) >= 10 and (
        _is_assigned(digits, mobile=True) or (len(digits) == 10 and _is_assigned("1" + digits, mobile=True))
    )


def _by_words(candidate: _Candidate, as_what: Introduced) -> str | None:
    """The kind that the words say, even if the number is not assigned. Anything that begins with `+` is a telephone number."""
    text, digits, _ = candidate
    count = len(digits)
    if "+" in text:
        return PHONE if count <= 15 and "," not in text and not _FIGURE.fullmatch(text.lstrip("+")) else None
    if (
        as_what in (Introduced.AS_NOTHING, Introduced.AS_OTHER)
        or _DATE.search(text)
        or _FIGURE.fullmatch(text)
    ):
        return None
    if as_what is Introduced.AS_CARD:
        return CARD if 12 <= count <= 19 else None
    if as_what is Introduced.AS_SOCIAL:
        return SOCIAL if count == 9 else None
    return PHONE if count <= 15 and not _LISTED.search(text) else None


@lru_cache(4096)
def _has_check_digit(digits: str) -> bool:
    from stdnum import luhn

    return bool(luhn.is_valid(digits))


def _is_social(text: str) -> bool:
    from stdnum.us import ssn

    return bool(ssn.is_valid(text))


@lru_cache(4096)
def _is_assigned(digits: str, *, mobile: bool = False) -> bool:
    """Whether these digits, with their country code, are an assigned number; with `mobile`, a mobile number."""
    import phonenumbers  # the import takes 15 ms or more, and most texts do not need it

    if not 7 <= len(digits) <= 15 or digits[0] == "0":
        return False
    try:
        number = phonenumbers.parse("+" + digits)
    except phonenumbers.NumberParseException:
        return False
    return _is_mobile(number) if mobile else phonenumbers.is_valid_number(number)


@lru_cache(4096)
def _is_number_in(candidate: str, region: str, *, mobile: bool = False) -> bool:
    """Whether it is a number of that country, with the right grouping and trunk prefix; with `mobile`, a mobile number."""
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
