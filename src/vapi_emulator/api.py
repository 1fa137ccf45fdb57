"""The five endpoints, as a Starlette application over a store.

Every answer passes `_Frame`, which adds the `Date` header from the injected clock and writes the request log.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import threading
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vapi_emulator.bodies import parse_create, parse_update
from vapi_emulator.faults import (
    CDN_REFUSAL,
    App,
    FaultInjector,
    FaultLayer,
    Message,
    Receive,
    Reply,
    Scope,
    Send,
)
from vapi_emulator.parameters import BadRequest, metadata, parse_list, retention_message
from vapi_emulator.store import Store
from vapi_emulator.stored import DEFAULT_EXPIRATION_SECONDS, Session, encode
from vapi_emulator.switches import EmulatorSettings
from vapi_emulator.times import Clock, from_us, to_us

INVALID_KEY: Final = (
    "Invalid Key. Hot tip, you may be using the private key instead of the public key, or vice versa."
)
_REASONS: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    404: "Not Found",
    500: "Internal Server Error",
}
_JSON: Final = "application/json; charset=utf-8"
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_DEFAULT_AGENTS: Final = re.compile(r"(python-|curl/|okhttp|Go-http-client|Wget|Java/)", re.IGNORECASE)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request that was answered. `status` 0: the connection was broken without an answer; `fault`: what was injected."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    status: int
    user_agent: str
    fault: str | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """The query as a dictionary; of a repeated parameter the last."""
        return dict(self.query)


@dataclass(slots=True)
class Emulator:
    """What the handlers work on. `settings` may be replaced while it runs."""

    store: Store
    settings: EmulatorSettings
    clock: Clock
    faults: FaultInjector
    pool: ThreadPoolExecutor
    #: The newest requests, oldest first.
    requests: deque[RequestRecord] = field(default_factory=lambda: deque(maxlen=100_000))
    stopping: threading.Event = field(default_factory=threading.Event)
    cache: dict[tuple[str, str], tuple[int, bytes, str]] = field(default_factory=dict)

    def configure(self, **changes: Any) -> None:
        """Replace some settings, as `dataclasses.replace` does; the store's own follow."""
        self.settings = replace(self.settings, **changes)
        self.store.commit_delay_seconds = self.settings.commit_delay_seconds
        self.store.sub_millisecond = self.settings.sub_millisecond
        if "faults" in changes:
            self.faults.configure(self.settings.faults)

    def organisation(self, authorization: str) -> str | None:
        """The organisation of a bearer key; None if it is none of ours."""
        scheme, _, key = authorization.partition(" ")
        return self.settings.keys.get(key.strip()) if scheme.lower() == "bearer" else None

    def now_us(self) -> int:
        """The clock's time in microseconds."""
        return to_us(self.clock())

    def record(self, scope: Scope, status: int) -> None:
        """Write a request into the log, just before its answer goes out."""
        self.requests.append(
            RequestRecord(
                method=scope["method"],
                path=scope["path"],
                query=tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
                status=status,
                user_agent=user_agent(scope),
                fault=scope["state"].get("fault"),
            )
        )


def user_agent(scope: Scope) -> str:
    """The `User-Agent` of a request; empty if it has none."""
    return str(dict(scope["headers"]).get(b"user-agent", b"").decode("latin-1"))


