"""What the environment says of the network: proxies, certificates and addresses. What cannot be used is told with its name."""

from __future__ import annotations

import importlib.util
import itertools
import os
from pathlib import Path

import pytest
from pydantic import SecretStr
from test_client import GOOD

from servers import Behaviour, Misbehaving, says
from vapi_sessions.errors import (
    ConfigurationError,
    SourceRefusedError,
    SourceUnavailableError,
    VapiSessionsError,
)
from vapi_sessions.settings import load_settings
from vapi_sessions.source.client import FIRST_ATTEMPTS, Query, Source
from vapi_sessions.source.proxies import proxy_for

API = "https://api.vapi.ai"
KEY = SecretStr("the-very-private-key-0123456789")
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
WHOLE = OK + b"Content-Length: %d\r\n\r\n" % len(GOOD.content) + GOOD.content


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("SSL"):
            monkeypatch.delenv(name)


def source_of(url: str) -> Source:
    """A client that does not sleep."""
    return Source(url, KEY, next_seq=itertools.count(1).__next__, sleep=lambda _: None)


def failure(url: str) -> VapiSessionsError:
    """The error of a first request."""
    with pytest.raises(VapiSessionsError) as caught, source_of(url) as source:
        source.list(Query())
    return caught.value


# -- which proxy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1 (HTTPS_PROXY)"),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, "http://low:1 (https_proxy)"),
        ({"ALL_PROXY": "http://p:1"}, "http://p:1 (ALL_PROXY)"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "https://p:1"}, "https://p:1 (HTTPS_PROXY)"),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"HTTPS_PROXY": "p:3128"}, "http://p:3128 (HTTPS_PROXY)"),
        ({"HTTPS_PROXY": "http://me:secret@p:1"}, "http://p:1 (HTTPS_PROXY)"),
        ({"HTTPS_PROXY": "http://[fd00::1]:1"}, "http://[fd00::1]:1 (HTTPS_PROXY)"),
        ({"HTTPS_PROXY": ""}, None),
    ],
)
def test_the_proxy_of_an_address(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str | None
) -> None:
    """By its scheme, else the one for all; lower case wins. It is shown without its password."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(API)
    assert (None if found is None else str(found)) == expected


@pytest.mark.parametrize(
    ("no_proxy", "address", "direct"),
    [
        ("*", API, True),
        ("vapi.ai", API, True),
        (".vapi.ai", API, True),
        ("*.vapi.ai", API, True),
        ("VAPI.AI", API, True),
        ("api.vapi.ai", API, True),
        ("pi.vapi.ai", API, False),
        ("other.example vapi.ai", API, True),
        ("api.vapi.ai:443", API, True),
        ("api.vapi.ai:80", API, False),
        ("https://api.vapi.ai", API, True),
        ("http://api.vapi.ai", API, False),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.1.2.3", "https://10.1.2.3:8443", True),
        ("10.1.2.3:8443", "https://10.1.2.3:8443", True),
        ("fd00::/8", "https://[fd12::1]", True),
        ("[fd00::]/8", "https://[fd12::1]", True),
        ("fd12::1", "https://[fd12::1]", True),
        ("[fd12::1]:443", "https://[fd12::1]", True),
        ("[fd12::1]:1", "https://[fd12::1]", False),
        ("fd00::/8,[::1],127.0.0.1/8,::,1/,[,:,://,a..b, ,/", API, False),
    ],
)
def test_no_proxy_as_curl_reads_it(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, address: str, direct: bool
) -> None:
    """Hosts with all below them, addresses, networks, ports; what is none of these is passed over."""
    monkeypatch.setenv("ALL_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (proxy_for(address) is None) is direct


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "127.0.0.1",
        "127.9.9.9",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",  # noqa: S104  # asked, not listened on
    ],
)
def test_this_machine_is_never_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Not even through one that cannot be used."""
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "socks://nonsense")
    assert proxy_for(f"http://{host}:8787") is None


def test_a_server_of_our_own_gets_the_key_and_the_proxy_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `demo` and the emulator need it, whatever the environment says."""
    with Misbehaving(says(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")) as proxy, Misbehaving(says(WHOLE)) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        with source_of(server.url) as source:
            assert source.list(Query()).total == 1
        assert proxy.heads == []


# -- what cannot be used -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "fact"),
    [
        ("socks://me:secret@p:1080", "names a proxy of the kind 'socks'"),
        ("socks4://p:1080", "names a proxy of the kind 'socks4'"),
        ("ftp://p", "names a proxy of the kind 'ftp'"),
        ("http://", "does not hold the address of a proxy"),
        ("http://a..b:3128", "does not hold the address of a proxy"),
        ("http://me:secret@p:99999", "does not hold the address of a proxy"),
        ("http://[::1", "does not hold the address of a proxy"),
        ("http://p:1\r\n", None),
        ("http://p q:1", "does not hold the address of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str, fact: str | None
) -> None:
    """With its variable, and without its password."""
    monkeypatch.setenv("ALL_PROXY", value)
    if fact is None:
        assert proxy_for(API) is not None
        return
    with pytest.raises(ConfigurationError) as caught:
        source_of(API)
    assert caught.value.fact.startswith(f"ALL_PROXY {fact}")
    assert "unset ALL_PROXY" in caught.value.remedy
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_needs_a_package(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """It is said which, and how to get it."""
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://p:1080")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "socksio" else find(name))
    with pytest.raises(
        ConfigurationError, match="ALL_PROXY names a SOCKS proxy, and the package socksio"
    ) as caught:
        source_of(API)
    assert "pip install socksio" in caught.value.remedy


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSLKEYLOGFILE"])
def test_a_file_of_certificates_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """It is a setting, not the disk of the warehouse."""
    monkeypatch.setenv(variable, "/nonexistent/file")
    error = failure("https://127.0.0.1:9")
    assert type(error) is ConfigurationError
    assert error.fact.startswith(f"{variable} is /nonexistent/file, which cannot be used: No such file")


def test_a_file_without_a_certificate_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Somebody put the wrong file there."""
    (tmp_path / "notes").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "notes"))
    error = failure("https://127.0.0.1:9")
    assert type(error) is ConfigurationError
    assert "no certificate in it" in error.fact


