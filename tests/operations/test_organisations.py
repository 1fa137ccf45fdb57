"""Progress belongs to one organisation: a key of another one, or of an empty one, moves nothing."""

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
    from conftest import World

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


def test_an_organisation_without_sessions_claims_nothing(world: World) -> None:
    """Its sync ends well, and neither owns the warehouse nor claims any time."""
    summary = world.sync(api_key=THE_EMPTY_ONES)
    assert (summary.org_id, summary.bound, summary.watermark, summary.windows) == (None, None, None, 0)
    assert world.ledger() == []
    assert world.here() == set()
    assert world.rows("SELECT key FROM sync.state WHERE key IN ('org_id', 'origin', 'frontier')") == []


def test_the_second_organisation_misses_nothing(world: World) -> None:
    """After the empty one's sync the other key brings everything into the same warehouse."""
    world.sync(api_key=THE_EMPTY_ONES)
    world.clock.forward(days=1)
    summary = world.sync(api_key=THE_BUSY_ONES)
    assert summary.counts.sessions_new == 120
    assert world.here() == world.there(BUSY)
    assert world.rows("SELECT DISTINCT org_id FROM sessions") == [(BUSY,)]
    assert summary.watermark == summary.bound


def test_swapped_nothing_is_marked_and_nothing_missed_afterwards(world: World) -> None:
    """The empty one's key on the other one's warehouse: no row, mark or claim changes, and what came meanwhile is found."""
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


def test_an_organisation_that_lost_all_its_sessions_marks_none(world: World) -> None:
    """If the source suddenly lists nothing, that proves nothing: all rows stay as they are."""
    world.sync(api_key=THE_BUSY_ONES)
    rows, ledger = world.tables(), world.ledger()
    world.server.store.clear()
    world.clock.forward(hours=1)
    summary = world.sync(api_key=THE_BUSY_ONES, full=True)
    assert summary.org_id is None
    assert (world.tables(), world.ledger()) == (rows, ledger)


def test_another_organisations_key_is_refused(world: World) -> None:
    """It is told which organisation is whose, and the warehouse stays as it is."""
    world.sync(api_key=THE_BUSY_ONES)
    rows, ledger, raw = world.tables(), world.ledger(), world.files("raw")
    with pytest.raises(
        ConfigurationError, match=f"belongs to organisation {BUSY}, the key to {OTHER}"
    ) as told:
        world.sync(api_key=ANOTHERS)
    assert "--warehouse" in told.value.remedy
    assert (world.tables(), world.ledger(), world.files("raw")) == (rows, ledger, raw)


@pytest.mark.parametrize("concurrency", first([4, 1]))
def test_rows_of_another_organisation_in_the_middle_stop_the_run(world: World, concurrency: int) -> None:
    """A key that begins to show another organisation while it is read: none of that one's rows is stored or claimed."""
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
