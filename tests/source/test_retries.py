"""How often a request is repeated, and how the last failure is reported."""

from __future__ import annotations

import httpx
import pytest
from scripted import GOOD, Client, Scripted, api_error, ask, failure, raw_response

from vapi_sessions.errors import SourceUnavailableError
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.rate_limits import LONGEST_WAIT
from vapi_sessions.source.retries import ATTEMPTS, FIRST_ATTEMPTS

LOCKOUT = 21.0  # seconds; observed, without a Retry-After header


@pytest.mark.parametrize(
    "bad",
    [
        api_error(500),
        api_error(429),
        api_error(408),
        raw_response(502, "<html>"),
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("cut"),
        httpx.WriteError("reset"),
        httpx.DecodingError("gzip"),
        httpx.ProxyError("no"),
    ],
    ids=lambda bad: type(bad).__name__ if isinstance(bad, Exception) else str(bad.status_code),
)
def test_a_temporary_failure_is_retried(bad: httpx.Response | Exception) -> None:
    """Two failures do not end the request."""
    assert ask(bad, bad, GOOD).total == 1


def test_waits_double_up_to_the_longest_wait() -> None:
    """0.5, 1, 2 … s. Each wait is announced with its reason."""
    with Client(Scripted(api_error(500))) as client, pytest.raises(SourceUnavailableError):
        client.source.list(Query())
    expected = [min(0.5 * 2**n, LONGEST_WAIT) for n in range(ATTEMPTS - 1)]
    assert client.time.sleeps == expected
    assert [seconds for seconds, _ in client.waits] == expected
    assert {fact for _, fact in client.waits} == {"the source returned an error (500)"}


def test_the_final_error_has_the_last_reason_and_a_remedy() -> None:
    """It also says how many attempts there were."""
    error = failure(api_error(500), after_success=True)
    assert error.fact == f"Gave up after {ATTEMPTS} attempts: the source returned an error (500)."
    assert "nothing that was read is lost" in error.remedy
    assert error.exit_code == 4
    assert error.__cause__ is None


@pytest.mark.parametrize(
    "bad",
    [
        httpx.ConnectError("name not known"),
        httpx.ConnectTimeout("slow"),
        raw_response(200, "<html>Welcome</html>"),
    ],
    ids=["no connection", "no answer", "a web page"],
)
def test_a_wrong_address_is_reported_within_seconds(bad: httpx.Response | Exception) -> None:
    """Before the first response, a typing error is likelier than an outage."""
    handler = Scripted(bad)
    with Client(handler) as client, pytest.raises(SourceUnavailableError, match="Check --base-url"):
        client.source.list(Query())
    assert len(handler.requests) == FIRST_ATTEMPTS
    assert client.time.elapsed < 5


@pytest.mark.parametrize(
    "bad",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        raw_response(200, "<html>Maintenance</html>"),
    ],
    ids=["no connection", "no answer", "a web page"],
)
def test_an_outage_after_the_first_response_uses_all_attempts(bad: httpx.Response | Exception) -> None:
    """The waits together are longer than the longest observed lockout."""
    handler = Scripted(GOOD, bad)
    with Client(handler) as client:
        client.source.list(Query())
        with pytest.raises(SourceUnavailableError, match="Run again later: nothing that was read is lost"):
            client.source.list(Query())
    assert len(handler.requests) == 1 + ATTEMPTS
    assert client.time.elapsed > LOCKOUT


@pytest.mark.parametrize("first", [api_error(429), api_error(503)], ids=["429", "503"])
def test_an_error_response_proves_that_the_address_is_right(first: httpx.Response) -> None:
    """A network failure after it uses all attempts."""
    handler = Scripted(first, first, first, httpx.ConnectError("reset"), httpx.ConnectError("reset"), GOOD)
    with Client(handler) as client:
        assert client.source.list(Query()).total == 1


def test_each_request_has_its_own_budget() -> None:
    """Failures of earlier requests are not counted."""
    answers = [answer for _ in range(5) for answer in (*[api_error(500)] * (ATTEMPTS - 1), GOOD)]
    with Client(Scripted(*answers)) as client:
        assert [client.source.list(Query()).total for _ in range(5)] == [1] * 5
