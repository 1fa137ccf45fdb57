"""Published files that are missing, torn or garbage are derived from `raw/` and published again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import duckdb
import pyarrow.parquet as pq
import pytest
from damaging import GARBAGE, change, contents, damage, three_months

from selection import some
from synced_worlds import synced_world
from worlds import World

template, world = synced_world(three_months)


def snapshot(world: World) -> Path:
    """The directory of the current snapshot."""
    latest = world.warehouse / "parquet" / "latest"
    return latest.parent / latest.readlink()


def data_file(world: World) -> Path:
    """A file in the middle of the current snapshot."""
    return sorted(snapshot(world).glob("messages/*/*.parquet"))[1]


UNPUBLISHED: Final[dict[str, Callable[[World], object]]] = {
    "vapi.duckdb is gone": lambda world: (world.warehouse / "vapi.duckdb").unlink(),
    "vapi.duckdb is garbage": lambda world: damage(world.warehouse / "vapi.duckdb", GARBAGE["garbage"]),
    "vapi.duckdb is cut": lambda world: damage(world.warehouse / "vapi.duckdb", GARBAGE["half of it"]),
    "all snapshots are gone": lambda world: shutil.rmtree(world.warehouse / "parquet"),
    "the snapshot is gone": lambda world: shutil.rmtree(snapshot(world)),
    "a table is gone": lambda world: shutil.rmtree(snapshot(world) / "messages"),
    "an empty table is gone": lambda world: shutil.rmtree(snapshot(world) / "costs"),
    "a file is gone": lambda world: data_file(world).unlink(),
    "a file is cut": lambda world: damage(data_file(world), lambda b: b[:-20]),
    "a file is empty": lambda world: damage(data_file(world), GARBAGE["nothing"]),
    "a file is garbage": lambda world: damage(data_file(world), GARBAGE["garbage"]),
    "latest is gone": lambda world: (world.warehouse / "parquet" / "latest").unlink(),
}


FEW: Final = ("all snapshots are gone", "a file is cut")


@pytest.mark.parametrize("harm", some(UNPUBLISHED.values(), *map(UNPUBLISHED.get, FEW)), ids=UNPUBLISHED)
def test_the_next_sync_publishes_missing_or_torn_files_again(
    world: World, harm: Callable[[World], object]
) -> None:
    """Although nothing changed at the source: the files are derived from raw/."""
    before = contents(world)
    harm(world)
    world.sync()
    assert contents(world) == before
    with duckdb.connect(world.warehouse / "vapi.duckdb", read_only=True) as db:
        assert db.execute("SELECT count(*) FROM messages").fetchall() == [(60,)]
    latest = world.warehouse / "parquet" / "latest"
    assert pq.read_table(latest / "sessions").num_rows == 60


def test_only_the_range_of_a_torn_file_is_written_again(world: World) -> None:
    """The other files of the new snapshot are hard links to the same files."""
    before = {path.name: path.stat().st_ino for path in snapshot(world).glob("sessions/*/*.parquet")}
    torn = sorted(snapshot(world).glob("sessions/*/*.parquet"))[0]
    damage(torn, GARBAGE["half of it"])
    world.sync()
    after = {path.name: path.stat().st_ino for path in snapshot(world).glob("sessions/*/*.parquet")}
    assert before.items() - after.items() == {(torn.name, before[torn.name])}
    assert len(after) == len(before)


def test_a_rebuild_repairs_rot_inside_a_published_file(world: World) -> None:
    """The end of the file is whole, so a sync does not notice; a rebuild writes every file again."""
    before = contents(world)
    file = data_file(world)
    damage(file, lambda b: b[:4] + bytes(len(b) // 3) + b[4 + len(b) // 3 :])
    with pytest.raises(duckdb.Error):
        contents(world)
    world.rebuild()
    assert contents(world) == before


def test_a_copy_without_symbolic_links_can_be_synced(world: World) -> None:
    """A copy has directories in place of the links."""
    copy = world.warehouse.with_name("copy")
    shutil.copytree(world.warehouse, copy)
    world.warehouse = copy
    change(world)
    world.sync()
    assert (copy / "parquet" / "latest").is_symlink()
    assert world.here() == world.there()
