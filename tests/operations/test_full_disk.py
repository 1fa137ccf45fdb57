"""A full disk ends a run with exit code 5, and the next run continues."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from damaging import change, contents, three_months

from selection import first
from synced_worlds import synced_world
from vapi_sessions.core import faultpoints
from vapi_sessions.errors import WarehouseError
from worlds import World

template, world = synced_world(three_months)


@pytest.fixture
def no_fault_stays() -> Iterator[None]:
    """Disarms the fault point after the test."""
    yield
    faultpoints.arm(None)


@pytest.mark.usefixtures("no_fault_stays")
@pytest.mark.parametrize(
    "point",
    first(["raw.written", "publish.file_written:2", "publish.snapshot_renamed", "publish.views_built"]),
)
def test_a_full_disk_ends_the_run_and_the_next_one_continues(world: World, point: str) -> None:
    """Exit code 5, readers see the earlier state, and with room again nothing is missing."""
    before = contents(world)
    change(world)
    faultpoints.arm(f"{point}=full")
    with pytest.raises(WarehouseError, match="disk is full") as told:
        world.sync()
    assert told.value.exit_code == 5
    assert "the next run continues" in told.value.remedy
    assert contents(world) == before
    faultpoints.arm(None)
    world.sync()
    assert world.here() == world.there()
    assert list((world.warehouse / "raw").glob(".*")) == []
    assert list((world.warehouse / "parquet").glob(".*")) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system whose size can be changed; mounting needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting needs root")

    def resize(size: str) -> Path:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)
        return place

    yield resize
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.proof
@pytest.mark.parametrize("room", first([256, 16, 2_048]))
def test_a_file_system_that_is_full_ends_the_run_and_the_next_one_continues(
    world: World, small_disk: Callable[[str], Path], room: int
) -> None:
    """With this many kB left, the first write that fails ends the run with exit code 5."""
    world.warehouse = small_disk("64m") / "warehouse"
    world.sync()
    before = contents(world)
    change(world)
    noise = random.Random(1)
    for session_id in world.server.store.ids(world.server.org_id):
        text = noise.randbytes(40_000).hex()
        world.server.store.update(
            world.server.org_id,
            session_id,
            lambda s, text=text: s.update(messages=[{"role": "user", "content": text}]),
            at_us=world.ago(hours=4),
        )
    used = sum(path.stat().st_blocks // 2 for path in world.warehouse.rglob("*"))
    small_disk(f"{used + room}k")
    with pytest.raises(WarehouseError, match=r"disk is full|ran out of room") as told:
        world.sync()
    assert told.value.exit_code == 5
    assert "the next run continues" in told.value.remedy
    assert contents(world) == before
    small_disk("64m")
    world.sync()
    assert world.here() == world.there()
    assert world.rows("SELECT count(*) FROM sessions")[0][0] == 65
