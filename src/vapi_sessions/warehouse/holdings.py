"""What the warehouse holds of the sessions that the source should still list, by ranges of `createdAt`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from vapi_sessions.timestamps import floor_ms, to_datetime
from vapi_sessions.warehouse.suppression import Suppression
from vapi_sessions.windows import Window

Rows: TypeAlias = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
_LISTED = "deleted_at IS NULL AND aged_out_at IS NULL AND created_at >= ? AND created_at < ?"


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
