"""What the columns of many sessions are built with, and how a session that is not ordinary is noticed meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vapi_sessions.flatten_reader import Drift
from vapi_sessions.json_text import castable

Columns = dict[str, Any]
#: How many rows each session has in a table, and the columns of all of them.
Children = tuple[list[int], Columns]

#: A value that was not there, where values are kept as their JSON text.
ABSENT: Final = msgspec.Raw()
_MOMENT: Final = pa.timestamp("us", "UTC")


class OddError(Exception):
    """These sessions, by position, are not ordinary."""

    def __init__(self, positions: Iterable[int]) -> None:
        super().__init__()
        self.positions = frozenset(positions)


class Builder:
    """Builds columns, and keeps what tells whether the sessions were ordinary after all."""

    def __init__(self) -> None:
        #: How many keys of the JSON the columns account for.
        self.keys = 0
        #: Values that were not decoded.
        self.raws: list[bytes] = []
        #: Positions of sessions that are not ordinary.
        self.odd: set[int] = set()
        self.drift = Drift()

    def column(self, values: Sequence[Any], type_: pa.DataType) -> pa.Array:
        """A column of which every value stood under a key."""
        column = pa.array(values, type_)
        self.keys += len(column) - column.null_count
        return column

    def strings(self, values: Sequence[str | None]) -> pa.Array:
        """The same for texts."""
        return self.column(values, pa.string())

    def texts(self, raws: list[msgspec.Raw], owners: Iterable[int]) -> list[str | None]:
        """Values as JSON text; one that DuckDB refuses makes its session odd."""
        if raws.count(ABSENT) == len(raws):
            return [None] * len(raws)
        return [
            None if raw is ABSENT else self._text(bytes(raw), owner)
            for raw, owner in zip(raws, owners, strict=True)
        ]

    def _text(self, raw: bytes, owner: int) -> str | None:
        if raw == b"null":
            return None
        self.keys += 1
        self.raws.append(raw)
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            self.odd.add(owner)
            return None
        if not castable(text):
            self.odd.add(owner)
        return text

    def moments(self, millis: pa.Array, owners: pa.Array) -> pa.Array:
        """Epoch milliseconds as timestamps; one that is finer than a microsecond makes its session odd."""
        if millis.null_count == len(millis):
            return pa.nulls(len(millis), _MOMENT)
        micros = pc.round(pc.multiply(millis, 1000.0), round_mode="half_to_even")
        self.doubt(pc.not_equal(pc.divide(micros, 1000.0), millis), owners)
        return micros.cast(pa.int64()).cast(_MOMENT)

    def doubt(self, mask: pa.Array, owners: pa.Array) -> None:
        """Makes the owners of the rows that the mask selects odd."""
        if pc.any(mask).as_py():
            self.odd.update(owners.take(pc.indices_nonzero(mask.fill_null(False))).to_pylist())

    def check(self) -> None:
        """Raises OddError if there was doubt about any session."""
        if self.odd:
            raise OddError(self.odd)


def repeat_each(counts: Sequence[int]) -> pa.Array:
    """[2, 0, 1] to 0, 0, 2: whose each row is."""
    edges = pa.array(starts(counts), pa.int32())
    return pc.list_parent_indices(pa.ListArray.from_arrays(edges, pa.nulls(edges[-1].as_py())))


def starts(counts: Sequence[int]) -> list[int]:
    """[2, 0, 1] to 0, 2, 2, 3: where each one's rows begin, and where the last one's end."""
    return [0, *accumulate(counts)]


# ---------------------------------------------------------------------------------------------------------------------
# Repeated keys.


def _keys_in(texts: Sequence[bytes]) -> int:
    """How many keys the JSON texts have whose value is not null.

    A key ends in `":`, and inside a string a quote is escaped, so nothing else looks like this but a string that begins with
    a colon: then there seem to be more keys than there are, and it is looked more closely.
    """
    text = b"\n".join(texts)
    ends = [b'":', b'":null', b'": null']
    found, null, spaced_null = [text.count(end) - text.count(b"\\" + end) for end in ends]
    return found - null - spaced_null


def repeating(texts: Sequence[bytes], build: Builder) -> list[int]:
    """Positions of the texts in which a key occurs twice: decoding into structs would keep the last one only.

    Noticed by there being more keys in the texts than the columns built from them account for.
    """
    if _keys_in(texts) == build.keys + _keys_in(build.raws):
        return []
    return [at for at, text in enumerate(texts) if _repeats(text)]


def _repeats(text: bytes) -> bool:
    def look(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) != len(pairs):
            raise OddError(())

    try:
        json.loads(text, object_pairs_hook=look)
    except (OddError, RecursionError):
        return True
    return False
