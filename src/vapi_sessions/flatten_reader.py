"""Reads one JSON object by name and type, and keeps what it cannot place. Used by `flatten_generic`.

Objects are cut into members whose values stay the source's own text, so numbers, escapes and repeated keys survive.
What a row cannot hold goes to its `extra`, from which, with the row, the object can be put together again:

- `"key": value`           no column, or not of the column's type (the column is null then), or the column can only
                           approximate it (a rounded time, U+FFFD for a lone surrogate); `extra` wins over the column
- `"key$json": "text"`     the same for a value that DuckDB's JSON refuses (lone surrogates): its JSON text, as a string
- `"key$json": true`       the column holds JSON text where the source had something else than a string
- `"$members": "text"`     JSON text of an object with the members that cannot stand under their own key: earlier ones of
                           a repeated key, keys with lone surrogates
- `"$value": value`        the source had something else than an object here
- `"$keys": ["content"]`   which of the names for the same thing a message used, where they are not the usual ones: spoken
                           messages (with a time) use message, toolCalls, toolCallId; others content, tool_calls, tool_call_id
- `"$unreadable": "why"`   the body could not be read at all; raw has it

A `$` in a key of the source is doubled. Absent and null are the same thing, and so are absent and empty for what is taken
apart (messages, tool calls, costs, customer, a call's function, a cost's model).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NoReturn

import msgspec

#: Microseconds of the years 1 and 9999: what DuckDB, Arrow and Python's datetime all can show.
MIN_TIME: Final = -62_135_596_800_000_000
MAX_TIME: Final = 253_402_300_799_999_999
# ---------------------------------------------------------------------------------------------------------------------
# JSON text, cut and not decoded.


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_raw_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_raw_array: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_lenient: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_constant)
_blank: Final = re.compile(r"[ \t\r\n]*")


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


# ---------------------------------------------------------------------------------------------------------------------
# What had no column.


class Drift:
    """Counts names, never contents; a bounded number of them."""

    _LIMIT: Final = 300
    _NAME: Final = re.compile(r"[A-Za-z0-9_$-]{1,64}", re.ASCII)

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, where: str, name: str, mark: str = "", by: int = 1) -> None:
        """`where` as in "message." or "cost.type="; a name that does not look like one is shown as "?"."""
        self.count(f"{where}{name if self._NAME.fullmatch(name) else '?'}{mark}", by)

    def count(self, key: str, by: int) -> None:
        """Once there are too many names, the rest are counted together."""
        self.counts[key if key in self.counts or len(self.counts) < self._LIMIT else "other"] += by

    def join(self, other: Drift) -> None:
        """Adds another's counts."""
        for key, count in other.counts.items():
            self.count(key, count)


class Extra:
    """What of one object has no column."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._odd: list[str] = []

    def put(self, name: str, text: str) -> None:
        """A member of the source."""
        if _SURROGATE.search(name):
            self.odd(name, text)
        elif castable(text):
            self.mark(name.replace("$", "$$"), text)
        else:
            self.mark(name.replace("$", "$$") + "$json", quote(text))

    def odd(self, name: str, text: str) -> None:
        """A member of the source that cannot stand under its own key."""
        self._odd.append(f"{json.dumps(name)}:{text}")

    def mark(self, name: str, text: str) -> None:
        """A key of ours."""
        self._parts.append(f"{quote(name)}:{text}")

    def text(self) -> str | None:
        """The column; null if nothing was put."""
        if self._odd:
            self.mark("$members", quote("{" + ",".join(self._odd) + "}"))
            self._odd.clear()
        return "{" + ",".join(self._parts) + "}" if self._parts else None


class Reader:
    """Takes the members of one object by name and type; what is left, or of another type, goes to `extra`."""

    def __init__(self, text: str, where: str, drift: Drift) -> None:
        self._where = where
        self._drift = drift
        self.extra = Extra()
        self._left: dict[str, str] = {}
        if not text.startswith("{"):
            if castable(text):
                self.extra.mark("$value", text)
            else:
                self.extra.mark("$value$json", quote(text))
            drift.add(where, "$value")
            return
        for name, value in members(text):
            if name in self._left:  # every parser keeps the last one
                self.extra.odd(name, self._left[name])
                drift.add(where, name, ":repeated")
            self._left[name] = value

    def __contains__(self, name: str) -> bool:
        return self._left.get(name, "null") != "null"

    def take(self, name: str) -> str | None:
        """The value's text; None if it is absent or null."""
        text = self._left.pop(name, None)
        return None if text == "null" else text

    def drop(self, *names: str) -> dict[str, str | None]:
        """Members that stay in raw only."""
        return {name: self.take(name) for name in names}

    def keep(self, name: str, text: str, mark: str = ":retyped") -> None:
        """To `extra`, and counted."""
        self.extra.put(name, text)
        self.note(name, mark)

    def note(self, name: str, mark: str = ":retyped") -> None:
        """Counted only: a column holds it."""
        self._drift.add(self._where, name, mark)

    def _typed(self, name: str, first: str) -> str | None:
        text = self.take(name)
        if text is not None and text[0] not in first:
            self.keep(name, text)
            return None
        return text

    def string(self, name: str) -> str | None:
        """A text, valid UTF-8."""
        text = self._typed(name, '"')
        return None if text is None else self.utf8(name, text, string(text))

    def utf8(self, name: str, text: str, value: str) -> str:
        """A decoded string as a column can hold it."""
        clean = utf8(value)
        if clean != value:
            self.keep(name, text, ":surrogate")
        return clean

    def json(self, name: str) -> str | None:
        """Any value, as JSON text that DuckDB takes."""
        text = self.take(name)
        return None if text is None else self.as_json(name, text)

    def as_json(self, name: str, text: str) -> str:
        """The same for a value that was taken already."""
        if castable(text):
            return text
        self.keep(name, text, ":surrogate")
        return approximate(text)

    def array(self, name: str) -> list[str] | None:
        """The elements' texts."""
        text = self._typed(name, "[")
        return None if text is None else elements(text)

    def object(self, name: str) -> str | None:
        """The object's text."""
        return self._typed(name, "{")

    def double(self, name: str) -> float | None:
        """The nearest double; `extra` has what is too large, or an integer that no double is equal to."""
        text = self._typed(name, "-0123456789")
        if text is None:
            return None
        value = float(text)
        if value in (float("inf"), float("-inf")):
            self.keep(name, text)
            return None
        if abs(value) >= 2**53:
            self.keep(name, text, ":rounded")
        return value

    def integer(self, name: str) -> int | None:
        """A BIGINT; `12.0` is one too."""
        text = self._typed(name, "-0123456789")
        if text is None:
            return None
        value = float(text)
        if abs(value) < 2**53 and value.is_integer():
            return int(value)
        if len(text) < 21 and text.lstrip("-").isdigit() and -(2**63) <= int(text) < 2**63:
            return int(text)
        self.keep(name, text)
        return None

    def milliseconds(self, name: str) -> int | None:
        """Epoch milliseconds as microseconds; `extra` has what is finer than that, or not between years 1 and 9999."""
        text = self._typed(name, "-0123456789")
        if text is None:
            return None
        value = float(text)
        if not MIN_TIME <= value * 1000 <= MAX_TIME:
            self.keep(name, text)
            return None
        micros = round(value * 1000)
        if micros / 1000 != value:
            self.keep(name, text, ":rounded")
        return micros

    def finish(self) -> str | None:
        """Everything that nobody took goes to `extra`; its text."""
        for name, text in self._left.items():
            if text != "null":
                self.keep(name, text, "")
        self._left.clear()
        return self.extra.text()
