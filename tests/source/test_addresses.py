"""Every host has one spelling, so that the rules for TLS and proxies apply to the host that is connected to."""

from __future__ import annotations

import json
from typing import Final

import pytest
from scripted import KEY

from selection import some
from servers import ScriptedServer, http_response, sends, source_of
from vapi_sessions.core.addresses import canonical, is_this_machine
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.settings import load_settings
from vapi_sessions.source.proxies import proxy_for

EMPTY: Final = json.dumps({"results": [], "metadata": {"itemsPerPage": 1, "totalItems": 0}}).encode()


@pytest.mark.parametrize(
    "host",
    [
        "api.vapi.ai.",
        "API.Vapi.AI",
        "vapi.ai",
        "vapi.ai.:8080",
        "api.vapi.ai:",
        "api\u3002vapi\u3002ai",
        "api\uff0evapi\uff0eai",
        "api\uff61vapi\uff61ai\u3002",
        "api.\uff56api.ai",  # a full-width v
        "api.vapi.a\u2139",  # a compatibility character of the letter i
        "api.eu.vapi.ai:80/gateway",
    ],
)
def test_the_vendors_host_requires_tls_in_any_spelling(host: str) -> None:
    """The rule is applied to the canonical spelling, which requests are then sent to."""
    with pytest.raises(ConfigurationError, match="unencrypted"):
        load_settings(base_url=f"http://{host}")
    assert ".vapi.ai" in f".{load_settings(base_url=f'https://{host}').base_url}".replace("//", ".")


@pytest.mark.parametrize("host", ["api.va\u00adpi.ai", "api.vapi%2eai", "api.vapi.ai\u200b", "vapi.ai..example", "x@api.vapi.ai", "a\\@api.vapi.ai"])  # fmt: skip
def test_an_address_that_hides_its_host_is_refused(host: str) -> None:
    """Invisible characters, escapes, empty labels, and a user name before the host."""
    with pytest.raises(ConfigurationError):
        load_settings(base_url=f"http://{host}")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("HTTPS://API.Vapi.ai./Path/", "https://api.vapi.ai/Path"),
        ("http://localhost.:8787", "http://localhost:8787"),
        ("http://127.1:80", "http://127.0.0.1:80"),
        ("http://[FD00::1]:80", "http://[fd00::1]:80"),
        ("http://fa\u00df.example", "http://fa\u00df.example"),
        ("http://\u65e5\u672c.example", "http://\u65e5\u672c.example"),
        ("http://notvapi.ai", "http://notvapi.ai"),
        ("http://10.0.0.1", "http://10.0.0.1"),
    ],
)
def test_settings_have_the_canonical_spelling(given: str, expected: str) -> None:
    """A name that is not ASCII stays as it is."""
    assert load_settings(base_url=given).base_url == expected


LOOPBACK: Final = (
    "127.0.0.1", "127.0.0.2", "127.255.255.254", "127.1", "127.0.1", "2130706433", "0x7f000001", "0X7F.1", "017700000001",
    "0x7f.0.0.1", "0", "0.0", "0x0", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "localhost", "localhost.", "LOCALHOST", "localhost\u3002", "a.localhost", "localhost.localdomain", "ip6-localhost",
    "ip6-loopback", "\uff11\uff12\uff17.0.0.1",
)  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK)
def test_no_proxy_is_used_for_this_machine_in_any_spelling(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Even if the environment sets a proxy, and `NO_PROXY` is empty."""
    for variable in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "")
    for scheme in ("http", "https"):
        assert proxy_for(f"{scheme}://{host}:8787") is None
    assert is_this_machine(canonical(host.strip("[]")))


@pytest.mark.parametrize("host", ["128.0.0.1", "1.1", "localhost.example", "notlocalhost", "[::2]", "[fd00::1]", "126.255.255.255"])  # fmt: skip
def test_a_proxy_is_used_for_similar_hosts(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """They are other machines."""
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    assert proxy_for(f"http://{host}:8787") is not None


@pytest.mark.parametrize(
    "host", some(["127.0.0.1", "localhost", "127.1", "0x7f000001", "localhost."], "127.1")
)
def test_a_proxy_gets_no_request_to_this_machine(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """The server gets the key, and the proxy gets nothing."""
    refusing, empty = sends(b"HTTP/1.1 502 No\r\n\r\n"), sends(http_response(EMPTY))
    with ScriptedServer(refusing) as proxy, ScriptedServer(empty) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        address = load_settings(base_url=f"http://{host}:{server.port}").base_url
        with source_of(address, KEY) as source:
            assert source.count() == 0
        assert proxy.heads == []
        assert f"Bearer {KEY}" in server.heads[0]
