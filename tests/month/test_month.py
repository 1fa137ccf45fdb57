"""A short month: what must stay flat over weeks, over a few days with few runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from .life import Rhythm, lived
from .table import HEADINGS, line


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_a_warehouse_stays_small(tmp_path: Path) -> None:
    """Ten days of hourly runs by day: raw files, snapshots and disk do not grow with the number of runs."""
    days = list(
        lived(tmp_path / "warehouse", Rhythm(minutes=60, changes=6, sessions=60, hours=range(3, 18)), 10)
    )
    table = "\n".join([HEADINGS, *map(line, days)])
    assert days[-1].runs == 150
    assert all(day.space.raw_files <= 35 for day in days), table
    assert all(day.batches == day.space.raw_files for day in days), table
    assert all(day.most_snapshots <= 15 for day in days), table
    assert days[-1].space.index_bytes <= 1.5 * days[0].space.index_bytes, table
    assert days[-1].most_bytes <= 4 * days[-1].space.data_bytes, table
