"""A damaged, cut or missing index: the error names the remedy, and everything is derived from `raw/` again."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest
from damaging import GARBAGE, OTHER_HALF_ZEROS, Damage, change, contents, damage, three_months

from selection import first
from synced_worlds import synced_world
from vapi_sessions.core.timestamps import HOUR
from vapi_sessions.errors import WarehouseDamagedError, WarehouseError
from vapi_sessions.operations.progress import Counts, Silent
from vapi_sessions.operations.status import status
from worlds import World

template, world = synced_world(three_months)


GARBAGE_AT_ITS_HEAD: Final[Damage] = lambda b: random.Random(1).randbytes(4096) + b[4096:]  # noqa: E731


@pytest.mark.parametrize(
    "how",
    first([GARBAGE["half of it"], GARBAGE["nothing"], OTHER_HALF_ZEROS, GARBAGE_AT_ITS_HEAD]),
    ids=["half of it", "nothing", "second half zeros", "garbage at its head"],
)
def test_a_damaged_index_is_reported_and_rebuilt(world: World, how: Damage) -> None:
    """The error of a sync names the remedy, readers are not affected, and the remedy restores everything."""
    before = contents(world)
    damage(world.warehouse / "index.duckdb", how)
    with pytest.raises(WarehouseDamagedError, match=r"index\.duckdb is damaged") as told:
        world.sync(full=True)
    assert told.value.exit_code == 5
    assert "vapi-sessions rebuild" in told.value.remedy
    assert contents(world) == before
    runs = world.rows("SELECT run_id, outcome FROM sync.runs ORDER BY ALL")
    world.rebuild()
    assert contents(world) == before
    assert world.rows("SELECT run_id, outcome FROM sync.runs ORDER BY ALL") == runs
    world.sync(full=True)
    assert contents(world) == before


class CopyAfterMerge(Silent):
    """Copies the warehouse right after a merge: the state on disk if the process were killed there."""

    def __init__(self, warehouse: Path, image: Path) -> None:
        self._warehouse, self._image = warehouse, image

    def merged(self, counts: Counts) -> None:
        shutil.copytree(self._warehouse, self._image, symlinks=True)


@dataclass
class Image:
    """A warehouse as a process that was killed after a merge left it. `whole`: the tables of a run that was not killed."""

    world: World
    whole: dict[str, list[tuple[Any, ...]]]

    @property
    def log(self) -> Path:
        """The index's write-ahead log."""
        return self.world.warehouse / "index.duckdb.wal"


@pytest.fixture
def image(world: World) -> Image:
    """An image with a write-ahead log."""
    change(world)
    place = world.warehouse.with_name("image")
    world.sync(progress=CopyAfterMerge(world.warehouse, place))
    made = Image(world, contents(world))
    world.warehouse = place
    assert made.log.stat().st_size > 2_000
    return made


@pytest.mark.parametrize(
    "how",
    first(
        [
            *(lambda b, share=share: b[: int(len(b) * share)] for share in (0.2, 0.5, 0.99)),
            GARBAGE["garbage"],
            GARBAGE["zeros"],
        ]
    ),
    ids=["cut at 20 %", "at 50 %", "at 99 %", "garbage", "zeros"],
)
def test_rows_lost_with_a_cut_log_are_merged_from_raw(image: Image, how: Damage) -> None:
    """DuckDB opens the consistent part before the cut; the next sync merges the rest from raw/ and downloads nothing."""
    damage(image.log, how)
    image.world.forget_requests()
    summary = image.world.sync()
    assert summary.recovered_files == 1
    assert contents(image.world) == image.whole
    assert summary.counts.sessions_read == 0


@pytest.mark.proof
def test_a_log_with_a_zeroed_tail_is_reported_and_rebuilt(image: Image) -> None:
    """DuckDB refuses it. The error names the rebuild, which needs neither the log nor the index."""
    damage(image.log, OTHER_HALF_ZEROS)
    with pytest.raises(WarehouseDamagedError, match="Corrupt WAL") as told:
        image.world.sync()
    assert "vapi-sessions rebuild" in told.value.remedy
    files, _ = image.world.rebuild()
    assert files == 4
    assert not image.log.exists()
    image.world.sync()
    assert contents(image.world) == image.whole


def test_the_next_sync_derives_a_missing_index_again(world: World) -> None:
    """From raw/, without a download."""
    before = contents(world)
    (world.warehouse / "index.duckdb").unlink()
    summary = world.sync()
    assert (summary.recovered_files, summary.counts.sessions_read) == (3, 0)
    assert contents(world) == before
    assert summary.watermark == summary.bound


@pytest.mark.parametrize(("version", "remedy"), first([("99", "rebuild"), ("2", "sync")]))
def test_another_schema_version_is_reported_with_the_remedy(world: World, version: str, remedy: str) -> None:
    """By `status` and every command that cannot continue; the remedy restores everything in this version's schema.

    Version 2 occurs in published files only, after a take-over that was killed.
    """
    before = contents(world)
    for name in ("index.duckdb", "vapi.duckdb")[remedy == "sync" :]:
        with duckdb.connect(world.warehouse / name) as db:
            db.execute(f"UPDATE sync.state SET value = '{version}' WHERE key = 'schema_version'").fetchall()
    with pytest.raises(WarehouseError, match=f"schema version {version}, this program has") as told:
        status(world.warehouse, now=world.clock.us())
    assert told.value.exit_code == 5
    assert f"vapi-sessions {remedy}" in told.value.remedy
    if remedy == "rebuild":
        with pytest.raises(WarehouseError, match=f"schema version {version}, this program has") as told:
            world.sync()
        assert "vapi-sessions rebuild" in told.value.remedy
    world.rebuild() if remedy == "rebuild" else world.sync()
    assert contents(world) == before
    assert status(world.warehouse, now=world.clock.us() + HOUR).rows["sessions"] == 60
