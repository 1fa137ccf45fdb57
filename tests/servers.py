"""Servers that do not do what a server should: each request is answered by the next of some functions."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

#: Gets the connection after the head of a request, and an event that is set when the server ends.
Behaviour = Callable[[socket.socket, threading.Event], None]


def says(answer: bytes) -> Behaviour:
    """The answer, byte for byte, and then the end of the connection."""
    return lambda connection, over: connection.sendall(answer)


def hangs(connection: socket.socket, over: threading.Event) -> None:
    """Never answers."""
    over.wait()


def begins_and_hangs(connection: socket.socket, over: threading.Event) -> None:
    """The head of an answer, and nothing more."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n")
    over.wait()


def trickles(beginning: bytes, piece: bytes) -> Behaviour:
    """A piece again and again, for ever."""

    def behave(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(beginning)
        while not over.wait(0.01):
            connection.sendall(piece)

    return behave


class Misbehaving:
    """Listens on this machine: `url`. `heads` are the heads of the requests. Use as a context manager."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self._behaviours = behaviours
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.heads: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Misbehaving:
        self._threads[0].start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
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
                behaviour(connection, self._over)
            except OSError:
                return
