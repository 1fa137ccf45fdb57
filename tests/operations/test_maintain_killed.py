"""A `maintain` that is killed with SIGKILL at any step loses nothing, and the next command completes it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from fault_cases import MAINTAIN

from forks import KILLED, Forks
from vapi_sessions.warehouse import raw
from worlds import World, new_world


class Scene(NamedTuple):
    """A warehouse with four small raw files and a by-product, and the process that runs `maintain`."""

    world: World
    forks: Forks


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Four syncs, of which each brought a session and a change."""
    root = tmp_path_factory.mktemp("killed")
    with new_world(root / "warehouse") as world:
        for n in range(4):
            world.insert(1, lambda _: (world.ago(minutes=30), world.ago(seconds=5)))
            oldest = world.server.store.ids(world.server.org_id)[0]
            world.server.store.update(
                world.server.org_id, oldest, lambda session, n=n: session.update(name=f"{n}")
            )
            world.sync()
            world.clock.forward(minutes=20)
        world.put_aside()
        (aside,) = world.warehouse.glob("store.*.old")
        os.utime(aside, (1, 1))
        forks = Forks(world.server, root / "said", {"AT_LEAST": "4"})
        yield Scene(world, forks)
        forks.end()


@pytest.mark.proof  # `test_crashes` kills other commands, and in `test_maintain` small files come back, as a death leaves them
@pytest.mark.parametrize("then", ["maintain", "rebuild"])
@pytest.mark.parametrize("point", MAINTAIN)
def test_a_killed_maintain_loses_nothing(scene: Scene, tmp_path: Path, point: str, then: str) -> None:
    """Readers see the same rows before and after, each row is in one raw file, and both derive the same claims."""
    warehouse = tmp_path / "warehouse"
    shutil.copytree(scene.world.warehouse, warehouse, symlinks=True)
    killed = World(scene.world.server, warehouse, scene.world.clock)
    before, claims = killed.tables(), killed.ledger()

    assert scene.forks.run(("maintain",), warehouse, point) == KILLED, scene.forks.said()

    assert killed.tables() == before
    assert scene.forks.run((then,), warehouse) == 0, scene.forks.said()
    assert (killed.tables(), killed.ledger()) == (before, claims)
    assert scene.forks.run(("maintain",), warehouse) == 0, scene.forks.said()
    (left,) = raw.files(warehouse / "raw")
    assert killed.rows("SELECT file, published FROM sync.batches") == [(left.name, True)]
    assert list((warehouse / "raw").glob(".*")) == []
    assert list(warehouse.glob("store.*")) == []
    assert (killed.tables(), killed.ledger()) == (before, claims)
