"""`maintain`: small raw files are merged, old snapshots and by-products go, and nothing else changes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import command
from selection import first
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations.maintain import Maintained, maintain
from vapi_sessions.operations.merge_files import unmerged_files
from vapi_sessions.warehouse import raw, raw_merging
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout
from worlds import RecordedProgress, World, new_world

SYNCS = 5


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A warehouse with five small raw files; each sync had a new session and a changed one. None was merged yet."""
    with pytest.MonkeyPatch.context() as patch, new_world(tmp_path_factory.mktemp("template") / "w") as world:
        patch.setattr(raw_merging, "AT_LEAST", 1_000)
        store, org_id = world.server.store, world.server.org_id
        for n in range(SYNCS):
            world.insert(1, lambda _: (world.ago(minutes=30), world.ago(seconds=5)))
            if n:
                store.update(org_id, store.ids(org_id)[0], lambda session, n=n: session.update(name=f"{n}"))
            world.sync()
            world.clock.forward(minutes=20)
        yield world


@pytest.fixture
def world(template: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy of that warehouse, with the same source. Four files are enough for a merge."""
    monkeypatch.setattr(raw_merging, "AT_LEAST", 4)
    copy = World(template.server, tmp_path / "warehouse", template.clock)
    copy.adopt(template)
    return copy


def maintained(world: World, **given: object) -> Maintained:
    """One `maintain`, without a key."""
    settings = world.settings(**given).model_copy(update={"api_key": None})
    return maintain(settings, environment=world.environment())


def raw_files(world: World) -> list[Path]:
    """The raw files of the warehouse."""
    return raw.files(world.warehouse / "raw")


def backup(world: World) -> Path:
    """A copy of raw/ as it is."""
    return Path(shutil.copytree(world.warehouse / "raw", world.warehouse.parent / "backup"))


def restore(world: World, directory: Path) -> None:
    """Put those files back that are missing."""
    shutil.copytree(directory, world.warehouse / "raw", dirs_exist_ok=True)


def test_small_raw_files_become_one(world: World) -> None:
    """Readers see the same, nothing is downloaded, and `rebuild` derives the same rows and claims from the new file."""
    before, claims = world.tables(), world.ledger()
    world.forget_requests()
    done = maintained(world)
    assert (done.raw.files, done.raw.into, len(raw_files(world))) == (SYNCS, 1, 1)
    assert world.server.requests == []
    assert world.rows("SELECT file, observations, published FROM sync.batches") == [
        (raw_files(world)[0].name, 2 * SYNCS - 1, True)
    ]
    assert (world.tables(), world.ledger()) == (before, claims)
    layout = Layout(world.warehouse)
    with Index(layout.index, layout.scratch) as index:
        of_sessions = index.rows(
            "SELECT DISTINCT batch FROM sessions"
        )  # parts that are lost are derived again by these
        assert of_sessions == index.rows("SELECT batch FROM sync.batches")
    world.rebuild()
    assert (world.tables(), world.ledger()) == (before, claims)
    assert maintained(world).raw.files == 0


def test_a_sync_merges_by_itself(world: World) -> None:
    """Users of cron need no second job. What a sync brings is published first."""
    world.sync(full=True)
    assert len(raw_files(world)) == 1
    assert world.here() == world.there()
    assert unmerged_files(world.warehouse / "raw", _names(world)) == 0


@pytest.mark.parametrize("derive", first([World.rebuild, World.sync, maintained]))
def test_files_that_come_back_from_a_backup_do_not_count(world: World, derive: object) -> None:
    """The merged file replaces them, whichever command finds them."""
    kept = backup(world)
    maintained(world)
    before, claims = world.tables(), world.ledger()
    restore(world, kept)
    assert unmerged_files(world.warehouse / "raw", {raw_files(world)[0].name, *_names(world)}) == 0
    derive(world)  # type: ignore[operator]  # one of three functions of a world
    assert world.tables() == before
    assert derive is World.sync or world.ledger() == claims
    assert len(_names(world)) == 1
    if derive is not World.rebuild:
        assert len(raw_files(world)) == 1


def _names(world: World) -> set[str]:
    return {name for (name,) in world.rows("SELECT file FROM sync.batches")}


def test_the_small_files_count_again_if_the_merged_one_is_torn(world: World) -> None:
    """They came back from a backup because of that."""
    kept = backup(world)
    before = world.tables()
    maintained(world)
    (merged,) = raw_files(world)
    content = bytearray(merged.read_bytes())
    content[200:260] = b"rotten" * 10
    merged.write_bytes(content)
    restore(world, kept)
    world.rebuild()
    assert world.tables() == before
    assert [path.name for path in raw.torn(world.warehouse / "raw")] == [f"{merged.name}.torn"]


@pytest.mark.proof
def test_a_ledger_of_before_the_merge_takes_the_merged_file(world: World) -> None:
    """The index came back from a backup, or the process was killed before the ledger named the new file."""
    index = world.warehouse / "index.duckdb"
    shutil.copy2(index, world.warehouse.parent / "index.duckdb")
    before = world.tables()
    maintained(world)
    shutil.copy2(world.warehouse.parent / "index.duckdb", index)
    world.sync()
    assert world.tables() == before
    assert _names(world) == {path.name for path in raw_files(world)}


def test_files_of_two_policies_are_not_mixed(world: World) -> None:
    """A looser policy is told apart by the footers."""
    paths = raw_files(world)
    for path in paths[:2]:
        progress = raw.read_progress(path)
        stricter = {**progress["state"], "treatment": '{"redactor":99}'}
        raw.write_table(path.parent, path.name, raw.read_table(path), {**progress, "state": stricter})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_merging, "AT_LEAST", 2)
        maintained(world)
    assert len(raw_files(world)) == 2
    stamps = [raw.read_progress(path)["state"]["treatment"] for path in raw_files(world)]
    assert stamps[0] == '{"redactor":99}' != stamps[1]


def test_a_damaged_small_file_is_left_alone(world: World) -> None:
    """With a warning. Those before it are merged; those after it are too few."""
    damaged = raw_files(world)[2]
    damaged.write_bytes(damaged.read_bytes()[:300])
    progress = RecordedProgress()
    maintain(world.settings(), environment=world.environment(), progress=progress)
    assert len(raw_files(world)) == SYNCS - 1
    assert len([text for text in progress.said if damaged.name in text]) == 1


def test_forget_reaches_merged_files(world: World) -> None:
    """And what came back from a backup as well."""
    kept = backup(world)
    maintained(world)
    gone = world.rows("SELECT session_id FROM sessions ORDER BY created_at LIMIT 1")[0][0]
    restore(world, kept)
    ran = command.run("forget", gone, "--warehouse", str(world.warehouse), environment={})
    assert ran.code == 0, ran.err
    assert all(gone not in raw.session_ids(path) for path in raw_files(world))
    world.rebuild()
    assert (gone,) not in world.rows("SELECT session_id FROM sessions")


def test_old_snapshots_go_by_number_and_age(world: World) -> None:
    """Both can be set."""
    present = len(list((world.warehouse / "parquet").glob("2*")))
    assert present == SYNCS
    world.clock.forward(hours=3)
    done = maintained(world, keep_hours="2")
    assert done.snapshots == present - 3
    world.clock.forward(days=2)
    assert maintained(world, keep_snapshots=1).after.snapshots == 1


@pytest.mark.proof
def test_by_products_are_told_and_removed_after_a_good_run(world: World) -> None:
    """A database that version 0.1.0 put aside."""
    world.put_aside()
    (aside,) = world.warehouse.glob("store.*.old")
    shown = command.run("status", "--warehouse", str(world.warehouse), environment={})
    assert f"left over       {aside.name}" in shown.out
    assert maintained(world).by_products == ()
    old = world.rows("SELECT epoch(min(started_at)) FROM sync.runs")[0][0] - 60
    os.utime(aside, (old, old))
    assert maintained(world).by_products == (aside.name,)
    assert not aside.exists()


def test_the_command_says_what_it_did(world: World) -> None:
    """And `status` shows sizes."""
    ran = command.run("maintain", "--warehouse", str(world.warehouse), environment={})
    assert ran.code == 0
    assert ran.out.startswith(f"Merged {SYNCS} small raw files into 1.\n")
    found = json.loads(
        command.run("status", "--json", "--warehouse", str(world.warehouse), environment={}).out
    )["space"]
    assert found["raw_files"] == 1
    assert found["total_bytes"] > found["data_bytes"] > found["raw_bytes"] > 0
    assert found["left_over"] == []


def test_without_a_warehouse_nothing_is_made(tmp_path: Path, world: World) -> None:
    """Not even a directory."""
    settings = world.settings().model_copy(update={"warehouse": tmp_path / "none"})
    with pytest.raises(ConfigurationError, match="is not a warehouse"):
        maintain(settings, environment=world.environment())
    assert not (tmp_path / "none").exists()
