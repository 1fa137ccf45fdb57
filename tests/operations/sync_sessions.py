"""Sessions for tests of a sync, and whether a claim covers missing ones."""

from __future__ import annotations

from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.timestamps import SECOND
from worlds import World


def spread(world: World, count: int, *, days: float = 5, until_hours: float = 2) -> list[str]:
    """Insert small sessions at equal distances over `days`; the newest is some hours old. Returns their ids."""
    start, end = world.ago(days=days), world.ago(hours=until_hours)
    step = (end - start) // count
    return world.insert(count, lambda n: (start + n * step, start + n * step + SECOND))


def is_unclaimed(world: World, missing: set[tuple[str, int, int]]) -> bool:
    """Whether no missing session was updated within a claimed interval."""
    claimed = IntervalSet(world.ledger())
    return not any(updated * 1000 in claimed for _, updated, _ in missing)
