"""One JSON document decoded, changed and written again. What is not changed comes out as it went in.

That goes down to the text of numbers, to repeated keys and to lone surrogates; and a document in which nothing changes is
the same object. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

import msgspec

#: Changes a decoded value; returns the same object if there was nothing to do.
Change = Callable[[Any], Any]
#: Stands for a JSON text inside a string that is nested too deeply to be examined.
UNREADABLE_TEXT: Final = '{"$unreadable":"nested too deeply"}'


class Members:
    """A JSON object in which a key occurs twice: iterates over its pairs. No list, which the encoder would write as an array."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self._pairs = pairs

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self._pairs)


def _number(text: str) -> msgspec.Raw:
    return msgspec.Raw(text)


def _members(pairs: list[tuple[str, Any]]) -> Any:
    members = dict(pairs)
    return members if len(members) == len(pairs) else Members(pairs)


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode: Final = msgspec.json.Decoder(float_hook=_number).decode
_encode: Final = msgspec.json.Encoder(enc_hook=lambda members: msgspec.Raw(_write(members).encode())).encode
_exact: Final = json.JSONDecoder(
    object_pairs_hook=_members, parse_float=_number, parse_int=_number, parse_constant=_constant, strict=False
).decode


def read(body: bytes) -> Any:
    """A document, decoded as `rewrite` does it. ValueError: not JSON. RecursionError: too deep."""
    try:
        return _decode(body)
    except (ValueError, OverflowError):
        return _exact(body.decode("utf-8", "surrogatepass"))


def rewrite(body: bytes, change: Change) -> bytes:
    """A document with `change` applied; the same object if nothing changed. ValueError: not JSON. RecursionError: too deep."""
    try:
        value = _decode(body)
        # Proves that decoding lost nothing: no repeated key, no odd number or escape.
        faithful = _encode(value) == body
    except (ValueError, OverflowError):  # not JSON, or not for this decoder: a lone surrogate
        faithful = False
    if faithful:
        clean = change(value)
        return body if clean is value else _encode(clean)
    value = _exact(body.decode("utf-8", "surrogatepass"))
    clean = change(value)
    return body if clean is value else _write(clean).encode()


def cut(body: bytes) -> dict[str, bytes] | None:
    """The members of an object, each its own text; None for what `join` would not put together again byte by byte."""
    try:
        parts = {name: bytes(value) for name, value in _cut(body).items()}
    except (ValueError, RecursionError):  # not an object, not JSON, or not for this decoder
        return None
    size = 1 + sum(len(name) + len(value) + 4 for name, value in parts.items())
    return parts if parts and size == len(body) and all(map(str.isascii, parts)) else None


def join(parts: dict[str, bytes]) -> bytes:
    """An object of members that `cut` took apart."""
    return b"{" + b",".join([b'"%s":%s' % (name.encode(), value) for name, value in parts.items()]) + b"}"


_cut: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def rewrite_text(text: str, change: Change) -> str | None:
    """The same for JSON inside a string; None if it is not JSON. Too deep: replaced by a note that says so."""
    try:
        body = text.encode()
    except UnicodeEncodeError:  # a lone surrogate: JSON can still say it, escaped
        body = text.encode("utf-8", "surrogatepass")
    try:
        clean = rewrite(body, change)
    except RecursionError:
        return UNREADABLE_TEXT
    except ValueError:
        return None
    return text if clean is body else clean.decode()


def looks_like_json(text: str) -> bool:
    """Whether a string begins like a JSON object, array or string."""
    return text.lstrip(" \t\r\n")[:1] in _OPENING and len(text) > 2


_OPENING: Final = frozenset('{["')


def change_list(items: list[Any], each: Change) -> list[Any]:
    """Copies only what changes, so that an untouched list is the same object."""
    copy: list[Any] | None = None
    for index, item in enumerate(items):
        clean = each(item)
        if clean is not item:
            if copy is None:
                copy = items.copy()
            copy[index] = clean
    return items if copy is None else copy


def change_object(members: Any, each: Callable[[str, Any], Any]) -> Any:
    """The same for an object, repeated keys included."""
    if type(members) is Members:
        pairs = [(name, each(name, value)) for name, value in members]
        same = all(new[1] is old[1] for new, old in zip(pairs, members, strict=True))
        return members if same else Members(pairs)
    copy: dict[str, Any] | None = None
    for name, value in members.items():
        clean = each(name, value)
        if clean is not value:
            if copy is None:
                copy = members.copy()
            copy[name] = clean
    return members if copy is None else copy


def change_names(members: Any, each: Callable[[str], str]) -> Any:
    """An object with other keys and the same values; the same object if no key changes.

    Keys that become equal stay two members, in their order.
    """
    pairs = members if type(members) is Members else members.items()
    names = [each(name) for name, _ in pairs]
    if all(new == name for new, (name, _) in zip(names, pairs, strict=True)):
        return members
    return _members([(new, value) for new, (_, value) in zip(names, pairs, strict=True)])


def is_object(value: Any) -> bool:
    """Whether a decoded value is a JSON object."""
    return type(value) is dict or type(value) is Members


def _write(value: Any) -> str:
    """Compact JSON text; only what cannot be UTF-8 (lone surrogates) and what need not be is escaped."""
    if isinstance(value, Members):
        return "{" + ",".join(f"{_write(name)}:{_write(member)}" for name, member in value) + "}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_write(name)}:{_write(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_write, value)) + "]"
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if _SURROGATE.search(text) else text


_SURROGATE: Final = re.compile("[\ud800-\udfff]")  # Python's str holds them only if they are alone

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\]:]', re.DOTALL)
_PLAIN_VALUE: Final = re.compile(rb'"[\w:.+-]{1,64}"')
_INDISPENSABLE: Final = (b"id", b"orgId", b"createdAt", b"updatedAt")


def rewrite_or_stub(body: bytes, change: Change) -> bytes:
    """`rewrite`, with what can be said of the session in place of a body that cannot be examined."""
    try:
        return rewrite(body, change)
    except RecursionError:
        return _stub(body, "nested too deeply")
    except ValueError:
        return _stub(body, "not JSON")


def _stub(body: bytes, why: str) -> bytes:
    """What can be said of a body without reading all of it: the four members that the warehouse cannot do without."""
    kept: dict[str, msgspec.Raw] = {}
    depth, name, colon = 0, b"", False
    for match in _TOKEN.finditer(body):
        token = match[0]
        if token in b"{[":
            depth += 1
        elif token in b"}]":
            depth -= 1
        elif depth == 1 and token == b":":
            colon = True
            continue
        elif depth == 1 and not colon:
            name = token
        elif depth == 1 and name[1:-1] in _INDISPENSABLE and _PLAIN_VALUE.fullmatch(token):
            kept[name[1:-1].decode()] = msgspec.Raw(token)
        colon = False
    return _encode({**kept, "$unreadable": why})
