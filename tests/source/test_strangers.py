"""A web page is never the API's answer, whatever its status: whose it is is told, and the key is not blamed."""

from __future__ import annotations

import httpx
import pytest
from test_client import BASE, GOOD, Fixture, Scripted, ask, failure, said, text

from vapi_sessions.errors import SourceRefusedError, SourceUnavailableError
from vapi_sessions.source.client import ATTEMPTS, FIRST_ATTEMPTS, Query
from vapi_sessions.source.strangers import CDN, SOMEBODY, stranger

MOMENT = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>cloudflare</body></html>"
SQUID = "<html><head><title>ERROR: The requested URL could not be retrieved</title></head><body>squid/5.7</body></html>"
NGINX = "<html><head><title>403 Forbidden</title></head><body><center><h1>403 Forbidden</h1></center></body></html>"
PROXY = "a proxy between here and the source"


@pytest.mark.parametrize(
    ("answer", "who"),
    [
        (text(403, MOMENT), CDN),
        (text(403, NGINX, server="cloudflare"), CDN),
        (text(403, NGINX, **{"cf-ray": "8c0-FRA"}), CDN),
        (text(403, "error code: 1010", "text/plain"), CDN),
        (httpx.Response(403, json={"cloudflare_error": True, "error_code": 1010, "title": "no"}), CDN),
        (text(403, SQUID), f"{PROXY} (Squid)"),
        (text(403, NGINX, **{"x-squid-error": "ERR_ACCESS_DENIED 0"}), f"{PROXY} (Squid)"),
        (text(403, NGINX, via="1.1 gate"), PROXY),
        (text(403, NGINX), SOMEBODY),
        (text(403, "\n  <HTML>no", "text/plain"), SOMEBODY),
        (text(403, "<html>", "application/json"), SOMEBODY),
        (text(403, NGINX, "application/xhtml+xml"), SOMEBODY),
    ],
)
def test_whose_a_page_is(answer: httpx.Response, who: str) -> None:
    """By its headers and by what it says of itself."""
    found = stranger(answer.headers, answer.content)
    assert found is not None
    assert found.who == who


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        said(403, "<html>"),
        text(403, ""),
        text(403, "no", "text/plain"),
        text(403, "[" * 100, "text/json"),
    ],
)
def test_what_may_be_the_api_is_not_taken_for_a_stranger(answer: httpx.Response) -> None:
    """JSON, plain text, and an answer without a body."""
    assert stranger(answer.headers, answer.content) is None


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 422])
@pytest.mark.parametrize("page", [MOMENT, SQUID, NGINX], ids=["Cloudflare", "Squid", "somebody"])
def test_a_page_of_a_stranger_does_not_blame_the_key(status: int, page: str) -> None:
    """It is told at once, with its title, and exits with 3 as the CDN's refusal does."""
    handler = Scripted(text(status, page))
    with Fixture(handler) as fixture, pytest.raises(SourceRefusedError) as caught:
        fixture.source.list(Query())
    error = caught.value
    assert len(handler.requests) == 1
    assert f"answers {status} itself, not the API:" in error.fact
    assert "The key is not the reason" in error.remedy
    assert "VAPI_API_KEY" not in error.remedy


def test_the_title_of_a_page_is_data() -> None:
    """On one line, without control characters, and not at any length."""
    error = failure(text(403, "<html><title>Sign\n\x1b[31m in &amp; wait" + "x" * 5_000 + "</title>"))
    assert '"Sign [31m in & wait' in error.fact
    assert len(error.fact) < 300


@pytest.mark.parametrize("status", [500, 502, 503, 520])
def test_a_page_of_a_gateway_is_asked_for_again(status: int) -> None:
    """The source may be back in a moment; if not, it is told who said so."""
    answer = text(status, "<html><title>502 Bad gateway</title></html>", server="cloudflare")
    assert ask(answer, answer, GOOD).total == 1
    error = failure(answer)
    assert type(error) is SourceUnavailableError
    assert f"Gave up after {ATTEMPTS} attempts: {CDN} answers {status} itself" in error.fact
    assert "502 Bad gateway" in error.fact


def test_a_page_with_status_200_is_the_network_or_a_wrong_address() -> None:
    """A captive portal answers so, whatever was asked."""
    error = failure(text(200, "<html><title>Hotel Wi-Fi</title></html>"))
    assert type(error) is SourceUnavailableError
    assert f"Gave up after {FIRST_ATTEMPTS} attempts: {SOMEBODY} answers 200 itself" in error.fact
    assert "Hotel Wi-Fi" in error.fact
    assert "--base-url" in error.remedy
    assert "sign-in" in error.remedy


def test_a_page_with_status_404_does_not_prove_that_a_session_is_gone() -> None:
    """Whose it is is told all the same."""
    with Fixture(Scripted(text(404, SQUID))) as fixture, pytest.raises(SourceUnavailableError) as caught:
        fixture.source.get("session-5")
    assert f"{PROXY} (Squid) answers 404 itself" in caught.value.fact


@pytest.mark.parametrize(
    ("location", "where"),
    [
        ("https://login.hotel.example/?next=secret", "redirects to login.hotel.example (302)"),
        ("https://me:secret@login.example:8080/x", "redirects to login.example:8080 (302)"),
        ("/elsewhere?secret", "redirects elsewhere (302)"),
        ("http://[secret", "redirects elsewhere (302)"),
    ],
)
def test_a_redirect_says_where_to(location: str, where: str) -> None:
    """The host tells a moved source from a page to sign in; what follows it may be a secret."""
    error = failure(text(302, "<html>", location=location))
    assert type(error) is SourceRefusedError
    assert f"{BASE} {where}; the key is not sent on." in error.fact
    assert "sign in" in error.remedy
    assert "secret" not in str(error)


def test_a_network_that_wants_a_sign_in_says_so() -> None:
    """Nobody waits a minute and a half for it."""
    handler = Scripted(text(511, "<html>Welcome"))
    with Fixture(handler) as fixture, pytest.raises(SourceUnavailableError, match="wants a sign-in"):
        fixture.source.list(Query())
    assert len(handler.requests) == 1
