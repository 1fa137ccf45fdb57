"""Serves a data set over HTTP: `GET /session` and `GET /session/{id}` as in the Sessions API, for little more than a copy.

`python -m tests.benchmarks.server BODIES INDEX` prints its port, and ends when its standard input is closed, so at the latest
with its parent. Bodies are slices of a mapped file; nothing is decoded or encoded. Each connection has a thread, because
threads only wait and copy, both without the lock of the interpreter.

`/control` answers with the counts so far and clears them. It sets `moment` (µs), the time that is shown and sent as `Date`;
`latency`, the delay of each answer in seconds; and `slots`, the number of requests that counts as full use.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from email.utils import formatdate
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import numpy as np

from .dataset import State

_FOREVER: Final = np.iinfo(np.int64).max - 1
_BOUNDS: Final = {
    f"{name}{operator}": (name, edge, shift)
    for name in ("createdAt", "updatedAt")
    for operator, edge, shift in (("Ge", 0, 0), ("Gt", 0, 1), ("Lt", 1, 0), ("Le", 1, 1))
}
_ID_AT: Final = len('{"id":"')
_MAX_LIMIT: Final = 1000
_NOT_FOUND: Final = ("404 Not Found", [b'{"statusCode":404,"message":"Not Found","error":"Not Found"}'])


@dataclass(slots=True)
class Counts:
    """Requests since the counts were cleared. Times are of the monotonic clock, which all processes share."""

    requests: int = 0
    bytes: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    seconds_all_in_flight: float = 0.0
    first_request: float | None = None
    last_answer: float | None = None


@dataclass(slots=True)
class Meter:
    """Counts requests of many threads."""

    slots: int = 6
    counts: Counts = field(default_factory=Counts)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _since: float = 0.0

    def begin(self) -> None:
        """A request has arrived."""
        now = time.monotonic()
        with self.lock:
            counts = self.counts
            counts.requests += 1
            counts.first_request = now if counts.first_request is None else counts.first_request
            self._move(now, 1)
            counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)

    def end(self, size: int) -> None:
        """A request was answered with `size` bytes."""
        now = time.monotonic()
        with self.lock:
            self._move(now, -1)
            self.counts.bytes += size
            self.counts.last_answer = now

    def take(self, slots: int | None) -> Counts:
        """Return the counts so far and clear them."""
        with self.lock:
            taken, self.counts = self.counts, Counts(in_flight=self.counts.in_flight)
            self.slots = slots or self.slots
            return taken

    def _move(self, now: float, change: int) -> None:
        counts = self.counts
        if counts.in_flight >= self.slots:
            counts.seconds_all_in_flight += now - self._since
        counts.in_flight += change
        self._since = now


class RefusedError(Exception):
    """A request that the API would answer with 400."""


class Replay:
    """Answers requests from a data set."""

    def __init__(self, bodies: Path, index: Path) -> None:
        self.state = State(index)
        self.meter = Meter()
        self.latency = 0.0
        with bodies.open("rb") as file:
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def answer(self, target: str) -> tuple[str, Sequence[bytes]]:
        """Status, and the body in several parts."""
        path, _, query = target.partition("?")
        asked = parse_qsl(query, keep_blank_values=True)
        if path == "/control":
            return "200 OK", [self._control(dict(asked))]
        if path != "/session" and not path.startswith("/session/"):
            return _NOT_FOUND
        self.meter.begin()
        try:
            if self.latency:
                time.sleep(self.latency)
            if path != "/session":
                return self._one(path.removeprefix("/session/"))
            return "200 OK", self._page(asked)
        except (RefusedError, ValueError) as error:
            refusal = {"statusCode": 400, "message": str(error), "error": "Bad Request"}
            return "400 Bad Request", [json.dumps(refusal).encode()]

    def _control(self, asked: dict[str, str]) -> bytes:
        if "moment" in asked:
            self.state.show(int(asked["moment"]))
        self.latency = float(asked.get("latency", self.latency))
        return json.dumps(asdict(self.meter.take(int(asked.get("slots", 0)) or None))).encode()

    def _one(self, session_id: str) -> tuple[str, Sequence[bytes]]:
        number = self._numbers.get(session_id)
        if number is None or self.state.updated[number] > self.state.moment:
            return _NOT_FOUND
        start = int(self.state.offset[number])
        return "200 OK", [self._text[start : start + int(self.state.length[number])]]

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Session id to number, of all sessions, whether they are shown or not."""
        return {self._id_at(offset): n for n, offset in enumerate(self.state.somewhere().tolist())}

    def _page(self, asked: Sequence[tuple[str, str]]) -> Sequence[bytes]:
        bounds = {"createdAt": [0, _FOREVER], "updatedAt": [0, _FOREVER]}
        limit, page, ascending, ids = 100, 1, False, set[str]()
        for name, value in asked:
            if name in _BOUNDS:
                of, edge, shift = _BOUNDS[name]
                bounds[of][edge] = _microseconds(value) + shift
            elif name == "limit":
                limit = int(value)
            elif name == "page":
                page = int(value)
            elif name == "sortOrder":
                ascending = value == "ASC"
            elif name == "idAny":
                ids = set(value.split(","))
            elif (name, value) != ("sortBy", "createdAt"):
                raise RefusedError(f"property {name} should not exist")
        if not (0 <= limit <= _MAX_LIMIT and page >= 1):
            raise RefusedError("limit or page out of bounds")
        state = self.state
        created, updated = bounds["createdAt"], bounds["updatedAt"]
        found = state.find((created[0], created[1]), (updated[0], updated[1]))
        if ids:
            found = np.array([n for n in found if self._id(n) in ids], dtype=np.int64)
        total = len(found)
        skipped = (page - 1) * limit
        if ascending:
            chosen = found[skipped : skipped + limit]
        else:
            chosen = found[max(0, total - skipped - limit) : max(0, total - skipped)][::-1]
        tail = f'],"metadata":{{"itemsPerPage":{limit},"totalItems":{total},"currentPage":{page}}}}}'
        return [b'{"results":[', b",".join(self._runs(chosen)), tail.encode()]

    def _runs(self, chosen: Any) -> list[bytes]:
        """The texts of these sessions; neighbours in the file are one slice."""
        if not len(chosen):
            return []
        offset, length = self.state.offset[chosen], self.state.length[chosen]
        ends = offset + length
        gaps = np.flatnonzero(offset[1:] != ends[:-1] + 1)
        starts = offset[np.concatenate(([0], gaps + 1))]
        stops = ends[np.concatenate((gaps, [len(chosen) - 1]))]
        return [self._text[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]

    def _id(self, session: int) -> str:
        return self._id_at(int(self.state.offset[session]))

    def _id_at(self, offset: int) -> str:
        return self._text[offset + _ID_AT : offset + _ID_AT + 36].decode()

    def serve(self, connection: socket.socket) -> None:
        """Answer one connection's requests until it is closed."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting = b""
        with connection:
            while True:
                while b"\r\n\r\n" not in waiting:
                    if not (more := connection.recv(65536)):
                        return
                    waiting += more
                request, _, waiting = waiting.partition(b"\r\n\r\n")
                target = request.split(b" ", 2)[1].decode("ascii")
                status, parts = self.answer(target)
                size = sum(map(len, parts))
                head = (
                    f"HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\n"
                    f"Content-Length: {size}\r\nDate: {formatdate(self.state.moment / 1e6, usegmt=True)}\r\n\r\n"
                )
                try:
                    connection.sendall(head.encode())
                    for part in parts:
                        connection.sendall(part)
                finally:
                    if target.startswith("/session"):
                        self.meter.end(size)


def _microseconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1_000_000 + moment.microsecond


def _end_with_the_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serve until standard input is closed."""
    replay = Replay(Path(sys.argv[1]), Path(sys.argv[2]))
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_quietly, args=(replay, connection), daemon=True).start()


def _quietly(replay: Replay, connection: socket.socket) -> None:
    try:
        replay.serve(connection)
    except OSError:
        return  # the client is gone


if __name__ == "__main__":
    main()
