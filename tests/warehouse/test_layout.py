"""The directories of a warehouse: their modes, warnings about them, and errors of the disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import command
from constants import KEY
from selection import first
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.errors import WarehouseDamagedError, WarehouseError
from vapi_sessions.warehouse.layout import Layout
from worlds import World


@pytest.fixture
def synced(world: World) -> World:
    """A warehouse of three sessions."""
    world.insert(3, lambda n: (world.ago(hours=5),) * 2)
    world.sync()
    return world


@pytest.mark.parametrize("mode", first([0o777, 0o770, 0o702]))
def test_a_directory_that_others_can_change_is_a_warning(synced: World, mode: int) -> None:
    """On stderr, by every command, and only as a warning. Mode 0755 gives none."""
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


def test_a_directory_of_another_user_is_a_warning(synced: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The warning names the owner."""
    own = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert f"{synced.warehouse} belongs to another user (uid {own})" in Layout(synced.warehouse).doubts()


def test_the_mode_of_a_link_gives_no_warning(tmp_path: Path) -> None:
    """The target of the warehouse counts; other links are refused elsewhere."""
    layout = Layout(tmp_path / "real")
    layout.create()
    (tmp_path / "link").symlink_to(layout.root)
    assert Layout(tmp_path / "link").doubts() == []
    layout.scratch.rmdir()
    layout.scratch.symlink_to(tmp_path)
    assert layout.doubts() == []
    layout.root.chmod(0o777)
    assert len(Layout(tmp_path / "link").doubts()) == 1


def test_a_file_in_place_of_the_warehouse_is_an_error(tmp_path: Path) -> None:
    """Also a file above it."""
    (tmp_path / "file").touch()
    with pytest.raises(WarehouseError, match="is a file, not a directory"):
        Layout(tmp_path / "file").create()
    with pytest.raises(WarehouseError, match="is below a file"):
        Layout(tmp_path / "file" / "warehouse").create()


def test_only_the_owner_can_enter_our_directories(tmp_path: Path) -> None:
    """Creating them twice changes nothing."""
    layout = Layout(tmp_path / "warehouse")
    before = os.umask(0)
    try:
        layout.create()
        layout.create()
    finally:
        os.umask(before)
    made = [layout.root, *layout.root.iterdir()]
    assert len(made) == 5
    assert {path.stat().st_mode & 0o777 for path in made} == {0o700}


@pytest.mark.parametrize(
    ("number", "fact", "remedy"),
    [
        (errno.ENOSPC, "The disk is full (/w/file).", "the next run continues"),
        (errno.EDQUOT, "The disk is full (/w/file).", "the next run continues"),
        (errno.EROFS, "/w/file cannot be written", "directory of your own"),
        (errno.EACCES, "/w/file cannot be read or written", "directory of your own"),
        (errno.EPERM, "/w/file cannot be read or written", "directory of your own"),
        (errno.ENOTDIR, "/w/file is below a file", "Give a directory"),
        (errno.EIO, "/w/file: Input/output error.", "Look at the disk"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_each_error_of_the_disk_has_a_fact_and_a_remedy(number: int, fact: str, remedy: str) -> None:
    """The cause stays attached."""
    refusal = OSError(number, os.strerror(number), "/w/file")
    with pytest.raises(WarehouseError) as caught, disk_errors(Path("/w")):
        raise refusal
    assert caught.value.fact.startswith(fact)
    assert remedy in caught.value.remedy
    assert caught.value.__cause__ is refusal


def test_an_error_of_the_disk_without_a_path_names_ours() -> None:
    """Some calls do not say which file."""
    with pytest.raises(WarehouseError, match=r"^The disk is full \(/w\)"), disk_errors(Path("/w")):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_our_own_errors_pass_through_disk_errors() -> None:
    """They stay as they are."""
    with pytest.raises(WarehouseDamagedError, match="mine"), disk_errors(Path("/w")):
        raise WarehouseDamagedError("mine")
