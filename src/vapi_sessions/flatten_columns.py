"""What the columns of many sessions are built with, and how a session that is not ordinary is noticed meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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
        #: Positions of sessions that are not ordinary.
        self.odd: set[int] = set()
        self.drift = Drift()

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


def plain_zeros(doubles: pa.Array) -> pa.Array:
    """The column without signs of zeros: Arrow's reader reads `-0` as -0.0, msgspec as 0.0."""
    return pc.add(doubles, 0.0)


def repeat_each(counts: Sequence[int]) -> pa.Array:
    """[2, 0, 1] to 0, 0, 2: whose each row is."""
    edges = pa.array(starts(counts), pa.int32())
    return pc.list_parent_indices(pa.ListArray.from_arrays(edges, pa.nulls(edges[-1].as_py())))


def starts(counts: Sequence[int]) -> list[int]:
    """[2, 0, 1] to 0, 2, 2, 3: where each one's rows begin, and where the last one's end."""
    return [0, *accumulate(counts)]


# ---------------------------------------------------------------------------------------------------------------------
# Repeated keys.


def mirror(struct: type[msgspec.Struct], **inner: Any) -> type[msgspec.Struct]:
    """A struct of the same names, whose values are their JSON text, and in which null is not the same as absent.

    `inner`: the types of those members that are structs, or lists of them, themselves.
    """
    return msgspec.defstruct(
        f"{struct.__name__}Mirror",
        [
            (name, inner[name] | None | msgspec.UnsetType, msgspec.UNSET)
            if name in inner
            else (name, msgspec.Raw, ABSENT)
            for name in struct.__struct_fields__
        ],
        omit_defaults=True,
        forbid_unknown_fields=True,
        gc=False,
    )


def repeating(texts: Sequence[bytes], decode: Callable[[bytes], Any]) -> list[int]:
    """Positions of the texts in which structs would keep only the last value of a key; `decode` makes mirrors of them.

    A mirror is written again with every member that it has, and each value is copied. So the only colons that can be missing
    then are those of members that it dropped: white space holds none, and no name of ours does.
    """
    return [at for at, text in enumerate(texts) if _dropped(text, decode)]


def _dropped(text: bytes, decode: Callable[[bytes], Any]) -> bool:
    try:
        kept = _encode(decode(text))
    except (ValueError, RecursionError):  # the generic way knows what to do
        return True
    return kept.count(b":") != text.count(b":")


_encode: Final = msgspec.json.Encoder().encode
