"""Sessions beyond the retention have aged out and are not deleted; too many deletions at once are not believed."""

from __future__ import annotations

import pytest
from reconciling import AGED_OUT, DELETED, delete, run, tombstones

from selection import first
from synced_worlds import hourly, ids, synced_world
from vapi_sessions.errors import (
    CircuitBreakerError,
)
from vapi_sessions.operations.reconcile import most_at_once
from worlds import World

template, world = synced_world(hourly(120, newest_hours=2))


@pytest.mark.parametrize("style", first(["silent", "flag", "400"]))
def test_sessions_beyond_the_retention_have_aged_out(world: World, style: str) -> None:
    """They are older than the oldest session listed. They have another column and stay live; real deletions are told apart."""
    gone = ids(world)[100]
    delete(world, gone)
    world.server.configure(retention_days=3, retention_style=style)
    listed = world.ago(days=3)
    old = [s[0] for s in world.rows(f"SELECT session_id FROM sessions WHERE epoch_us(created_at) < {listed}")]
    done = run(world)
    assert (done.counts.aged_out, done.counts.deleted) == (len(old), 1)
    assert [row[0] for row in world.rows(AGED_OUT)] == sorted(old)
    assert world.rows(DELETED) == [(gone,)]
    assert world.rows("SELECT count(*) FROM sessions WHERE deleted_at IS NULL") == [(119,)]
    assert run(world).differing == 0


def test_a_longer_retention_restores_sessions(world: World) -> None:
    """A session that is listed again has not aged out."""
    world.server.configure(retention_days=3)
    assert run(world).counts.aged_out > 0
    world.server.configure(retention_days=None)
    world.clock.forward(minutes=1)
    done = run(world)
    assert done.counts.restored > 40
    assert tombstones(world) == (0, 0)


def test_a_sync_changes_no_tombstone_of_aged_out_sessions(world: World) -> None:
    """Not even a full one, which no longer sees them."""
    world.server.configure(retention_days=3, retention_style="400")
    run(world)
    before = tombstones(world)
    world.sync(full=True)
    assert tombstones(world) == before
    assert before[1] > 40


def test_the_circuit_breaker_marks_nothing(world: World) -> None:
    """21 of 120 are too many: exit code 7, and no tombstone of either kind until `--accept-deletions`."""
    delete(world, *ids(world)[40:61])
    world.server.configure(retention_days=4.5)
    with pytest.raises(CircuitBreakerError, match="21 of 12") as told:
        run(world)
    assert told.value.exit_code == 7
    assert "--accept-deletions" in told.value.remedy
    assert tombstones(world) == (0, 0)
    done = run(world, accept_deletions=True)
    assert done.counts.deleted == 21
    assert tombstones(world) == (21, done.counts.aged_out)
    assert done.counts.aged_out > 0


def test_twenty_deletions_are_always_allowed(world: World) -> None:
    """So the circuit breaker does not disturb small organisations."""
    delete(world, *ids(world)[40:60])
    assert run(world).counts.deleted == 20


@pytest.mark.parametrize(
    ("live", "most"), [(0, 20), (120, 20), (1_000, 20), (2_000, 40), (50_000, 1_000), (3_000_000, 1_000)]
)
def test_how_many_deletions_are_allowed(live: int, most: int) -> None:
    """Two percent or a thousand, whichever is smaller, but at least twenty."""
    assert most_at_once(live) == most
