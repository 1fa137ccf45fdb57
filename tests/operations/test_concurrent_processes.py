"""Another process that holds the index, or another run: waiting, and the error afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Final

import httpx
import pytest
from damaging import change, three_months

from synced_worlds import synced_world
from vapi_sessions.errors import WarehouseBusyError
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.sync import sync
from vapi_sessions.source.environment import Environment
from vapi_sessions.warehouse.database import LOCK_PATIENCE
from worlds import World

template, world = synced_world(three_months)


HOLDING: Final = """
import duckdb, sys
db = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(world: World) -> Iterator[subprocess.Popen[str]]:
    """Another process that has opened the index."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(world.warehouse / "index.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_a_locked_index_is_reported_after_a_wait(world: World, holder: subprocess.Popen[str]) -> None:
    """After ten seconds the error names the process, and the file to open instead."""
    slept = world.clock.slept
    with pytest.raises(WarehouseBusyError, match=f"pid {holder.pid}") as told:
        world.sync()
    assert told.value.exit_code == 5
    assert "open vapi.duckdb" in told.value.remedy
    assert world.clock.slept - slept == pytest.approx(LOCK_PATIENCE)
    holder.communicate()
    world.sync()


def test_a_lock_that_is_released_in_time_costs_only_the_wait(
    world: World, holder: subprocess.Popen[str]
) -> None:
    """The sync continues as soon as the other process has closed the file."""
    change(world)

    def sleep(seconds: float) -> None:
        holder.communicate()
        world.clock.sleep(seconds)

    environment = Environment(now=world.clock.us, monotonic=world.clock.monotonic, sleep=sleep)
    sync(world.settings(), environment=environment)
    assert world.here() == world.there()


def test_a_second_concurrent_run_is_refused(world: World) -> None:
    """At once and without a request, and the first run is not affected. The same for reconcile and rebuild."""
    change(world)
    refused: list[WarehouseBusyError] = []

    def second(request: httpx.Request) -> None:
        if refused:
            return
        asked = len(world.server.requests)
        others: list[Callable[[], object]] = [
            world.sync,
            world.rebuild,
            lambda: reconcile(world.settings(), environment=world.environment()),
        ]
        for other in others:
            with pytest.raises(WarehouseBusyError) as told:
                other()
            refused.append(told.value)
        assert len(world.server.requests) == asked

    world.sync(before=second)
    assert len(refused) == 3
    assert {error.exit_code for error in refused} == {5}
    assert all(f"pid {os.getpid()}" in error.fact for error in refused)
    assert world.here() == world.there()
    assert world.rows("SELECT count(*) FROM sync.runs WHERE outcome <> 'done'") == [(0,)]
