"""What the tests of `reconcile` share: deletions at the source, one reconcile, and the tombstones in the warehouse."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, cast

import httpx

from vapi_emulator.stored import decode
from vapi_sessions.operations.reconcile import Reconciled, reconcile
from worlds import World

DELETED: Final = "SELECT session_id FROM sessions WHERE deleted_at IS NOT NULL ORDER BY 1"
AGED_OUT: Final = "SELECT session_id FROM sessions WHERE aged_out_at IS NOT NULL ORDER BY 1"


def delete(world: World, *session_ids: str) -> list[dict[str, Any]]:
    """Delete sessions at the source; returns their last state."""
    bodies = [world.server.store.delete(world.server.org_id, session_id) for session_id in session_ids]
    return [decode(body) for body in bodies if body is not None]


def run(world: World, transport: httpx.BaseTransport | None = None, **given: Any) -> Reconciled:
    """One reconcile, without the scrub unless it is asked for."""
    environment = replace(world.environment(), transport=transport)
    settings = world.settings(**{key: given.pop(key) for key in ("api_key",) if key in given})
    return reconcile(settings, environment=environment, **{"scrub": False, **given})


def tombstones(world: World) -> tuple[int, int]:
    """How many sessions are marked as deleted, and as aged out."""
    return cast(
        "tuple[int, int]", world.rows("SELECT count(deleted_at), count(aged_out_at) FROM sessions")[0]
    )
