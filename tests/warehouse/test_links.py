"""Symbolic links, hard links and foreign files in a warehouse: none is followed or written to, and reading changes nothing."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

import vapi_sessions
from selection import first, some
from synced_worlds import synced_world
from vapi_sessions.core import files
from vapi_sessions.errors import WarehouseError
from vapi_sessions.operations import forget
from vapi_sessions.operations.preview import preview
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.status import status
from vapi_sessions.operations.verify import verify
from vapi_sessions.warehouse import query, raw
from vapi_sessions.warehouse.layout import Layout, writer_lock
from vapi_sessions.warehouse.schedule_lock import scheduling
from worlds import World

#: Our own paths in a warehouse.
DIRECTORIES: Final = (".tmp", "raw", "parquet", "staging")


FILES: Final = (
    ".lock", ".schedule", "index.duckdb", "index.duckdb.wal", "store.duckdb", "store.duckdb.wal", "vapi.duckdb", "vapi.duckdb.wal",
    "suppression.json", "damaged.json",
)  # fmt: skip


def listing(root: Path) -> dict[str, tuple[object, ...]]:
    """The state of everything below, without following links: inode, mode, owner, size, time and target."""
    found = {}
    for path in (root, *root.rglob("*")):
        at = path.lstat()
        target = path.readlink() if path.is_symlink() else None
        found[str(path.relative_to(root))] = (
            at.st_ino, at.st_mode, at.st_uid, at.st_nlink, at.st_size, at.st_mtime_ns, target,
        )  # fmt: skip
    return found


def three_sessions(world: World) -> Iterator[None]:
    """Three sessions, published."""
    world.insert(3, lambda n: (world.ago(hours=5),) * 2)
    yield


template, synced = synced_world(three_sessions, "synced")


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Documents of the user."""
    docs = tmp_path / "docs"
    (docs / "inner").mkdir(parents=True)
    for path in (docs / "letter.txt", docs / "inner" / "letter.txt", docs / "x.parquet", docs / "digits"):
        path.write_text("12345\n" if path.name == "digits" else "Dear Sir or Madam")
        path.chmod(0o644)
    return docs


READERS: Final[dict[str, Callable[[World], object]]] = {
    "plan": lambda world: preview(world.settings(), environment=world.environment()),
    "status": lambda world: status(world.warehouse, now=world.clock.us()),
    "verify": lambda world: verify(world.settings(), environment=world.environment()),
    "sql": lambda world: query.run(world.warehouse, "FROM sessions", "csv", io.StringIO()),
    "connect": lambda world: vapi_sessions.connect(world.warehouse).close(),
}


WRITERS: Final[dict[str, Callable[[World], object]]] = {
    "sync": lambda world: world.sync(),
    "rebuild": lambda world: world.rebuild(),
    "forget": lambda world: forget.forget(world.settings(), forget.Whom(["x"], []), environment=world.environment()),
    "reconcile": lambda world: reconcile(world.settings(), environment=world.environment()),
    "schedule": lambda world: scheduling(world.warehouse).__enter__(),
}  # fmt: skip


@pytest.mark.parametrize("name", first((*DIRECTORIES, *FILES), 2))
@pytest.mark.parametrize("does", some((READERS | WRITERS).values(), *(WRITERS["sync"], READERS["plan"])))
def test_a_link_in_place_of_our_file_is_refused(
    synced: World, foreign: Path, name: str, does: Callable[[World], object]
) -> None:
    """The error has exit code 5 and names the link. Neither its target nor the warehouse changes."""
    ours = synced.warehouse / name
    if ours.exists():
        shutil.rmtree(ours) if ours.is_dir() else ours.unlink()
    ours.symlink_to(foreign if name in DIRECTORIES else foreign / "letter.txt")
    before = listing(foreign), listing(synced.warehouse)
    with pytest.raises(
        WarehouseError, match="is a link, and links in a warehouse are not followed"
    ) as caught:
        does(synced)
    assert str(ours) in caught.value.fact
    assert caught.value.exit_code == 5
    assert (listing(foreign), listing(synced.warehouse)) == before


