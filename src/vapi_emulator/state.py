"""What all requests share: the store, the settings, the faults, and the log of requests."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Scope

from vapi_emulator.injector import FaultInjector
from vapi_emulator.store import Store
from vapi_emulator.switches import EmulatorSettings
from vapi_emulator.times import Clock, to_us


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One finished request. `status` is 0 if the connection was broken without a response; `fault` is the injected one."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    status: int
    user_agent: str
    fault: str | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """The query as a dictionary, with the last value of a repeated parameter."""
        return dict(self.query)


@dataclass(slots=True)
class Emulator:
    """The state of a running emulator. `settings` may change while it runs."""

    store: Store
    settings: EmulatorSettings
    clock: Clock
    faults: FaultInjector
    pool: ThreadPoolExecutor
    #: The newest requests, oldest first.
    requests: deque[RequestRecord] = field(default_factory=lambda: deque(maxlen=100_000))
    stopping: threading.Event = field(default_factory=threading.Event)
    #: Responses of `stale_cache_seconds`, by organisation and query: time (µs), body, `Date`.
    cache: dict[tuple[str, str], tuple[int, bytes, str]] = field(default_factory=dict)

    def configure(self, **changes: Any) -> None:
        """Replace some settings, and pass on those of the store and the faults."""
        self.settings = replace(self.settings, **changes)
        self.store.commit_delay_seconds = self.settings.commit_delay_seconds
        self.store.sub_millisecond = self.settings.sub_millisecond
        if "faults" in changes:
            self.faults.configure(self.settings.faults)

    def organisation(self, authorization: str) -> str | None:
        """The organisation of a bearer key; None if the key is unknown."""
        scheme, _, key = authorization.partition(" ")
        return self.settings.keys.get(key.strip()) if scheme.lower() == "bearer" else None

    def now_us(self) -> int:
        """The clock's time in microseconds."""
        return to_us(self.clock())

    def record(self, scope: Scope, status: int) -> None:
        """Add a request to the log, just before its response is sent."""
        self.requests.append(
            RequestRecord(
                method=scope["method"],
                path=scope["path"],
                query=tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
                status=status,
                user_agent=header(scope, b"user-agent"),
                fault=scope["state"].get("fault"),
            )
        )


def header(scope: Scope, name: bytes) -> str:
    """The value of a request header, named in lower case; empty if there is none."""
    return str(dict(scope["headers"]).get(name, b"").decode("latin-1"))