def test_plain_http_needs_no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a wrong variable does not stop the demonstration."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/file")
    with Misbehaving(says(WHOLE)) as server, source_of(server.url) as source:
        assert source.list(Query()).total == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1\r",
        "http://127.0.0.1:1\n",
        "http://a b",
        "http://a\tb",
        "http://a..b",
        "http://.a",
        "http://999.1.1.1",
        "http://☃..x",
        "http://" + "a" * 70 + ".de",
        "http://a*b",
        "http://[fe80::1",
    ],
)
def test_an_address_that_no_connection_can_be_tried_to_is_refused(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """By the option or the variable that it came from."""
    with pytest.raises(ConfigurationError, match="--base-url"):
        load_settings(base_url=url)
    monkeypatch.setenv("VAPI_BASE_URL", url)
    with pytest.raises(ConfigurationError, match="VAPI_BASE_URL: ") as caught:
        load_settings()
    assert caught.value.remedy == "Correct VAPI_BASE_URL, or unset it."


@pytest.mark.parametrize("url", ["http://a..b", "http://a\r", "http://999.9.9.9", "http://☃..x"])
def test_whatever_else_httpx_refuses_is_configuration_too(url: str) -> None:
    """Should an address come past the settings."""
    error = failure(url)
    assert type(error) is ConfigurationError
    assert "--base-url" in error.remedy


# -- what a proxy answers ----------------------------------------------------------------------------------------------


def refusing(status: str) -> Behaviour:
    """A proxy that answers so, with a page."""
    return says(f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>".encode())


@pytest.mark.parametrize(
    ("status", "kind", "fact", "connections"),
    [
        ("407 Proxy Authentication Required", ConfigurationError, "asks for a name and a password (407)", 1),
        ("403 Forbidden", SourceRefusedError, "refuses the way to api.vapi.ai (403 Forbidden)", 1),
        (
            "502 Bad Gateway",
            SourceRefusedError,
            "does not reach api.vapi.ai (502 Bad Gateway)",
            FIRST_ATTEMPTS,
        ),
        ("503 Service Unavailable", SourceRefusedError, "does not reach api.vapi.ai (503", FIRST_ATTEMPTS),
    ],
)
def test_a_proxy_that_does_not_let_us_through_is_told_as_such(
    monkeypatch: pytest.MonkeyPatch, status: str, kind: type, fact: str, connections: int
) -> None:
    """With its address and variable, within seconds; and it never sees the key."""
    with Misbehaving(refusing(status)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        error = failure(API)
        heads = list(proxy.heads)
    assert type(error) is kind
    assert f"{proxy.url} (HTTPS_PROXY) {fact}" in error.fact
    assert "HTTPS_PROXY" in error.remedy or "NO_PROXY=api.vapi.ai" in error.remedy
    assert [head.split(" ")[0] for head in heads] == ["CONNECT"] * connections
    assert KEY.get_secret_value() not in "".join(heads)


def test_a_proxy_that_does_not_accept_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one, and it is wrong; it is not shown."""
    with Misbehaving(refusing("407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:secret@"))
        error = failure(API)
    assert "does not accept the name and password (407)" in error.fact
    assert "secret" not in str(error)


def test_a_proxy_of_plain_http_that_wants_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers in the source's place."""
    with Misbehaving(refusing("407 Proxy Authentication Required")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        error = failure("http://source.example")
    assert type(error) is ConfigurationError
    assert f"{proxy.url} (HTTP_PROXY) asks for a name" in error.fact


def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both addresses are named, for nobody knows which is wrong."""
    with Misbehaving(says(b"")) as proxy:
        url = proxy.url
    monkeypatch.setenv("HTTPS_PROXY", url)
    error = failure(API)
    assert type(error) is SourceUnavailableError
    assert f"{API} cannot be reached through the proxy {url} (HTTPS_PROXY)" in error.fact


def test_a_proxy_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice is ours, the way through it httpx's."""
    with Misbehaving(says(WHOLE)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with source_of("http://source.example") as source:
            assert source.list(Query()).total == 1
        assert proxy.heads[0].startswith("GET http://source.example/session?")
