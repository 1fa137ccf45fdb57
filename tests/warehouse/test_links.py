"""Links and second names in a warehouse: nothing is followed, nothing of anybody else's is written, reading changes nothing."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

import command
import vapi_sessions
from conftest import KEY, World
from selection import first, some
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

#: Of ours, with what each is.
DIRECTORIES: Final = (".tmp", "raw", "parquet", "staging")
FILES: Final = (
    ".lock", ".schedule", "index.duckdb", "index.duckdb.wal", "store.duckdb", "store.duckdb.wal", "vapi.duckdb", "vapi.duckdb.wal",
    "suppression.json", "damaged.json",
)  # fmt: skip


def listing(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything below, without following a link: what it is, whose, and since when."""
    found = {}
    for path in (root, *root.rglob("*")):
        at = path.lstat()
        target = path.readlink() if path.is_symlink() else None
        found[str(path.relative_to(root))] = (
            at.st_ino, at.st_mode, at.st_uid, at.st_nlink, at.st_size, at.st_mtime_ns, target,
        )  # fmt: skip
    return found


@pytest.fixture
def synced(world: World) -> World:
    """Three sessions."""
    world.insert(3, lambda n: (world.ago(hours=5),) * 2)
    world.sync()
    return world


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Somebody's documents."""
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


@pytest.mark.parametrize("name", first((*DIRECTORIES, *FILES), 4))
@pytest.mark.parametrize("does", some((READERS | WRITERS).values(), *(WRITERS["sync"], READERS["plan"])))
def test_a_link_in_our_place_is_refused(
    synced: World, foreign: Path, name: str, does: Callable[[World], object]
) -> None:
    """Exit code 5, naming it; neither what it shows nor the warehouse changes."""
    ours = synced.warehouse / name
    if ours.exists():
        shutil.rmtree(ours) if ours.is_dir() else ours.unlink()
    ours.symlink_to(foreign if name in DIRECTORIES else foreign / "letter.txt")
    before = listing(foreign), listing(synced.warehouse)
    with pytest.raises(WarehouseError, match="is a link, and links in a warehouse are not followed") as told:
        does(synced)
    assert str(ours) in told.value.fact
    assert told.value.exit_code == 5
    assert (listing(foreign), listing(synced.warehouse)) == before


@pytest.mark.parametrize("name", some((*DIRECTORIES, *FILES), ".tmp"))
def test_a_link_to_nothing_is_refused_too(synced: World, tmp_path: Path, name: str) -> None:
    """Nothing is made where it leads."""
    ours = synced.warehouse / name
    if ours.exists():
        shutil.rmtree(ours) if ours.is_dir() else ours.unlink()
    ours.symlink_to(tmp_path / "nothing")
    with pytest.raises(WarehouseError, match="is a link"):
        synced.sync()
    assert not (tmp_path / "nothing").exists()


def test_the_warehouse_itself_may_be_a_link(synced: World, tmp_path: Path) -> None:
    """It is what the user gave."""
    moved = tmp_path / "elsewhere"
    synced.warehouse.rename(moved)
    synced.warehouse.symlink_to(moved)
    synced.insert(1, lambda n: (synced.ago(minutes=5),) * 2)
    synced.sync()
    assert synced.here() == synced.there()


@pytest.mark.parametrize("name", ["x.parquet", "x.parquet.torn"])
def test_a_link_among_the_observations_is_refused(synced: World, foreign: Path, name: str) -> None:
    """To leave it out would be to lose what it may hold, in silence."""
    (synced.warehouse / "raw" / name).symlink_to(foreign / "x.parquet")
    before = listing(foreign)
    for does in (WRITERS["forget"], *((WRITERS["sync"], WRITERS["rebuild"]) if name == "x.parquet" else ())):
        with pytest.raises(WarehouseError, match="is a link"):
            does(synced)
    assert listing(foreign) == before


