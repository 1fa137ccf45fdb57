"""Requests through a proxy, and how its refusals and failures are reported."""

from __future__ import annotations

import pytest
from network import clear_settings, first_failure
from scripted import GOOD, KEY

from servers import Behaviour, ScriptedServer, http_response, sends, source_of
from vapi_sessions.errors import (
    ConfigurationError,
    SourceRefusedError,
    SourceUnavailableError,
)
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.retries import FIRST_ATTEMPTS

API = "https://api.vapi.ai"


@pytest.fixture(autouse=True)
def _no_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_settings(monkeypatch)


def refusing(status: str) -> Behaviour:
    """The behaviour of a proxy that answers with this status and a web page."""
    return sends(f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>".encode())


@pytest.mark.parametrize(
    ("status", "kind", "fact", "connections"),
    [
        (
            "407 Proxy Authentication Required",
            ConfigurationError,
            "requires a user name and password (407)",
            1,
        ),
        ("403 Forbidden", SourceRefusedError, "refuses to connect to api.vapi.ai (403 Forbidden)", 1),
        (
            "502 Bad Gateway",
            SourceRefusedError,
            "cannot reach api.vapi.ai (502 Bad Gateway)",
            FIRST_ATTEMPTS,
        ),
        ("503 Service Unavailable", SourceRefusedError, "cannot reach api.vapi.ai (503", FIRST_ATTEMPTS),
    ],
)
def test_the_refusal_of_a_proxy_is_reported_within_seconds(
    monkeypatch: pytest.MonkeyPatch, status: str, kind: type, fact: str, connections: int
) -> None:
    """The error shows the proxy and its variable. The proxy does not get the key."""
    with ScriptedServer(refusing(status)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        error = first_failure(API)
        heads = list(proxy.heads)
    assert type(error) is kind
    assert f"{proxy.url} (HTTPS_PROXY) {fact}" in error.fact
    assert "HTTPS_PROXY" in error.remedy or "NO_PROXY=api.vapi.ai" in error.remedy
    assert [head.split(" ")[0] for head in heads] == ["CONNECT"] * connections
    assert KEY not in "".join(heads)


def test_a_wrong_proxy_password_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error does not show it."""
    with ScriptedServer(refusing("407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:secret@"))
        error = first_failure(API)
    assert "rejects the user name and password (407)" in error.fact
    assert "secret" not in str(error)


def test_a_proxy_for_plain_http_may_require_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its 407 comes as the response to the request itself."""
    with ScriptedServer(refusing("407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        error = first_failure("http://source.example")
    assert type(error) is ConfigurationError
    assert f"{proxy.url} (HTTP_PROXY) requires a user name" in error.fact


def test_an_unreachable_proxy_is_named_with_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either address may be wrong."""
    with ScriptedServer(sends(b"")) as proxy:
        url = proxy.url
    monkeypatch.setenv("HTTPS_PROXY", url)
    error = first_failure(API)
    assert type(error) is SourceUnavailableError
    assert f"{API} cannot be reached through the proxy {url} (HTTPS_PROXY)" in error.fact


def test_a_request_goes_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """For plain HTTP, the proxy gets the whole URL."""
    with ScriptedServer(sends(http_response(GOOD.content))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with source_of("http://source.example", KEY) as source:
            assert source.list(Query()).total == 1
        assert proxy.heads[0].startswith("GET http://source.example/session?")
