"""Foreign files in the warehouse's directories, as macOS, editors and programs that copy and synchronise leave them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from selection import first
from vapi_sessions.errors import WarehouseError
from vapi_sessions.operations import forget
from vapi_sessions.operations import rebuild as rebuilding
from vapi_sessions.operations.status import status
from vapi_sessions.warehouse import erase
from vapi_sessions.warehouse.layout import Layout
from worlds import RecordedProgress

if TYPE_CHECKING:
    from worlds import World

APPLE_DOUBLE: Final = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(4000)


def litter(path: Path) -> list[Path]:
    """Create files beside this one that other programs name after it."""
    foreign = {
        f"._{path.name}": APPLE_DOUBLE,
        ".DS_Store": b"\0\0\0\1Bud1" + bytes(6000),
        f".{path.name}.swp": b"b0VIM 9.0",
        f"{path.name}~": b"an editor's",
        f"{path.name}.tmp": b"half",
        "Thumbs.db": b"\xd0\xcf\x11\xe0",
    }
    made = []
    for name, content in foreign.items():
        made.append(path.with_name(name))
        made[-1].write_bytes(content)
    return made


def copies(path: Path) -> list[Path]:
    """Copy a file under the names that other programs give to copies."""
    made = []
    for name in (
        "{} copy.parquet",
        "{} copy 2.parquet",
        "{} (1).parquet",
        "Copy of {}.parquet",
        "{}~.parquet",
    ):
        made.append(path.with_name(name.format(path.stem)))
        shutil.copyfile(path, made[-1])
    return made


def part(world: World, table: str = "sessions") -> Path:
    """A file of the current snapshot."""
    ((snapshot,),) = world.rows("SELECT value FROM sync.state WHERE key = 'snapshot'")
    return next((world.warehouse / "parquet" / snapshot / table).glob("*/*.parquet"))


@pytest.fixture
def three(world: World) -> World:
    """Three sessions, synced."""
    world.insert(3, lambda n: (world.ago(hours=5),) * 2)
    world.sync()
    return world


def go_on(world: World) -> None:
    """Sync without and with a change, and check the rows after each."""
    world.sync()
    assert world.here() == world.there()
    world.clock.forward(hours=2)
    world.insert(1, lambda n: (world.ago(hours=1),) * 2)
    world.sync()
    assert world.here() == world.there()


@pytest.mark.parametrize("table", first(["sessions", "messages", "costs"]))
def test_foreign_files_in_a_snapshot_are_ignored(three: World, table: str) -> None:
    """Readers and syncs continue, also with a table without rows. The files are not removed, and not in the next snapshot."""
    made = litter(part(three, table))
    assert three.here() == three.there()
    status(three.warehouse, now=three.clock.us())
    go_on(three)
    assert all(path.exists() for path in made)
    new = part(three, table).parent
    assert [path.name for path in new.iterdir() if path.name in {p.name for p in made}] == []


@pytest.mark.proof
def test_copies_of_files_in_a_snapshot_are_not_read(three: World) -> None:
    """The views know our files by their names."""
    file = part(three)
    copies(file)
    shutil.copytree(file.parent, file.parent.with_name(file.parent.name + " copy"))
    assert three.rows("SELECT count(*) FROM sessions") == [(3,)]
    go_on(three)


def test_foreign_files_in_raw_are_ignored(three: World) -> None:
    """By a sync, by a rebuild, and by the count of unmerged files."""
    (file,) = (three.warehouse / "raw").glob("*.parquet")
    made = litter(file)
    (file.parent / "a directory.parquet").mkdir()
    (file.parent / f"._{file.name}.torn").write_bytes(APPLE_DOUBLE)
    notes = RecordedProgress()
    go_on(three)
    rebuilding.rebuild(three.warehouse, environment=three.environment(), progress=notes)
    assert three.here() == three.there()
    assert not [text for text in notes.said if "torn" in text]
    assert status(three.warehouse, now=three.clock.us()).unmerged_raw_files == 0
    assert all(path.exists() for path in made)
    assert (file.parent / f"._{file.name}.torn").stat().st_size == len(APPLE_DOUBLE)


@pytest.mark.proof
def test_foreign_files_elsewhere_are_not_removed(three: World) -> None:
    """In the warehouse, beside the snapshots, and in a snapshot. A directory of the user does not count as a snapshot."""
    ((snapshot,),) = three.rows("SELECT value FROM sync.state WHERE key = 'snapshot'")
    made = [
        *litter(three.warehouse / "vapi.duckdb"),
        *litter(three.warehouse / "parquet" / snapshot),
        *litter(three.warehouse / "parquet" / snapshot / "sessions"),
    ]
    (three.warehouse / "parquet" / "my notes").mkdir()
    (three.warehouse / "parquet" / "@eaDir").mkdir()
    go_on(three)
    assert all(path.exists() for path in made)
    assert "my notes" not in [path.name for path in erase.snapshots(Layout(three.warehouse))]


def test_erasing_ignores_foreign_files_and_finds_copies(three: World) -> None:
    """A copy of a snapshot holds the same people. A file that is not Parquet is no reason to remove a snapshot."""
    file = part(three)
    litter(file)
    shutil.copytree(file.parents[2], three.warehouse / "parquet" / "backup")
    layout = Layout(three.warehouse)
    assert erase.snapshots_with(layout, lambda session_id: False) == []
    gone = next(iter(three.here()))[0]
    assert len(erase.snapshots_with(layout, lambda session_id: session_id == gone)) == 2
    forget.forget(three.settings(), forget.Whom(sessions=[gone]), environment=three.environment())
    assert not (three.warehouse / "parquet" / "backup").exists()
    assert gone not in {session_id for session_id, *_ in three.here()}


def test_a_snapshot_that_cannot_be_opened_is_not_removed(
    three: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged one is removed, because it may hold the person. An error of the system says nothing about the content."""
    layout = Layout(three.warehouse)
    file = part(three)
    file.write_bytes(b"torn")
    assert erase.snapshots_with(layout, lambda session_id: False) == [file.parents[2]]

    def refused(*given: object) -> None:
        raise erase.duckdb.IOException(f'IO Error: Cannot open file "{file}": Too many open files')

    monkeypatch.setattr(erase.duckdb, "connect", refused)
    with pytest.raises(WarehouseError, match="Too many open files"):
        erase.snapshots_with(layout, lambda session_id: False)
