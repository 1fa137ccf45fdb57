"""Publications that fail or die: they leave nothing that grows, and take nothing that somebody may read."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from vapi_sessions.errors import WarehouseError
from vapi_sessions.warehouse import snapshots as publication

if TYPE_CHECKING:
    from conftest import World
from selection import first

#: Where a publication can fail.
STEPS = (
    "write_part",
    "link_or_copy",
    "sync_directory",
    "_publish_views",
    "_remove_old_snapshots",
    "_point_latest",
)


def refuse(*given: object, **named: object) -> Any:
    """A disk that is broken."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def snapshots(world: World) -> list[str]:
    """All directories beside `latest`, drafts among them."""
    return sorted(path.name for path in (world.warehouse / "parquet").iterdir() if not path.is_symlink())


def change(world: World) -> None:
    """One session more, in the month of the others, and time to settle."""
    world.clock.forward(minutes=30)
    world.insert(1, lambda n: (world.ago(minutes=20),) * 2)


@pytest.fixture
def synced(world: World) -> World:
    """Two months with a session each, published."""
    world.insert(1, lambda n: (world.ago(days=40),) * 2)
    world.insert(1, lambda n: (world.ago(hours=5),) * 2)
    world.sync()
    return world


@pytest.mark.parametrize("step", first(STEPS, 2))
def test_runs_whose_publication_fails_leave_at_most_one_snapshot_more(
    synced: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """However many they are, and whether something changes or not; when it works again, everything is there."""
    before, rows = snapshots(synced), synced.here()
    with monkeypatch.context() as broken:
        broken.setattr(publication, step, refuse)
        for _ in range(3):
            change(synced)
            with pytest.raises(WarehouseError):
                synced.sync()
            left = snapshots(synced)
            assert [name for name in left if name.startswith(".")] == []
            if step in (
                "_remove_old_snapshots",
                "_point_latest",
            ):  # it was shown, and somebody may have opened it
                continue
            assert set(before) <= set(left)
            assert len(left) <= len(before) + 1
            assert synced.here() == rows
    synced.sync()
    assert synced.here() == synced.there()


def test_a_publication_that_fails_early_leaves_nothing(
    synced: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a draft nor a snapshot: on a full disk that would be what keeps it full."""
    before = snapshots(synced)
    monkeypatch.setattr(publication, "link_or_copy", refuse)
    change(synced)
    with pytest.raises(WarehouseError):
        synced.sync()
    assert snapshots(synced) == before


def die(monkeypatch: pytest.MonkeyPatch, owner: Any, attribute: str) -> Callable[[], None]:
    """The process is killed there: nothing is cleaned up. Returns what brings it back to life."""

    def killed(*given: object, **named: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, attribute, killed)
    monkeypatch.setattr(publication, "_discard", lambda *directories: None)
    return monkeypatch.undo


def test_what_a_killed_publication_left_goes_with_the_next_run(
    synced: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A draft, or a snapshot that has its name and that nobody was shown."""
    for owner, attribute in ((publication, "write_part"), (publication.Index, "record_publication")):
        before = snapshots(synced)
        change(synced)
        revive = die(monkeypatch, owner, attribute)
        with pytest.raises(KeyboardInterrupt):
            synced.sync()
        left = set(snapshots(synced)) - set(before)
        assert left
        revive()
        synced.clock.forward(minutes=1)
        synced.sync()
        assert not left & set(snapshots(synced))
        assert synced.here() == synced.there()


def test_what_was_shown_stays_whatever_the_index_knows(synced: World) -> None:
    """An index that was derived again remembers no snapshot: those up to the one in `vapi.duckdb` may be open somewhere."""
    for _ in range(2):
        change(synced)
        synced.sync()
    before = snapshots(synced)
    (synced.warehouse / "index.duckdb").unlink()
    change(synced)
    synced.sync()
    assert set(before) <= set(snapshots(synced))


@pytest.mark.parametrize("harm", ["removed", "damaged"])
def test_where_nobody_can_say_what_was_shown_nothing_goes(synced: World, harm: str) -> None:
    """Without `vapi.duckdb` and without the index's memory."""
    before = snapshots(synced)
    (synced.warehouse / "index.duckdb").unlink()
    views = synced.warehouse / "vapi.duckdb"
    views.unlink() if harm == "removed" else views.write_bytes(b"garbage")
    change(synced)
    synced.sync()
    assert set(before) <= set(snapshots(synced))
    assert synced.here() == synced.there()


def test_latest_shows_no_snapshot_before_the_views_do(synced: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So one that fails was shown to nobody."""
    latest = synced.warehouse / "parquet" / "latest"
    before = latest.readlink()
    monkeypatch.setattr(publication, "_publish_views", refuse)
    change(synced)
    with pytest.raises(WarehouseError):
        synced.sync()
    assert latest.readlink() == before


def test_others_directories_are_none_of_the_snapshots_that_are_kept(synced: World) -> None:
    """Three of ours are."""
    (synced.warehouse / "parquet" / "my notes").mkdir()
    for _ in range(4):
        synced.clock.forward(days=2)
        change(synced)
        synced.sync()
    ours = [name for name in snapshots(synced) if name != "my notes"]
    assert len(ours) == publication.KEEP_SNAPSHOTS
    assert (synced.warehouse / "parquet" / "my notes").is_dir()