class _Refusal(Exception):  # noqa: N818  (an answer, not a failure)
    def __init__(self, status: int, message: str | list[str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def _error(status: int, message: str | list[str]) -> Response:
    body = {"message": message, "error": _REASONS[status], "statusCode": status}
    return Response(encode(body), status, media_type=_JSON)


def create_app(emulator: Emulator) -> App:
    """The ASGI application: routes, framed, behind the faults."""
    handlers = _Handlers(emulator)
    app = Starlette(
        routes=[
            Route("/session", handlers.create, methods=["POST"]),
            Route("/session", handlers.page, methods=["GET"]),
            Route("/session/{id}", handlers.get, methods=["GET"]),
            Route("/session/{id}", handlers.update, methods=["PATCH"]),
            Route("/session/{id}", handlers.delete, methods=["DELETE"]),
        ],
        exception_handlers={
            404: _no_route,
            405: _no_route,
            BadRequest: lambda _request, bad: _error(400, bad.message),
            _Refusal: lambda _request, no: _error(no.status, no.message),
        },
    )
    app.router.redirect_slashes = False
    return FaultLayer(
        _Frame(app, emulator),
        emulator.faults,
        emulator.stopping.is_set,
        emulator.record,
        lambda authorization: emulator.organisation(authorization) or authorization,
    )


def _no_route(request: Request, _error_: Exception) -> Response:
    return _error(404, f"Cannot {request.method} {request.url.path}")


class _Handlers:
    """One method an endpoint."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def _in_pool(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._emulator.pool, work)

    def _organisation(self, request: Request) -> str:
        """The organisation of the bearer key, or the refusal."""
        org_id = self._emulator.organisation(request.headers.get("authorization", ""))
        if org_id is None:
            raise _Refusal(401, INVALID_KEY)
        if org_id in self._emulator.settings.must_pay:
            raise _Refusal(
                402, "Your organization has an outstanding balance. Please update your payment method."
            )
        return org_id

    @staticmethod
    def _id(request: Request) -> str:
        given = request.path_params["id"]
        if not _UUID.fullmatch(given):
            raise BadRequest("Validation failed (uuid is expected)")
        return str(given).lower()

    @staticmethod
    def _found(body: bytes | None) -> Response:
        if body is None:
            raise _Refusal(404, "Session Not Found")
        return Response(body, media_type=_JSON)

    async def page(self, request: Request) -> Response:
        org_id = self._organisation(request)
        emulator = self._emulator
        raw = request.scope["query_string"].decode("latin-1")
        now = emulator.now_us()
        lifetime = int(emulator.settings.stale_cache_seconds * 1e6)
        if lifetime and (kept := emulator.cache.get((org_id, raw))) and now - kept[0] < lifetime:
            then, body, date = kept
            return Response(
                body, media_type=_JSON, headers={"age": str((now - then) // 1_000_000), "date": date}
            )
        pairs = parse_qsl(raw, keep_blank_values=True)
        body = await self._in_pool(lambda: self._page(pairs, org_id, now))
        if lifetime:
            emulator.cache[org_id, raw] = (now, body, _http_date(emulator, now))
        if emulator.settings.gzip and "gzip" in request.headers.get("accept-encoding", ""):
            packed = await self._in_pool(lambda: gzip.compress(body, 1))
            return Response(packed, media_type=_JSON, headers={"content-encoding": "gzip"})
        return Response(body, media_type=_JSON)

    def _page(self, pairs: list[tuple[str, str]], org_id: str, now_us: int) -> bytes:
        emulator = self._emulator
        settings = emulator.settings
        self._expire()
        asked = parse_list(pairs, org_id, settings, now_us)
        page = emulator.store.query(asked.query)
        beyond = asked.beyond_retention is not None and emulator.store.query(asked.beyond_retention).total > 0
        if asked.page > 1 and not page.bodies and settings.past_end == "reject":
            raise BadRequest(f"page {asked.page} is past the last page")
        told = encode(metadata(asked, page.total, len(page.bodies), settings, beyond))
        return b"".join((b'{"results":[', b",".join(page.bodies), b'],"metadata":', told, b"}"))

    def _expire(self) -> None:
        settings = self._emulator.settings
        if settings.expiry != "none":
            self._emulator.store.expire(
                touch=settings.expiry == "status+updatedAt", idle=settings.expires_after == "inactivity"
            )

    async def get(self, request: Request) -> Response:
        org_id, session_id = self._organisation(request), self._id(request)
        return self._found(await self._in_pool(lambda: self._read(org_id, session_id)))

    def _read(self, org_id: str, session_id: str) -> bytes | None:
        emulator = self._emulator
        self._expire()
        if (reach := emulator.settings.retention_us) is not None:
            cutoff = emulator.now_us() - reach
            created = emulator.store.created_us(org_id, session_id)
            if created is not None and created < cutoff:
                if emulator.settings.retention_style == "400":
                    raise BadRequest(retention_message(cutoff, emulator.settings))
                return None
        return emulator.store.get(org_id, session_id)

    async def create(self, request: Request) -> Response:
        org_id = self._organisation(request)
        raw = await request.body()
        fields = parse_create(raw, content_limit=self._emulator.settings.content_limit)
        session: Session = {
            "id": str(uuid.uuid4()),
            "orgId": org_id,
            "status": "active",
            "expirationSeconds": DEFAULT_EXPIRATION_SECONDS,
            **fields,
        }
        body = await self._in_pool(lambda: self._emulator.store.add(session))
        return Response(body, 201, media_type=_JSON)

    async def update(self, request: Request) -> Response:
        org_id, session_id = self._organisation(request), self._id(request)
        raw = await request.body()
        fields = parse_update(raw, content_limit=self._emulator.settings.content_limit)
        store = self._emulator.store
        return self._found(
            await self._in_pool(
                lambda: store.update(org_id, session_id, lambda session: session.update(fields))
            )
        )

    async def delete(self, request: Request) -> Response:
        org_id, session_id = self._organisation(request), self._id(request)
        return self._found(await self._in_pool(lambda: self._emulator.store.delete(org_id, session_id)))


def _http_date(emulator: Emulator, now_us: int) -> str:
    skewed = from_us(now_us + int(emulator.settings.clock_skew_seconds * 1e6))
    return format_datetime(skewed.replace(microsecond=0), usegmt=True)


class _Frame:
    """Around the routes: made-up answers, the CDN's refusal, the `Date` header, the request log."""

    def __init__(self, app: App, emulator: Emulator) -> None:
        self._app = app
        self._emulator = emulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        emulator = self._emulator

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                if not any(name == b"date" for name, _ in headers):
                    headers.append((b"date", _http_date(emulator, emulator.now_us()).encode("ascii")))
                message = {**message, "headers": headers}
                emulator.record(scope, message["status"])
            await send(message)

        reply: Reply | None = scope["state"].get("reply")
        if reply is None and emulator.settings.refuse_default_user_agents:
            agent = user_agent(scope)
            reply = CDN_REFUSAL if not agent or _DEFAULT_AGENTS.match(agent) else None
        if reply is None:
            await self._app(scope, receive, dated)
        else:
            answer = Response(reply.body, reply.status, reply.headers, media_type=reply.content_type)
            await answer(scope, receive, dated)
