"""Certificates and addresses from the environment that cannot be used, and how they are reported."""

from __future__ import annotations

from pathlib import Path

import pytest
from network import clear_settings, first_failure
from scripted import GOOD, KEY

from servers import ScriptedServer, http_response, sends, source_of
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.settings import load_settings
from vapi_sessions.source.list_query import Query


@pytest.fixture(autouse=True)
def _no_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_settings(monkeypatch)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSLKEYLOGFILE"])
def test_a_missing_certificate_file_is_named(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """The error is about the variable, not about the warehouse's disk."""
    monkeypatch.setenv(variable, "/nonexistent/file")
    error = first_failure("https://127.0.0.1:9")
    assert type(error) is ConfigurationError
    assert error.fact.startswith(f"{variable} is /nonexistent/file, which cannot be used: No such file")


def test_a_file_without_a_certificate_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variable names another kind of file."""
    (tmp_path / "notes").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "notes"))
    error = first_failure("https://127.0.0.1:9")
    assert type(error) is ConfigurationError
    assert "it contains no certificate" in error.fact


def test_plain_http_needs_no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong variable does not prevent `demo`."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/file")
    with ScriptedServer(sends(http_response(GOOD.content))) as server, source_of(server.url, KEY) as source:
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
def test_an_impossible_base_url_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """The error names the option or the variable that it came from."""
    with pytest.raises(ConfigurationError, match="--base-url"):
        load_settings(base_url=url)
    monkeypatch.setenv("VAPI_BASE_URL", url)
    with pytest.raises(ConfigurationError, match="VAPI_BASE_URL: ") as caught:
        load_settings()
    assert caught.value.remedy == "Correct VAPI_BASE_URL, or unset it."


@pytest.mark.parametrize("url", ["http://a..b", "http://a\r", "http://999.9.9.9", "http://☃..x"])
def test_an_address_that_httpx_refuses_is_a_configuration_error(url: str) -> None:
    """In case the settings do not detect it."""
    error = first_failure(url)
    assert type(error) is ConfigurationError
    assert "--base-url" in error.remedy
