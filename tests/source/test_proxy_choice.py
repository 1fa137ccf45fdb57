"""Which proxy the environment names for an address, and which values are refused."""

from __future__ import annotations

import importlib.util

import pytest
from network import clear_settings
from scripted import GOOD, KEY

from servers import ScriptedServer, http_response, sends, source_of
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.proxies import proxy_for

API = "https://api.vapi.ai"


@pytest.fixture(autouse=True)
def _no_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_settings(monkeypatch)


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
def test_the_variable_for_the_scheme_names_the_proxy(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str | None
) -> None:
    """Otherwise ALL_PROXY does. Lower case takes precedence. The password is not shown."""
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
def test_no_proxy_is_read_as_curl_reads_it(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, address: str, direct: bool
) -> None:
    """Hosts with their subdomains, addresses, networks and ports. Other entries are ignored."""
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
        "0.0.0.0",  # noqa: S104  # connected to, not listened on
    ],
)
def test_no_proxy_is_used_for_this_machine(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Even if the proxy is unusable, there is no error."""
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "socks://nonsense")
    assert proxy_for(f"http://{host}:8787") is None


def test_a_local_server_gets_the_request_and_the_proxy_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """`demo` and the emulator rely on this."""
    with (
        ScriptedServer(sends(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")) as proxy,
        ScriptedServer(sends(http_response(GOOD.content))) as server,
    ):
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        with source_of(server.url, KEY) as source:
            assert source.list(Query()).total == 1
        assert proxy.heads == []


@pytest.mark.parametrize(
    ("value", "fact"),
    [
        ("socks://me:secret@p:1080", "has the scheme 'socks', which is not supported"),
        ("socks4://p:1080", "has the scheme 'socks4', which is not supported"),
        ("ftp://p", "has the scheme 'ftp', which is not supported"),
        ("http://", "is not the address of a proxy"),
        ("http://a..b:3128", "is not the address of a proxy"),
        ("http://me:secret@p:99999", "is not the address of a proxy"),
        ("http://[::1", "is not the address of a proxy"),
        ("http://p:1\r\n", None),
        ("http://p q:1", "is not the address of a proxy"),
    ],
)
def test_the_error_for_an_unusable_proxy_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, value: str, fact: str | None
) -> None:
    """It does not show the password."""
    monkeypatch.setenv("ALL_PROXY", value)
    if fact is None:
        assert proxy_for(API) is not None
        return
    with pytest.raises(ConfigurationError) as caught:
        source_of(API, KEY)
    assert caught.value.fact.startswith(f"ALL_PROXY {fact}")
    assert "unset ALL_PROXY" in caught.value.remedy
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_needs_a_package(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    """The error names the package and how to install it."""
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://p:1080")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "socksio" else find(name))
    with pytest.raises(
        ConfigurationError, match="ALL_PROXY names a SOCKS proxy, which requires the package socksio"
    ) as caught:
        source_of(API, KEY)
    assert "pip install socksio" in caught.value.remedy
