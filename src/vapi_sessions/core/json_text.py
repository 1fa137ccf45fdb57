"""The one decoder for JSON: text in, values out, and what is odd about the JSON itself put right on the way. Pure.

JSON allows what databases and other parsers do not agree about. `normalised` settles it once, where a page is cut into sessions
and where a raw file is read; whatever takes a body after that relies on it:

- of a key that is repeated in an object, the last value stays;
- half a surrogate pair (half an emoji, where a source cut a text at so many characters) becomes U+FFFD;
- an array or object more than `MOST_DEEP` levels down becomes a string that holds its JSON text;
- so does an integer of more than `MOST_DIGITS` digits.

What was done is counted in a member `$normalised` of the session, and stays there: `{"repeated_names": 1}`. Everything else, the
text of numbers included, is as it was; in a body without any of this not a byte changes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Final, NoReturn

import msgspec
import pyarrow as pa
from msgspec.structs import astuple

#: Levels of arrays and objects, the outermost included. A walk in Python takes three frames a level, of a thousand that there are.
MOST_DEEP: Final = 100
#: What Python and msgspec read.
MOST_DIGITS: Final = 4_300
#: The member of a session that counts what was put right.
MARK: Final = "$normalised"
_REPEATED, _HALVES, DEEP, _LONG = KINDS = (
    "repeated_names",
    "lone_surrogates",
    "deep_values",
    "long_integers",
)
#: No count says more: a larger number might be somebody's.
_MOST: Final = 999_999

#: Decodes well-formed JSON; numbers with a point or an exponent keep their text. `encode` writes them as they were.
decode: Final = msgspec.json.Decoder(float_hook=msgspec.Raw).decode
encode: Final = msgspec.json.Encoder().encode
#: The members of an object, or the elements of an array, each its own text.
members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
elements: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


# ---------------------------------------------------------------------------------------------------------------------
# One text.


def normalised(body: bytes) -> tuple[bytes, Any]:
    """A session's JSON text, and what it decodes to. The same object if nothing is odd. Raises ValueError if it is not JSON."""
    value, odd = read(body)
    if not odd:
        return body, value
    if isinstance(value, dict):
        before = value.pop(MARK, None)
        if is_mark(before):
            odd.update(before)
        elif before is not None:  # somebody else's, and the name is taken
            odd[_REPEATED] += 1
        value[MARK] = {kind: min(count, _MOST) for kind, count in odd.items()}
    return encode(value), value


def is_mark(value: Any) -> bool:
    """Whether a decoded value is what `normalised` writes: it can hold nothing that anybody said."""
    return (
        isinstance(value, dict)
        and value.keys() <= set(KINDS)
        and all(type(count) is int and 0 < count <= _MOST for count in value.values())
    )


def read(text: bytes) -> tuple[Any, Counter[str]]:
    """What a JSON text decodes to, with everything odd put right, and how much of it there was. Raises ValueError."""
    try:
        value = decode(text)
        flat = text.count(b"[") + text.count(b"{") <= MOST_DEEP or type(value) in _LEAVES or not deeper(value)
        if flat:  # and if encoding gives the text back, but for white space, decoding lost nothing
            encoded = encode(value)
            if encoded == text or encoded == msgspec.json.format(text, indent=-1):
                return value, Counter()
    except (ValueError, RecursionError):
        pass  # not JSON, or not for this decoder
    return _exactly(text.decode())


def deeper(value: Any, levels: int = MOST_DEEP) -> bool:
    """Whether there is an array or object below so many levels of them; a struct is an object."""
    if type(value) is dict:
        items: Iterable[Any] = value.values()
    else:
        items = value if type(value) is list else astuple(value)
    return levels == 0 or any(deeper(item, levels - 1) for item in items if type(item) not in _LEAVES)


_LEAVES: Final = frozenset({str, int, float, bool, type(None), msgspec.Raw, msgspec.UnsetType})


