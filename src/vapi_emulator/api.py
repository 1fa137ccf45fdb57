"""The five endpoints, as a Starlette application over a store."""

from __future__ import annotations

import asyncio
import gzip
import re
import uuid
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from vapi_emulator.bodies import parse_create, parse_update
from vapi_emulator.layers import FaultLayer, ResponseLayer, http_date
from vapi_emulator.parameters import BadRequest, metadata, parse_list, retention_message
from vapi_emulator.state import Emulator
from vapi_emulator.stored import DEFAULT_EXPIRATION_SECONDS, Session, encode

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
_T = TypeVar("_T")


class _Refusal(Exception):  # noqa: N818  # becomes a response
    def __init__(self, status: int, message: str | list[str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def _error(status: int, message: str | list[str]) -> Response:
    body = {"message": message, "error": _REASONS[status], "statusCode": status}
    return Response(encode(body), status, media_type=_JSON)


def create_app(emulator: Emulator) -> ASGIApp:
    """The ASGI application: the routes behind the two layers."""
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
    return FaultLayer(ResponseLayer(app, emulator), emulator)


def _no_route(request: Request, _error_: Exception) -> Response:
    return _error(404, f"Cannot {request.method} {request.url.path}")


class _Handlers:
    """One method per endpoint."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    async def _in_pool(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._emulator.pool, work)

    def _organisation(self, request: Request) -> str:
        """The organisation of the bearer key; raises `_Refusal`."""
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
        if lifetime and (cached := emulator.cache.get((org_id, raw))) and now - cached[0] < lifetime:
            then, body, date = cached
            return Response(
                body, media_type=_JSON, headers={"age": str((now - then) // 1_000_000), "date": date}
            )
        pairs = parse_qsl(raw, keep_blank_values=True)
        body = await self._in_pool(lambda: self._page(pairs, org_id, now))
        if lifetime:
            emulator.cache[org_id, raw] = (now, body, http_date(emulator, now))
        if emulator.settings.gzip and "gzip" in request.headers.get("accept-encoding", ""):
            packed = await self._in_pool(lambda: gzip.compress(body, 1))
            return Response(packed, media_type=_JSON, headers={"content-encoding": "gzip"})
        return Response(body, media_type=_JSON)

    def _page(self, pairs: list[tuple[str, str]], org_id: str, now_us: int) -> bytes:
        emulator = self._emulator
        settings = emulator.settings
        self._expire()
        request = parse_list(pairs, org_id, settings, now_us)
        page = emulator.store.query(request.query)
        beyond = request.beyond_retention
        is_beyond = beyond is not None and emulator.store.query(beyond).total > 0
        if request.page > 1 and not page.bodies and settings.past_end == "reject":
            raise BadRequest(f"page {request.page} is past the last page")
        shown = encode(metadata(request, page.total, len(page.bodies), settings, is_beyond))
        return b"".join((b'{"results":[', b",".join(page.bodies), b'],"metadata":', shown, b"}"))

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
