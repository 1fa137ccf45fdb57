"""Thousands of sessions with equal timestamps: a cursor cannot separate them, and none may be missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from selection import first
from vapi_sessions.core.timestamps import DAY, SECOND
from vapi_sessions.errors import SourceInconsistentError

if TYPE_CHECKING:
    from worlds import Times, World


def _moments(world: World, shared: set[str], *, inside: bool = False) -> Times:
    """The timestamps of the n-th session. Those in `shared` are equal; with `inside`, within one millisecond."""
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
        1,
    ),
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else str(value),
)
def test_thousands_of_sessions_with_equal_timestamps_are_read(
    world: World, count: int, shared: set[str], page_size: int
) -> None:
    """All of them, and the window is claimed, with small and large pages and with concurrent windows."""
    world.insert(count, _moments(world, shared))
    summary = world.sync(page_size=page_size, concurrency=4)
    assert summary.counts.sessions_new == count
    assert world.here() == world.there()
    assert summary.watermark == summary.bound


@pytest.mark.parametrize("inside", first([True, False]), ids=["equal to the millisecond", "equal"])
@pytest.mark.parametrize("shared", first([{"created"}, {"created", "updated"}]), ids=["createdAt", "both"])
def test_ties_whose_order_changes_are_read(world: World, shared: set[str], inside: bool) -> None:
    """All ties on several pages are read although their order changes with each request."""
    world.server.configure(ties="shuffled")
    world.insert(60, lambda n: (world.ago(days=3) + n * SECOND, world.ago(days=2) + n * SECOND))
    world.insert(150, _moments(world, shared, inside=inside))
    world.insert(60, lambda n: (world.ago(hours=9) + n * SECOND, world.ago(hours=8) + n * SECOND))
    world.sync(page_size=50)
    assert world.here() == world.there()


@pytest.mark.proof
def test_two_thousand_ties_whose_order_changes_are_read(world: World) -> None:
    """Two pages of sessions with both timestamps equal."""
    world.server.configure(ties="shuffled")
    world.insert(2_000, _moments(world, {"created", "updated"}))
    world.sync(page_size=1000)
    assert world.here() == world.there()


@pytest.mark.proof
def test_a_bulk_change_of_tied_sessions_is_read_completely(world: World) -> None:
    """Two thousand known sessions that change at the same moment are all updated, once."""
    ids = world.insert(2_000, _moments(world, {"created", "updated"}))
    world.sync(page_size=500)
    world.clock.forward(days=1)
    world.server.store.update_many(world.server.org_id, ids, lambda session: session.update(name="Campaign"))
    world.clock.forward(hours=1)
    summary = world.sync(page_size=500)
    assert (summary.counts.sessions_new, summary.counts.sessions_changed) == (0, 2_000)
    assert world.here() == world.there()
    assert world.rows("SELECT count(*) FROM sessions WHERE name = 'Campaign'") == [(2_000,)]


def test_ties_that_cannot_be_proven_complete_are_not_claimed(world: World) -> None:
    """If the source ignores the filter by id, the sync fails and does not claim the window."""
    world.server.configure(ignored_parameters=frozenset({"idAny"}))
    world.insert(250, _moments(world, {"created", "updated"}))
    with pytest.raises(SourceInconsistentError, match="the source counts 250, but 40 attempts found 250"):
        world.sync(page_size=100, concurrency=1)
    tied = world.ago(days=1)
    assert not any(lower <= tied < upper for lower, upper in world.ledger())
    world.server.configure(ignored_parameters=frozenset())
    world.sync(page_size=100)
    assert world.here() == world.there()
