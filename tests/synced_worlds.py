"""Fixtures for tests that begin with a warehouse which has read its source: one template a module, and a copy for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vapi_sessions.core.timestamps import SECOND
from worlds import World, new_world


def synced_world(fill: Callable[[World], Iterator[None]], name: str = "world") -> tuple[Any, Any]:
    """The fixtures `template` and `name` of a module. `fill` puts sessions into a source and yields whenever the template syncs.

    Each test gets a source of its own, filled alike, and a copy of the template's warehouse: a sync takes longer than a copy.
    """

    @pytest.fixture(scope="module", name="template")
    def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
        with new_world(tmp_path_factory.mktemp("template") / "warehouse") as made:
            for _ in fill(made):
                made.sync()
            yield made

    @pytest.fixture(name=name)
    def copy(world: World, template: World) -> World:
        for _ in fill(world):
            pass
        world.adopt(template)
        return world

    return template, copy


def hourly(count: int, *, newest_hours: int) -> Callable[[World], Iterator[None]]:
    """For `synced_world`: small sessions, one an hour, the newest some hours old; one sync, and five minutes."""

    def fill(world: World) -> Iterator[None]:
        oldest = count - 1 + newest_hours
        world.insert(count, lambda n: (world.ago(hours=oldest - n), world.ago(hours=oldest - n) + SECOND))
        yield
        world.clock.forward(minutes=5)

    return fill


def ids(world: World) -> list[str]:
    """All sessions at the source, oldest first."""
    return world.server.store.ids(world.server.org_id)
