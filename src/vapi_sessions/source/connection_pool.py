"""The connections of one client."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator

from vapi_sessions.source.connection import Connection


class ConnectionPool:
    """At most `size` connections. Each belongs to one request at a time.

    In a shared pool of httpx, one thread may close another's connection, and a request already sent on it then waits until it
    times out (httpcore 1.0.9, encode/httpcore#1110).
    """

    def __init__(self, connect: Callable[[], Connection], size: int) -> None:
        self._connect = connect
        self._free: queue.LifoQueue[Connection | None] = queue.LifoQueue()  # None: not opened yet
        for _ in range(size):
            self._free.put(None)
        self._open: set[Connection] = set()

    @contextlib.contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection for exclusive use. Waits while all connections are in use."""
        connection = self._free.get()
        try:
            if connection is None:
                connection = self._connect()
                self._open.add(connection)
            yield connection
        finally:
            if connection is not None and not connection.is_usable:
                self._open.discard(connection)
                connection = None
            self._free.put(connection)

    def close(self) -> None:
        """Close all connections."""
        for connection in tuple(self._open):  # a thread that is being stopped may still add one
            connection.close()