def test_a_link_in_the_place_of_a_snapshot_is_refused(synced: World, tmp_path: Path) -> None:
    """Its files would be linked into the next one."""
    ((name,),) = synced.rows("SELECT value FROM sync.state WHERE key = 'snapshot'")
    snapshot = synced.warehouse / "parquet" / name
    snapshot.rename(tmp_path / "away")
    snapshot.symlink_to(tmp_path / "away")
    before = listing(tmp_path / "away")
    with pytest.raises(WarehouseError, match="is a link"):
        synced.sync()
    assert listing(tmp_path / "away") == before


def test_a_link_in_the_place_of_a_published_file_is_replaced(synced: World, tmp_path: Path) -> None:
    """It counts as missing, and is derived again."""
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


def test_drafts_of_others_are_not_written_through(synced: World, foreign: Path) -> None:
    """A link, or a second name, that waits under the name of a file before it gets its own."""
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


@pytest.mark.parametrize("content", ["letter.txt", "digits"])
def test_a_second_name_of_a_foreign_file_stays_as_it_is(synced: World, foreign: Path, content: str) -> None:
    """Locks are taken on it, and nothing is written in it; what was put aside is emptied by another file in its place."""
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


def test_a_copy_by_second_names_is_not_written_through(synced: World, tmp_path: Path) -> None:
    """`cp -al`, as programs for backups make them: the copy stays what it was, file by file."""
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


@pytest.mark.parametrize("does", READERS.values(), ids=READERS)
def test_reading_changes_nothing(synced: World, does: Callable[[World], object]) -> None:
    """No file, no directory, no mode and no time; also where a run was killed, and where there is no lock and no `.tmp`."""
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


def test_a_plan_reads_what_a_killed_run_left(synced: World) -> None:
    """The database's log is read and stays as it is; a run that holds the database is not disturbed, and named."""
    subprocess.run([sys.executable, "-c", KILLED, synced.warehouse], check=False)
    assert (synced.warehouse / "index.duckdb.wal").stat().st_size
    before = listing(synced.warehouse)
    READERS["plan"](synced)
    assert listing(synced.warehouse) == before
    shutil.rmtree(synced.warehouse)
    READERS["plan"](synced)
    assert not synced.warehouse.exists()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_warehouse_that_others_may_change_is_named(synced: World, mode: int) -> None:
    """On stderr, by every command, and by nothing else than a warning; 0755 is nobody's to change."""
    environment = {"VAPI_API_KEY": KEY, "VAPI_BASE_URL": synced.server.url}
    synced.warehouse.chmod(0o755)
    assert "warning" not in command.run("status", "--warehouse", str(synced.warehouse), environment={}).err
    for path in (synced.warehouse, synced.warehouse / "raw"):
        path.chmod(mode)
        for name in ("status", "sync"):
            ran = command.run(name, "--warehouse", str(synced.warehouse), environment=environment)
            assert (
                f"warning: others may change what is in {path} (mode {mode:04o}): chmod 700 {path}\n"
                in ran.err
            )
            assert ran.code == 0
        path.chmod(0o700)


def test_a_warehouse_of_somebody_else_is_named(synced: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the owner of its directories."""
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert f"{synced.warehouse} belongs to another user (uid {own})" in Layout(synced.warehouse).doubts()


def test_emptying_removes_links_and_not_what_they_show(tmp_path: Path, foreign: Path) -> None:
    """At any depth; and a directory that has become a link meanwhile is not entered."""
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
def test_what_is_no_file_is_not_waited_for(synced: World, name: str) -> None:
    """A pipe would keep whoever opens it for ever."""
    (synced.warehouse / name).unlink()
    os.mkfifo(synced.warehouse / name)
    with pytest.raises(WarehouseError, match="is not a file"):
        synced.sync()
    assert stat.S_ISFIFO((synced.warehouse / name).lstat().st_mode)


def test_a_link_is_no_directory_that_others_may_change(tmp_path: Path) -> None:
    """Its own mode says nothing: the warehouse may be one, and any other is refused."""
    layout = Layout(tmp_path / "real")
    layout.create()
    (tmp_path / "link").symlink_to(layout.root)
    assert Layout(tmp_path / "link").doubts() == []
    layout.scratch.rmdir()
    layout.scratch.symlink_to(tmp_path)
    assert layout.doubts() == []
    layout.root.chmod(0o777)
    assert len(Layout(tmp_path / "link").doubts()) == 1
