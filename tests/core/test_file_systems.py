"""File systems without some operations: the fallbacks, and the operations that are indispensable."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from selection import first
from vapi_sessions.core import files
from vapi_sessions.errors import WarehouseBusyError, WarehouseError
from vapi_sessions.operations import forget
from vapi_sessions.warehouse.layout import Layout, writer_lock
from worlds import RecordedProgress

if TYPE_CHECKING:
    from worlds import World

Refuse = Callable[[str, int], None]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Makes a call fail from now on: `fsync` only of directories, `rename` only over existing files."""
    fsync, rename = os.fsync, os.rename

    def begin(call: str, number: int) -> None:
        def refused(*given: Any, **named: Any) -> Any:
            if call == "fsync" and not stat.S_ISDIR(os.fstat(given[0]).st_mode):
                return fsync(*given)
            if call == "rename" and not os.path.lexists(given[1]):
                return rename(*given)
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl if call in ("flock", "fcntl") else os, call, refused)

    return begin


@pytest.fixture
def two(world: World) -> World:
    """A source with two settled sessions."""
    world.insert(2, lambda n: (world.ago(hours=5),) * 2)
    return world


def change(world: World) -> None:
    """Change one session, and let the change settle."""
    world.clock.forward(hours=1)
    org = world.server.org_id
    world.server.store.update(org, world.server.store.ids(org)[0], lambda s: s.update(name="Changed"))
    world.clock.forward(hours=1)


UNSUPPORTED = {
    "symbolic links": [("symlink", errno.EPERM)],
    "symbolic links of a shared folder": [("symlink", errno.EROFS)],
    "sync of directories": [("fsync", errno.EINVAL)],
    "sync of directories, other error": [("fsync", errno.EBADF)],
    "permissions": [("chmod", errno.EPERM)],
    "permissions, other error": [("chmod", errno.ENOTSUP)],
    "hard links": [("link", errno.EPERM)],
    "flock": [("flock", errno.ENOLCK)],
    "all of them": [
        ("symlink", errno.EOPNOTSUPP),
        ("fsync", errno.ENOTSUP),
        ("chmod", errno.ENOSYS),
        ("link", errno.EOPNOTSUPP),
        ("flock", errno.EOPNOTSUPP),
    ],
}


@pytest.mark.parametrize("calls", first(UNSUPPORTED.values(), 1), ids=UNSUPPORTED)
def test_syncs_work_without_an_operation(two: World, refuse: Refuse, calls: list[tuple[str, int]]) -> None:
    """The first sync and the next one succeed, and publish all rows."""
    for call, number in calls:
        refuse(call, number)
    two.sync()
    change(two)
    two.sync()
    assert two.here() == two.there()
    assert two.rows("SELECT count(*) FROM sessions WHERE name = 'Changed'") == [(1,)]


def test_rebuild_and_forget_work_without_all_of_them(two: World, refuse: Refuse) -> None:
    """The data is then as expected."""
    for call, number in UNSUPPORTED["all of them"]:
        refuse(call, number)
    two.sync()
    two.rebuild()
    assert two.here() == two.there()
    gone, *_ = two.server.store.ids(two.server.org_id)
    forget.forget(two.settings(), forget.Whom(sessions=[gone]), environment=two.environment())
    assert gone not in {session_id for session_id, *_ in two.here()}


def test_without_symbolic_links_there_is_no_latest_and_one_message(two: World, refuse: Refuse) -> None:
    """An outdated link is removed. `vapi.duckdb` shows the newest snapshot."""
    two.sync()
    latest = two.warehouse / "parquet" / "latest"
    assert latest.is_symlink()
    refuse("symlink", errno.EPERM)
    notes = RecordedProgress()
    for _ in range(2):
        change(two)
        two.sync(progress=notes)
        assert not os.path.lexists(latest)
    assert [text for text in notes.said if "no symbolic links" in text and str(latest) in text] == [
        text for text in notes.said if "links" in text
    ]
    assert sum("no symbolic links" in text for text in notes.said) == 1


