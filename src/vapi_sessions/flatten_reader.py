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
from typing import Final

from vapi_sessions.json_text import approximate, castable, elements, members, quote, string, utf8

#: Microseconds of the years 1 and 9999: what DuckDB, Arrow and Python's datetime all can show.
MIN_TIME: Final = -62_135_596_800_000_000
MAX_TIME: Final = 253_402_300_799_999_999


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
        if utf8(name) != name:
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
        """The nearest double, zero without a sign; `extra` has what is too large, or an integer that no double is equal to."""
        text = self._typed(name, "-0123456789")
        if text is None:
            return None
        value = float(text) + 0.0  # -0.0 becomes 0.0, as in `flatten_columns.plain_zeros`
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

    def boolean(self, name: str) -> bool | None:
        """True or false."""
        text = self._typed(name, "tf")
        return None if text is None else text == "true"

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
