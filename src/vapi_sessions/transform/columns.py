"""What the modules of the tables (`sessions`, `messages`, `costs`, `structured_outputs`) share. Rows are in the order of their sessions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vapi_sessions.core.json_text import decode, members

Columns = dict[str, Any]
#: The number of rows of each session in a table, and the columns of all rows.
Children = tuple[list[int], Columns]


def starts(counts: Sequence[int]) -> list[int]:
    """The index of each session's first row, and the number of rows: [2, 0, 1] gives 0, 2, 2, 3."""
    return [0, *accumulate(counts)]


def repeat_each(counts: Sequence[int]) -> pa.Array:
    """The index of each row's session: [2, 0, 1] gives 0, 0, 2."""
    edges = pa.array(starts(counts), pa.int32())
    return pc.list_parent_indices(pa.ListArray.from_arrays(edges, pa.nulls(edges[-1].as_py())))


def positions(counts: Sequence[int]) -> list[int]:
    """The position of each row in its session: [2, 0, 1] gives 0, 1, 0."""
    return list(chain.from_iterable(map(range, counts)))


def json_or_none(raw: msgspec.Raw) -> str | None:
    """JSON text; None if the value is absent or null."""
    text = bytes(raw).decode()
    return None if text in ("", "null") else text


def string(text: bytes | None, *path: str) -> str | None:
    """The string at a path inside JSON text; None if there is no string."""
    for name in path:
        if text is None or text[:1] != b"{":
            return None
        found = members(text).get(name)
        text = None if found is None else bytes(found)
    return decode(text) if text is not None and text[:1] == b'"' else None
