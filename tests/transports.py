"""HTTP transports for tests against an emulator."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from typing import Any, Final

import httpx

#: For plain HTTP on loopback: reading the certificate authorities of the machine takes longer than most tests.
NO_CERTIFICATES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class RealTransport(httpx.BaseTransport):
    """The transport of httpx, one for each thread: threads that share a pool may close each other's connections."""

    def __init__(self) -> None:
        self._of_thread = threading.local()
        self._all: list[httpx.HTTPTransport] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not hasattr(self._of_thread, "transport"):
            self._of_thread.transport = httpx.HTTPTransport(verify=NO_CERTIFICATES)
            self._all.append(self._of_thread.transport)
        transport: httpx.HTTPTransport = self._of_thread.transport
        return transport.handle_request(request)

    def close(self) -> None:
        for transport in self._all:
            transport.close()


class Watched(RealTransport):
    """Calls a function with each request before it is sent."""

    def __init__(self, before: Callable[[httpx.Request], None]) -> None:
        super().__init__()
        self._before = before

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._before(request)
        return super().handle_request(request)


class Edited(RealTransport):
    """Changes each session in the responses."""

    def __init__(self, change: Callable[[dict[str, Any]], Any]) -> None:
        super().__init__()
        self._change = change

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        answer.read()
        if answer.status_code != 200:
            return answer
        found = json.loads(answer.content)
        if "results" in found:
            found["results"] = [self._change(session) for session in found["results"]]
        else:
            found = self._change(found)
        headers = {name: answer.headers[name] for name in ("content-type", "date")}
        return httpx.Response(200, headers=headers, json=found)
