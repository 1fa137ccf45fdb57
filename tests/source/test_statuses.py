"""The table of statuses: which error each status becomes, and whether the request is repeated."""

from __future__ import annotations

import httpx
import pytest
from scripted import BASE, Client, Scripted, api_error, failure, raw_response

from vapi_sessions.errors import SourceRefusedError, SourceUnavailableError, VapiSessionsError
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.retries import ATTEMPTS

REFUSED, UNAVAILABLE = SourceRefusedError, SourceUnavailableError


STATUSES: list[tuple[httpx.Response, type[VapiSessionsError], str, int]] = [
    (
        api_error(400, ["property x should not exist", "y"]),
        REFUSED,
        '400: "property x should not exist; y"',
        1,
    ),
    (api_error(422, "no"), REFUSED, '422: "no"', 1),
    (api_error(401, "Invalid Key. Hot tip, …"), REFUSED, 'does not accept the key (401: "Invalid Key.', 1),
    (api_error(402, "Pay."), REFUSED, 'must pay first (402: "Pay.")', 1),
    (
        raw_response(403, "error code: 1010", "text/plain"),
        REFUSED,
        "The CDN in front of the source (Cloudflare) answers 403 itself",
        1,
    ),
    (api_error(403, "Forbidden resource"), REFUSED, "The key may not list sessions (403", 1),
    (api_error(404, "Cannot GET /session"), REFUSED, f"no Sessions API at {BASE} (404", 1),
    (api_error(408), UNAVAILABLE, "timed out (408)", ATTEMPTS),
    (api_error(429, "slow down"), UNAVAILABLE, "limits the rate (429)", ATTEMPTS),
    (api_error(500, "oops"), UNAVAILABLE, 'the source returned an error (500: "oops")', ATTEMPTS),
    (
        raw_response(502, "<html>Bad gateway</html>"),
        UNAVAILABLE,
        "between this machine and the source answers 502",
        ATTEMPTS,
    ),
    (
        raw_response(503, "busy", "text/plain"),
        UNAVAILABLE,
        'the source returned an error (503: "busy")',
        ATTEMPTS,
    ),
    (api_error(504), UNAVAILABLE, "the source returned an error (504", ATTEMPTS),
    (raw_response(529, ""), UNAVAILABLE, "the source returned an error (529)", ATTEMPTS),
    (
        raw_response(301, "", location="https://elsewhere.test/session"),
        REFUSED,
        "redirects to elsewhere.test (301)",
        1,
    ),
    (
        raw_response(307, "", location="https://elsewhere.test/session"),
        REFUSED,
        "redirects to elsewhere.test (307)",
        1,
    ),
    (raw_response(304, ""), REFUSED, "redirects elsewhere (304)", 1),
    (api_error(409, "conflict"), UNAVAILABLE, 'unexpected status (409: "conflict")', 1),
    (api_error(418, "teapot"), UNAVAILABLE, 'unexpected status (418: "teapot")', 1),
]


@pytest.mark.parametrize(
    ("answer", "kind", "fact", "requests"),
    STATUSES,
    ids=[f"{row[0].status_code} {row[0].headers.get('content-type')}" for row in STATUSES],
)
def test_each_status_becomes_one_error(
    answer: httpx.Response, kind: type[VapiSessionsError], fact: str, requests: int
) -> None:
    """The error has a fact and a remedy. The request is repeated only if that may help."""
    handler = Scripted(answer)
    with Client(handler) as client, pytest.raises(VapiSessionsError) as caught:
        client.source.list(Query())
    assert type(caught.value) is kind
    assert fact in caught.value.fact
    assert caught.value.remedy
    assert len(handler.requests) == requests


def test_a_message_of_the_source_is_quoted_on_one_short_line() -> None:
    """Control characters are removed, and long messages are cut."""
    message = "first\n\x1b[31mred\x07 " + "x" * 5000
    error = failure(api_error(401, message))
    assert '"first [31mred' in error.fact
    assert "\x1b" not in str(error)
    assert len(error.fact) < 300


def test_a_null_message_is_omitted() -> None:
    """The error then shows only the status."""
    answer = httpx.Response(409, json={"statusCode": 409, "message": None})
    assert failure(answer).fact == "The source returned an unexpected status (409)."


@pytest.mark.parametrize("body", ['{"message": {"a": 1}}', "[1, 2]", '"text"', "{", "[" * 100_000, "\ud800"])
def test_an_invalid_error_body_does_not_hide_the_status(body: str) -> None:
    """The status decides, whatever the body is."""
    answer = httpx.Response(401, content=body.encode("utf-8", "surrogatepass"))
    assert type(failure(answer)) is SourceRefusedError
