"""A warehouse belongs to one source: another address of the same organisation is refused, until a sync accepts it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clocks import Clock
from command import run
from constants import KEY
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings
from vapi_sessions.core.addresses import is_same_source
from vapi_sessions.core.timestamps import SECOND
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations.preview import preview
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.verify import verify
from vapi_sessions.settings import Settings
from worlds import World

VENDOR = "https://api.vapi.ai"


@pytest.mark.parametrize(
    "other",
    [f"{VENDOR}/", "https://API.vapi.ai", "https://api.vapi.ai:443", "http://api.vapi.ai", "https://api.vapi.ai."],
)  # fmt: skip
def test_other_spellings_of_an_address_mean_the_same_source(other: str) -> None:
    """A trailing slash, capital letters, the default port, and a change from http to https."""
    assert is_same_source(VENDOR, other)


@pytest.mark.parametrize(
    "other", ["https://api.eu.vapi.ai", "https://api.vapi.ai:8443", "https://api.vapi.ai/test"]
)
def test_another_host_port_or_path_is_another_source(other: str) -> None:
    """The European address among them."""
    assert not is_same_source(VENDOR, other)


def test_all_addresses_of_this_machine_are_one_source() -> None:
    """An emulator or a tunnel gets another port each time it starts."""
    assert is_same_source("http://127.0.0.1:4001", "http://localhost:4002")
    assert not is_same_source("http://127.0.0.1:4001", VENDOR)


@pytest.fixture
def moved(world: World) -> World:
    """A warehouse that says that it was filled from the vendor."""
    world.insert(5, lambda n: (world.ago(days=1) + n * SECOND,) * 2)
    world.sync(base_url=world.server.url)
    _pretend(world, VENDOR)
    return world


def _pretend(world: World, address: str) -> None:
    """Write another address into the index and the published state."""
    from vapi_sessions.operations.progress import Silent
    from vapi_sessions.operations.writer import Writer
    from vapi_sessions.source.environment import Clocks
    from vapi_sessions.warehouse.index import Changes

    with Writer(world.settings(), Clocks(world.clock.us, world.clock.sleep), Silent(), "sync") as writer:
        writer.index.record(Changes(state={"base_url": address}))
        writer.publisher.publish()
    world.forget_requests()


def _sync(world: World, settings: Settings) -> object:
    from vapi_sessions.operations.sync import sync

    return sync(settings, environment=world.environment())


OPERATIONS: Any = {
    "sync": _sync,
    "reconcile": lambda world, settings: reconcile(settings, environment=world.environment()),
    "plan": lambda world, settings: preview(settings, environment=world.environment()),
    "verify": lambda world, settings: verify(settings, environment=world.environment()),
}


def test_every_command_that_asks_the_source_refuses_another_address(moved: World) -> None:
    """The error names both addresses, nothing is requested, and the warehouse does not change. Only a sync can accept it: sessions
    that are missing at the new address would become deletions.
    """
    rows, runs = moved.tables(), moved.rows("SELECT run_id FROM sync.runs")
    for name, operation in OPERATIONS.items():
        accepting = name != "sync"
        with pytest.raises(
            ConfigurationError, match=f"was filled from {VENDOR}, and the source is now http://"
        ) as told:
            operation(moved, moved.settings(accept_source=accepting))
        assert "vapi-sessions sync --accept-source" in told.value.remedy
        assert told.value.exit_code == 2
    assert moved.server.requests == []
    assert (moved.tables(), moved.rows("SELECT run_id FROM sync.runs")) == (rows, runs)


def test_a_sync_that_accepts_the_source_records_it(moved: World) -> None:
    """Later commands need no flag."""
    environment = {
        "VAPI_API_KEY": moved.server.key,
        "VAPI_BASE_URL": moved.server.url,
        "VAPI_WAREHOUSE": str(moved.warehouse),
    }
    assert run("sync", environment=environment).code == 2
    accepted = run("sync", "--accept-source", environment=environment)
    assert accepted.code == 0
    assert f"warning: the source is now {moved.server.url}; until now it was {VENDOR}" in accepted.err
    preview(moved.settings(), environment=moved.environment())


@pytest.mark.proof
def test_a_rebuild_does_not_forget_the_accepted_source(moved: World) -> None:
    """No file of raw/ has its address, because no session changed."""
    moved.sync(accept_source=True)
    moved.rebuild()
    assert moved.rows("SELECT value FROM sync.state WHERE key = 'base_url'") == [(moved.server.url,)]
    verify(moved.settings(), environment=moved.environment())


@pytest.fixture
def restarted(world: World, clock: Clock) -> Iterator[World]:
    """A warehouse and a second server with the same sessions on another port."""
    world.insert(5, lambda n: (world.ago(days=1) + n * SECOND,) * 2)
    world.sync()
    with EmulatorServer(EmulatorSettings(keys={KEY: DEFAULT_ORG}), clock=clock) as server:
        other = World(server, world.warehouse, clock)
        other.insert(5, lambda n: (other.ago(days=1) + n * SECOND,) * 2)
        yield other


@pytest.mark.proof
def test_an_emulator_that_is_started_again_on_another_port_is_the_same_source(restarted: World) -> None:
    """Without a flag."""
    assert restarted.sync().counts.sessions_new == 0
    assert reconcile(restarted.settings(), environment=restarted.environment()).counts.deleted == 0
