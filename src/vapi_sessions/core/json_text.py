"""The only JSON decoder: decodes a text, and repairs JSON that other parsers disagree about. Pure.

`normalised` repairs a body once, when a page is split into sessions and when a raw file is read. All later code relies on it:

- if a key is repeated in an object, the last value is kept;
- half a surrogate pair (half an emoji, where the source truncated a text) becomes U+FFFD;
- an array or object nested more than `MOST_DEEP` levels deep becomes a string with its JSON text;
- so does an integer of more than `MOST_DIGITS` digits.

The repairs are counted in a member `$normalised` of the session: `{"repeated_names": 1}`. Everything else is unchanged, including
the text of numbers. A body that needs no repair keeps every byte.
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

#: Levels of arrays and objects, including the outermost. Recursion in Python takes three frames a level, and has a thousand.
MOST_DEEP: Final = 100
#: Digits of the longest integer that Python and msgspec read.
MOST_DIGITS: Final = 4_300
#: The member of a session that counts the repairs.
MARK: Final = "$normalised"
_REPEATED, _HALVES, DEEP, _LONG = KINDS = (
    "repeated_names",
    "lone_surrogates",
    "deep_values",
    "long_integers",
)
#: The largest count. A larger number could be personal data, such as a phone number.
_MOST: Final = 999_999

#: Decodes well-formed JSON. Numbers with a decimal point or an exponent keep their text, and `encode` writes it unchanged.
decode: Final = msgspec.json.Decoder(float_hook=msgspec.Raw).decode
encode: Final = msgspec.json.Encoder().encode
#: The members of an object, or the elements of an array, each as JSON text.
members: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
elements: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


# ---------------------------------------------------------------------------------------------------------------------
# One text.


def normalised(body: bytes) -> tuple[bytes, Any]:
    """A session's JSON text after repairs, and its value. Without repairs, the same object. Raises ValueError if it is not JSON."""
    value, odd = read(body)
    if not odd:
        return body, value
    if isinstance(value, dict):
        before = value.pop(MARK, None)
        if is_mark(before):
            odd.update(before)
        elif before is not None:  # the source's own member of this name is replaced
            odd[_REPEATED] += 1
        value[MARK] = {kind: min(count, _MOST) for kind, count in odd.items()}
    return encode(value), value


def is_mark(value: Any) -> bool:
    """Whether a decoded value has the form that `normalised` writes. Such a value contains no personal data."""
    return (
        isinstance(value, dict)
        and value.keys() <= set(KINDS)
        and all(type(count) is int and 0 < count <= _MOST for count in value.values())
    )


def read(text: bytes) -> tuple[Any, Counter[str]]:
    """The value of a JSON text after repairs, and the number of repairs by kind. Raises ValueError."""
    try:
        value = decode(text)
        flat = text.count(b"[") + text.count(b"{") <= MOST_DEEP or type(value) in _LEAVES or not deeper(value)
        if flat:  # if encoding restores the text, except for white space, decoding has lost nothing
            encoded = encode(value)
            if encoded == text or encoded == msgspec.json.format(text, indent=-1):
                return value, Counter()
    except (ValueError, RecursionError):
        pass  # not JSON, or JSON that this decoder rejects
    return _exactly(text.decode())


def deeper(value: Any, levels: int = MOST_DEEP) -> bool:
    """Whether arrays or objects are nested more than `levels` deep. A struct counts as an object."""
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
    """The text with a string in place of each array or object that is nested too deep."""
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
    """Each symbol, and the number of brackets open after it. A string is one symbol. Raises ValueError if brackets do not match."""
    stack: list[str] = []
    for match in _SYMBOLS.finditer(text):
        symbol = match[0]
        if symbol in "[{":
            stack.append(symbol)
        elif symbol in "]}" and (not stack or stack.pop() + symbol not in ("[]", "{}")):
            raise ValueError("brackets that do not match")
        elif symbol == '"':
            raise ValueError("a string without an end")
        yield match, len(stack)
    if stack:
        raise ValueError("brackets that do not match")


_SYMBOLS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\],:"]', re.DOTALL)


def shallow(text: str) -> list[tuple[str, str]]:
    """The members of an object, or the elements of an array (with empty names), at any depth of nesting.

    For text that no decoder accepts: only strings, brackets and separators are examined. Raises ValueError if they are invalid.
    """
    parts: list[tuple[str, str]] = []
    name, start, end = "", 0, 0
    for match, levels in _brackets(text):
        symbol = match[0]
        if end:
            raise ValueError("more than one whole value")
        if symbol in "[{" and levels == 1:
            start = match.end()
        elif symbol == ":" and levels == 1 and text.lstrip(_BLANKS)[0] == "{":
            name, start = json.loads(text[start : match.start()]), match.end()
        elif (symbol == "," and levels == 1) or (symbol in "]}" and levels == 0):
            value = text[start : match.start()].strip(_BLANKS)
            if not value and (parts or symbol == ","):
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
    """The text as a JSON string."""
    return encode(text).decode()


# ---------------------------------------------------------------------------------------------------------------------
# Many texts, for Arrow.


def check_utf8(text: bytes) -> None:
    """Raises UnicodeDecodeError if the text is not UTF-8. Decoding it could take four times the memory."""
    bounds = pa.array([0, len(text)], pa.int64()).buffers()[1]
    try:
        pa.LargeStringArray.from_buffers(1, bounds, pa.py_buffer(text)).validate(full=True)
    except pa.ArrowInvalid:
        text.decode()


def column(texts: Sequence[bytes]) -> pa.StringArray:
    """JSON texts as one Arrow column, with one copy. Raises UnicodeDecodeError if one is not UTF-8."""
    bounds = pa.array([0, *accumulate(map(len, texts))], pa.int32()).buffers()[1]
    found = pa.StringArray.from_buffers(len(texts), bounds, pa.py_buffer(b"".join(texts)))
    try:
        found.validate(full=True)
    except pa.ArrowInvalid:
        for text in texts:
            text.decode()
        raise
    return found
