"""The source of a month: an emulator in a process of its own, so that the memory of the runs can be measured alone."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any, Self

from vapi_emulator.generate import History, fill
from vapi_emulator.live import LiveTraffic
from vapi_emulator.server import EmulatorServer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LivingSource:
    """Serves until it is left. `now` (µs) is the time of its clock, which everybody moves; `url` and `key` are for the client."""

    def __init__(self, sessions: int, now: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._now = context.Value("q", now)
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self._now, sessions), daemon=True)
        self._process.start()
        self.url, self.key = self._pipe.recv()

    @property
    def now(self) -> int:
        """The time, µs."""
        return int(self._now.value)

    @now.setter
    def now(self, value: int) -> None:
        self._now.value = value

    def live(self, changes: int) -> None:
        """Make this many changes, a second after each other, and forget the requests so far."""
        self._pipe.send(changes)
        self._pipe.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send(None)
        self._process.join()


def _serve(pipe: Connection, now: Any, sessions: int) -> None:
    def clock() -> datetime:
        return _EPOCH + timedelta(microseconds=now.value)

    with EmulatorServer(clock=clock) as server:
        history = History(org_id=server.org_id, sessions=sessions, days=20, seed=1, until_us=now.value)
        fill(server.store, history)
        traffic = LiveTraffic(server.store, server.org_id, seed=1)
        pipe.send((server.url, server.key))
        while (changes := pipe.recv()) is not None:
            for _ in range(changes):
                traffic.step()
                now.value += 1_000_000
            server.clear_requests()
            pipe.send(None)
