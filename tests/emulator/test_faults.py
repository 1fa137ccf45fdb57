"""Latency, rate limits and faults, as a client sees them."""

from __future__ import annotations

import httpx
import pytest

from vapi_emulator import EmulatorError
from vapi_emulator.faults import Fault
from vapi_emulator.switches import FaultSettings

from .conftest import NOW, Client, FakeClock, Serve


def statuses(client: Client, count: int) -> list[int]:
    return [client.get("/session").status_code for _ in range(count)]


@pytest.mark.parametrize(
    ("kind", "status", "content_type", "text"),
    [
        ("429", 429, "application/json", "Too Many Requests"),
        ("500", 500, "application/json", "Internal server error"),
        ("502", 502, "text/html", "<h1>502 Bad Gateway"),
        ("html", 200, "text/html", "Just a moment"),
        ("empty", 200, "application/json", ""),
        ("garbage", 200, "application/json", '{"results":[{"id":"'),
        ("cdn403", 403, "text/plain", "error code: 1010"),
    ],
)
def test_a_scripted_fault_hits_the_next_request_only(
    client: Client, kind: str, status: int, content_type: str, text: str
) -> None:
    """Made-up responses look like real ones, have a `Date`, and affect one request."""
    client.server.faults.script(kind)
    response = client.get("/session")
    assert response.status_code == status
    assert response.headers["content-type"].startswith(content_type)
    assert text in response.text
    assert response.headers["date"]
    assert client.get("/session").status_code == 200


def test_a_cut_off_body_announces_more_than_it_sends(client: Client) -> None:
    """The client sees a broken response, not a short one."""
    client.server.faults.script("cut", Fault("cut", keep=0.0))
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            client.get("/session")
    assert client.get("/session").status_code == 200


def test_a_write_that_is_cut_off_has_happened(client: Client) -> None:
    """The response is lost, but the change is stored."""
    client.server.faults.script("cut")
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/session", json={})
    assert client.server.store.count() == 1


def test_a_reset_breaks_the_connection(client: Client) -> None:
    """There is no response; the log has the request with status 0."""
    client.server.faults.script("reset")
    with pytest.raises(httpx.TransportError):
        client.get("/session")
    assert [(record.status, record.fault) for record in client.server.requests] == [(0, "reset")]


def test_a_hanging_request_runs_into_the_clients_timeout(client: Client) -> None:
    """No response arrives until the client gives up."""
    client.server.faults.script("hang")
    with pytest.raises(httpx.ReadTimeout):
        client.get("/session", timeout=httpx.Timeout(60, read=0.1))


def test_a_hanging_request_ends_in_504(serve: Serve) -> None:
    """A client that waits gets the gateway's page."""
    client = serve(hang_seconds=0.05)
    client.server.faults.script("hang")
    response = client.get("/session")
    assert (response.status_code, "Gateway" in response.text) == (504, True)


def test_none_in_a_script_lets_a_request_pass(client: Client) -> None:
    """So a script can hit the third request."""
    client.server.faults.script(None, None, "500")
    assert statuses(client, 4) == [200, 200, 500, 200]
    assert client.server.faults.scripted == 0


def test_an_unknown_kind_of_fault_is_refused(client: Client) -> None:
    """A misspelt fault would otherwise test nothing."""
    with pytest.raises(EmulatorError, match="5oo"):
        client.server.faults.script("5oo")


def test_a_429_can_have_a_retry_after_header(client: Client) -> None:
    """By default it has none, as at the source."""
    client.server.faults.script("429", Fault("429", retry_after=7))
    assert "retry-after" not in client.get("/session").headers
    assert client.get("/session").headers["retry-after"] == "7"


def test_the_rate_limit_counts_requests_per_second(serve: Serve, clock: FakeClock) -> None:
    """Requests up to the limit pass; a second later they pass again."""
    client = serve(rate_limit=3)
    assert statuses(client, 5) == [200, 200, 200, 429, 429]
    clock.forward(seconds=1.1)
    assert statuses(client, 1) == [200]


def test_a_lockout_lasts_longer_than_the_second(serve: Serve, clock: FakeClock) -> None:
    """After the limit was exceeded, all requests are refused until the lockout ends."""
    client = serve(rate_limit=1, lockout_seconds=21, retry_after=True)
    assert statuses(client, 2) == [200, 429]
    clock.forward(seconds=20)
    response = client.get("/session")
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")
    clock.forward(seconds=1.1)
    assert statuses(client, 1) == [200]


def test_the_limit_per_minute_counts_by_the_utc_minute(serve: Serve, clock: FakeClock) -> None:
    """The count restarts with each UTC minute, and a 429 has no `Retry-After`."""
    client = serve(rate_limit_per_minute=3)
    clock.now = NOW.replace(second=58)
    assert statuses(client, 4) == [200, 200, 200, 429]
    assert "retry-after" not in client.get("/session").headers
    clock.forward(seconds=1)
    assert statuses(client, 1) == [429]
    clock.forward(seconds=1)
    assert statuses(client, 4) == [200, 200, 200, 429]


def test_the_limit_per_minute_can_have_a_retry_after_header(serve: Serve, clock: FakeClock) -> None:
    """It is rounded up, so that the next request is not refused again."""
    client = serve(rate_limit_per_minute=1, retry_after=True)
    clock.now = NOW.replace(second=12)
    assert statuses(client, 1) == [200]
    assert client.get("/session").headers["retry-after"] == "48"


def test_keys_of_one_organisation_share_its_limit(serve: Serve) -> None:
    """Another organisation has a limit of its own."""
    client = serve(rate_limit_per_minute=2, keys={"a": "org-1", "b": "org-1", "c": "org-2"})
    answers = [
        client.get("/session", headers={"Authorization": f"Bearer {key}"}).status_code for key in "abac"
    ]
    assert answers == [200, 200, 429, 200]


def test_random_faults_are_repeatable(serve: Serve) -> None:
    """The same seed gives the same faults, about as many as configured."""

    def run(seed: int) -> list[int]:
        return statuses(serve(probabilities={"500": 0.2, "429": 0.1}, seed=seed), 60)

    first = run(1)
    assert first == run(1) != run(2)
    assert 4 <= first.count(500) <= 22


def test_latency_delays_each_response(serve: Serve) -> None:
    """A response takes at least the configured time."""
    client = serve(latency_seconds=0.08)
    assert client.get("/session").elapsed.total_seconds() >= 0.08


def test_faults_can_be_changed_while_the_server_runs(client: Client) -> None:
    """Faults can be switched on and off again."""
    client.server.configure(faults=FaultSettings(probabilities={"500": 1.0}))
    assert statuses(client, 1) == [500]
    client.server.configure(faults=FaultSettings())
    assert statuses(client, 1) == [200]
