"""Reads objects by their shapes, in two ways that give the same structs, and gathers these into columns. Pure.

The strict way decodes objects into structs whose fields have the declared types, in C. It takes every object whose members are of
these types; members without a column are cut off and kept. An object in which a value is of another type is read the
lenient way, member by member.

What a row cannot hold goes to its `extra`, from which, with the row, the object can be put together again:

- `"key": value`           no column, or not of the column's type (the column is null then), or the column can only
                           approximate it (a rounded time); `extra` wins over the column
- `"key$json": true`       the column holds JSON text where the source had something else than a string
- `"$value": value`        the source had something else than an object here
- `"$keys": ["content"]`   which of the names for the same thing a message used, where they are not the usual ones: spoken
                           messages (with a time) use message, toolCalls, toolCallId; others content, tool_calls, tool_call_id
- `"$normalised": {…}`     what was odd about the session's JSON (`json_text`), with counts
- `"$unreadable": "why"`   the body could not be read at all; raw has it

A `$` in a key of the source is doubled. Absent and null are the same thing, and so are absent and empty for what is taken
apart (messages, tool calls, costs, customer, a call's function, a cost's model).
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
from vapi_sessions.transform.mapping import RETYPED, SESSION, Field, Shape


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


_objects: Final = msgspec.json.Decoder(list[dict[str, Raw]]).decode


class Reader:
    """Reads objects into the structs of their shapes, and counts what has no column. `strict`: False for the lenient way alone."""

    def __init__(self, *, strict: bool = True) -> None:
        self.drift = Drift()
        self.strict = strict
        #: How many objects were read the lenient way.
        self.lenient = 0

    def one(self, shape: Shape, text: bytes) -> Any:
        """One object. Raises ValueError or RecursionError for what is not well-formed JSON."""
        if self.strict:
            try:
                return shape.one(text)
            except ValueError:
                pass  # perhaps only a member without a column
            try:
                item, names = shape.one_loose(text), members(text)
            except ValueError:
                pass
            else:
                self._keep_unknown(shape, item, names)
                return item
        return self._leniently(shape, text.decode().strip(" \t\r\n"))

    def all(self, shape: Shape, text: bytes) -> list[Any]:
        """The objects of a list."""
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
                item.rest = self.keep(item.rest, shape, name, bytes(names[name]).decode())

    def _leniently(self, shape: Shape, text: str) -> Any:
        self.lenient += 1
        item = shape.struct()
        if not text.startswith("{"):
            decode(text)  # or it is not JSON
            item.rest = mark(None, "$value", text)
            self.drift.add(shape.where, "$value")
            return item
        for name, value in members(text).items():
            own = bytes(value).decode()
            field = shape.fields.get(name)
            if field is None:
                item.rest = self.keep(item.rest, shape, name, own)
            elif own != "null":
                found, why = self._value(field, own)
                setattr(item, name, found)
                if why:
                    item.rest = self.keep(item.rest, shape, name, own, why)
        return item

    def _value(self, field: Field, text: str) -> tuple[Any, str]:
        if field.shape is None:
            return field.kind.read(text)
        if text[0] != ("[" if field.many else "{"):
            return None, RETYPED
        return (self.all if field.many else self.one)(field.shape, text.encode()), ""

    def keep(self, rest: list[str] | None, shape: Shape, name: str, text: str, why: str = "") -> list[str] | None:  # fmt: skip
        """`rest` with a member of the source, which is counted; a null is nothing."""
        if text == "null":
            return rest
        if name == MARK and shape is SESSION and is_mark(found := decode(text)):
            for kind in found:
                self.drift.add(f"{shape.where}{MARK}.", kind)
            return mark(rest, MARK, text)
        self.drift.add(shape.where, name, why)
        return mark(rest, name.replace("$", "$$"), text)

    def gather(self, shape: Shape, lists: Iterable[Sequence[Any]]) -> Gathered:
        """The objects of some lists, column by column. Each is read while it is at hand, and then let go."""
        found = Gathered(self, shape, [], {name: [] for name in (*shape.fields, "rest")})
        columns = [values.extend for values in found.values.values()]
        for items in lists:
            found.counts.append(len(items))
            for extend, values in zip(columns, zip(*map(astuple, items), strict=True), strict=bool(items)):
                extend(values)
        return found


def mark(rest: list[str] | None, key: str, text: str) -> list[str]:
    """`rest` with a key of ours."""
    rest = [] if rest is None else rest
    rest.append(f"{quote(key)}:{text}")
    return rest


@dataclass(frozen=True, slots=True)
class Gathered:
    """Many objects of one shape: how many each list had, and the values of each field in their order."""

    reader: Reader
    shape: Shape
    counts: list[int]
    values: dict[str, list[Any]]

    def columns(self) -> dict[str, Any]:
        """The fields that are a column as they are."""
        return {
            field.column: self.values[field.name]
            for field in self.shape.fields.values()
            if field.column is not None
        }

    def texts(self, name: str, opening: bytes) -> Iterator[bytes | None]:
        """Of a member that is to be read apart, the texts; None where it is absent, or of another type."""
        for at, raw in enumerate(self.values[name]):
            text = bytes(raw)
            if text[:1] == opening:
                yield text
                continue
            if text:
                self.keep(at, name, text.decode(), RETYPED)
            yield None

    def lists(self, name: str, shape: Shape) -> Gathered:
        """The objects of the lists that a member is."""
        texts = self.texts(name, b"[")
        return self.reader.gather(shape, ([] if text is None else self.reader.all(shape, text) for text in texts))  # fmt: skip

    def objects(self, name: str, shape: Shape) -> Gathered:
        """The objects that a member is; what has no column is left under its name."""
        nothing = shape.struct()
        texts = self.texts(name, b"{")
        found = self.reader.gather(shape, [[nothing if text is None else self.reader.one(shape, text) for text in texts]])  # fmt: skip
        for at, rest in enumerate(found.extras()):
            if rest is not None:
                self.mark(at, name, rest)
        return found

    def keep(self, at: int, name: str, text: str, why: str = "") -> None:
        """A member of one of them to its `extra`, and counted."""
        rest = self.values["rest"]
        rest[at] = self.reader.keep(rest[at], self.shape, name, text, why)

    def mark(self, at: int, key: str, text: str) -> None:
        """A key of ours to the `extra` of one of them."""
        rest = self.values["rest"]
        rest[at] = mark(rest[at], key, text)

    def extras(self) -> list[str | None]:
        """What of each has no column, as JSON; null if there is nothing."""
        return [None if rest is None else extra(rest) for rest in self.values["rest"]]


def extra(rest: list[str]) -> str:
    """The column of that name."""
    return "{" + ",".join(rest) + "}"
