"""What the warehouse holds of the sessions that the source should still list, by ranges of `createdAt`."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import floor_ms, to_datetime
from vapi_sessions.warehouse.suppression import Suppression

Rows: TypeAlias = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
_LISTED = "deleted_at IS NULL AND aged_out_at IS NULL"
_WITHIN = f"{_LISTED} AND created_at >= ? AND created_at < ?"
_MOMENTS = "SELECT epoch_us(created_at) FROM sessions"


class Holdings:
    """Live, listed sessions, by the writer's index or by what was published: `rows(sql, parameters)` runs a query.

    What was forgotten counts as held: the source lists it, and the warehouse is right not to. So does what could not be
    read, and is kept aside.
    """

    def __init__(self, rows: Rows, suppression: Suppression) -> None:
        self._rows = rows
        self._suppression = suppression

    def count(self, window: Window) -> int:
        """How many sessions were created in the (closed) window, when this was first asked."""
        if window.upper is None:
            raise ValueError("a closed window is needed")
        held = (self._moments, self._aside)
        return self._suppression.count(window) + sum(
            bisect_left(moments, window.upper) - bisect_left(moments, window.lower) for moments in held
        )

    def middle(self, window: Window) -> int | None:
        """A whole millisecond that leaves about half of them on each side, µs; None without a session."""
        if window.upper is None:
            raise ValueError("a closed window is needed")
        first, last = (bisect_left(self._moments, at) for at in (window.lower, window.upper))
        return floor_ms(self._moments[(first + last) // 2]) if first < last else None

    @cached_property
    def _moments(self) -> array[int]:
        """When each was created, ascending: a bisection asks for hundreds of counts."""
        return array("q", [at for (at,) in self._rows(f"{_MOMENTS} WHERE {_LISTED} ORDER BY 1", [])])

    @cached_property
    def _aside(self) -> array[int]:
        """The same of those that are kept aside and have no row that counts."""
        others = f"session_id NOT IN (SELECT session_id FROM sessions WHERE {_LISTED})"
        found = self._rows(
            f"SELECT epoch_us(created_at) FROM sync.unreadable WHERE created_at IS NOT NULL AND {others} ORDER BY 1",
            [],
        )
        return array("q", [at for (at,) in found])

    def ids(self, window: Window) -> dict[str, tuple[int, str]]:
        """Each session's updatedAt (µs) and content hash."""
        found = self._rows(
            f"SELECT session_id, epoch_us(updated_at), content_hash FROM sessions WHERE {_WITHIN}",
            _bounds(window),
        )
        return {session_id: (updated, content_hash) for session_id, updated, content_hash in found}

    def created(self, window: Window) -> dict[str, int]:
        """Each session's createdAt, µs."""
        found = self._rows(
            f"SELECT session_id, epoch_us(created_at) FROM sessions WHERE {_WITHIN}", _bounds(window)
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
