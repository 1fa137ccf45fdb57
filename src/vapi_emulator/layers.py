"""The two ASGI layers in front of the endpoints: faults, then the `Date` header and the request log.

The faults are outermost and raw ASGI, because some have to break the HTTP connection itself.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import time
from email.utils import format_datetime
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vapi_emulator.faults import CDN_REFUSAL, GATEWAY_TIMEOUT, REPLIES, Reply, throttled
from vapi_emulator.state import Emulator, header
from vapi_emulator.times import from_us

_DEFAULT_AGENTS: Final = re.compile(r"(python-|curl/|okhttp|Go-http-client|Wget|Java/)", re.IGNORECASE)


def http_date(emulator: Emulator, now_us: int) -> str:
    """The value of the `Date` header, moved by `clock_skew_seconds`."""
    skewed = from_us(now_us + int(emulator.settings.clock_skew_seconds * 1e6))
    return format_datetime(skewed.replace(microsecond=0), usegmt=True)


class FaultLayer:
    """Delays a request, breaks it, or hands it on."""

    def __init__(self, app: ASGIApp, emulator: Emulator) -> None:
        self._app = app
        self._emulator = emulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        emulator, state = self._emulator, scope.setdefault("state", {})
        if emulator.faults.settings.latency_seconds > 0:
            await asyncio.sleep(emulator.faults.settings.latency_seconds)
        authorization = header(scope, b"authorization")
        # Rate limits count by organisation, not by key.
        fault = emulator.faults.next(emulator.organisation(authorization) or authorization)
        if fault is None:
            await self._app(scope, receive, send)
            return
        state["fault"] = fault.kind
        if fault.kind == "reset":
            emulator.record(scope, 0)
            _reset(send)
        elif fault.kind == "hang":
            if await self._hang(receive):
                await self._reply(GATEWAY_TIMEOUT, scope, receive, send)
            else:
                emulator.record(scope, 0)
        elif fault.kind == "cut":
            await self._app(scope, receive, _cutting(send, fault.keep))
        else:
            reply = throttled(fault.retry_after) if fault.kind == "429" else REPLIES[fault.kind]
            await self._reply(reply, scope, receive, send)

    async def _reply(self, reply: Reply, scope: Scope, receive: Receive, send: Send) -> None:
        # `ResponseLayer` sends it, so that it has a date and is logged too.
        scope["state"]["reply"] = reply
        await self._app(scope, receive, send)

    async def _hang(self, receive: Receive) -> bool:
        """Wait; False if the client went away."""
        end = time.monotonic() + self._emulator.faults.settings.hang_seconds
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            while time.monotonic() < end and not self._emulator.stopping.is_set() and not gone.done():
                await asyncio.wait({gone}, timeout=0.02)
            return not gone.done()
        finally:
            gone.cancel()


class ResponseLayer:
    """Sends made-up responses and the CDN's refusal; adds the `Date` of the emulator's clock; writes the log."""

    def __init__(self, app: ASGIApp, emulator: Emulator) -> None:
        self._app = app
        self._emulator = emulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        emulator = self._emulator

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                if not any(name == b"date" for name, _ in headers):
                    headers.append((b"date", http_date(emulator, emulator.now_us()).encode("ascii")))
                message = {**message, "headers": headers}
                emulator.record(scope, message["status"])
            await send(message)

        reply: Reply | None = scope["state"].get("reply")
        if reply is None and emulator.settings.refuse_default_user_agents:
            agent = header(scope, b"user-agent")
            reply = CDN_REFUSAL if not agent or _DEFAULT_AGENTS.match(agent) else None
        if reply is None:
            await self._app(scope, receive, dated)
        else:
            response = Response(reply.body, reply.status, reply.headers, media_type=reply.content_type)
            await response(scope, receive, dated)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _cutting(send: Send, keep: float) -> Send:
    """A `send` that announces the full length but sends only a part, after which the server closes the connection."""

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
    """Close the connection with a TCP RST. Uses uvicorn's transport, which ASGI does not expose."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:  # another server: end without a response instead
        return
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
