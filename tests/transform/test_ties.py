"""Sessions that share a timestamp, by the thousand: no cursor separates them, and none may be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from selection import first
from vapi_sessions.core.timestamps import DAY, SECOND
from vapi_sessions.errors import SourceInconsistentError

if TYPE_CHECKING:
    from conftest import Times, World


def _moments(world: World, shared: set[str], *, inside: bool = False) -> Times:
    """The n-th session's timestamps; those `shared` are equal, or `inside` one millisecond."""
    start = world.ago(days=2)

    def times(n: int) -> tuple[int, int]:
        apart = n % 1000 if inside else 0
        return (
            start + (apart if "created" in shared else n * SECOND),
            start + DAY + (apart if "updated" in shared else n * SECOND),
        )

    return times


@pytest.mark.parametrize(
    ("count", "shared", "page_size"),
    first(
        [
            (2_000, {"created"}, 200),
            (2_000, {"created", "updated"}, 1000),
            (2_000, {"created"}, 1000),
            (2_000, {"created", "updated"}, 200),
            (10_000, {"updated"}, 500),
        ],
        2,
    ),
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else str(value),
)
def test_thousands_that_share_a_timestamp_arrive(
    world: World, count: int, shared: set[str], page_size: int
) -> None:
    """Every session is there and the time is claimed, with large pages and with small ones, several side by side."""
    world.insert(count, _moments(world, shared))
    summary = world.sync(page_size=page_size, concurrency=4)
    assert summary.counts.sessions_new == count
    assert world.here() == world.there()
    assert summary.watermark == summary.bound


@pytest.mark.parametrize("inside", first([True, False]), ids=["equal to the millisecond", "equal"])
@pytest.mark.parametrize("shared", [{"created"}, {"created", "updated"}], ids=["createdAt", "both"])
def test_ties_in_a_changing_order_arrive(world: World, shared: set[str], inside: bool) -> None:
    """A block of several pages arrives whole although its order changes with each request, among others that are not tied."""
    world.server.configure(ties="shuffled")
    world.insert(60, lambda n: (world.ago(days=3) + n * SECOND, world.ago(days=2) + n * SECOND))
    world.insert(150, _moments(world, shared, inside=inside))
    world.insert(60, lambda n: (world.ago(hours=9) + n * SECOND, world.ago(hours=8) + n * SECOND))
    world.sync(page_size=50)
    assert world.here() == world.there()


@pytest.mark.proof
def test_two_thousand_shuffled_ties_arrive(world: World) -> None:
    """Two pages of sessions equal in both timestamps, in another order each time, arrive whole."""
    world.server.configure(ties="shuffled")
    world.insert(2_000, _moments(world, {"created", "updated"}))
    world.sync(page_size=1000)
    assert world.here() == world.there()


def test_a_bulk_change_of_tied_sessions_is_read_again_in_full(world: World) -> None:
    """Two thousand known sessions that all change at one moment are all changed here too, once."""
    ids = world.insert(2_000, _moments(world, {"created", "updated"}))
    world.sync(page_size=500)
    world.clock.forward(days=1)
    world.server.store.update_many(world.server.org_id, ids, lambda session: session.update(name="Campaign"))
    world.clock.forward(hours=1)
    summary = world.sync(page_size=500)
    assert (summary.counts.sessions_new, summary.counts.sessions_changed) == (0, 2_000)
    assert world.here() == world.there()
    assert world.rows("SELECT count(*) FROM sessions WHERE name = 'Campaign'") == [(2_000,)]


def test_a_block_that_cannot_be_proven_whole_is_not_claimed(world: World) -> None:
    """A source that does not count by id proves nothing: the sync fails, and claims nothing of that window."""
    world.server.configure(ignored_parameters=frozenset({"idAny"}))
    world.insert(250, _moments(world, {"created", "updated"}))
    with pytest.raises(SourceInconsistentError, match="250 sessions were created at"):
        world.sync(page_size=100, concurrency=1)
    tied = world.ago(days=1)
    assert not any(lower <= tied < upper for lower, upper in world.ledger())
    world.server.configure(ignored_parameters=frozenset())
    world.sync(page_size=100)
    assert world.here() == world.there()
