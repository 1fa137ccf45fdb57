"""Latency, rate limits and faults, in front of the API: what the network and the CDN do to a request.

A raw ASGI layer, outermost, because some faults have to break the HTTP connection itself.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from vapi_emulator import EmulatorError
from vapi_emulator.switches import FAULT_KINDS, FaultKind, FaultSettings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_MINUTE_US: Final = 60_000_000
_HTML: Final = (
    b"<!DOCTYPE html><html><head><title>%s</title></head><body><h1>%s</h1><hr>cloudflare</body></html>"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `retry_after` is the header of a 429; `keep` the share of the body that a cut-off one still sends."""

    kind: FaultKind
    retry_after: float | None = None
    keep: float = 0.5


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer made up on the spot."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


def throttled(retry_after: float | None) -> Reply:
    """The source's 429."""
    headers = {} if retry_after is None else {"retry-after": f"{max(0, retry_after):.0f}"}
    return Reply(
        429, b'{"statusCode":429,"message":"ThrottlerException: Too Many Requests"}', headers=headers
    )


CDN_REFUSAL: Final = Reply(403, b"error code: 1010", "text/plain; charset=UTF-8")

_REPLIES: Final[dict[str, Reply]] = {
    "500": Reply(500, b'{"statusCode":500,"message":"Internal server error"}'),
    "502": Reply(502, _HTML % (b"502 Bad Gateway", b"502 Bad Gateway"), "text/html"),
    "html": Reply(200, _HTML % (b"Just a moment...", b"Checking your browser"), "text/html; charset=UTF-8"),
    "empty": Reply(200, b""),
    "garbage": Reply(200, b'{"results":[{"id":"', "application/json; charset=utf-8"),
    "cdn403": CDN_REFUSAL,
}
_TIMEOUT: Final = Reply(504, _HTML % (b"504 Gateway Time-out", b"504 Gateway Time-out"), "text/html")


class FaultInjector:
    """Decides, request by request, what goes wrong. Scripted faults come before the rate limit, that before chance."""

    def __init__(self, settings: FaultSettings, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._script: deque[Fault | None] = deque()
        self._lock = threading.Lock()
        self.configure(settings)

    def configure(self, settings: FaultSettings) -> None:
        """Start over with other settings; the script stays."""
        with self._lock:
            self.settings = settings
            self._random = random.Random(settings.seed)
            self._recent: dict[str, deque[int]] = {}
            self._in_minute: dict[str, tuple[int, int]] = {}  # the minute, and its requests so far
            self._locked_until_us: dict[str, int] = {}

    def script(self, *faults: Fault | FaultKind | None) -> None:
        """The fate of the next requests, one each; None lets one pass."""
        with self._lock:
            for fault in faults:
                if isinstance(fault, str):
                    if fault not in FAULT_KINDS:
                        raise EmulatorError(
                            f"Unknown kind of fault: {fault!r}.", f"Choose from: {', '.join(FAULT_KINDS)}."
                        )
                    fault = Fault(fault)
                self._script.append(fault)

    def forget_script(self) -> None:
        """Drop the scripted faults that have not happened yet."""
        with self._lock:
            self._script.clear()

    @property
    def scripted(self) -> int:
        """How many scripted requests are still to come."""
        return len(self._script)

    def next(self, caller: str) -> Fault | None:
        """What happens to this request of a caller (an organisation); None: nothing."""
        with self._lock:
            if self._script:
                return self._script.popleft()
            return self._over_limit(caller) or self._over_minute(caller) or self._by_chance()

    def _over_minute(self, caller: str) -> Fault | None:
        limit, now = self.settings.rate_limit_per_minute, self._clock_us()
        if limit is None:
            return None
        minute, used = self._in_minute.get(caller, (0, 0))
        if minute != now // _MINUTE_US:
            minute, used = now // _MINUTE_US, 0
        if used >= limit:
            return self._refusal(((minute + 1) * _MINUTE_US - now) / 1e6)
        self._in_minute[caller] = minute, used + 1
        return None

    def _over_limit(self, caller: str) -> Fault | None:
        settings = self.settings
        if settings.rate_limit is None:
            return None
        now = self._clock_us()
        locked_until = self._locked_until_us.get(caller, 0)
        if now < locked_until:
            return self._refusal((locked_until - now) / 1e6)
        recent = self._recent.setdefault(caller, deque())
        while recent and recent[0] <= now - 1_000_000:
            recent.popleft()
        if len(recent) < settings.rate_limit:
            recent.append(now)
            return None
        self._locked_until_us[caller] = now + int(settings.lockout_seconds * 1e6)
        return self._refusal(max(1.0, settings.lockout_seconds))

    def _refusal(self, seconds: float) -> Fault:
        return Fault("429", retry_after=-(-seconds // 1) if self.settings.retry_after else None)

    def _by_chance(self) -> Fault | None:
        if not self.settings.probabilities:
            return None
        drawn = self._random.random()
        for kind, probability in self.settings.probabilities.items():
            if drawn < probability:
                return Fault(kind, retry_after=1 if self.settings.retry_after else None)  # type: ignore[arg-type]  # checked by FaultSettings
            drawn -= probability
        return None


class FaultLayer:
    """ASGI: delays a request, breaks it, or hands it on. `stopping` ends the hanging ones when the server stops.

    `organisation` tells whose an `Authorization` header is: limits are the organisation's, not the key's.
    """

    def __init__(
        self,
        app: App,
        injector: FaultInjector,
        stopping: Callable[[], bool],
        record: Callable[[Scope, int], None],
        organisation: Callable[[str], str] = lambda authorization: authorization,
    ) -> None:
        self._app = app
        self._injector = injector
        self._stopping = stopping
        self._organisation = organisation
        self._record = record  # for the requests that get no answer at all; status 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        if self._injector.settings.latency_seconds > 0:
            await asyncio.sleep(self._injector.settings.latency_seconds)
        authorization = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        fault = self._injector.next(self._organisation(authorization))
        if fault is None:
            await self._app(scope, receive, send)
            return
        state["fault"] = fault.kind
        if fault.kind == "reset":
            self._record(scope, 0)
            _reset(send)
        elif fault.kind == "hang":
            if await self._hang(receive):
                await self._answer(_TIMEOUT, scope, receive, send)
            else:
                self._record(scope, 0)
        elif fault.kind == "cut":
            await self._app(scope, receive, _cutting(send, fault.keep))
        else:
            reply = throttled(fault.retry_after) if fault.kind == "429" else _REPLIES[fault.kind]
            await self._answer(reply, scope, receive, send)

    async def _answer(self, reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
        # The API puts in the date and writes the log, for a made-up answer too.
        scope["state"]["reply"] = reply
        await self._app(scope, receive, send)

    async def _hang(self, receive: Receive) -> bool:
        """Wait; False if the client went away."""
        end = time.monotonic() + self._injector.settings.hang_seconds
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            while time.monotonic() < end and not self._stopping() and not gone.done():
                await asyncio.wait({gone}, timeout=0.02)
            return not gone.done()
        finally:
            gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _cutting(send: Send, keep: float) -> Send:
    """A `send` that announces the whole length, sends a part, and ends there: the server then closes the connection."""

    async def cut(message: Message) -> None:
        if message["type"] == "http.response.body":
            body = message.get("body", b"")
            await send(
                {"type": "http.response.body", "body": body[: int(len(body) * keep)], "more_body": True}
            )
        else:
            await send(message)

    return cut


def _reset(send: Send) -> None:
    """Close the connection hard (TCP RST). Reaches for uvicorn's transport, which ASGI does not hand out."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:  # another server: ending without an answer has to do
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
