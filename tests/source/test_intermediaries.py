"""A web page is never the API's response. The error names its sender, and does not blame the key."""

from __future__ import annotations

import httpx
import pytest
from scripted import BASE, GOOD, Client, Scripted, api_error, ask, failure, raw_response

from vapi_sessions.errors import SourceRefusedError, SourceUnavailableError
from vapi_sessions.source.intermediaries import CDN, PROXY, UNKNOWN, intermediary_of
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.retries import ATTEMPTS, FIRST_ATTEMPTS

MOMENT = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>cloudflare</body></html>"
SQUID = "<html><head><title>ERROR: The requested URL could not be retrieved</title></head><body>squid/5.7</body></html>"
NGINX = "<html><head><title>403 Forbidden</title></head><body><center><h1>403 Forbidden</h1></center></body></html>"


@pytest.mark.parametrize(
    ("answer", "sender"),
    [
        (raw_response(403, MOMENT), CDN),
        (raw_response(403, NGINX, server="cloudflare"), CDN),
        (raw_response(403, NGINX, **{"cf-ray": "8c0-FRA"}), CDN),
        (raw_response(403, "error code: 1010", "text/plain"), CDN),
        (httpx.Response(403, json={"cloudflare_error": True, "error_code": 1010, "title": "no"}), CDN),
        (raw_response(403, SQUID), f"{PROXY} (Squid)"),
        (raw_response(403, NGINX, **{"x-squid-error": "ERR_ACCESS_DENIED 0"}), f"{PROXY} (Squid)"),
        (raw_response(403, NGINX, via="1.1 gate"), PROXY),
        (raw_response(403, NGINX), UNKNOWN),
        (raw_response(403, "\n  <HTML>no", "text/plain"), UNKNOWN),
        (raw_response(403, "<html>", "application/json"), UNKNOWN),
        (raw_response(403, NGINX, "application/xhtml+xml"), UNKNOWN),
    ],
)
def test_the_sender_of_a_web_page_is_recognised(answer: httpx.Response, sender: str) -> None:
    """From its headers and its content."""
    found = intermediary_of(answer.headers, answer.content)
    assert found is not None
    assert found.name == sender


@pytest.mark.parametrize(
    "answer",
    [
        GOOD,
        api_error(403, "<html>"),
        raw_response(403, ""),
        raw_response(403, "no", "text/plain"),
        raw_response(403, "[" * 100, "text/json"),
    ],
)
def test_a_response_that_may_be_the_apis_has_no_other_sender(answer: httpx.Response) -> None:
    """JSON, plain text, and a response without a body."""
    assert intermediary_of(answer.headers, answer.content) is None


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 422])
@pytest.mark.parametrize("page", [MOMENT, SQUID, NGINX], ids=["Cloudflare", "Squid", "unknown"])
def test_the_error_for_a_web_page_does_not_blame_the_key(status: int, page: str) -> None:
    """It is raised at once, shows the title of the page, and has exit code 3."""
    handler = Scripted(raw_response(status, page))
    with Client(handler) as client, pytest.raises(SourceRefusedError) as caught:
        client.source.list(Query())
    error = caught.value
    assert len(handler.requests) == 1
    assert f"answers {status} itself, not the API:" in error.fact
    assert "The key is not the cause" in error.remedy
    assert "VAPI_API_KEY" not in error.remedy


def test_the_title_of_a_page_is_quoted_on_one_short_line() -> None:
    """Control characters are removed, and a long title is cut."""
    error = failure(raw_response(403, "<html><title>Sign\n\x1b[31m in &amp; wait" + "x" * 5_000 + "</title>"))
    assert '"Sign [31m in & wait' in error.fact
    assert len(error.fact) < 300


@pytest.mark.parametrize("status", [500, 502, 503, 520])
def test_a_gateway_error_is_retried(status: int) -> None:
    """The source may be back soon. If it is not, the error names the gateway."""
    answer = raw_response(status, "<html><title>502 Bad gateway</title></html>", server="cloudflare")
    assert ask(answer, answer, GOOD).total == 1
    error = failure(answer)
    assert type(error) is SourceUnavailableError
    assert f"Gave up after {ATTEMPTS} attempts: {CDN} answers {status} itself" in error.fact
    assert "502 Bad gateway" in error.fact


def test_a_web_page_with_status_200_suggests_the_network_or_a_wrong_address() -> None:
    """A captive portal responds like that to every request."""
    error = failure(raw_response(200, "<html><title>Hotel Wi-Fi</title></html>"))
    assert type(error) is SourceUnavailableError
    assert f"Gave up after {FIRST_ATTEMPTS} attempts: {UNKNOWN} answers 200 itself" in error.fact
    assert "Hotel Wi-Fi" in error.fact
    assert "--base-url" in error.remedy
    assert "sign-in" in error.remedy


def test_a_web_page_with_status_404_does_not_prove_that_a_session_is_deleted() -> None:
    """The error names its sender."""
    with (
        Client(Scripted(raw_response(404, SQUID))) as client,
        pytest.raises(SourceUnavailableError) as caught,
    ):
        client.source.get("session-5")
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
def test_the_error_for_a_redirect_names_the_target_host(location: str, where: str) -> None:
    """The host distinguishes a moved source from a sign-in page. The rest of the URL may be secret."""
    error = failure(raw_response(302, "<html>", location=location))
    assert type(error) is SourceRefusedError
    assert f"{BASE} {where}; the key was not sent there." in error.fact
    assert "sign in" in error.remedy
    assert "secret" not in str(error)


def test_status_511_is_reported_at_once() -> None:
    """Retries would not help."""
    handler = Scripted(raw_response(511, "<html>Welcome"))
    with Client(handler) as client, pytest.raises(SourceUnavailableError, match="requires a sign-in"):
        client.source.list(Query())
    assert len(handler.requests) == 1
