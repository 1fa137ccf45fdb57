"""Faults of the source during a sync: passing ones are retried, a lasting one ends the run and keeps what has arrived."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sync_sessions import is_unclaimed, spread

from selection import first
from vapi_emulator.faults import Fault
from vapi_emulator.switches import FaultSettings
from vapi_sessions.errors import (
    SourceRefusedError,
    SourceUnavailableError,
    VapiSessionsError,
)
from worlds import World


@pytest.mark.parametrize(
    "fault",
    first(
        [
            Fault("429", retry_after=7),
            Fault("cut", keep=0.99),
            "reset",
            "hang",
            Fault("429"),
            "500",
            "502",
            Fault("cut", keep=0.5),
            "html",
            "empty",
            "garbage",
        ],
        1,
    ),
    ids=lambda fault: fault if isinstance(fault, str) else f"{fault.kind}-{fault.retry_after or fault.keep}",
)
def test_a_passing_fault_costs_a_retry_and_nothing_else(world: World, fault: Any) -> None:
    """Every third response is bad: the sync succeeds, the warehouse is complete, and nothing is in it twice."""
    world.server.configure(faults=FaultSettings(hang_seconds=0.01))
    spread(world, 120)
    world.server.faults.script(*[None, None, fault] * 4)
    summary = world.sync(page_size=20)
    assert world.server.faults.scripted == 0
    assert summary.counts.sessions_new == 120
    assert world.here() == world.there()
    assert world.rows("SELECT retries FROM sync.runs") == [(4,)]


@pytest.mark.proof
def test_a_sync_with_faults_in_a_third_of_all_requests_is_complete(world: World) -> None:
    """Many parallel requests, and eight kinds of faults."""
    kinds = ("429", "500", "502", "cut", "reset", "html", "empty", "garbage")
    world.server.configure(faults=FaultSettings(probabilities=dict.fromkeys(kinds, 0.04), seed=3))
    world.generate(150)
    world.sync(page_size=10, concurrency=6)
    assert len({r.fault for r in world.server.requests} - {None}) >= 6
    assert world.here() == world.there()


def test_a_rate_limit_with_a_lockout_does_not_end_a_sync(world: World) -> None:
    """The recorded lockout of 21 s without `Retry-After`, with six requests in parallel."""
    world.server.configure(faults=FaultSettings(rate_limit=5, lockout_seconds=21.0))
    spread(world, 120)
    world.sync(page_size=10, concurrency=6)
    assert world.here() == world.there()
    assert world.clock.slept >= 21


def test_retry_after_is_obeyed(world: World) -> None:
    """After a 429 with `Retry-After` no request is sent before that time has passed."""
    spread(world, 10)
    world.server.faults.script(None, Fault("429", retry_after=40))
    world.sync()
    assert world.clock.slept >= 40
    assert [r.status for r in world.server.requests].count(429) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    first(
        [
            ("500", SourceUnavailableError),
            ("cdn403", SourceRefusedError),
            ("garbage", SourceUnavailableError),
            (Fault("429", retry_after=3_600), SourceUnavailableError),
        ],
        1,
    ),
    ids=lambda value: value.kind if isinstance(value, Fault) else getattr(value, "__name__", value),
)
def test_a_lasting_fault_fails_the_sync_and_keeps_what_arrived(
    world: World, fault: Any, error: type[VapiSessionsError]
) -> None:
    """The pages before it are merged and published, the claim ends before it, and the next sync reads only the rest."""
    spread(world, 120)
    requests = 0

    def before(request: httpx.Request) -> None:
        nonlocal requests
        requests += 1
        if requests == 16:
            world.server.faults.script(*[fault] * 20)

    with pytest.raises(error):
        world.sync(page_size=5, concurrency=1, before=before)
    arrived = world.here()
    assert 0 < len(arrived) < 120
    assert arrived < world.there()
    assert is_unclaimed(world, world.there() - arrived)
    assert world.rows("SELECT outcome, sessions_new FROM sync.runs") == [("failed", len(arrived))]

    world.server.faults.forget_script()
    summary = world.sync(page_size=5, concurrency=1)
    assert world.here() == world.there()
    assert summary.watermark == summary.bound
    assert summary.counts.sessions_new == 120 - len(arrived)
    assert summary.counts.sessions_read <= 120 - len(arrived) + 5