@pytest.mark.parametrize("number", first([errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ESTALE]))
@pytest.mark.parametrize("call", ["symlink", "fsync", "chmod"])
def test_a_failing_disk_is_not_an_unsupported_operation(
    two: World, refuse: Refuse, call: str, number: int
) -> None:
    """It is an error with exit code 5."""
    refuse(call, number)
    with pytest.raises(WarehouseError) as caught:
        two.sync()
    assert caught.value.exit_code == 5


def test_a_file_that_cannot_be_synced_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else makes a file durable; a directory may be skipped."""
    (tmp_path / "file").touch()

    def refused(descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refused)
    files.sync_directory(tmp_path)
    with pytest.raises(OSError, match="Invalid argument"):
        files.sync_file(tmp_path / "file")


def test_without_renames_over_files_a_derived_file_is_removed_first(tmp_path: Path, refuse: Refuse) -> None:
    """The new file then takes its place."""
    (tmp_path / "draft").write_text("new")
    (tmp_path / "old").write_text("old")
    refuse("rename", errno.EPERM)
    files.replace_derived(tmp_path / "draft", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "new"
    assert not (tmp_path / "draft").exists()


def test_a_rename_that_fails_for_another_reason_removes_nothing(tmp_path: Path, refuse: Refuse) -> None:
    """For example, because the disk is broken."""
    (tmp_path / "draft").write_text("new")
    (tmp_path / "old").write_text("old")
    refuse("rename", errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        files.replace_derived(tmp_path / "draft", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "old"


def test_publication_works_without_renames_over_files(two: World, refuse: Refuse) -> None:
    """The second publication replaces the views of the first."""
    two.sync()
    refuse("rename", errno.EPERM)
    change(two)
    two.sync()
    assert two.here() == two.there()
    ((shown,),) = two.rows("SELECT value FROM sync.state WHERE key = 'snapshot'")
    assert (two.warehouse / "parquet" / "latest").readlink() == Path(shown)


# -- locks


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A warehouse."""
    made = Layout(tmp_path / "warehouse")
    made.create()
    return made


@pytest.fixture
def without_flock(refuse: Refuse) -> None:
    """Like NFS without a lock daemon, and some FUSE file systems."""
    refuse("flock", errno.ENOLCK)


@pytest.mark.usefixtures("without_flock")
def test_without_flock_two_runs_still_exclude_each_other(layout: Layout) -> None:
    """In one process. The run that fails must not release the lock of the other by closing the file."""
    with writer_lock(layout):
        for _ in range(2):
            with pytest.raises(WarehouseBusyError, match=f"pid {os.getpid()}"), writer_lock(layout):
                pass
    with writer_lock(layout):
        pass


@pytest.mark.usefixtures("without_flock")
def test_without_flock_processes_still_exclude_each_other(layout: Layout) -> None:
    """Until the other process ends, even by SIGKILL."""
    code = (
        "import errno, fcntl, sys; from pathlib import Path\n"
        "from vapi_sessions.warehouse.layout import Layout, writer_lock\n"
        "def flock(*given): raise OSError(errno.ENOLCK, 'No locks available')\n"
        "fcntl.flock = flock\n"
        "with writer_lock(Layout(Path(sys.argv[1]))): print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(layout.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(WarehouseBusyError, match=f"pid {other.pid}"), writer_lock(layout):
            pass
        other.kill()
        other.wait()
        with writer_lock(layout):
            pass


@pytest.mark.usefixtures("without_flock")
def test_without_any_lock_nothing_is_written(layout: Layout, refuse: Refuse) -> None:
    """Concurrent runs would damage the warehouse."""
    refuse("fcntl", errno.ENOLCK)
    with pytest.raises(WarehouseError, match="file system without locks") as caught, writer_lock(layout):
        pytest.fail("it was written")
    assert caught.value.exit_code == 5
    assert not isinstance(caught.value, WarehouseBusyError)


@pytest.fixture
def broken(refuse: Refuse) -> None:
    """Like a server that has lost the file handle."""
    refuse("flock", errno.ESTALE)


@pytest.mark.usefixtures("broken")
def test_a_lock_that_fails_is_an_error(layout: Layout) -> None:
    """The error shows the reason of the system."""
    with pytest.raises(WarehouseError, match="Stale file handle"), writer_lock(layout):
        pytest.fail("it was written")
