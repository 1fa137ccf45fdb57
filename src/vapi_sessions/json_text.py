"""JSON text, cut into its parts without decoding them, so that numbers, escapes and repeated keys survive as they came.

msgspec does nearly all of the work. It refuses lone surrogates (half an emoji, where a source cut a text at so many
characters), which JSON allows and Python's own decoder reads; what it refuses is cut by the latter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Final, NoReturn

import msgspec
import pyarrow as pa


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_raw_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_raw_array: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_lenient: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_constant)
_blank: Final = re.compile(r"[ \t\r\n]*")


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


def members(text: str) -> list[tuple[str, str]]:
    """The members of a JSON object in order, repeated keys included, each with its value's own text."""
    try:
        found = [(name, bytes(value)) for name, value in _raw_object(text).items()]
        size = len(text) if text.isascii() else len(text.encode())
        # A repeated key, an escape in a key or white space makes the text longer than its parts.
        if size == 1 + sum([len(name) + len(value) + 4 for name, value in found]):
            return [(name, value.decode()) for name, value in found]
    except (ValueError, msgspec.DecodeError):
        pass  # not for this decoder: a lone surrogate
    return list(_cut(text, "{", "}"))


def elements(text: str) -> list[str]:
    """The elements of a JSON array, each its own text."""
    try:
        return [bytes(value).decode() for value in _raw_array(text)]
    except (ValueError, msgspec.DecodeError):
        return [value for _, value in _cut(text, "[", "]")]


def _cut(text: str, opening: str, closing: str) -> Iterable[tuple[str, str]]:
    def after(position: int) -> int:
        return _blank.match(text, position).end()  # type: ignore[union-attr]  # matches the empty string everywhere

    def expect(position: int, characters: str) -> str:
        if text[position : position + 1] not in characters or position >= len(text):
            raise ValueError(f"{characters} expected")
        return text[position]

    position = after(0)
    expect(position, opening)
    position = after(position + 1)
    done = text[position : position + 1] == closing
    while not done:
        name = ""
        if opening == "{":
            expect(position, '"')
            name, position = _lenient.raw_decode(text, position)
            position = after(position)
            expect(position, ":")
            position = after(position + 1)
        start = position
        _, position = _lenient.raw_decode(text, start)
        yield name, text[start:position]
        position = after(position)
        done = expect(position, closing + ",") == closing
        if not done:
            position = after(position + 1)
    if after(position + 1) != len(text):
        raise ValueError("trailing characters")


def shallow(text: str) -> list[tuple[str, str]]:
    """The members of an object, or the elements of an array (without names), however deep they are nested.

    For what no decoder takes: only strings, brackets and what stands between them are looked at. Raises ValueError if
    these are not in order.
    """
    stack: list[str] = []
    parts: list[tuple[str, str]] = []
    name, start, end = "", 0, 0
    for match in _MARKS.finditer(text):
        mark = match[0]
        if end and not stack:
            raise ValueError("more than one whole value")
        if mark in "{[":
            stack.append(mark)
            start = match.end() if len(stack) == 1 else start
        elif mark in "}]":
            if not stack or stack.pop() + mark not in ("{}", "[]"):
                raise ValueError("brackets that do not match")
            end = match.end()
        elif mark == '"':
            raise ValueError("a string without an end")
        if len(stack) == (0 if mark in "}]" else 1) and mark in ",}]":
            value = text[start : match.start()].strip(_BLANKS)
            if not value and (parts or mark == ","):
                raise ValueError("a value that is empty")
            if value:
                parts.append((name, value))
            name, start = "", match.end()
        elif len(stack) == 1 and mark == ":" and stack == ["{"]:
            name, start = _lenient.decode(text[start : match.start()]), match.end()
    if stack or not end or text[end:].strip(_BLANKS):
        raise ValueError("not one whole object or array")
    return parts


_MARKS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\],:"]', re.DOTALL)
_BLANKS: Final = " \t\r\n"

_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # Python's str holds them only if they are alone
_ESCAPE: Final = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)")


def utf8(text: str) -> str:
    """The text with U+FFFD for every lone surrogate."""
    return _SURROGATE.sub("\ufffd", text)


def castable(text: str) -> bool:
    """Whether DuckDB takes this JSON text as JSON: it refuses lone surrogates, and nothing else that is JSON."""
    return "\\u" not in text or not any(match[1] for match in _ESCAPE.finditer(text))


def approximate(text: str) -> str:
    """JSON text with U+FFFD for every escaped lone surrogate."""
    return _ESCAPE.sub(lambda match: "\\ufffd" if match[1] else match[0], text)


def decode(text: str) -> Any:
    """A value; numbers as their text."""
    return _lenient.decode(text)


def string(text: str) -> str:
    """A JSON string's value."""
    return decode(text) if "\\" in text else text[1:-1]


def quote(text: str) -> str:
    """A JSON string."""
    return msgspec.json.encode(text).decode()


def peek(text: str | None, *path: str) -> str | None:
    """The string at a path inside a value, if there is one."""
    for name in path:
        if text is None or not text.startswith("{"):
            return None
        text = dict(members(text)).get(name)
    return utf8(string(text)) if text is not None and text.startswith('"') else None
