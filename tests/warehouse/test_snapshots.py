"""Snapshots: unchanged files are linked, a snapshot never changes, and only the owner can read the files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from publications import (
    FEBRUARY,
    JANUARY,
    MARCH,
    NAMES,
    PublishedWarehouse,
    full,
    with_three_months,
)

from batches import observation
from constants import EPOCH
from selection import first
from vapi_sessions.core.timestamps import DAY, HOUR


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[PublishedWarehouse]:
    """An empty warehouse."""
    with PublishedWarehouse(tmp_path / "warehouse") as opened:
        yield opened


@pytest.fixture
def three_months(warehouse: PublishedWarehouse) -> PublishedWarehouse:
    """One published session in each of three months."""
    return with_three_months(warehouse)


def test_each_month_has_a_directory_in_every_table(three_months: PublishedWarehouse) -> None:
    """It is named by the month of createdAt."""
    months = ["created_month=2026-01", "created_month=2026-02", "created_month=2026-03"]
    for name in NAMES:
        assert sorted(path.name for path in (three_months.snapshot / name).iterdir()) == months


def test_a_publication_without_changes_writes_only_the_views(three_months: PublishedWarehouse) -> None:
    """There is no new snapshot, but `vapi.duckdb` is new, because the ledger may have changed."""
    before, inode = three_months.snapshots(), three_months.layout.published.stat().st_ino
    assert three_months.publish() is False
    assert three_months.snapshots() == before
    assert three_months.layout.published.stat().st_ino != inode


def test_unchanged_files_are_links_and_changed_ones_are_new(three_months: PublishedWarehouse) -> None:
    """Only the files of the month with the change are written again."""
    before = three_months.inodes()
    three_months.merge(full("feb", 9, FEBRUARY, updated=HOUR, other=True))
    assert three_months.publish() is True
    after = three_months.inodes()
    kept = {path for path in after if after[path] in before.values()}
    assert kept == {path for path in before if "created_month=2026-02" not in path}
    assert len(after) == len(before)
    assert {path: before[path] for path in kept} == {path: after[path] for path in kept}


def test_a_tombstone_rewrites_only_sessions_of_its_month(three_months: PublishedWarehouse) -> None:
    """Readers see that the session is gone."""
    before = three_months.inodes()
    three_months.merge(observation("jan", 9, created=JANUARY, kind="deleted"))
    three_months.publish()
    after = three_months.inodes()
    assert {Path(path).parent for path in after if path not in before} == {
        Path("sessions/created_month=2026-01")
    }
    assert three_months.ask("SELECT session_id FROM sessions WHERE deleted_at IS NOT NULL") == [("jan",)]


def test_a_snapshot_never_changes(three_months: PublishedWarehouse) -> None:
    """After the next publication its files have the same inodes and bytes."""
    old = three_months.snapshot
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in old.rglob("*.parquet")}
    three_months.merge(full("feb", 9, FEBRUARY, updated=HOUR), full("apr", 9, EPOCH + 40 * DAY))
    three_months.publish()
    assert three_months.snapshot != old
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in old.rglob("*.parquet")} == before


def test_snapshots_of_one_second_have_different_names(three_months: PublishedWarehouse) -> None:
    """Runs can follow each other quickly."""
    for seq in range(10, 13):
        three_months.merge(full("mar", seq, MARCH, updated=seq))
        three_months.publish(after=0)
    assert len(three_months.snapshots()) == 4


def test_a_new_index_does_not_reuse_the_name_of_a_snapshot(three_months: PublishedWarehouse) -> None:
    """A new database starts to count again; the published files stay unchanged."""
    old = three_months.snapshot
    before = {path: path.stat().st_ino for path in old.rglob("*.parquet")}
    three_months.index.__exit__()
    three_months.layout.index.unlink()
    with PublishedWarehouse(three_months.layout.root) as again:
        again.merge(full("jan", 1, JANUARY))
        again.now = three_months.now
        again.publish(after=0)
        assert again.snapshot != old
    assert {path: path.stat().st_ino for path in old.rglob("*.parquet")} == before


def test_a_snapshot_that_is_not_in_the_index_is_published_again(
    three_months: PublishedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process was killed after it had renamed the snapshot and before it had recorded it. The clock may stand still meanwhile."""
    three_months.merge(full("mar", 9, MARCH, updated=HOUR, name="new"))
    with monkeypatch.context() as patch:
        patch.setattr(type(three_months.index), "record_publication", _die)
        with pytest.raises(KeyboardInterrupt):
            three_months.publish()
    assert three_months.ask("SELECT count(*) FROM sessions WHERE name = 'new'") == [(0,)]
    assert three_months.publish(after=0) is True
    assert three_months.ask("SELECT count(*) FROM sessions WHERE name = 'new'") == [(1,)]
    assert pl.read_parquet(three_months.snapshot / "sessions" / "*" / "*.parquet").height == 3


def _die(*args: object, **kwargs: object) -> None:
    raise KeyboardInterrupt


def modes(root: Path) -> dict[str, int]:
    """The permissions of everything in the warehouse, without links and logs."""
    return {
        str(path.relative_to(root)): path.stat().st_mode & 0o777
        for path in root.rglob("*")
        if not path.is_symlink() and not path.name.endswith(".wal")
    }


@pytest.mark.parametrize("links", first([True, False]), ids=["links", "a file system without links"])
def test_only_the_owner_can_read_published_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Files have mode 0600 and directories 0700 for any umask, linked or copied."""
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    before = os.umask(0)
    try:
        with PublishedWarehouse(tmp_path / "warehouse") as warehouse:
            warehouse.merge(full("jan", 1, JANUARY), full("mar", 1, MARCH))
            warehouse.publish()
            warehouse.merge(full("mar", 2, MARCH, updated=HOUR))
            warehouse.publish()
            found = modes(warehouse.layout.root)
    finally:
        os.umask(before)
    files = {path: mode for path, mode in found.items() if path.endswith((".parquet", ".duckdb"))}
    directories = {path: mode for path, mode in found.items() if path not in files}
    assert len(files) > 2 * len(NAMES)
    assert {path: oct(mode) for path, mode in files.items() if mode != 0o600} == {}
    assert {path: oct(mode) for path, mode in directories.items() if mode != 0o700} == {}


def _no_links(*args: object, **kwargs: object) -> None:
    raise OSError(95, "Operation not supported")


def test_files_are_copied_if_the_file_system_has_no_links(
    three_months: PublishedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot is complete on every file system."""
    monkeypatch.setattr(os, "link", _no_links)
    three_months.merge(full("mar", 9, MARCH, updated=HOUR))
    three_months.publish()
    assert three_months.ask("SELECT count(*) FROM messages") == [(6,)]