def _exactly(text: str) -> tuple[Any, Counter[str]]:
    odd: Counter[str] = Counter()

    def half(match: re.Match[str]) -> str:
        if not match[1]:
            return match[0]
        odd[_HALVES] += 1
        return "\\ufffd"

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            odd[_REPEATED] += len(pairs) - len(found)
        return found

    def integer(digits: str) -> int | str | msgspec.Raw:
        if len(digits.lstrip("-")) > MOST_DIGITS:
            odd[_LONG] += 1
            return digits
        return msgspec.Raw(digits) if digits == "-0" else int(digits)

    text = _ESCAPE.sub(half, _without_depth(text, odd))
    decoder = json.JSONDecoder(
        object_pairs_hook=unique, parse_float=msgspec.Raw, parse_int=integer, parse_constant=_constant
    )
    value = decoder.decode(text)
    return value, odd


_ESCAPE: Final = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _without_depth(text: str, odd: Counter[str]) -> str:
    """The text with a string in place of each array and object that is too deep."""
    if text.count("[") + text.count("{") <= MOST_DEEP:
        return text
    parts: list[str] = []
    start = end = 0
    for match, levels in _brackets(text):
        if levels == MOST_DEEP + 1 and match[0] in "[{":
            start = match.start()
        elif levels == MOST_DEEP and match[0] in "]}":
            parts += text[end:start], quote(text[start : match.end()])
            end = match.end()
            odd[DEEP] += 1
    return "".join((*parts, text[end:]))


def _brackets(text: str) -> Iterator[tuple[re.Match[str], int]]:
    """Each mark outside of strings, and how many brackets are open after it. Raises ValueError if they do not match."""
    stack: list[str] = []
    for match in _MARKS.finditer(text):
        mark = match[0]
        if mark in "[{":
            stack.append(mark)
        elif mark in "]}" and (not stack or stack.pop() + mark not in ("[]", "{}")):
            raise ValueError("brackets that do not match")
        elif mark == '"':
            raise ValueError("a string without an end")
        yield match, len(stack)
    if stack:
        raise ValueError("brackets that do not match")


_MARKS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\],:"]', re.DOTALL)


def shallow(text: str) -> list[tuple[str, str]]:
    """The members of an object, or the elements of an array (without names), however deep they are nested.

    For what no decoder takes: only strings, brackets and what stands between them are looked at. Raises ValueError if
    these are not in order.
    """
    parts: list[tuple[str, str]] = []
    name, start, end = "", 0, 0
    for match, levels in _brackets(text):
        mark = match[0]
        if end:
            raise ValueError("more than one whole value")
        if mark in "[{" and levels == 1:
            start = match.end()
        elif mark == ":" and levels == 1 and text.lstrip(_BLANKS)[0] == "{":
            name, start = json.loads(text[start : match.start()]), match.end()
        elif (mark == "," and levels == 1) or (mark in "]}" and levels == 0):
            value = text[start : match.start()].strip(_BLANKS)
            if not value and (parts or mark == ","):
                raise ValueError("a value that is empty")
            if value:
                parts.append((name, value))
            name, start = "", match.end()
            end = 0 if levels else start
    if not end or text[end:].strip(_BLANKS):
        raise ValueError("not one whole object or array")
    return parts


_BLANKS: Final = " \t\r\n"


def quote(text: str) -> str:
    """A JSON string."""
    return encode(text).decode()


# ---------------------------------------------------------------------------------------------------------------------
# Many texts, for Arrow.


def check_utf8(text: bytes) -> None:
    """Raises UnicodeDecodeError for what is not UTF-8. Decoding would write a page of emoji out four times as large."""
    bounds = pa.array([0, len(text)], pa.int64()).buffers()[1]
    try:
        pa.LargeStringArray.from_buffers(1, bounds, pa.py_buffer(text)).validate(full=True)
    except pa.ArrowInvalid:
        text.decode()


def column(texts: Sequence[bytes]) -> pa.StringArray:
    """JSON texts as one Arrow column, copied once. Raises UnicodeDecodeError if one is not UTF-8."""
    bounds = pa.array([0, *accumulate(map(len, texts))], pa.int32()).buffers()[1]
    found = pa.StringArray.from_buffers(len(texts), bounds, pa.py_buffer(b"".join(texts)))
    try:
        found.validate(full=True)
    except pa.ArrowInvalid:
        for text in texts:
            text.decode()
        raise
    return found
