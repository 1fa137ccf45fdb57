"""A warehouse with sessions of two customers, of whom tests forget one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any, Final

import pytest

from searching import found_in
from vapi_sessions.operations.forget import Forgotten, Whom, forget
from worlds import World, new_world

BOB: Final = {"number": "+15550109999", "email": "bob@mail.test", "name": "Bob Roe", "externalId": "crm-bob"}
ANN: Final = {"number": "+15550101111", "email": "ann@mail.test", "name": "Ann Lee", "externalId": "crm-ann"}
_HOURS: Final = (60, 30, 5)


class Town:
    """A source and a warehouse with several sessions of Bob and of Ann, in several raw files and snapshots."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.bob: list[str] = []
        self.ann: list[str] = []

    def arrive(self, hours: float, count: int = 3) -> None:
        """Insert sessions of both, created so long ago."""
        for customer, ids in ((BOB, self.bob), (ANN, self.ann)):
            at, now = self.world.ago(hours=hours), self.world.ago(seconds=5)
            said = f"this was said by {customer['name'].split()[0].lower()}-himself"
            ids += self.world.insert(
                count,
                lambda n, at=at, now=now: (at + n * 1000, now + n * 1000),
                customer=customer,
                customerId=f"c-{customer['externalId']}",
                messages=[{"role": "user", "content": said}],
            )

    def grow(self, hours: float, count: int = 3, **policy: str) -> None:
        """Insert sessions of both, sync, and let ten minutes pass."""
        self.arrive(hours, count)
        self.world.sync(**policy)
        self.world.clock.forward(minutes=10)

    def forget(self, whom: Whom, *, dry_run: bool = False, **given: str) -> Forgotten:
        """One forget."""
        return forget(
            self.world.settings(**given), whom, dry_run=dry_run, environment=self.world.environment()
        )

    def traces(self) -> dict[str, list[str]]:
        """Files that hold anything of Bob, and what."""
        return found_in(
            self.world.warehouse, *self.bob, "Bob Roe", "bob-himself", "5550109999", "crm-bob", "bob@mail"
        )


def town_fixtures() -> tuple[Any, Any]:
    """The fixtures `template` and `town` of a module. The template has three syncs, a rebuild, and a database that an earlier
    version put aside.
    """

    @pytest.fixture(scope="module", name="template")
    def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
        with new_world(tmp_path_factory.mktemp("town") / "warehouse") as world:
            made = Town(world)
            for hours in _HOURS:
                made.grow(hours)
            world.rebuild()
            world.sync()
            world.put_aside()
            yield world

    @pytest.fixture(name="town")
    def town(world: World, template: World) -> Town:
        made = Town(world)
        for hours in _HOURS:
            made.arrive(hours)
            world.clock.forward(minutes=10)
        assert world.there() == template.there()
        assert world.clock.us() == template.clock.us()
        shutil.copytree(template.warehouse, world.warehouse, symlinks=True)
        return made

    return template, town