@pytest.mark.parametrize("name", some((*DIRECTORIES, *FILES), ".tmp"))
def test_a_dangling_link_is_refused(synced: World, tmp_path: Path, name: str) -> None:
    """Its target is not created."""
    ours = synced.warehouse / name
    if ours.exists():
        shutil.rmtree(ours) if ours.is_dir() else ours.unlink()
    ours.symlink_to(tmp_path / "nothing")
    with pytest.raises(WarehouseError, match="is a link"):
        synced.sync()
    assert not (tmp_path / "nothing").exists()


def test_the_warehouse_itself_may_be_a_link(synced: World, tmp_path: Path) -> None:
    """The user gave this path."""
    moved = tmp_path / "elsewhere"
    synced.warehouse.rename(moved)
    synced.warehouse.symlink_to(moved)
    synced.insert(1, lambda n: (synced.ago(minutes=5),) * 2)
    synced.sync()
    assert synced.here() == synced.there()


@pytest.mark.parametrize("name", ["x.parquet", "x.parquet.torn"])
def test_a_link_in_raw_is_refused(synced: World, foreign: Path, name: str) -> None:
    """If it were ignored, its observations would be lost silently."""
    (synced.warehouse / "raw" / name).symlink_to(foreign / "x.parquet")
    before = listing(foreign)
    for does in (WRITERS["forget"], *((WRITERS["sync"], WRITERS["rebuild"]) if name == "x.parquet" else ())):
        with pytest.raises(WarehouseError, match="is a link"):
            does(synced)
    assert listing(foreign) == before


def test_a_link_in_place_of_a_snapshot_is_refused(synced: World, tmp_path: Path) -> None:
    """Otherwise the files of its target would be linked into the next snapshot."""
    ((name,),) = synced.rows("SELECT value FROM sync.state WHERE key = 'snapshot'")
    snapshot = synced.warehouse / "parquet" / name
    snapshot.rename(tmp_path / "away")
    snapshot.symlink_to(tmp_path / "away")
    before = listing(tmp_path / "away")
    with pytest.raises(WarehouseError, match="is a link"):
        synced.sync()
    assert listing(tmp_path / "away") == before


def test_a_link_in_place_of_a_published_file_is_replaced(synced: World, tmp_path: Path) -> None:
    """It counts as missing, and the file is derived again."""
    ((name,),) = synced.rows("SELECT value FROM sync.state WHERE key = 'snapshot'")
    file = next((synced.warehouse / "parquet" / name / "sessions").glob("*/*.parquet"))
    file.rename(tmp_path / "away")
    file.symlink_to(tmp_path / "away")
    before = listing(tmp_path / "away")
    synced.sync()
    ((newer,),) = synced.rows("SELECT value FROM sync.state WHERE key = 'snapshot'")
    assert not [path for path in (synced.warehouse / "parquet" / newer).rglob("*") if path.is_symlink()]
    assert listing(tmp_path / "away") == before
    assert synced.here() == synced.there()


@pytest.mark.proof
def test_links_under_the_names_of_our_drafts_are_not_written_to(synced: World, foreign: Path) -> None:
    """Symbolic and hard links under the temporary name of a file."""
    for how in (Path.symlink_to, Path.hardlink_to):
        for name in (".suppression.json.tmp", "raw/.{}.tmp", "raw/.x.parquet.torn.tmp"):
            batch = next((synced.warehouse / "raw").glob("*.parquet"))
            how(synced.warehouse / name.format(batch.name), foreign / "letter.txt")
        (synced.warehouse / "raw" / "x.parquet.torn").write_bytes(b"half a file")
        gone = next(iter(synced.here()))[0]
        forget.forget(synced.settings(), forget.Whom([gone], []), environment=synced.environment())
        assert (synced.warehouse / "raw" / "x.parquet.torn").read_bytes() == b""
        assert (foreign / "letter.txt").read_text() == "Dear Sir or Madam"
        (synced.warehouse / "raw" / "x.parquet.torn").unlink()


