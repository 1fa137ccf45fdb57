"""How long a sync will take: from its plan, timed requests, and the speed of an earlier sync."""

from __future__ import annotations

from time import monotonic, process_time

import pytest

from vapi_sessions.core.timestamps import show
from vapi_sessions.operations import sync
from vapi_sessions.operations.estimate import LOADING, PUBLISHING_LEAST, STARTING, PlanningTimes, estimate
from vapi_sessions.operations.preview import preview
from vapi_sessions.operations.speed import Speed, stored_speed
from worlds import World, settings_for

TIMING = PlanningTimes(latency=0.2, session_bytes=6_000, seconds=2.0)
SPEED = Speed(10_000, 20, 8.0, 12.0, 10.0, 3.0, throttled=False)


def test_without_an_earlier_sync_the_documented_rates_count() -> None:
    """A pipeline: the slower of requests and loading, then the publication."""
    found = estimate([(5_000, 6), (5_000, 6)], TIMING, None, concurrency=4)
    assert found.loading == pytest.approx(60e6 / LOADING)
    assert found.requests < found.loading
    assert found.seconds == pytest.approx(STARTING + 2.0 + found.loading + found.publishing)


def test_with_an_earlier_sync_its_measurements_count() -> None:
    """Other page sizes take other numbers of requests, each with the latency that is measured now."""
    found = estimate([(20_000, 200)], TIMING, SPEED, concurrency=4)
    assert found.loading == pytest.approx(20.0)
    assert found.publishing == pytest.approx(6.0)
    # 200 requests of 0.2 s, and for their sessions what 8 s of 20 requests were more than latency; one window: one after the other.
    assert found.requests == pytest.approx(200 * 0.2 + 2 * (8.0 - 20 * 0.2))


def test_one_request_at_a_time_waits_for_loading() -> None:
    """Then both take their time."""
    one = estimate([(10_000, 20)], TIMING, SPEED, concurrency=1)
    assert one.seconds == pytest.approx(one.planning + one.requests + one.loading + one.publishing)


def test_a_source_that_limited_the_rate_will_do_so_again() -> None:
    """Then an earlier sync's time for each request counts, with its waits."""
    limited = Speed(10_000, 20, 8.0, 120.0, 10.0, 3.0, throttled=True)
    assert estimate([(10_000, 20)], TIMING, limited, concurrency=6).requests == pytest.approx(120.0)


def test_nothing_to_read_takes_no_publication() -> None:
    """And little to read takes a short one."""
    assert estimate([], TIMING, None, concurrency=6).publishing == 0
    assert estimate([(1, 1)], TIMING, SPEED, concurrency=6).publishing == PUBLISHING_LEAST


@pytest.mark.parametrize("text", [None, "", "{}", "nonsense"])
def test_a_speed_that_cannot_be_understood_is_none(text: str | None) -> None:
    """As of another version."""
    assert stored_speed(text) is None


def test_a_sync_keeps_its_speed_for_the_next_plan(world: World) -> None:
    """A small sync does not, because it says nothing of large ones."""
    world.insert(600, lambda n: (world.ago(days=2) + n, world.ago(days=2) + n))
    world.sync(page_size=600)
    before = preview(world.settings(), environment=world.environment()).speed
    assert before is not None
    assert (before.sessions, before.throttled) == (600, False)
    assert before.requests >= 1
    world.insert(3, lambda n: (world.ago(hours=1), world.ago(hours=1)))
    world.sync()
    assert preview(world.settings(), environment=world.environment()).speed == before


@pytest.mark.proof
def test_the_estimate_is_near_the_time_that_a_sync_takes(world: World) -> None:
    """With generous bounds, and the first half of the history in processor time, because the machine may be busy: then nothing has
    been measured. The rest is estimated from what the first sync measured.
    """
    world.generate(6_000, days=30)
    middle = world.ago(days=15)
    for until, clock in ((middle, process_time), (None, monotonic)):
        settings = settings_for(world.server, world.warehouse, page_size=500, until=until and show(until))
        expected = preview(settings).estimate
        began = clock()
        sync.sync(settings)
        assert 1 / 4 < (expected.seconds - STARTING) / (clock() - began) < 4
