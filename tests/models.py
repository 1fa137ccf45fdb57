"""Names that tests import from here until their imports are rewritten."""

from __future__ import annotations

import socket
import threading

from batches import Warehouse, observation, seen_first
from clocks import FakeTime
from constants import EPOCH, ORG
from source_faults import (
    answer_to_another,
    empty_page,
    empty_source,
    high_total,
    ignored_created,
    ignored_order,
    ignored_updated,
    low_total,
    no_order,
    repeated_row,
    short_page,
    stale_page,
)
from source_model import (
    Answer,
    Fault,
    ModelSource,
    Session,
    SourceModel,
    block,
    busy,
    by_id,
    spread,
)

__all__ = [
    "EPOCH", "ORG", "Answer", "FakeTime", "Fault", "ModelSource", "RawServer", "Session", "SourceModel", "Warehouse",
    "answer_to_another", "block", "busy", "by_id", "empty_page", "empty_source", "high_total", "ignored_created",
    "ignored_order", "ignored_updated", "low_total", "no_order", "observation", "repeated_row", "seen_first", "short_page",
    "spread", "stale_page",
]  # fmt: skip


class RawServer:
    """Answers the n-th request with the n-th of `answers`, byte for byte (the last one again), and hangs up.

    `url` is its address, `heads` are the requests' heads. Use as a context manager.
    """

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.heads: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> RawServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    more = connection.recv(65536)
                    if not more:
                        break
                    head += more
                else:
                    self.heads.append(head.decode())
                    connection.sendall(self._answers[min(len(self.heads), len(self._answers)) - 1])
