"""A `forget` that is killed at a random moment and run again leaves nothing; half-removed snapshots do not count as check_clean."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import command
from searching import found_in
from vapi_sessions.core import faultpoints, files
from vapi_sessions.operations.forget import Whom, forget
from vapi_sessions.warehouse import erase
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.suppression import Suppression
from worlds import World, new_world

NUMBER = "+14155550109"
TRACES = ("bob-himself", "Bob Roe", "5550109")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A warehouse of four syncs, each with sessions of two customers; a database that was put aside; several snapshots."""
    with new_world(tmp_path_factory.mktemp("killed") / "warehouse") as world:
        for hours in (80, 60, 30, 5):
            for name, number in (("Bob Roe", NUMBER), ("Ann Lee", "+14155550111")):
                at, now = world.ago(hours=hours), world.ago(seconds=5)
                world.insert(
                    2,
                    lambda n, at=at, now=now: (at + n * 1000, now),
                    customer={"name": name, "number": number},
                    messages=[{"role": "user", "content": f"{name.split()[0].lower()}-himself"}],
                )
            world.sync()
            world.clock.forward(minutes=10)
        world.rebuild()
        world.put_aside()
        yield world


@pytest.fixture
def warehouse(template: World, tmp_path: Path) -> Path:
    """A copy of that warehouse."""
    copy = tmp_path / "warehouse"
    shutil.copytree(template.warehouse, copy, symlinks=True)
    return copy


def check_clean(warehouse: Path) -> None:
    """Nothing of the customer is in any file, and no snapshot is half removed."""
    assert found_in(warehouse, *TRACES) == {}
    assert [path.name for path in (warehouse / "parquet").glob(".*")] == []
    assert erase.snapshots_with(Layout(warehouse), Suppression.open(Layout(warehouse)).holds) == []


def test_a_directory_is_removed_completely_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies while it deletes the files leaves nothing under the directory's name."""
    made = tmp_path / "snapshot"
    (made / "sessions").mkdir(parents=True)

    def killed(path: Path, **given: object) -> None:
        if not given:
            raise KeyboardInterrupt

    monkeypatch.setattr(files.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        files.remove_directory(made)
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".snapshot.")


@pytest.mark.parametrize("table", ["sessions", "messages", "costs"])
def test_a_snapshot_is_clean_only_if_no_table_holds_the_session(tmp_path: Path, table: str) -> None:
    """An earlier version may have removed one half of it: the files of sessions, and not those of other tables."""
    for name in ("sessions", "messages", "costs"):
        month = tmp_path / "parquet" / "20260304T153000Z-000001" / name / "created_month=2026-03"
        month.mkdir(parents=True)
        for n in range(2):
            held = "gone" if (name, n) == (table, 1) else "other"
            pq.write_table(
                pa.table({"session_id": [held]}), month / f"20260304T15300000000{n}-000001.parquet"
            )
    layout = Layout(tmp_path)
    assert erase.snapshots_with(layout, lambda session_id: session_id == "gone") == erase.snapshots(layout)
    assert erase.snapshots_with(layout, lambda session_id: session_id == "nobody") == []


@pytest.mark.proof
def test_a_hidden_snapshot_of_a_killed_forget_is_removed_by_the_next_run(
    warehouse: Path, template: World
) -> None:
    """The process died after the rename."""
    world = World(template.server, warehouse, template.clock)
    faultpoints.arm("erase.published=full")
    try:
        with pytest.raises(OSError, match="No space left"):
            forget(world.settings(), Whom(customers=[("number", NUMBER)]), environment=world.environment())
    finally:
        faultpoints.arm(None)
    for path in erase.snapshots_with(Layout(warehouse), Suppression.open(Layout(warehouse)).holds):
        path.rename(path.with_name(f".{path.name}.77.tmp"))
    assert found_in(warehouse, *TRACES)
    world.sync()
    check_clean(warehouse)


def _kill_after(warehouse: Path, seconds: float) -> bool:
    """Run forget, and kill it after so many seconds; returns whether it was still at work."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("VAPI_")}
    started = subprocess.Popen(
        [command.COMMAND, "forget", "--customer-number", NUMBER],
        env={**others, "VAPI_WAREHOUSE": str(warehouse)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    started.send_signal(signal.SIGKILL)
    return started.wait() == -signal.SIGKILL


@pytest.mark.proof
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_twenty_random_kills_leave_nothing(warehouse: Path, template: World, seed: int) -> None:
    """Each in a warehouse of its own, then one run to the end. A list that says it is done is right."""
    chance = random.Random(seed)
    started = time.monotonic()
    copy = warehouse.with_name("measured")
    shutil.copytree(warehouse, copy, symlinks=True)
    assert (
        command.start("forget", "--customer-number", NUMBER, environment={"VAPI_WAREHOUSE": str(copy)}).code
        == 0
    )
    whole = time.monotonic() - started
    killed = 0
    for attempt in range(60):
        if attempt >= 20 and killed >= 10:  # on a busy machine more runs end before their kill
            break
        fresh = warehouse.with_name(f"fresh-{killed}")
        shutil.copytree(warehouse, fresh, symlinks=True)
        for _ in range(chance.choice((1, 1, 2))):  # a run that completes another one is killed too
            killed += _kill_after(fresh, chance.uniform(0.2, 1) * whole)
        listed = Suppression.open(Layout(fresh))
        if not listed.empty and not listed.pending:
            check_clean(fresh)
        if not listed.empty and chance.random() < 0.5:
            World(template.server, fresh, template.clock).sync()
        else:
            ran = command.start(
                "forget", "--customer-number", NUMBER, environment={"VAPI_WAREHOUSE": str(fresh)}
            )
            assert ran.code == 0, ran.err
        check_clean(fresh)
        shutil.rmtree(fresh)
    assert killed >= 10
