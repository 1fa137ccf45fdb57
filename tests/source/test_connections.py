"""Real connections: truncated responses, redirects, and several threads."""

from __future__ import annotations

import gzip
import itertools
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpcore
import httpx
import pytest
from pydantic import SecretStr
from scripted import BASE, GOOD, KEY, page

from constants import ORG
from servers import ScriptedServer, http_head, http_response, sends, source_of
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import EmulatorSettings
from vapi_sessions.errors import SourceRefusedError, SourceUnavailableError
from vapi_sessions.source.client import Source
from vapi_sessions.source.environment import Environment
from vapi_sessions.source.list_query import Query

PAGE = GOOD.content
GZIPPED = gzip.compress(PAGE, mtime=0)
GZIP, CHUNKED, LENGTH = "Content-Encoding: gzip", "Transfer-Encoding: chunked", f"Content-Length: {len(PAGE)}"
TRUNCATED: dict[str, bytes] = {
    "nothing at all": b"",
    "not HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a truncated head": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "a short body": http_head(LENGTH) + PAGE[:-30],
    "no body": http_head(LENGTH),
    "an incomplete chunk": http_head(CHUNKED) + b"%x\r\n" % len(PAGE) + PAGE[:50],
    "no last chunk": http_head(CHUNKED) + b"%x\r\n" % len(PAGE) + PAGE + b"\r\n",
    "a short body without a length": http_head() + PAGE[:-30],
    "truncated gzip": http_response(GZIPPED[:-20], GZIP),
    "truncated gzip without a length": http_head(GZIP) + GZIPPED[: len(GZIPPED) // 2],
    "a body that is not gzip": http_response(PAGE, GZIP),
}


def client_of(server: ScriptedServer) -> Source:
    """A client of the server."""
    return source_of(server.url, KEY)


@pytest.mark.parametrize("response", TRUNCATED.values(), ids=TRUNCATED)
def test_a_truncated_response_is_requested_again(response: bytes) -> None:
    """The part that arrived is not taken for the whole."""
    with (
        ScriptedServer(sends(response), sends(response), sends(http_response(PAGE))) as server,
        client_of(server) as source,
    ):
        found = source.list(Query())
        assert [row.session_id for row in found.rows] == ["session-1"]
        assert len(server.heads) == 3


@pytest.mark.parametrize("response", TRUNCATED.values(), ids=TRUNCATED)
def test_a_response_that_is_always_truncated_is_an_error(response: bytes) -> None:
    """It never becomes an empty list."""
    with (
        ScriptedServer(sends(response)) as server,
        client_of(server) as source,
        pytest.raises(SourceUnavailableError, match="Gave up after"),
    ):
        source.list(Query())


@pytest.mark.parametrize(
    "response",
    [
        http_response(GZIPPED, GZIP),
        http_head(CHUNKED) + b"%x\r\n" % len(PAGE) + PAGE + b"\r\n0\r\n\r\n",
        http_head() + PAGE,
    ],
    ids=["gzip", "chunks", "until the connection closes"],
)
def test_a_complete_response_may_have_any_encoding(response: bytes) -> None:
    """gzip, chunks, or a body that ends with the connection."""
    with ScriptedServer(sends(response)) as server, client_of(server) as source:
        assert source.list(Query()).total == 1
        assert len(server.heads) == 1


def test_a_redirect_does_not_get_the_key() -> None:
    """No request is sent to its target."""
    with ScriptedServer(sends(http_response(PAGE))) as elsewhere:
        redirect = f"HTTP/1.1 302 Found\r\nLocation: {elsewhere.url}/session\r\nContent-Length: 0\r\n\r\n"
        with (
            ScriptedServer(sends(redirect.encode())) as server,
            client_of(server) as source,
            pytest.raises(SourceRefusedError, match="the key was not sent there"),
        ):
            source.list(Query())
        assert elsewhere.heads == []


def test_an_address_without_a_server_is_named() -> None:
    """The error shows it."""
    with ScriptedServer(sends(b"")) as server:
        url = server.url
    with (
        source_of(url, KEY) as source,
        pytest.raises(SourceUnavailableError, match=re.escape(f"{url} cannot be reached")),
    ):
        source.list(Query())


def test_threads_do_not_close_each_others_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a shared pool they may. Pauses at the decisive places make that likely here."""
    handle = httpcore.HTTP11Connection.handle_request

    def expired(connection: httpcore.HTTP11Connection) -> bool:
        if not connection.is_idle():
            return False
        for _ in range(10):
            if connection._network_stream.get_extra_info("is_readable"):
                return True
            time.sleep(0.001)
        return False

    def slowly(connection: httpcore.HTTP11Connection, request: httpcore.Request) -> httpcore.Response:
        time.sleep(0.002)
        return handle(connection, request)

    monkeypatch.setattr(httpcore.HTTP11Connection, "has_expired", expired)
    monkeypatch.setattr(httpcore.HTTP11Connection, "handle_request", slowly)
    settings = EmulatorSettings(keys={KEY: ORG})
    with EmulatorServer(settings) as server, ThreadPoolExecutor(4) as pool:
        source = Source(server.url, SecretStr(KEY), next_seq=itertools.count(1).__next__, concurrency=4)
        with source:
            totals = list(pool.map(lambda _: source.count(), range(60)))
    assert totals == [0] * 60
    assert (source.traffic.requests, source.traffic.retries) == (60, 0)


def test_concurrency_limits_the_parallel_requests() -> None:
    """Further requests wait, and then reuse the connections."""
    lock, under_way, most = threading.Lock(), 0, 0
    two = threading.Barrier(2)

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        two.wait(200)
        time.sleep(0.01)  # a third request could start now
        with lock:
            under_way -= 1
        return page()

    numbers = itertools.count(1).__next__
    environment = Environment(transport=httpx.MockTransport(answer))
    with (
        Source(BASE, SecretStr(KEY), next_seq=numbers, concurrency=2, environment=environment) as source,
        ThreadPoolExecutor(6) as pool,
    ):
        assert list(pool.map(lambda _: source.count(), range(12))) == [0] * 12
    assert most == 2
