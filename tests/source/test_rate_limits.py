"""A source that limits requests per UTC minute: the client waits for its next minute, then longer each time."""

from __future__ import annotations

from email.utils import format_datetime

import httpx
import pytest
from scripted import GOOD, Client, Scripted, api_error, page, session

from clocks import FakeTime
from constants import EPOCH
from selection import first
from vapi_emulator.switches import FaultSettings
from vapi_sessions.core.timestamps import HOUR, MINUTE, SECOND, to_datetime
from vapi_sessions.errors import SourceUnavailableError
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.rate_limits import LONGEST_WAIT, MOST_JITTER, Pace
from vapi_sessions.source.retries import ATTEMPTS, PATIENCE
from worlds import World

RATE_LIMITED = "the source limits the rate (429)"


def dated(answer: httpx.Response, now: int) -> httpx.Response:
    """The response with the source's clock in its Date header."""
    answer.headers["date"] = format_datetime(to_datetime(now), usegmt=True)
    return answer


def waits_after(now: int, *answers: httpx.Response) -> list[float]:
    """The waits until a page arrives, in seconds, if our clock shows `now`."""
    with Client(Scripted(*answers), now=now) as client:
        client.source.list(Query())
        return client.time.sleeps


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_without_retry_after_the_wait_ends_soon_after_the_next_minute(chance: float) -> None:
    """At a random moment, so that several programs do not all start at once."""
    time = FakeTime()
    pace = Pace(time.monotonic, time.sleep, lambda: chance)
    at = EPOCH + 7 * HOUR + 13 * SECOND + 250_000
    assert pace.throttled(pace.wait_turn(), None, at) == pytest.approx(46.75 + chance * MOST_JITTER)


def test_the_next_minute_is_that_of_the_sources_clock() -> None:
    """Our clock may be wrong."""
    (wait,) = waits_after(EPOCH + 30 * SECOND, dated(api_error(429), EPOCH + HOUR + 55 * SECOND), GOOD)
    assert 5 <= wait <= 5 + MOST_JITTER


def test_without_the_sources_clock_the_next_minute_is_ours() -> None:
    """A Date header from a cache is not used."""
    stale = dated(api_error(429), EPOCH + HOUR + 55 * SECOND)
    stale.headers["age"] = "3"
    for answer in (api_error(429), stale):
        (wait,) = waits_after(EPOCH + 30 * SECOND, answer, GOOD)
        assert 30 <= wait <= 30 + MOST_JITTER


def test_if_the_next_minute_is_not_enough_the_next_waits_are_longer() -> None:
    """15 s, then the longest wait."""
    first, *others = waits_after(EPOCH + 59 * SECOND, *[api_error(429)] * 4, GOOD)
    assert 1 <= first <= 1 + MOST_JITTER
    assert others == pytest.approx([15, LONGEST_WAIT, LONGEST_WAIT])


def test_after_a_success_the_next_wait_is_for_the_minute_again() -> None:
    """A run at the limit waits once per minute."""
    with Client(Scripted(api_error(429), GOOD, api_error(429), GOOD), now=EPOCH + 50 * SECOND) as client:
        client.source.list(Query())
        before = client.time.elapsed
        client.source.list(Query())
        second = client.time.elapsed - before
    assert before == pytest.approx(10, abs=MOST_JITTER)
    assert second == pytest.approx(60, abs=2 * MOST_JITTER)


@pytest.mark.parametrize("begin", [0, 20, 59])
def test_all_waits_together_are_longer_than_a_lockout_and_end(begin: int) -> None:
    """They are longer than a minute and the observed 21 s, and shorter than ten minutes."""
    with (
        Client(Scripted(api_error(429)), now=EPOCH + begin * SECOND) as client,
        pytest.raises(SourceUnavailableError) as caught,
    ):
        client.source.list(Query())
    assert caught.value.fact == f"Gave up after {ATTEMPTS} attempts: {RATE_LIMITED}."
    assert 60 + 21 < client.time.elapsed < 10 * 60


def test_a_request_does_not_give_up_while_others_succeed() -> None:
    """A 429 then means that there are many workers, not that the source is down."""
    box: list[Client] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if box[0].time.elapsed > 12 * 60:
            return GOOD
        box[0].source.pace.succeeded()  # another worker got the last request of the minute
        return api_error(429)

    with Client(handler) as client:
        box.append(client)
        assert client.source.list(Query()).total == 1
    assert client.source.traffic.throttled > ATTEMPTS


def test_a_request_gives_up_in_the_end_although_others_succeed() -> None:
    """The source may always limit one kind of request."""
    box: list[Client] = []

    def handler(request: httpx.Request) -> httpx.Response:
        box[0].source.pace.succeeded()
        return api_error(429)

    with Client(handler) as client:
        box.append(client)
        with pytest.raises(SourceUnavailableError, match="limits the rate"):
            client.source.list(Query())
    assert PATIENCE < client.time.elapsed < PATIENCE + 2 * MINUTE / SECOND


def test_429s_do_not_count_as_other_failures() -> None:
    """After many of them, a request still has all its attempts."""
    answers = [*[api_error(429)] * (ATTEMPTS - 1), *[api_error(500)] * (ATTEMPTS - 1), page(session())]
    with Client(Scripted(*answers)) as client:
        assert client.source.list(Query()).total == 1


@pytest.mark.parametrize("concurrency", first([4, 1]))
def test_a_sync_under_a_limit_per_minute_loses_nothing(world: World, concurrency: int) -> None:
    """It takes as many minutes as needed, and each worker gets about one 429 per minute."""
    world.generate(100)
    world.server.configure(faults=FaultSettings(rate_limit_per_minute=7))
    world.sync(page_size=5, concurrency=concurrency)
    assert world.here() == world.there()
    statuses = [request.status for request in world.server.requests]
    minutes = world.clock.slept / 60
    assert statuses.count(200) / 7 <= minutes + 1
    assert statuses.count(429) <= (minutes + 1) * concurrency
