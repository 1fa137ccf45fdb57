"""Decodes objects by their shapes into columns. A strict and a lenient decoder give the same results.

The strict decoder, which is fast, accepts objects whose members have the declared types; undeclared members are split off and kept. If
a value has another type, the lenient decoder reads the object member by member.

`extra` of a row keeps everything that its columns cannot hold, so that row and `extra` together give the original object:

- `"key": value`           a member without a column, or with another type than its column (which is null then), or with more
                           precision than its column (a rounded time); the value in `extra` is the exact one
- `"key$json": true`       the column has JSON text, because the value was not a string
- `"$value": value`        the value was not an object
- `"$keys": ["content"]`   the names that a message used, if they are not the usual ones: spoken messages (with a time) use
                           message, toolCalls, toolCallId; others use content, tool_calls, tool_call_id
- `"$normalised": {…}`     counts of repairs to the session's JSON (`json_text`)
- `"$unreadable": "why"`   the body could not be decoded; raw has it

A `$` in a member name of the source is doubled. Null equals absent. For messages, tool calls, costs, customer, the function of a
call and the model of a cost, empty equals absent, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import astuple

from vapi_sessions.core.json_text import MARK, decode, elements, is_mark, members, quote
from vapi_sessions.transform.shapes import RETYPED, Field, Shape


class Drift:
    """Counts members without a column, by name and never by content. The number of names is bounded."""

    _LIMIT: Final = 300
    _NAME: Final = re.compile(r"[A-Za-z0-9_$-]{1,64}", re.ASCII)

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, prefix: str, name: str, suffix: str = "", by: int = 1) -> None:
        """Counts a name with its prefix ("message." or "cost.type="). Text that does not look like a name is shown as "?"."""
        self.count(f"{prefix}{name if self._NAME.fullmatch(name) else '?'}{suffix}", by)

    def count(self, key: str, by: int) -> None:
        """Counts a complete key. Beyond the limit, new keys are counted together as "other"."""
        self.counts[key if key in self.counts or len(self.counts) < self._LIMIT else "other"] += by


#: What names a member of the session itself.
_SESSION: Final = "session."
_objects: Final = msgspec.json.Decoder(list[dict[str, Raw]]).decode


class ObjectDecoder:
    """Decodes objects into the structs of their shapes, and counts the drift. `strict`: False to use the lenient decoder only."""

    def __init__(self, *, strict: bool = True) -> None:
        self.drift = Drift()
        self.strict = strict
        #: Number of objects that the lenient decoder read.
        self.lenient = 0

    def one(self, shape: Shape, text: bytes) -> Any:
        """One object. Raises ValueError or RecursionError if it is not well-formed JSON."""
        if self.strict:
            try:
                return shape.one(text)
            except ValueError:
                pass  # perhaps only an undeclared member
            try:
                item, names = shape.one_loose(text), members(text)
            except ValueError:
                pass
            else:
                self._keep_unknown(shape, item, names)
                return item
        return self._leniently(shape, text.decode().strip(" \t\r\n"))

    def all(self, shape: Shape, text: bytes) -> list[Any]:
        """The objects of a list. Raises like `one`."""
        if self.strict:
            try:
                return shape.all(text)
            except ValueError:
                pass
            try:
                items, names = shape.all_loose(text), _objects(text)
            except ValueError:
                pass
            else:
                for item, own in zip(items, names, strict=True):
                    self._keep_unknown(shape, item, own)
                return items
        return [self.one(shape, bytes(element)) for element in elements(text)]

    def _keep_unknown(self, shape: Shape, item: Any, names: dict[str, Raw]) -> None:
        for name in names:
            if name not in shape.fields:
                item.extra_parts = self.keep(item.extra_parts, shape, name, bytes(names[name]).decode())

    def _leniently(self, shape: Shape, text: str) -> Any:
        self.lenient += 1
        item = shape.struct()
        if not text.startswith("{"):
            decode(text)  # raises if it is not JSON
            item.extra_parts = with_part(None, "$value", text)
            self.drift.add(shape.drift_prefix, "$value")
            return item
        for name, value in members(text).items():
            own = bytes(value).decode()
            field = shape.fields.get(name)
            if field is None:
                item.extra_parts = self.keep(item.extra_parts, shape, name, own)
            elif own != "null":
                found, why = self._value(field, own)
                setattr(item, name, found)
                if why:
                    item.extra_parts = self.keep(item.extra_parts, shape, name, own, why)
        return item

    def _value(self, field: Field, text: str) -> tuple[Any, str]:
        if field.shape is None:
            return field.type.read(text)
        if text[0] != ("[" if field.many else "{"):
            return None, RETYPED
        return (self.all if field.many else self.one)(field.shape, text.encode()), ""

    def keep(self, parts: list[str] | None, shape: Shape, name: str, text: str, why: str = "") -> list[str] | None:  # fmt: skip
        """The parts of an `extra` with a member of the source added, which is counted. A null is not added."""
        if text == "null":
            return parts
        if name == MARK and shape.drift_prefix == _SESSION and is_mark(found := decode(text)):
            for kind in found:
                self.drift.add(f"{shape.drift_prefix}{MARK}.", kind)
            return with_part(parts, MARK, text)
        self.drift.add(shape.drift_prefix, name, why)
        return with_part(parts, name.replace("$", "$$"), text)

    def columns_of(self, shape: Shape, lists: Iterable[Sequence[Any]]) -> ObjectColumns:
        """The objects of some lists, as columns. An iterator of lists saves memory: each list is released after use."""
        found = ObjectColumns(self, shape, [], {name: [] for name in (*shape.fields, "extra_parts")})
        columns = [values.extend for values in found.values.values()]
        for items in lists:
            found.counts.append(len(items))
            for extend, values in zip(columns, zip(*map(astuple, items), strict=True), strict=bool(items)):
                extend(values)
        return found


def with_part(parts: list[str] | None, key: str, text: str) -> list[str]:
    """The parts of an `extra` with one more, which is not counted."""
    parts = [] if parts is None else parts
    parts.append(f"{quote(key)}:{text}")
    return parts


def extra(parts: list[str]) -> str:
    """The JSON text of an `extra`."""
    return "{" + ",".join(parts) + "}"


@dataclass(frozen=True, slots=True)
class ObjectColumns:
    """Many objects of one shape: the number of objects in each list, and the values of each field in the order of the objects."""

    decoder: ObjectDecoder
    shape: Shape
    counts: list[int]
    values: dict[str, list[Any]]

    def columns(self) -> dict[str, Any]:
        """The values of the fields that have a column."""
        return {
            field.column: self.values[field.name]
            for field in self.shape.fields.values()
            if field.column is not None
        }

    def texts(self, name: str, opening: bytes) -> Iterator[bytes | None]:
        """The JSON text of a nested member, for each object; None if it is absent. Another type than `opening` is kept in `extra`."""
        for at, raw in enumerate(self.values[name]):
            text = bytes(raw)
            if text[:1] == opening:
                yield text
                continue
            if text:
                self.keep(at, name, text.decode(), RETYPED)
            yield None

    def lists(self, name: str, shape: Shape) -> ObjectColumns:
        """The objects in a member that is a list."""
        decoder = self.decoder
        texts = self.texts(name, b"[")
        return decoder.columns_of(shape, ([] if text is None else decoder.all(shape, text) for text in texts))

    def objects(self, name: str, shape: Shape) -> ObjectColumns:
        """The objects in a member that is an object. Their `extra` becomes a member of this one's."""
        decoder, empty = self.decoder, shape.struct()
        texts = self.texts(name, b"{")
        found = decoder.columns_of(
            shape, [[empty if text is None else decoder.one(shape, text) for text in texts]]
        )
        for at, text in enumerate(found.extras()):
            if text is not None:
                self.add_part(at, name, text)
        return found

    def keep(self, at: int, name: str, text: str, why: str = "") -> None:
        """Keeps a member of the object at this position in its `extra`, and counts it."""
        parts = self.values["extra_parts"]
        parts[at] = self.decoder.keep(parts[at], self.shape, name, text, why)

    def add_part(self, at: int, key: str, text: str) -> None:
        """Adds a member to the `extra` of the object at this position, without counting it."""
        parts = self.values["extra_parts"]
        parts[at] = with_part(parts[at], key, text)

    def extras(self) -> list[str | None]:
        """The `extra` of each object; null if it is empty."""
        return [None if parts is None else extra(parts) for parts in self.values["extra_parts"]]
