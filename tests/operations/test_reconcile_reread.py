"""Reconcile re-reads recent sessions, and in turn all others, to find silent changes."""

from __future__ import annotations

import pytest
from reconciling import run

from synced_worlds import hourly, ids, synced_world
from vapi_sessions.core.timestamps import DAY, HOUR, SECOND
from vapi_sessions.operations import reconcile as reconcile_module
from worlds import World

template, world = synced_world(hourly(120, newest_hours=2))


def test_recent_sessions_are_read_again(world: World) -> None:
    """A cost that was filled in without moving `updatedAt` is found in sessions younger than `--recheck`."""
    young, old = ids(world)[100], ids(world)[10]
    for session_id in (young, old):
        world.server.store.update(world.server.org_id, session_id, lambda s: s.update(cost=7.5), touch=False)
    assert world.sync().counts.sessions_changed == 0
    assert run(world).counts.sessions_changed == 0
    done = run(world, recheck=48 * HOUR)
    assert (done.counts.sessions_changed, done.counts.silent_changes) == (1, 1)
    assert world.rows("SELECT session_id FROM sessions WHERE cost_usd = 7.5") == [(young,)]


@pytest.mark.proof
def test_the_scrub_reads_every_session_within_its_period(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One reconcile a day over two periods, while the history grows: each silent change is found within a period."""
    monkeypatch.setattr(reconcile_module, "SCRUB_PERIOD", 7 * DAY)
    monkeypatch.setattr(reconcile_module, "_SCRUB_ROUND", 5 * DAY)
    run(world, scrub=True)
    store, org_id = world.server.store, world.server.org_id
    pending: dict[str, int] = {}
    longest = 0
    for day in range(11):
        victim = ids(world)[day * 8]
        store.update(org_id, victim, lambda s, day=day: s.update(cost=100.0 + day), touch=False)
        pending[victim] = world.clock.us()
        world.clock.forward(days=1)
        world.insert(12, lambda n: (world.ago(hours=5) + n * SECOND,) * 2)
        run(world, scrub=True)
        found = {row[0] for row in world.rows("SELECT session_id FROM sessions WHERE cost_usd >= 100")}
        for session_id in found & pending.keys():
            longest = max(longest, world.clock.us() - pending.pop(session_id))
        assert all(world.clock.us() - since <= 7 * DAY for since in pending.values())
    assert longest > DAY


def test_each_scrub_reads_the_share_that_is_due(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of six days, where a round takes five; nothing if no time has passed."""
    monkeypatch.setattr(reconcile_module, "_SCRUB_ROUND", 5 * DAY)
    assert run(world, scrub=True).counts.sessions_read == 0
    world.clock.forward(days=1)
    assert 25 <= run(world, scrub=True).counts.sessions_read <= 33
    assert run(world, scrub=True).counts.sessions_read <= 1


@pytest.mark.proof
def test_large_sessions_are_read_again_in_small_pages(world: World) -> None:
    """A page of a thousand of them would take hundreds of megabytes."""
    artifact = {"transcript": "x" * 300_000}
    world.insert(60, lambda n: (world.ago(hours=1 + n), world.ago(seconds=n)), artifact=artifact)
    world.sync()
    world.clock.forward(minutes=5)
    world.forget_requests()
    assert run(world, recheck=100 * HOUR).counts.sessions_read >= 60
    assert [request["limit"] for request in world.pages()][-2:] == ["20", "20"]
