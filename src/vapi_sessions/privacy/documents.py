"""One well-formed JSON document (`json_text`) decoded, changed and written again. Pure.

A document in which nothing changes is the same object; of others, the text of numbers comes out as it went in. JSON inside a
string is anybody's: it is put right here before it is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from vapi_sessions.core.json_text import DEEP, decode, encode, members, read

#: Changes a decoded value; returns the same object if there was nothing to do.
Change = Callable[[Any], Any]
#: Stands for a JSON text inside a string that is nested too deeply to be examined.
UNREADABLE_TEXT: Final = '{"$unreadable":"nested too deeply"}'


def rewrite(body: bytes, change: Change) -> bytes:
    """A document with `change` applied; the same object if nothing changed. Raises ValueError if it is not JSON."""
    value = decode(body)
    clean = change(value)
    return body if clean is value else encode(clean)


def rewrite_or_stub(body: bytes, change: Change) -> bytes:
    """The same, with a document that says so in place of one that cannot be examined: nobody knows what it holds."""
    try:
        return rewrite(body, change)
    except (ValueError, RecursionError):
        return b'{"$unreadable":"not JSON"}'


def rewrite_text(text: str, change: Change) -> str | None:
    """The same for JSON inside a string; None if it is not JSON. Too deep: replaced by a note that says so."""
    try:
        value, odd = read(text.encode())
        clean = change(value)
    except RecursionError:  # JSON in a string of JSON in a string, each of them deep
        return UNREADABLE_TEXT
    except ValueError:
        return None
    if odd[DEEP]:
        return UNREADABLE_TEXT
    return text if clean is value and not odd else encode(clean).decode()


def cut(body: bytes) -> dict[str, bytes] | None:
    """The members of an object, each its own text; None for what is no object."""
    try:
        return {name: bytes(value) for name, value in members(body).items()}
    except (ValueError, RecursionError):
        return None


def join(parts: dict[str, bytes]) -> bytes:
    """An object of members that `cut` took apart."""
    return b"{" + b",".join([member(name, value) for name, value in parts.items()]) + b"}"


def member(name: str, value: bytes) -> bytes:
    """A member as JSON text."""
    return b"%s:%s" % (encode(name), value)


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


def change_object(members: dict[str, Any], each: Callable[[str, Any], Any]) -> dict[str, Any]:
    """The same for an object."""
    copy: dict[str, Any] | None = None
    for name, value in members.items():
        clean = each(name, value)
        if clean is not value:
            if copy is None:
                copy = members.copy()
            copy[name] = clean
    return members if copy is None else copy


def change_names(members: dict[str, Any], each: Callable[[str], str]) -> dict[str, Any]:
    """An object with other keys and the same values; the same object if no key changes. Keys that become equal are numbered."""
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
