"""Real servers on this machine that answer byte for byte as a test says, and a client for them."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable

from pydantic import SecretStr

from clocks import FakeTime
from vapi_sessions.source.client import Source
from vapi_sessions.source.environment import Environment

#: Answers one request: gets the connection after the request's head, and an event that is set when the server closes.
Behaviour = Callable[[socket.socket, threading.Event], None]


def source_of(url: str, key: str, *, time: FakeTime | None = None, concurrency: int = 6) -> Source:
    """A client whose sleeps take no real time."""
    time = time or FakeTime()
    return Source(
        url,
        SecretStr(key),
        next_seq=itertools.count(1).__next__,
        concurrency=concurrency,
        environment=Environment(monotonic=time.monotonic, sleep=time.sleep),
    )


def http_head(*headers: str, status: str = "200 OK") -> bytes:
    """The head of a JSON response."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", "Connection: close", *headers]
    return "\r\n".join((*lines, "", "")).encode()


def http_response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A complete JSON response with its length."""
    return http_head(*headers, f"Content-Length: {len(body)}", status=status) + body


def sends(response: bytes) -> Behaviour:
    """Sends these bytes and closes the connection."""
    return lambda connection, closing: connection.sendall(response)


def hangs(connection: socket.socket, closing: threading.Event) -> None:
    """Never answers."""
    closing.wait()


def begins_and_hangs(connection: socket.socket, closing: threading.Event) -> None:
    """Sends the head of a response and nothing more."""
    connection.sendall(http_head("Content-Length: 9"))
    closing.wait()


def trickles(beginning: bytes, chunk: bytes) -> Behaviour:
    """Sends a chunk every 10 ms, without end."""

    def behave(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(beginning)
        while not closing.wait(0.01):
            connection.sendall(chunk)

    return behave


class ScriptedServer:
    """Answers the n-th request with the n-th behaviour, and later requests with the last one. Use as a context manager.

    `url` is its address, `heads` are the heads of the requests.
    """

    def __init__(self, *behaviours: Behaviour) -> None:
        self._behaviours = behaviours
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.heads: list[str] = []
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> ScriptedServer:
        self._threads[0].start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        head = b""
        with connection:
            try:
                while b"\r\n\r\n" not in head:
                    if not (more := connection.recv(65536)):
                        return
                    head += more
                self.heads.append(head.decode())
                behaviour = self._behaviours[min(len(self.heads), len(self._behaviours)) - 1]
                behaviour(connection, self._closing)
            except OSError:
                return