@pytest.mark.parametrize("content", first(["letter.txt", "digits"]))
def test_a_hard_link_to_a_foreign_file_is_not_written_to(synced: World, foreign: Path, content: str) -> None:
    """Locks are taken on the file. A torn file is emptied by a new file in its place."""
    for name in (".lock", ".schedule", "raw/x.parquet.torn"):
        (synced.warehouse / name).unlink(missing_ok=True)
        (synced.warehouse / name).hardlink_to(foreign / content)
    before = (foreign / content).read_text(), (foreign / content).stat().st_mode
    for does in WRITERS.values():
        does(synced)
    raw.empty_torn(synced.warehouse / "raw")
    assert ((foreign / content).read_text(), (foreign / content).stat().st_mode) == before
    assert (synced.warehouse / "raw" / "x.parquet.torn").read_bytes() == b""
    unknown = pytest.raises(WarehouseError, match=r"\(pid unknown\)")
    with writer_lock(Layout(synced.warehouse)), unknown, writer_lock(Layout(synced.warehouse)):
        pass


@pytest.mark.proof
def test_a_copy_of_hard_links_does_not_change(synced: World, tmp_path: Path) -> None:
    """Backup programs make such copies, as `cp -al` does."""
    copy = tmp_path / "copy"
    shutil.copytree(synced.warehouse, copy, symlinks=True, copy_function=os.link)
    content = {
        path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and not path.is_symlink()
    }
    gone = synced.insert(2, lambda n: (synced.ago(minutes=5),) * 2)
    synced.sync()
    forget.forget(synced.settings(), forget.Whom(gone[:1], []), environment=synced.environment())
    synced.rebuild()
    assert {path: path.read_bytes() for path in content} == content
    assert len(synced.here()) == 4


@pytest.mark.parametrize("does", first(READERS.values(), 1), ids=READERS)
def test_reading_changes_nothing(synced: World, does: Callable[[World], object]) -> None:
    """No file, directory, mode or time, also after a killed run, and without a lock file and `.tmp`."""
    synced.insert(2, lambda n: (synced.ago(minutes=5),) * 2)
    (synced.warehouse / ".tmp" / "left").write_text("by a killed run")
    (synced.warehouse / "raw" / ".x.parquet.tmp").write_text("half")
    before = listing(synced.warehouse)
    does(synced)
    assert listing(synced.warehouse) == before
    shutil.rmtree(synced.warehouse / ".tmp")
    (synced.warehouse / ".lock").unlink()
    before = listing(synced.warehouse)
    does(synced)
    assert listing(synced.warehouse) == before


KILLED: Final = """
import os, sys
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.index import Changes, Index
layout = Layout(sys.argv[1])
index = Index(layout.index, layout.scratch)
index.record(Changes(state={"left": "in the log"}))
os._exit(9)
"""


@pytest.mark.proof
def test_a_plan_reads_the_log_of_a_killed_run(synced: World) -> None:
    """The log of the database stays. A plan for a warehouse that does not exist creates none."""
    subprocess.run([sys.executable, "-c", KILLED, synced.warehouse], check=False)
    assert (synced.warehouse / "index.duckdb.wal").stat().st_size
    before = listing(synced.warehouse)
    READERS["plan"](synced)
    assert listing(synced.warehouse) == before
    shutil.rmtree(synced.warehouse)
    READERS["plan"](synced)
    assert not synced.warehouse.exists()


def test_emptying_a_directory_removes_links_and_not_their_targets(tmp_path: Path, foreign: Path) -> None:
    """At any depth. A directory that was replaced by a link is not entered."""
    before = listing(foreign)
    scratch = tmp_path / "scratch"
    (scratch / "deep" / "er").mkdir(parents=True)
    for place in (scratch, scratch / "deep", scratch / "deep" / "er"):
        (place / "docs").symlink_to(foreign)
        (place / "letter").hardlink_to(foreign / "letter.txt")
    files.empty_directory(scratch)
    assert list(scratch.iterdir()) == []
    scratch.rmdir()
    scratch.symlink_to(foreign)
    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        files.empty_directory(scratch)
    assert {name: at[4:] for name, at in listing(foreign).items()} == {
        name: at[4:] for name, at in before.items()
    }


@pytest.mark.parametrize("name", [".lock", "suppression.json"])
def test_a_pipe_in_place_of_our_file_is_refused(synced: World, name: str) -> None:
    """Opening it would wait for ever."""
    (synced.warehouse / name).unlink()
    os.mkfifo(synced.warehouse / name)
    with pytest.raises(WarehouseError, match="is not a file"):
        synced.sync()
    assert stat.S_ISFIFO((synced.warehouse / name).lstat().st_mode)
