"""How many sessions to ask for on one page, so that a page of large sessions does not take too much memory."""

from __future__ import annotations

from typing import Final

#: Bytes, approximately. A page may be this large if it holds all the requested sessions: fewer requests are worth the memory.
#: If it would be larger, smaller pages are as fast, and a page is held in memory several times.
_WHOLE_PAGE: Final = 8_000_000
_PART_OF_A_PAGE: Final = 2_000_000
#: Sessions that are always asked for, however large they are.
_LEAST_ROWS: Final = 20
#: After a response that was too large, the number of sessions is divided by this.
_FEWER: Final = 8
#: The weight of earlier pages in the average, when another page arrives.
_REMEMBERED: Final = 0.75


class PageSizes:
    """Page sizes based on the average size of the sessions read so far."""

    def __init__(self) -> None:
        self._seen = (0.0, 0.0)  # sessions on recent pages, and their bytes
        self._most_rows: int | None = None  # None: no response was too large yet

    def limit(self, most: int) -> int:
        """The number of sessions to ask for, at most `most`."""
        most = self.allowed(most)
        sessions, size = self._seen
        session_bytes = size / sessions if sessions else 0.0
        if most * session_bytes <= _WHOLE_PAGE:
            return most
        return min(most, max(_LEAST_ROWS, int(_PART_OF_A_PAGE / session_bytes)))

    def allowed(self, most: int) -> int:
        """`most`, or the smaller number that a response that was too large has shown to be possible."""
        return min(most, self._most_rows or most)

    def add(self, sessions: int, size: int) -> None:
        """Record a page of `sessions` and its `size` in bytes."""
        if sessions:  # another thread's page may get lost: this is an estimate
            seen_sessions, seen_size = self._seen
            self._seen = (_REMEMBERED * seen_sessions + sessions, _REMEMBERED * seen_size + size)

    def reduce(self, limit: int) -> int:
        """The next number to try after a page of `limit` sessions was too large. Later pages are not larger."""
        fewer = max(1, limit // _FEWER)
        self._most_rows = self.allowed(fewer)
        return fewer
