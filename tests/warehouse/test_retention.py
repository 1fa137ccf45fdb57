"""Which snapshots are kept: the newest three, and each for a day after another one has replaced it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from publications import (
    MARCH,
    PublishedWarehouse,
    full,
    full_disk,
)

from vapi_sessions.core.timestamps import DAY, HOUR, MINUTE, to_datetime
from vapi_sessions.errors import WarehouseError
from vapi_sessions.warehouse import snapshots


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[PublishedWarehouse]:
    """An empty warehouse."""
    with PublishedWarehouse(tmp_path / "warehouse") as opened:
        yield opened


def publish_times(warehouse: PublishedWarehouse, times: int, every: int) -> list[str]:
    """Change a session and publish, this many times; returns the names of the snapshots that are left."""
    for seq in range(times):
        warehouse.merge(full("a", seq, MARCH, updated=seq))
        warehouse.publish(after=every)
    return warehouse.snapshots()


def test_at_least_three_snapshots_are_kept(warehouse: PublishedWarehouse) -> None:
    """However old they are."""
    left = publish_times(warehouse, 4, every=10 * DAY)
    assert len(left) == 3
    assert left[-1] == warehouse.index.state()["snapshot"]


def test_snapshots_are_kept_for_a_day(warehouse: PublishedWarehouse) -> None:
    """However many there are: a notebook that was left open overnight still finds its files."""
    left = publish_times(warehouse, 7, every=6 * HOUR)
    horizon = f"{to_datetime(warehouse.now - DAY):%Y%m%dT%H%M%SZ}"
    assert len(left) == 6
    assert left[0] < horizon <= left[1]  # readers opened the first one until the second replaced it


def test_an_old_snapshot_is_kept_for_a_day_after_it_was_replaced(warehouse: PublishedWarehouse) -> None:
    """It was shown for a week and may be open, and then three publications follow quickly."""
    (opened,) = publish_times(warehouse, 1, every=HOUR)
    warehouse.now += 7 * DAY
    assert publish_times(warehouse, 4, every=5 * MINUTE)[0] == opened
    warehouse.now += 2 * DAY
    assert opened not in publish_times(warehouse, 1, every=0)


def test_a_snapshot_that_a_failed_publication_left_in_use_is_kept(
    warehouse: PublishedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next snapshot had its name, but its views were not shown: readers opened the old one for two more days."""
    (opened,) = publish_times(warehouse, 1, every=HOUR)
    with monkeypatch.context() as killed:
        killed.setattr(snapshots, "publish_views", full_disk)
        with pytest.raises(WarehouseError):
            publish_times(warehouse, 1, every=HOUR)
    warehouse.now += 2 * DAY
    assert publish_times(warehouse, 3, every=5 * MINUTE)[0] == opened


@pytest.mark.proof
def test_the_current_snapshot_is_kept_if_the_clock_jumped_back(warehouse: PublishedWarehouse) -> None:
    """The names are then not in the order of publication."""
    publish_times(warehouse, 4, every=HOUR)
    warehouse.now -= 300 * DAY
    publish_times(warehouse, 1, every=0)
    warehouse.now += 600 * DAY
    warehouse.publish(after=0)
    assert warehouse.ask("SELECT count(*) FROM sessions") == [(1,)]
    assert warehouse.index.state()["snapshot"] in warehouse.snapshots()


def test_other_directories_are_not_removed(warehouse: PublishedWarehouse) -> None:
    """Only our own snapshots are."""
    (warehouse.layout.parquet / "my own notes").mkdir()
    publish_times(warehouse, 4, every=10 * DAY)
    assert (warehouse.layout.parquet / "my own notes").is_dir()
