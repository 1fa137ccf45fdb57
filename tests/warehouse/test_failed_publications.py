"""Publications that fail or are killed leave nothing that accumulates, and remove nothing that somebody may read."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from selection import first
from synced_worlds import synced_world
from vapi_sessions.errors import WarehouseError
from vapi_sessions.warehouse import retention, snapshot_writer, snapshots
from vapi_sessions.warehouse.index import Index
from worlds import World

#: Functions in which a publication can fail.
FUNCTIONS = (
    (snapshot_writer, "write_part"),
    (snapshot_writer, "link_or_copy"),
    (snapshots, "sync_directory"),
    (snapshots, "publish_views"),
    (snapshots, "remove_old_snapshots"),
    (snapshots.Publisher, "_point_latest"),
)
#: Those after which the new snapshot was shown, so that somebody may have opened it.
AFTER_THE_VIEWS = FUNCTIONS[-2:]


def refuse(*given: object, **named: object) -> Any:
    """Stands for a function that finds the disk broken."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def snapshot_names(world: World) -> list[str]:
    """All directories beside `latest`, drafts included."""
    return sorted(path.name for path in (world.warehouse / "parquet").iterdir() if not path.is_symlink())


def change(world: World) -> None:
    """Add one session to the month of the others, and let the settling delay pass."""
    world.clock.forward(minutes=30)
    world.insert(1, lambda n: (world.ago(minutes=20),) * 2)


def two_months(world: World) -> Iterator[None]:
    """One session in each of two months, published."""
    world.insert(1, lambda n: (world.ago(days=40),) * 2)
    world.insert(1, lambda n: (world.ago(hours=5),) * 2)
    yield


template, synced = synced_world(two_months, "synced")


@pytest.mark.parametrize(("owner", "name"), first(FUNCTIONS))
def test_failed_publications_leave_at_most_one_snapshot(
    synced: World, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    """However many runs fail, with or without a change. When the cause is gone, everything is published."""
    before, rows = snapshot_names(synced), synced.here()
    with monkeypatch.context() as broken:
        broken.setattr(owner, name, refuse)
        for _ in range(3):
            change(synced)
            with pytest.raises(WarehouseError):
                synced.sync()
            left = snapshot_names(synced)
            assert [name for name in left if name.startswith(".")] == []
            if (owner, name) in AFTER_THE_VIEWS:
                continue
            assert set(before) <= set(left)
            assert len(left) <= len(before) + 1
            assert synced.here() == rows
    synced.sync()
    assert synced.here() == synced.there()


def test_a_publication_that_fails_early_leaves_nothing(
    synced: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a draft nor a snapshot, which would keep a full disk full."""
    before = snapshot_names(synced)
    monkeypatch.setattr(snapshot_writer, "link_or_copy", refuse)
    change(synced)
    with pytest.raises(WarehouseError):
        synced.sync()
    assert snapshot_names(synced) == before


def die(monkeypatch: pytest.MonkeyPatch, owner: Any, attribute: str) -> Callable[[], None]:
    """Kill the process there, without any clean-up. Returns a function that undoes it."""

    def killed(*given: object, **named: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, attribute, killed)
    for module in (snapshots, retention):
        monkeypatch.setattr(module, "discard", lambda *directories: None)
    return monkeypatch.undo


def test_the_next_run_removes_the_leftovers_of_a_killed_publication(
    synced: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A draft, or a snapshot that has its name and was never shown."""
    for owner, attribute in ((snapshot_writer, "write_part"), (Index, "record_publication")):
        before = snapshot_names(synced)
        change(synced)
        revive = die(monkeypatch, owner, attribute)
        with pytest.raises(KeyboardInterrupt):
            synced.sync()
        left = set(snapshot_names(synced)) - set(before)
        assert left
        revive()
        synced.clock.forward(minutes=1)
        synced.sync()
        assert not left & set(snapshot_names(synced))
        assert synced.here() == synced.there()


@pytest.mark.proof
def test_shown_snapshots_stay_if_the_index_is_lost(synced: World) -> None:
    """A new index knows no snapshot. All snapshots up to the one in `vapi.duckdb` may be open."""
    for _ in range(2):
        change(synced)
        synced.sync()
    before = snapshot_names(synced)
    (synced.warehouse / "index.duckdb").unlink()
    change(synced)
    synced.sync()
    assert set(before) <= set(snapshot_names(synced))


@pytest.mark.parametrize("harm", first(["removed", "damaged"]))
def test_all_snapshots_stay_if_index_and_views_are_lost(synced: World, harm: str) -> None:
    """Nothing then says which were shown."""
    before = snapshot_names(synced)
    (synced.warehouse / "index.duckdb").unlink()
    views = synced.warehouse / "vapi.duckdb"
    views.unlink() if harm == "removed" else views.write_bytes(b"garbage")
    change(synced)
    synced.sync()
    assert set(before) <= set(snapshot_names(synced))
    assert synced.here() == synced.there()


def test_latest_is_not_moved_before_the_views(synced: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a snapshot whose views fail was never shown."""
    latest = synced.warehouse / "parquet" / "latest"
    before = latest.readlink()
    monkeypatch.setattr(snapshots, "publish_views", refuse)
    change(synced)
    with pytest.raises(WarehouseError):
        synced.sync()
    assert latest.readlink() == before


@pytest.mark.proof
def test_other_directories_do_not_count_as_snapshots(synced: World) -> None:
    """Three of our own are kept."""
    (synced.warehouse / "parquet" / "my notes").mkdir()
    for _ in range(4):
        synced.clock.forward(days=2)
        change(synced)
        synced.sync()
    ours = [name for name in snapshot_names(synced) if name != "my notes"]
    assert len(ours) == 3
    assert (synced.warehouse / "parquet" / "my notes").is_dir()
