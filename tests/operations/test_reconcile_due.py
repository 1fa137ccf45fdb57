"""`sync --reconcile-every`: when a reconcile is due, by the record of runs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reconciling import delete, run

from vapi_sessions.core.timestamps import DAY
from vapi_sessions.errors import CircuitBreakerError
from vapi_sessions.operations.reconcile_due import is_due
from worlds import World


def due(world: World, every: str | None = "24h") -> bool:
    """Whether a reconcile is due now."""
    return is_due(world.settings(reconcile_every=every), environment=world.environment())


def test_a_reconcile_is_due_after_the_interval(world: World) -> None:
    """Since the first sync, which has read everything, or the last successful reconcile; with a tenth to spare, so that a daily
    sync, whose minutes vary, reconciles every day. Without the setting nothing is ever due.
    """
    start = world.ago(days=1)
    world.insert(3, lambda n: (start + n, start + n))
    world.sync()
    assert not due(world)
    world.clock.forward(days=2)
    assert due(world)
    assert not due(world, None)
    run(world)
    world.clock.forward(hours=21)
    assert not due(world)
    world.clock.forward(hours=2, minutes=59)
    assert due(world)


@pytest.mark.proof
def test_a_failed_reconcile_stays_due(world: World) -> None:
    """A later sync tries again."""
    start = world.ago(days=1)
    world.insert(60, lambda n: (start + n, start + n))
    world.sync()
    world.clock.forward(days=2)
    delete(world, *(name for (name,) in world.rows("SELECT session_id FROM sessions LIMIT 40")))
    with pytest.raises(CircuitBreakerError):
        run(world)
    assert due(world)


@pytest.mark.proof
def test_a_source_without_sessions_needs_no_reconcile(world: World) -> None:
    """However long ago the first sync was."""
    world.sync()
    later = replace(world.environment(), now=lambda: world.clock.us() + 30 * DAY)
    assert not is_due(world.settings(reconcile_every="1h"), environment=later)
