"""A sync against a real server: every session arrives, whatever changes meanwhile."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sync_sessions import spread

from selection import first
from vapi_sessions.core.timestamps import MINUTE
from vapi_sessions.errors import (
    WarehouseError,
)
from vapi_sessions.operations import coordinator
from vapi_sessions.operations.sync import sync
from vapi_sessions.schema import TABLES
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout
from worlds import World


def test_the_first_sync_fetches_all_sessions_and_claims_all_time(world: World) -> None:
    """Each session of a generated history is there in its state, and all time since the oldest is claimed."""
    world.generate(250)
    summary = world.sync(concurrency=4)
    assert summary.counts.sessions_new == 250
    assert world.here() == world.there()
    assert summary.watermark == summary.bound
    assert summary.windows > 1


def _tables(world: World) -> dict[str, list[tuple[Any, ...]]]:
    columns = {t.name: [c.name for c in t.columns if not c.name.endswith("synced_at")] for t in TABLES}
    return {
        name: world.rows(f"SELECT {', '.join(names)} FROM {name} ORDER BY ALL")
        for name, names in columns.items()
    }


@pytest.mark.proof
def test_batches_that_overlap_in_time_give_the_same_warehouse(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of several windows are stored in parallel, and may show the same sessions."""
    world.generate(150)
    world.sync(concurrency=1)
    one_by_one = _tables(world)
    monkeypatch.setattr(coordinator, "BATCH_BYTES", 20_000)
    world.warehouse = world.warehouse.with_name("overlapping")
    assert world.sync(concurrency=4, page_size=20).counts.sessions_new == 150
    assert len(list((world.warehouse / "raw").glob("*.parquet"))) > 5
    assert _tables(world) == one_by_one


def test_a_failed_commit_ends_the_run_and_claims_nothing_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The committing thread's error is the run's error; the next sync completes the warehouse."""
    world.generate(150)
    monkeypatch.setattr(coordinator, "BATCH_BYTES", 20_000)
    merge, merges = Index.merge, itertools.count(1)

    def third_fails(index: Index, *given: Any) -> None:
        if next(merges) == 3:
            raise WarehouseError("The disk is full.", "Free some.")
        merge(index, *given)

    with monkeypatch.context() as failing:
        failing.setattr(Index, "merge", third_fails)
        with pytest.raises(WarehouseError, match="The disk is full"):
            world.sync(concurrency=4, page_size=20)
    assert len(world.here()) < 150
    world.sync(concurrency=4)
    assert world.here() == world.there()


def test_the_published_ledger_equals_the_writers(world: World) -> None:
    """The run that publishes is shown with the outcome, the numbers and the time that the index holds."""
    world.generate(30)

    def a_second_later() -> int:
        world.clock.forward(seconds=1)
        return world.clock.us()

    for _ in range(2):
        sync(world.settings(), environment=replace(world.environment(), now=a_second_later))
    with Index(Layout(world.warehouse).index, Layout(world.warehouse).scratch) as index:
        for table in ("runs", "windows", "batches", "intervals", "parts"):
            assert world.rows(f"FROM sync.{table} ORDER BY ALL") == index.rows(
                f"FROM sync.{table} ORDER BY ALL"
            )


@pytest.mark.proof
def test_nothing_is_missing_after_rounds_of_traffic(world: World) -> None:
    """Rounds of creations, additions, completions and bulk changes, each followed by a sync."""
    world.generate(100)
    world.sync()
    traffic = world.server.traffic(weights={"create": 3, "append": 5, "complete": 2, "cost": 2, "bulk": 1})
    for _ in range(3):
        traffic.steps(20)
        world.clock.forward(minutes=10)
        world.sync()
        assert world.here() == world.there()


def test_changes_during_a_sync_lose_nothing(world: World) -> None:
    """Sessions leave windows while these are read; after one more sync nothing is missing."""
    world.generate(200)
    traffic = world.server.traffic(weights={"append": 6, "complete": 2, "cost": 2, "create": 3, "delete": 2})

    def before(request: httpx.Request) -> None:
        world.clock.forward(milliseconds=40)
        traffic.steps(2)

    world.sync(before=before, page_size=20, concurrency=1)
    quiet_since = world.clock.us()
    assert {s for s in world.there() if s[1] * 1000 < quiet_since - MINUTE} <= world.here()
    world.clock.forward(minutes=1)
    world.sync()
    assert world.there() <= world.here()
    assert {s[0] for s in world.here()} - {s[0] for s in world.there()} <= set(traffic.deleted)


def test_a_sync_marks_no_session_as_deleted(world: World) -> None:
    """A sync cannot prove a deletion: the rows of deleted sessions stay, without a tombstone."""
    ids = spread(world, 20)
    world.sync()
    for session_id in ids[:5]:
        world.server.store.delete(world.server.org_id, session_id)
    world.sync(full=True)
    assert world.rows("SELECT count(*), count(deleted_at), count(aged_out_at) FROM sessions") == [(20, 0, 0)]


@pytest.mark.parametrize(
    "switches",
    first(
        [
            {"page_cap": 30},
            {"limit0": "reject", "past_end": "reject"},
            {"gzip": True},
            {"optional_metadata": True},
            {"sub_millisecond": False},
            {"ties": "shuffled"},
            {"refuse_default_user_agents": True},
        ]
    ),
    ids=lambda switches: "+".join(switches),
)
def test_the_sync_is_complete_with_every_behaviour_the_contract_allows(
    world: World, switches: dict[str, Any]
) -> None:
    """Smaller pages than requested, more metadata, compression, coarser timestamps, unstable ties."""
    world.server.configure(**switches)
    world.generate(120)
    world.sync(page_size=40)
    assert world.here() == world.there()


def test_the_generated_conversations_fill_every_table(world: World) -> None:
    """So comparisons of all tables compare something."""
    world.generate(100)
    world.sync()
    assert all(world.rows(f"SELECT count(*) FROM {table.name}")[0][0] > 20 for table in TABLES)
