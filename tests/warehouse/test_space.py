"""Sizes and growth, and what is pruned from the record of runs once a day."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from publications import MARCH, PublishedWarehouse, full

from vapi_sessions.core.timestamps import DAY, to_datetime
from vapi_sessions.warehouse.layout import Keep, Layout
from vapi_sessions.warehouse.space import note_size, space


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[PublishedWarehouse]:
    """A warehouse with one publication."""
    with PublishedWarehouse(tmp_path / "warehouse") as opened:
        opened.merge(full("a", 1, MARCH, updated=1))
        opened.publish(after=0)
        yield opened


def test_growth_is_told_after_two_days(warehouse: PublishedWarehouse) -> None:
    """Of the data, without older snapshots."""
    note_size(warehouse.index, warehouse.layout, MARCH)
    assert space(warehouse.layout, warehouse.index.state()).growth_bytes_a_day is None
    (warehouse.layout.raw / "more.parquet").write_bytes(b"x" * 5_000)
    note_size(warehouse.index, warehouse.layout, MARCH + DAY // 2)  # the same day: not noted again
    note_size(warehouse.index, warehouse.layout, MARCH + 5 * DAY)
    found = space(warehouse.layout, warehouse.index.state())
    assert found.growth_bytes_a_day == 1_000
    assert found.total_bytes >= found.data_bytes >= 5_000
    assert found.snapshots == 1


def test_eight_days_are_remembered(warehouse: PublishedWarehouse) -> None:
    """However long the warehouse is used."""
    for day in range(20):
        note_size(warehouse.index, warehouse.layout, MARCH + day * DAY)
    assert warehouse.index.state()["sizes"].count("2026-") == 8


def test_old_runs_and_windows_are_pruned(warehouse: PublishedWarehouse) -> None:
    """Not open windows, the newest thousand runs, and the last success of each command."""
    now = MARCH + 400 * DAY
    index = warehouse.index
    index.run(
        "INSERT INTO sync.runs (run_id, command, started_at, outcome, base_url, program_version) "
        "SELECT 'r' || n, if(n = 3, 'reconcile', 'sync'), ?::TIMESTAMPTZ + to_days(n::INTEGER // 5), if(n % 2 = 1, 'done', 'failed'), "
        "'', '' FROM range(1100) t(n)",
        [to_datetime(MARCH)],
    )
    index.run(
        "INSERT INTO sync.windows (run_id, window_index, org_id, lower_bound, claimed, expected, distinct_ids, requests, verdict, noted_at) "
        "SELECT 'r' || n, 0, 'org', ?, true, 0, 0, 0, if(n = 1, 'open', 'complete'), ?::TIMESTAMPTZ + to_days(n::INTEGER) "
        "FROM range(400) t(n)",
        [to_datetime(MARCH), to_datetime(MARCH)],
    )
    note_size(index, warehouse.layout, now)
    kept = [name for (name,) in index.rows("SELECT run_id FROM sync.runs")]
    assert len(kept) == 1_001
    assert "r3" in kept
    assert index.rows("SELECT count(*), count(*) FILTER (verdict = 'open') FROM sync.windows") == [(31, 1)]


def test_what_is_kept_can_be_set(tmp_path: Path) -> None:
    """By number and by age."""
    with PublishedWarehouse(tmp_path / "w") as warehouse:
        warehouse.layout = Layout(tmp_path / "w", Keep(snapshots=1, span=DAY // 24))
        for seq in range(4):
            warehouse.merge(full("a", seq, MARCH, updated=seq))
            warehouse.publish(after=DAY // 40)
        assert len(warehouse.snapshots()) == 3
        warehouse.now += DAY
        warehouse.publish(after=0)
        assert len(warehouse.snapshots()) == 1
