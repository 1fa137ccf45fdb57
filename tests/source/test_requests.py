"""The requests that the client sends."""

from __future__ import annotations

import httpx
import pytest
from scripted import BASE, GOOD, KEY, Client, Scripted, api_error, page, session

from constants import EPOCH
from vapi_sessions import __version__
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import HOUR, MILLISECOND, SECOND
from vapi_sessions.source.list_query import Query

WINDOW = Window(EPOCH, EPOCH + HOUR)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(), "sortBy=createdAt&sortOrder=ASC&limit=1000"),
        (
            Query(updated=WINDOW, limit=5),
            (
                "updatedAtGe=2026-03-01T00:00:00.000Z&updatedAtLt=2026-03-01T01:00:00.000Z"
                "&sortBy=createdAt&sortOrder=ASC&limit=5"
            ),
        ),
        (
            Query(updated=Window(EPOCH, None), created=Window(EPOCH + MILLISECOND, None)),
            (
                "updatedAtGe=2026-03-01T00:00:00.000Z&createdAtGe=2026-03-01T00:00:00.001Z"
                "&sortBy=createdAt&sortOrder=ASC&limit=1000"
            ),
        ),
        (
            Query(created=WINDOW, page=3, order="DESC"),
            (
                "createdAtGe=2026-03-01T00:00:00.000Z&createdAtLt=2026-03-01T01:00:00.000Z"
                "&sortBy=createdAt&sortOrder=DESC&limit=1000&page=3"
            ),
        ),
        (Query(ids=("a", "b"), limit=1), "idAny=a,b&sortBy=createdAt&sortOrder=ASC&limit=1"),
    ],
    ids=["bare", "window", "open", "page", "ids"],
)
def test_half_open_intervals_become_the_sources_operators(query: Query, expected: str) -> None:
    """Ge and Lt, always an order, and a page number only if it is not 1."""
    handler = Scripted(GOOD)
    with Client(handler) as client:
        client.source.list(query)
    assert httpx.QueryParams(expected) == handler.requests[0].url.params
    assert "&".join(f"{name}={value}" for name, value in query.params()) == expected


def test_a_request_has_the_key_and_a_user_agent() -> None:
    """The key is a bearer token. The User-Agent is our own, which the CDN accepts."""
    handler = Scripted(GOOD)
    with Client(handler) as client:
        client.source.list(Query())
    (request,) = handler.requests
    assert (request.method, request.url.host, request.url.path) == ("GET", "api.example.test", "/session")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["user-agent"].startswith(f"vapi-sessions/{__version__} ")
    assert request.headers["accept"] == "application/json"


def test_a_base_url_may_have_a_path() -> None:
    """The path prefix of a gateway in front of the source is kept."""
    handler = Scripted(GOOD)
    with Client(handler, base_url=BASE + "/gateway") as client:
        client.source.list(Query())
    assert handler.requests[0].url.path == "/gateway/session"


def test_a_count_asks_for_one_row() -> None:
    """`limit=0` is undocumented."""
    handler = Scripted(page(session(), totalItems=4321))
    with Client(handler) as client:
        assert client.source.count(updated=WINDOW) == 4321
    assert handler.requests[0].url.params["limit"] == "1"


def test_requests_are_numbered_in_the_order_they_are_sent() -> None:
    """A repeated attempt is a request with its own number and time."""
    with Client(Scripted(api_error(503), GOOD)) as client:
        first, second = client.source.list(Query()), client.source.list(Query())
    assert (first.seq, second.seq) == (2, 3)
    assert first.requested_at == EPOCH + SECOND // 2


def test_traffic_is_counted() -> None:
    """The run's record shows requests, retries, throttling, bytes and waits."""
    with Client(Scripted(api_error(500), api_error(429), GOOD)) as client:
        client.source.list(Query())
    traffic = client.source.traffic
    assert (traffic.requests, traffic.retries, traffic.throttled) == (3, 2, 1)
    assert traffic.bytes == len(GOOD.content) + len(api_error(500).content) + len(api_error(429).content)
    assert traffic.waited == pytest.approx(sum(client.time.sleeps))
