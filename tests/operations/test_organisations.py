"""A warehouse belongs to one organisation: the key of another one, or of an empty one, changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from selection import first
from vapi_emulator.switches import EmulatorSettings
from vapi_sessions.core.timestamps import SECOND
from vapi_sessions.errors import ConfigurationError

if TYPE_CHECKING:
    from worlds import World

EMPTY = "0e111a70-0000-4000-8000-00000000000a"
BUSY = "0e111a70-0000-4000-8000-00000000000b"
OTHER = "0e111a70-0000-4000-8000-00000000000c"
KEYS = {"key-of-the-empty-one": EMPTY, "key-of-the-busy-one": BUSY, "key-of-another": OTHER}
THE_EMPTY_ONES, THE_BUSY_ONES, ANOTHERS = (SecretStr(key) for key in KEYS)


@pytest.fixture
def world(world: World) -> World:
    """Three organisations, of which the first has no session."""
    world.server.reset(EmulatorSettings(keys=KEYS))
    for org_id in (BUSY, OTHER):
        world.insert(120, lambda n: (world.ago(days=3) + n * 60 * SECOND,) * 2, org_id=org_id)
    return world


def test_a_sync_of_an_organisation_without_sessions_claims_nothing(world: World) -> None:
    """It succeeds, and neither owns the warehouse nor claims any time."""
    summary = world.sync(api_key=THE_EMPTY_ONES)
    assert (summary.org_id, summary.bound, summary.watermark, summary.windows) == (None, None, None, 0)
    assert world.ledger() == []
    assert world.here() == set()
    assert world.rows("SELECT key FROM sync.state WHERE key IN ('org_id', 'origin', 'frontier')") == []


def test_after_an_empty_organisation_another_one_can_be_synced(world: World) -> None:
    """Into the same warehouse, and completely."""
    world.sync(api_key=THE_EMPTY_ONES)
    world.clock.forward(days=1)
    summary = world.sync(api_key=THE_BUSY_ONES)
    assert summary.counts.sessions_new == 120
    assert world.here() == world.there(BUSY)
    assert world.rows("SELECT DISTINCT org_id FROM sessions") == [(BUSY,)]
    assert summary.watermark == summary.bound


def test_the_key_of_an_empty_organisation_changes_nothing(world: World) -> None:
    """No row, tombstone or claim; sessions that arrive meanwhile are found later."""
    world.sync(api_key=THE_BUSY_ONES)
    rows, ledger = world.tables(), world.ledger()
    world.clock.forward(days=1)
    world.insert(5, lambda n: (world.ago(hours=2),) * 2, org_id=BUSY)
    summary = world.sync(api_key=THE_EMPTY_ONES)
    assert summary.bound is None
    assert world.tables() == rows
    assert world.ledger() == ledger
    assert world.rows("SELECT count(deleted_at), count(aged_out_at) FROM sessions") == [(0, 0)]
    world.clock.forward(days=1)
    assert world.sync(api_key=THE_BUSY_ONES).counts.sessions_new == 5
    assert world.here() == world.there(BUSY)


def test_a_source_that_lists_nothing_any_more_proves_no_deletion(world: World) -> None:
    """All rows stay."""
    world.sync(api_key=THE_BUSY_ONES)
    rows, ledger = world.tables(), world.ledger()
    world.server.store.clear()
    world.clock.forward(hours=1)
    summary = world.sync(api_key=THE_BUSY_ONES, full=True)
    assert summary.org_id is None
    assert (world.tables(), world.ledger()) == (rows, ledger)


def test_a_sync_with_another_organisations_key_is_refused(world: World) -> None:
    """The error names both organisations, and the warehouse does not change."""
    world.sync(api_key=THE_BUSY_ONES)
    rows, ledger, raw = world.tables(), world.ledger(), world.files("raw")
    with pytest.raises(
        ConfigurationError, match=f"belongs to organisation {BUSY}, the key to {OTHER}"
    ) as told:
        world.sync(api_key=ANOTHERS)
    assert "--warehouse" in told.value.remedy
    assert (world.tables(), world.ledger(), world.files("raw")) == (rows, ledger, raw)


@pytest.mark.parametrize("concurrency", first([4, 1]))
def test_rows_of_another_organisation_stop_the_run(world: World, concurrency: int) -> None:
    """The key shows another organisation in the middle of the run: none of its rows is stored or claimed."""
    pages = 0

    def before(request: httpx.Request) -> None:
        nonlocal pages
        pages += request.url.params["limit"] != "1"
        if pages > 3:
            request.headers["Authorization"] = f"Bearer {ANOTHERS.get_secret_value()}"

    with pytest.raises(ConfigurationError, match="belongs to organisation"):
        world.sync(api_key=THE_BUSY_ONES, before=before, page_size=10, concurrency=concurrency)
    assert world.here() < world.there(BUSY)
    world.sync(api_key=THE_BUSY_ONES, page_size=10)
    assert world.here() == world.there(BUSY)
