"""One spelling for a host: the rule of TLS and the rule of proxies see the host that a connection would be made to."""

from __future__ import annotations

import itertools
import json
from typing import Final

import pytest
from pydantic import SecretStr
from test_client import KEY

from selection import some
from servers import Misbehaving, says
from vapi_sessions.core.addresses import canonical, is_this_machine
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.settings import load_settings
from vapi_sessions.source.client import Source
from vapi_sessions.source.proxies import proxy_for

EMPTY: Final = json.dumps({"results": [], "metadata": {"itemsPerPage": 1, "totalItems": 0}}).encode()
WHOLE: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(EMPTY) + EMPTY
)


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
        "api.vapi.a\u2139",  # an i of its own, which is the letter by compatibility
        "api.eu.vapi.ai:80/gateway",
    ],
)
def test_the_vendor_in_other_spellings_is_spoken_to_encrypted_only(host: str) -> None:
    """The rule looks at the one spelling; with TLS, that is also where requests go."""
    with pytest.raises(ConfigurationError, match="unencrypted"):
        load_settings(base_url=f"http://{host}")
    assert ".vapi.ai" in f".{load_settings(base_url=f'https://{host}').base_url}".replace("//", ".")


@pytest.mark.parametrize("host", ["api.va\u00adpi.ai", "api.vapi%2eai", "api.vapi.ai\u200b", "vapi.ai..example", "x@api.vapi.ai", "a\\@api.vapi.ai"])  # fmt: skip
def test_what_hides_a_host_is_no_address(host: str) -> None:
    """Invisible characters, escapes, empty labels, and users before it."""
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
def test_settings_hold_the_one_spelling(given: str, expected: str) -> None:
    """A name outside of ASCII is a name of its own, and stays."""
    assert load_settings(base_url=given).base_url == expected


LOOPBACK: Final = (
    "127.0.0.1", "127.0.0.2", "127.255.255.254", "127.1", "127.0.1", "2130706433", "0x7f000001", "0X7F.1", "017700000001",
    "0x7f.0.0.1", "0", "0.0", "0x0", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    "localhost", "localhost.", "LOCALHOST", "localhost\u3002", "a.localhost", "localhost.localdomain", "ip6-localhost",
    "ip6-loopback", "\uff11\uff12\uff17.0.0.1",
)  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK)
def test_this_machine_in_any_spelling_is_asked_directly(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Whatever the environment says of proxies; `NO_PROXY` need not name it."""
    for variable in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "")
    for scheme in ("http", "https"):
        assert proxy_for(f"{scheme}://{host}:8787") is None
    assert is_this_machine(canonical(host.strip("[]")))


@pytest.mark.parametrize("host", ["128.0.0.1", "1.1", "localhost.example", "notlocalhost", "[::2]", "[fd00::1]", "126.255.255.255"])  # fmt: skip
def test_other_machines_are_not_taken_for_this_one(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """A proxy is used."""
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    assert proxy_for(f"http://{host}:8787") is not None


@pytest.mark.parametrize(
    "host", some(["127.0.0.1", "localhost", "127.1", "0x7f000001", "localhost."], "127.1")
)
def test_the_proxy_never_sees_the_key(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """The server is asked, and the proxy hears nothing."""
    with Misbehaving(says(b"HTTP/1.1 502 No\r\n\r\n")) as proxy, Misbehaving(says(WHOLE)) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        address = load_settings(base_url=f"http://{host}:{server.port}").base_url
        with Source(address, SecretStr(KEY), next_seq=itertools.count().__next__) as source:
            assert source.count() == 0
        assert proxy.heads == []
        assert f"Bearer {KEY}" in server.heads[0]
