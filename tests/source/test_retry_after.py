"""How long the client waits after a 429, with and without a `Retry-After` header."""

from __future__ import annotations

from email.utils import format_datetime

import httpx
import pytest
from scripted import GOOD, Client, Handler, Scripted, api_error, page, session

from constants import EPOCH
from vapi_sessions.core.timestamps import HOUR, MINUTE, SECOND, to_datetime
from vapi_sessions.errors import SourceUnavailableError
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.rate_limits import MOST_JITTER
from vapi_sessions.source.retries import ATTEMPTS
from vapi_sessions.source.statuses import LONGEST_RETRY_AFTER

LOCKOUT = 21.0  # seconds; observed, without a Retry-After header


def locked_until(box: list[Client], seconds: float, **headers: str) -> Handler:
    """Responds 429 until `seconds` have passed on the clock of the client in the box."""

    def handler(request: httpx.Request) -> httpx.Response:
        return page(session()) if box[0].time.elapsed >= seconds else api_error(429, **headers)

    return handler


def test_a_lockout_without_retry_after_is_waited_out() -> None:
    """The observed 21 s, and twice that."""
    for seconds in (LOCKOUT, 2 * LOCKOUT):
        box: list[Client] = []
        with Client(locked_until(box, seconds)) as client:
            box.append(client)
            assert client.source.list(Query()).total == 1
            assert client.time.elapsed >= seconds


@pytest.mark.parametrize("retry_after", ["0", "1", "2"])
def test_a_lockout_longer_than_its_retry_after_is_waited_out(retry_after: str) -> None:
    """A value that comes again was too short, and is not used a second time."""
    box: list[Client] = []
    with Client(locked_until(box, LOCKOUT, **{"retry-after": retry_after})) as client:
        box.append(client)
        assert client.source.list(Query()).total == 1


def test_a_lockout_without_end_is_an_error() -> None:
    """Later than the observed lockout takes, and within ten minutes."""
    with Client(Scripted(api_error(429))) as client, pytest.raises(SourceUnavailableError) as caught:
        client.source.list(Query())
    assert LOCKOUT < client.time.elapsed < 10 * 60
    assert caught.value.fact == f"Gave up after {ATTEMPTS} attempts: the source limits the rate (429)."


def test_retry_after_may_be_in_seconds() -> None:
    """The wait is that long, and hardly longer."""
    with Client(Scripted(api_error(429, **{"retry-after": "7"}), GOOD)) as client:
        client.source.list(Query())
    assert client.time.elapsed == pytest.approx(7, abs=0.1)
    assert client.waits == [(pytest.approx(7), "the source limits the rate (429)")]


def test_retry_after_may_be_a_date() -> None:
    """The other form of the same header."""
    date = format_datetime(to_datetime(EPOCH + 12 * SECOND), usegmt=True)
    with Client(Scripted(api_error(429, **{"retry-after": date}), GOOD)) as client:
        client.source.list(Query())
    assert client.time.elapsed == pytest.approx(12, abs=0.1)


def test_a_retry_after_date_refers_to_the_clock_of_the_source() -> None:
    """If the two clocks differ by minutes, 12 s are still 12 s."""
    headers = {
        "date": format_datetime(to_datetime(EPOCH + 10 * MINUTE), usegmt=True),
        "retry-after": format_datetime(to_datetime(EPOCH + 10 * MINUTE + 12 * SECOND), usegmt=True),
    }
    with Client(Scripted(api_error(429, **headers), GOOD)) as client:
        client.source.list(Query())
    assert client.time.elapsed == pytest.approx(12, abs=0.1)


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "Tue, 99 Foo 2026 00:00:00 GMT", "²"])
def test_an_invalid_retry_after_is_ignored(value: str) -> None:
    """The client then waits for the next minute, as without the header."""
    throttled = api_error(429)
    throttled.headers = httpx.Headers(
        [(b"content-type", b"application/json"), (b"retry-after", value.encode("latin-1"))]
    )
    with Client(Scripted(throttled, GOOD)) as client:
        client.source.list(Query())
    assert 60 <= client.time.elapsed <= 60 + MOST_JITTER


def test_a_retry_after_date_in_the_past_means_now() -> None:
    """There is no wait."""
    date = format_datetime(to_datetime(EPOCH - HOUR), usegmt=True)
    with Client(Scripted(api_error(429, **{"retry-after": date}), GOOD)) as client:
        client.source.list(Query())
    assert client.time.elapsed < 1


@pytest.mark.parametrize("value", [str(int(LONGEST_RETRY_AFTER) + 1), "86400", "9" * 400])
def test_a_very_long_retry_after_is_an_error_at_once(value: str) -> None:
    """The program does not sleep for a day."""
    with (
        Client(Scripted(api_error(429, **{"retry-after": value}))) as client,
        pytest.raises(SourceUnavailableError, match=r"asks to wait (301|86400|inf) s \(429\)"),
    ):
        client.source.list(Query())
    assert client.time.sleeps == []
