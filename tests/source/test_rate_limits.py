"""A source that counts requests by the UTC minute: one wait to its next minute, longer ones if that was not enough."""

from __future__ import annotations

from email.utils import format_datetime

import httpx
import pytest
from test_client import GOOD, Fixture, Scripted, page, said, session

from conftest import World
from models import EPOCH, FakeTime
from vapi_emulator.switches import FaultSettings
from vapi_sessions.core.timestamps import HOUR, MINUTE, SECOND, to_datetime
from vapi_sessions.errors import SourceUnavailableError
from vapi_sessions.source.client import ATTEMPTS, PATIENCE, Query
from vapi_sessions.source.pace import LONGEST_WAIT, MOST_JITTER, Pace

BY_THE_MINUTE = "the source limits the rate (429)"


def dated(answer: httpx.Response, now: int) -> httpx.Response:
    """With the source's clock in it."""
    answer.headers["date"] = format_datetime(to_datetime(now), usegmt=True)
    return answer


def waits_after(now: int, *answers: httpx.Response) -> list[float]:
    """The seconds slept until a page arrives, when our clock shows `now`."""
    with Fixture(Scripted(*answers), now=now) as fixture:
        fixture.source.list(Query())
        return fixture.time.sleeps


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_without_a_header_the_next_minute_is_waited_for(chance: float) -> None:
    """And a little longer, by chance, so that several programs do not all begin at once."""
    time = FakeTime()
    pace = Pace(time.monotonic, time.sleep, lambda: chance)
    at = EPOCH + 7 * HOUR + 13 * SECOND + 250_000
    assert pace.throttled(pace.wait_turn(), None, at) == pytest.approx(46.75 + chance * MOST_JITTER)


def test_the_minute_is_the_sources() -> None:
    """Our clock may be wrong by any number of seconds."""
    (wait,) = waits_after(EPOCH + 30 * SECOND, dated(said(429), EPOCH + HOUR + 55 * SECOND), GOOD)
    assert 5 <= wait <= 5 + MOST_JITTER


def test_without_the_sources_clock_the_minute_is_ours() -> None:
    """A date out of a cache is none."""
    stale = dated(said(429), EPOCH + HOUR + 55 * SECOND)
    stale.headers["age"] = "3"
    for answer in (said(429), stale):
        (wait,) = waits_after(EPOCH + 30 * SECOND, answer, GOOD)
        assert 30 <= wait <= 30 + MOST_JITTER


def test_if_the_next_minute_is_not_enough_the_waits_grow() -> None:
    """A source may count otherwise, or lock out for longer."""
    first, *others = waits_after(EPOCH + 59 * SECOND, *[said(429)] * 4, GOOD)
    assert 1 <= first <= 1 + MOST_JITTER
    assert others == pytest.approx([15, LONGEST_WAIT, LONGEST_WAIT])


def test_after_a_success_it_is_the_next_minute_again() -> None:
    """A run at the limit waits once a minute."""
    with Fixture(Scripted(said(429), GOOD, said(429), GOOD), now=EPOCH + 50 * SECOND) as fixture:
        fixture.source.list(Query())
        before = fixture.time.elapsed
        fixture.source.list(Query())
        second = fixture.time.elapsed - before
    assert before == pytest.approx(10, abs=MOST_JITTER)
    assert second == pytest.approx(60, abs=2 * MOST_JITTER)


@pytest.mark.parametrize("begin", [0, 20, 59])
def test_all_patience_outlasts_a_minute_and_a_lockout_and_ends(begin: int) -> None:
    """Wherever in the minute it begins; a source that always limits the rate does not keep a run for ever."""
    with (
        Fixture(Scripted(said(429)), now=EPOCH + begin * SECOND) as fixture,
        pytest.raises(SourceUnavailableError) as caught,
    ):
        fixture.source.list(Query())
    assert caught.value.fact == f"Gave up after {ATTEMPTS} attempts: {BY_THE_MINUTE}."
    assert 60 + 21 < fixture.time.elapsed < 10 * 60


def test_whoever_only_waits_for_its_turn_does_not_give_up() -> None:
    """As long as others get answers, a 429 says that there are too many of us, not that nothing works."""
    box: list[Fixture] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if box[0].time.elapsed > 12 * 60:
            return GOOD
        box[0].source.pace.succeeded()  # another worker, which took the minute's last request
        return said(429)

    with Fixture(handler) as fixture:
        box.append(fixture)
        assert fixture.source.list(Query()).total == 1
    assert fixture.source.traffic.throttled > ATTEMPTS


def test_but_not_for_ever() -> None:
    """A source that limits one kind of request only, and always, is a source that does not answer it."""
    box: list[Fixture] = []

    def handler(request: httpx.Request) -> httpx.Response:
        box[0].source.pace.succeeded()
        return said(429)

    with Fixture(handler) as fixture:
        box.append(fixture)
        with pytest.raises(SourceUnavailableError, match="limits the rate"):
            fixture.source.list(Query())
    assert PATIENCE < fixture.time.elapsed < PATIENCE + 2 * MINUTE / SECOND


def test_other_failures_do_not_count_the_429s_before_them() -> None:
    """Who waited long for its turn has the whole budget for what comes then."""
    answers = [*[said(429)] * (ATTEMPTS - 1), *[said(500)] * (ATTEMPTS - 1), page(session())]
    with Fixture(Scripted(*answers)) as fixture:
        assert fixture.source.list(Query()).total == 1


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_sync_under_a_limit_by_the_minute_loses_nothing(world: World, concurrency: int) -> None:
    """It takes as many minutes as it must, and is refused about once in each by each of its workers."""
    world.generate(100)
    world.server.configure(faults=FaultSettings(rate_limit_per_minute=7))
    world.sync(page_size=5, concurrency=concurrency)
    assert world.here() == world.there()
    statuses = [request.status for request in world.server.requests]
    minutes = world.clock.slept / 60
    assert statuses.count(200) / 7 <= minutes + 1
    assert statuses.count(429) <= (minutes + 1) * concurrency
