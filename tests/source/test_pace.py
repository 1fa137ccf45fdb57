"""The request rate that all workers share."""

from __future__ import annotations

import itertools

import pytest

from clocks import FakeTime
from constants import EPOCH
from vapi_sessions.source.rate_limits import LONGEST_WAIT, Pace


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def pace(time: FakeTime) -> Pace:
    return Pace(time.monotonic, time.sleep, chance=lambda: 0.0)


def test_without_throttling_requests_do_not_wait(pace: Pace, time: FakeTime) -> None:
    """A hundred requests start at once."""
    for _ in range(100):
        pace.wait_turn()
    assert time.sleeps == []


def test_a_429_to_one_worker_delays_all_workers(pace: Pace, time: FakeTime) -> None:
    """The next requests start no earlier than the repeated one."""
    wait = pace.throttled(pace.wait_turn(), None, EPOCH)
    assert wait == pytest.approx(60)
    blocked_until = time.monotonic() + wait
    starts = [pace.wait_turn() for _ in range(3)]
    assert min(starts) >= blocked_until


def test_requests_start_at_an_interval_after_a_429(pace: Pace) -> None:
    """Workers that waited together do not all start together."""
    pace.throttled(pace.wait_turn(), None, EPOCH)
    starts = [pace.wait_turn() for _ in range(4)]
    assert all(b - a == pytest.approx(pace.interval) for a, b in itertools.pairwise(starts))
    assert pace.interval > 0


def test_several_429s_to_concurrent_requests_count_once(pace: Pace) -> None:
    """Six workers that get a 429 at the same time do not wait six times as long."""
    sent = [pace.wait_turn() for _ in range(6)]
    waits = [pace.throttled(at, None, EPOCH) for at in sent]
    assert waits == [pytest.approx(60)] * 6
    assert pace.interval == pytest.approx(0.05)


def test_a_429_after_a_wait_makes_the_next_wait_longer(pace: Pace, time: FakeTime) -> None:
    """Until the next minute, then 15 s, then the longest wait."""
    waits = [pace.throttled(pace.wait_turn(), None, EPOCH) for _ in range(8)]
    assert waits == pytest.approx([60, 15] + [LONGEST_WAIT] * 6)


def test_a_longer_retry_after_to_a_concurrent_request_extends_the_wait(pace: Pace) -> None:
    """The longest of the values applies."""
    sent = [pace.wait_turn(), pace.wait_turn()]
    pace.throttled(sent[0], 2, EPOCH)
    assert pace.throttled(sent[1], 9, EPOCH) == pytest.approx(9)


def test_a_shorter_retry_after_to_a_concurrent_request_does_not_shorten_the_wait(pace: Pace) -> None:
    """The longest of the values applies, in any order."""
    sent = [pace.wait_turn(), pace.wait_turn()]
    pace.throttled(sent[0], 9, EPOCH)
    assert pace.throttled(sent[1], 2, EPOCH) == pytest.approx(9)


def test_a_wait_is_extended_while_a_worker_sleeps(time: FakeTime) -> None:
    """A 429 to another worker during the sleep delays the start further."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if not waits:  # during this sleep, another worker gets a 429 with ten seconds
            waits.append(pace.throttled(time.monotonic(), 10, EPOCH))

    pace = Pace(time.monotonic, sleep)
    pace.throttled(pace.wait_turn(), 3, EPOCH)
    begin = time.monotonic()
    assert pace.wait_turn() - begin == pytest.approx(13)


def test_successes_shrink_the_interval_to_zero(pace: Pace) -> None:
    """The next 429 after that is treated as a first one."""
    for _ in range(4):
        pace.throttled(pace.wait_turn(), None, EPOCH)
    intervals = []
    for _ in range(60):
        intervals.append(pace.interval)
        pace.succeeded()
    assert intervals == sorted(intervals, reverse=True)
    assert pace.interval == 0
    assert pace.throttled(pace.wait_turn(), None, EPOCH) == pytest.approx(60)


def test_the_interval_has_a_limit(pace: Pace) -> None:
    """However often the source throttles, a request starts every few seconds."""
    for _ in range(20):
        pace.throttled(pace.wait_turn(), None, EPOCH)
    assert pace.interval <= 5
