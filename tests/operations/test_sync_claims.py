"""Which time a sync claims to have read completely."""

from __future__ import annotations

import httpx
import pytest
from sync_sessions import is_unclaimed, spread

from selection import first
from vapi_sessions.core.timestamps import MINUTE, SECOND
from vapi_sessions.errors import (
    SourceInconsistentError,
)
from worlds import World


def test_a_change_that_becomes_visible_late_is_found_within_the_lookback(world: World) -> None:
    """It became visible after the run that should have seen it, and is counted as late."""
    ids = spread(world, 5)
    world.sync()
    world.server.configure(commit_delay_seconds=120.0)
    world.clock.forward(hours=1)
    world.server.store.update(world.server.org_id, ids[0], lambda s: s.update(name="late"))
    world.clock.forward(seconds=60)
    assert world.sync().counts.sessions_changed == 0
    world.clock.forward(seconds=120)
    summary = world.sync()
    assert (summary.counts.sessions_changed, summary.counts.late_rows) == (1, 1)
    assert world.here() == world.there()


def test_the_settling_delay_is_read_but_not_claimed(world: World) -> None:
    """A change of a moment ago is in the warehouse, although the claim ends before it."""
    spread(world, 5)
    world.insert(3, lambda n: (world.ago(seconds=10),) * 2)
    summary = world.sync(settle="1m")
    assert summary.bound is not None
    assert summary.bound <= world.clock.us() - MINUTE
    assert summary.watermark == summary.bound
    assert world.here() == world.there()


@pytest.mark.parametrize("skew", [-3_600.0, 3_600.0], ids=["behind", "ahead"])
def test_the_earlier_of_the_two_clocks_bounds_the_claim(world: World, skew: float) -> None:
    """Whether the source's clock is behind ours or ahead of it, nothing later than either is claimed."""
    spread(world, 5)
    world.server.configure(clock_skew_seconds=skew)
    bound = world.sync().bound
    earlier = world.clock.us() + int(min(skew, 0) * 1e6)
    assert bound is not None
    assert earlier - SECOND <= bound <= earlier


def test_the_date_of_a_cached_response_does_not_bound_the_claim(world: World) -> None:
    """A response with an `Age` header says nothing about the source's clock: only ours bounds the claim."""
    spread(world, 5)
    world.server.configure(stale_cache_seconds=30 * 60.0)
    world.sync()
    world.clock.forward(minutes=20)
    bound = world.sync().bound
    assert bound is not None
    assert bound > world.clock.us() - SECOND


@pytest.mark.proof
def test_a_gap_between_two_ranges_is_closed_by_the_next_sync(world: World) -> None:
    """Two ranges read with `--since` and `--until` leave a gap; the next sync reads exactly that."""
    ids = spread(world, 96, days=4, until_hours=0)
    world.sync(since="2026-02-28", until="2026-03-01")
    world.sync(since="2026-03-03")
    assert len(world.ledger()) == 2
    assert 0 < len(world.here()) < len(ids)
    world.clock.forward(hours=1)
    world.sync()
    assert len(world.ledger()) == 1
    assert world.here() == world.there()


def test_an_earlier_since_extends_the_history(world: World) -> None:
    """History begins at the `--since` of the first sync. A later sync may move it back, and is then complete from there."""
    spread(world, 90, days=9)
    world.sync(since="2026-03-01T00:00:00Z")
    assert 0 < len(world.here()) < 90
    assert world.rows("SELECT value FROM sync.state WHERE key = 'origin_reason'") == [("since",)]
    world.sync(since="2026-02-01")
    assert world.here() == world.there()
    assert len(world.ledger()) == 1


def test_a_range_before_the_oldest_session_leaves_no_gap(world: World) -> None:
    """Nothing changed between such a range and the oldest session, so the warehouse stays complete until now."""
    spread(world, 5)
    bound = world.sync().bound
    assert bound is not None
    world.sync(since="2025-01-01", until="2025-02-01")
    assert len(world.ledger()) == 1
    assert world.ledger()[0][1] >= bound


def test_a_session_that_appears_before_the_oldest_one_becomes_the_oldest(world: World) -> None:
    """It appears with an earlier `createdAt` between the request for the oldest and the count before it: that is no contradiction."""
    world.insert(5, lambda n: (world.ago(hours=5 - n),) * 2)
    asked: list[httpx.Request] = []

    def before(request: httpx.Request) -> None:
        asked.append(request)
        if len(asked) == 2:
            world.insert(1, lambda n: (world.ago(hours=9),) * 2)

    world.sync(before=before)
    assert world.here() == world.there()
    assert world.ledger()[0][0] == world.ago(hours=9)


@pytest.mark.parametrize("parameter", first(["updatedAtGe", "sortOrder", "updatedAtLt", "createdAtGe"]))
def test_a_source_that_ignores_a_parameter_stops_the_sync(world: World, parameter: str) -> None:
    """A proxy that drops a filter or the order would falsify the reading: the sync notices it and claims nothing."""
    world.server.configure(ignored_parameters=frozenset({parameter}))
    spread(world, 120)
    with pytest.raises(SourceInconsistentError):
        world.sync(page_size=10, concurrency=4)
    assert is_unclaimed(world, world.there() - world.here())
    world.server.configure(ignored_parameters=frozenset())
    world.sync(page_size=50)
    assert world.here() == world.there()
