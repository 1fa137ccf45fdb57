"""Decodes a JSON document, changes it, and encodes it again.

If nothing changes, the same object is returned. Otherwise numbers keep their text. Documents are well-formed (`json_text`); JSON
inside a string may not be, and is normalised before it is examined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from vapi_sessions.core.json_text import DEEP, decode, encode, members, read

#: Changes a decoded value; returns the same object if nothing changes.
Change = Callable[[Any], Any]
#: Replaces JSON inside a string that is nested too deeply to be examined.
UNREADABLE_TEXT: Final = '{"$unreadable":"nested too deeply"}'
_UNREADABLE_BODY: Final = b'{"$unreadable":"not JSON"}'
_OPENING: Final = frozenset('{["')


def rewrite(body: bytes, change: Change) -> bytes:
    """A document with `change` applied; the same object if nothing changed. Raises ValueError if it is not JSON."""
    value = decode(body)
    clean = change(value)
    return body if clean is value else encode(clean)


def rewrite_or_replace(body: bytes, change: Change) -> bytes:
    """Like `rewrite`. A document that cannot be examined is replaced, because it may hold anything."""
    try:
        return rewrite(body, change)
    except (ValueError, RecursionError):
        return _UNREADABLE_BODY


def rewrite_text(text: str, change: Change) -> str | None:
    """Like `rewrite`, for JSON inside a string: None if it is not JSON; `UNREADABLE_TEXT` if it is too deep."""
    try:
        value, normalised = read(text.encode())
        clean = change(value)
    except RecursionError:  # deep JSON in strings in deep JSON
        return UNREADABLE_TEXT
    except ValueError:
        return None
    if normalised[DEEP]:
        return UNREADABLE_TEXT
    return text if clean is value and not normalised else encode(clean).decode()


def split(body: bytes) -> dict[str, bytes] | None:
    """The JSON text of each member of an object; None if the body is not an object."""
    try:
        return {name: bytes(value) for name, value in members(body).items()}
    except (ValueError, RecursionError):
        return None


def join(parts: dict[str, bytes]) -> bytes:
    """The object whose members `split` returned."""
    return b"{" + b",".join([member(name, value) for name, value in parts.items()]) + b"}"


def member(name: str, value: bytes) -> bytes:
    """A member as JSON text."""
    return b"%s:%s" % (encode(name), value)


def looks_like_json(text: str) -> bool:
    """Whether a string begins like a JSON object, array or string."""
    return text.lstrip(" \t\r\n")[:1] in _OPENING and len(text) > 2


def number_text(value: Any) -> str:
    """A decoded number as the source wrote it."""
    return bytes(value).decode() if isinstance(value, msgspec.Raw) else str(value)


def change_list(items: list[Any], each: Change) -> list[Any]:
    """A list with changed items; the same object if no item changes."""
    copy: list[Any] | None = None
    for index, item in enumerate(items):
        clean = each(item)
        if clean is not item:
            if copy is None:
                copy = items.copy()
            copy[index] = clean
    return items if copy is None else copy


def change_object(members: dict[str, Any], each: Callable[[str, Any], Any]) -> dict[str, Any]:
    """An object with changed values; the same object if no value changes."""
    copy: dict[str, Any] | None = None
    for name, value in members.items():
        clean = each(name, value)
        if clean is not value:
            if copy is None:
                copy = members.copy()
            copy[name] = clean
    return members if copy is None else copy


def change_names(members: dict[str, Any], each: Callable[[str], str]) -> dict[str, Any]:
    """An object with changed member names; the same object if no name changes. Names that become equal are numbered."""
    names = {name: each(name) for name in members}
    taken = {name for name, new in names.items() if new == name}
    if len(taken) == len(names):
        return members
    for name, new in names.items():
        if new != name:
            number, free = 1, new
            while free in taken:
                number, free = number + 1, f"{new} {number + 1}"
            taken.add(free)
            names[name] = free
    return {names[name]: value for name, value in members.items()}
