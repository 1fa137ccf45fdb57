"""The sessions in the warehouse that the source should still list, by ranges of `createdAt`."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final, TypeAlias

from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import floor_ms
from vapi_sessions.warehouse.database import window_bounds
from vapi_sessions.warehouse.suppression import Suppression

Rows: TypeAlias = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
_LIVE: Final = "deleted_at IS NULL AND aged_out_at IS NULL"
_WITHIN: Final = f"{_LIVE} AND created_at >= ? AND created_at < ?"


class LiveSessions:
    """Sessions without a tombstone, in the index or in the published tables: `rows(sql, parameters)` runs a query there.

    Forgotten sessions count as live, because the source lists them and the warehouse must not hold them. Unreadable sessions
    that are kept aside count too.
    """

    def __init__(self, rows: Rows, suppression: Suppression) -> None:
        self._rows = rows
        self._suppression = suppression

    def count(self, window: Window) -> int:
        """The number of sessions created in the (closed) window. Later changes of the warehouse do not count."""
        if window.upper is None:
            raise ValueError("a closed window is needed")
        return self._suppression.count(window) + sum(
            bisect_left(created, window.upper) - bisect_left(created, window.lower)
            for created in (self._created, self._unreadable)
        )

    def middle(self, window: Window) -> int | None:
        """A whole millisecond (in µs) with about half of the window's sessions on each side; None without a session."""
        if window.upper is None:
            raise ValueError("a closed window is needed")
        first, last = (bisect_left(self._created, at) for at in (window.lower, window.upper))
        return floor_ms(self._created[(first + last) // 2]) if first < last else None

    @cached_property
    def _created(self) -> array[int]:
        """Each createdAt, ascending. It is kept because a bisection asks for hundreds of counts."""
        found = self._rows(f"SELECT epoch_us(created_at) FROM sessions WHERE {_LIVE} ORDER BY 1", [])
        return array("q", [at for (at,) in found])

    @cached_property
    def _unreadable(self) -> array[int]:
        """The same for unreadable sessions, without those that also have a live row."""
        others = f"session_id NOT IN (SELECT session_id FROM sessions WHERE {_LIVE})"
        found = self._rows(
            f"SELECT epoch_us(created_at) FROM sync.unreadable WHERE created_at IS NOT NULL AND {others} ORDER BY 1",
            [],
        )
        return array("q", [at for (at,) in found])

    def ids(self, window: Window) -> dict[str, tuple[int, str]]:
        """The updatedAt (µs) and content hash of each session created in the (closed) window."""
        found = self._rows(
            f"SELECT session_id, epoch_us(updated_at), content_hash FROM sessions WHERE {_WITHIN}",
            window_bounds(window),
        )
        return {session_id: (updated, content_hash) for session_id, updated, content_hash in found}

    def created(self, window: Window) -> dict[str, int]:
        """The createdAt (µs) of each session created in the (closed) window."""
        found = self._rows(
            f"SELECT session_id, epoch_us(created_at) FROM sessions WHERE {_WITHIN}", window_bounds(window)
        )
        return dict(found)

    def oldest(self) -> int | None:
        """The createdAt (µs) of the oldest session, unreadable ones included; None without a session."""
        found = self._rows(
            "SELECT epoch_us(least(min(created_at), (SELECT min(created_at) FROM sync.unreadable))) "
            f"FROM sessions WHERE {_LIVE}",
            [],
        )[0][0]
        return int(found) if found is not None else None
