"""A preview shows what a sync would read, from counts alone."""

from __future__ import annotations

from vapi_sessions.operations.preview import preview
from worlds import World


def test_a_preview_requests_counts_only(world: World) -> None:
    """It says how many sessions there are in which windows, from requests for one row each."""
    world.generate(300)
    planned = preview(world.settings(), environment=world.environment())
    assert planned.plan.sessions == 300
    assert planned.requests >= 3
    assert {r.parameters["limit"] for r in world.server.requests} == {"1"}
    assert not world.warehouse.exists()
