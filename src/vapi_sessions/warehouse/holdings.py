"""What the warehouse holds of the sessions that the source should still list, by ranges of `createdAt`."""

from __future__ import annotations

import array
import bisect
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from vapi_sessions.timestamps import floor_ms, to_datetime
from vapi_sessions.warehouse.files import PARTS
from vapi_sessions.warehouse.suppression import CUSTOMER_KINDS, Suppression
from vapi_sessions.windows import Window

Rows: TypeAlias = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
_LISTED = "deleted_at IS NULL AND aged_out_at IS NULL AND created_at >= ? AND created_at < ?"

#: The column of `sessions` for each kind of what names a customer.
CUSTOMER_COLUMNS: Final = dict(
    zip(
        CUSTOMER_KINDS,
        (
            "customer_number",
            "customer_email",
            "customer_name",
            "customer_sip_uri",
            "customer_external_id",
            "customer_id",
        ),
        strict=True,
    )
)


class CustomersHeld:
    """Whether a snapshot holds a customer of this kind and value, as it is stored there. Each column is read when it is first
    asked for, and kept as 8 bytes for each value. What cannot be read counts as not held.
    """

    def __init__(self, snapshot: Path) -> None:
        self._snapshot = snapshot
        self._values: dict[str, array.array[int]] = {}

    def __call__(self, kind: str, value: str) -> bool:
        """Two values of one hash, of 64 bits and another one in each process, are taken for one."""
        values = self._values.get(kind)
        if values is None:
            values = self._values[kind] = self._read(CUSTOMER_COLUMNS[kind])
        wanted = hash(value)
        at = bisect.bisect_left(values, wanted)
        return at < len(values) and values[at] == wanted

    def _read(self, column: str) -> array.array[int]:
        found = array.array("q")
        for path in (self._snapshot / "sessions").glob(PARTS):
            with contextlib.suppress(OSError, pa.ArrowException):
                values = pq.read_table(path, columns=[column]).column(0).unique()
                found.extend(hash(text) for text in values.to_pylist() if text is not None)
        return array.array("q", sorted(found))


class Holdings:
    """Live, listed sessions, on the writer's store or on what was published: `rows(sql, parameters)` runs a query.

    What was forgotten counts as held: the source lists it, and the warehouse is right not to. So does what could not be
    read, and is kept aside.
    """

    def __init__(self, rows: Rows, suppression: Suppression) -> None:
        self._rows = rows
        self._suppression = suppression

    def count(self, window: Window) -> int:
        """How many sessions were created in the (closed) window."""
        held = int(self._rows(f"SELECT count(*) FROM sessions WHERE {_LISTED}", _bounds(window))[0][0])
        return held + self._suppression.count(window) + len(self._aside(window))

    def _aside(self, window: Window) -> set[str]:
        """Sessions without a row that counts, whose JSON is kept aside."""
        found = self._rows(
            "SELECT session_id FROM sync.unreadable WHERE created_at >= ? AND created_at < ?", _bounds(window)
        )
        names = {name for (name,) in found}
        return names - self.created(window).keys() if names else names

    def middle(self, window: Window) -> int | None:
        """A whole millisecond that leaves about half of them on each side, µs; None without a session."""
        found = self._rows(
            f"SELECT epoch_us(median(created_at)) FROM sessions WHERE {_LISTED}", _bounds(window)
        )[0][0]
        return floor_ms(int(found)) if found is not None else None

    def ids(self, window: Window) -> dict[str, tuple[int, str]]:
        """Each session's updatedAt (µs) and content hash."""
        found = self._rows(
            f"SELECT session_id, epoch_us(updated_at), content_hash FROM sessions WHERE {_LISTED}",
            _bounds(window),
        )
        return {session_id: (updated, content_hash) for session_id, updated, content_hash in found}

    def created(self, window: Window) -> dict[str, int]:
        """Each session's createdAt, µs."""
        found = self._rows(
            f"SELECT session_id, epoch_us(created_at) FROM sessions WHERE {_LISTED}", _bounds(window)
        )
        return dict(found)

    def oldest(self) -> int | None:
        """When the oldest one was created, µs; None without a session. What is kept aside counts."""
        found = self._rows(
            "SELECT epoch_us(least(min(created_at), (SELECT min(created_at) FROM sync.unreadable))) "
            "FROM sessions WHERE deleted_at IS NULL AND aged_out_at IS NULL",
            [],
        )[0][0]
        return int(found) if found is not None else None


def _bounds(window: Window) -> list[object]:
    if window.upper is None:
        raise ValueError("a closed window is needed")
    return [to_datetime(window.lower), to_datetime(window.upper)]
