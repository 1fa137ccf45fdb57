"""A client whose source is a script, and the responses that a source sends."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from clocks import FakeTime
from constants import EPOCH, ORG
from vapi_sessions.errors import VapiSessionsError
from vapi_sessions.source.client import Source
from vapi_sessions.source.environment import Environment
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.page import Page

KEY = "the-very-private-key-0123456789"
BASE = "https://api.example.test"

Handler = Callable[[httpx.Request], httpx.Response]


def session(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A session as the source shows it."""
    return {
        "id": f"session-{number}",
        "orgId": ORG,
        "createdAt": "2026-03-01T00:00:00.123Z",
        "updatedAt": "2026-03-01T00:00:01.456Z",
    } | fields


def page(*sessions: dict[str, Any], **metadata: Any) -> httpx.Response:
    """A correct list response."""
    metadata = {"itemsPerPage": 1000, "totalItems": len(sessions), "currentPage": 1} | metadata
    return httpx.Response(200, json={"results": list(sessions), "metadata": metadata})


def json_response(body: bytes) -> httpx.Response:
    """A response with status 200 that claims to be JSON."""
    return httpx.Response(200, content=body, headers={"content-type": "application/json"})


def api_error(status: int, message: object = None, **headers: str) -> httpx.Response:
    """An error in the vendor's form."""
    body = {"statusCode": status, "error": "Error"} | ({} if message is None else {"message": message})
    return httpx.Response(status, json=body, headers=headers)


def raw_response(status: int, body: str, kind: str = "text/html", **headers: str) -> httpx.Response:
    """A response that is not in the API's form, as an intermediary sends it."""
    return httpx.Response(status, content=body.encode(), headers={"content-type": kind} | headers)


GOOD = page(session())


class Scripted:
    """Answers with each of `answers` in turn, and then with the last one again. An exception is raised."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = answers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """One response."""
        self.requests.append(request)
        answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


class Client:
    """A client of a handler, with its clock and the waits it announced. Use as a context manager."""

    def __init__(self, handler: Handler, *, base_url: str = BASE, now: int = EPOCH) -> None:
        self.time = FakeTime(now)
        self.waits: list[tuple[float, str]] = []
        self.source = Source(
            base_url,
            SecretStr(KEY),
            next_seq=itertools.count(1).__next__,
            environment=Environment(
                self.time.now, self.time.monotonic, self.time.sleep, httpx.MockTransport(handler)
            ),
            on_wait=lambda seconds, fact: self.waits.append((seconds, fact)),
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.source.__exit__(*exc)


def ask(*answers: httpx.Response | Exception) -> Page:
    """The page that the client returns after these answers."""
    with Client(Scripted(*answers)) as client:
        return client.source.list(Query())


def failure(*answers: httpx.Response | Exception, after_success: bool = False) -> VapiSessionsError:
    """The error that the client raises after these answers."""
    given_answers = (GOOD, *answers) if after_success else answers
    with Client(Scripted(*given_answers)) as client:
        if after_success:
            client.source.list(Query())
        with pytest.raises(VapiSessionsError) as caught:
            client.source.list(Query())
    return caught.value


def everything_said(error: BaseException) -> str:
    """All text of an error, including its attributes and causes."""
    parts = [repr(error), str(error), repr(vars(error))]
    parts += [everything_said(other) for other in (error.__cause__, error.__context__) if other is not None]
    return "\n".join(parts)
