"""The files of parts: how many sessions they hold, and how a month is split into them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from publications import (
    JANUARY,
    MARCH,
    NAMES,
    PublishedWarehouse,
    full,
    small_parts,
)

from batches import observation
from constants import EPOCH
from selection import first
from vapi_sessions.core.timestamps import DAY, HOUR, MINUTE
from vapi_sessions.warehouse import parts


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[PublishedWarehouse]:
    """An empty warehouse."""
    with PublishedWarehouse(tmp_path / "warehouse") as opened:
        yield opened


def ranges(warehouse: PublishedWarehouse) -> list[tuple[int, int, int]]:
    """The bounds and the number of sessions of every part."""
    return [(part.lower, part.upper, part.sessions) for part in warehouse.index.parts()]


@pytest.mark.parametrize("count", first([1, 8, 9, 100], 2))
def test_a_busy_month_is_split_into_parts(
    warehouse: PublishedWarehouse, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """No file has more sessions than a part may have, and together the ranges are the month."""
    small_parts(monkeypatch, 8)
    rng = random.Random(count)
    created = rng.sample(range(EPOCH, EPOCH + 31 * DAY), count)
    warehouse.merge(*(full(f"s-{n}", 1, at) for n, at in enumerate(created)))
    warehouse.publish()
    found = ranges(warehouse)
    assert max(sessions for *_, sessions in found) <= 8
    assert sum(sessions for *_, sessions in found) == count
    assert (found[0][0], found[-1][1]) == (EPOCH, EPOCH + 31 * DAY)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(found))
    for path in warehouse.snapshot.joinpath("sessions").rglob("*.parquet"):
        assert pq.read_metadata(path).num_rows <= 8
    assert warehouse.ask("SELECT count(*), count(DISTINCT session_id) FROM sessions") == [(count, count)]
    assert warehouse.ask("SELECT count(*) FROM messages") == [(2 * count,)]


def test_a_file_has_row_groups_of_limited_size(
    warehouse: PublishedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a file is never in memory as a whole: a row group ends after some megabytes."""
    small_parts(monkeypatch, 3_000)
    text = "".join(random.Random(1).choices("0123456789abcdef", k=16_500))
    for start in range(0, 2_200, 200):
        created = [EPOCH + n * MINUTE for n in range(start, start + 200)]
        batch = [observation(f"s-{m}", 1, created=m, updated=m, artifact={"x": text}) for m in created]
        warehouse.merge(*batch)
    warehouse.publish()
    (path,) = warehouse.snapshot.joinpath("sessions").rglob("*.parquet")
    file = pq.read_metadata(path)
    assert file.num_rows == 2_200
    sizes = [file.row_group(n).total_byte_size for n in range(file.num_row_groups)]
    assert len(sizes) >= 2
    assert max(sizes) <= 2 * parts._GROUP_BYTES


def test_a_change_in_a_busy_month_writes_one_part(
    warehouse: PublishedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of all other parts are linked."""
    small_parts(monkeypatch, 8)
    created = [EPOCH + n * HOUR for n in range(100)]
    warehouse.merge(*(full(f"s-{n}", 1, at) for n, at in enumerate(created)))
    warehouse.publish()
    before = warehouse.inodes()
    warehouse.merge(full("s-50", 2, created[50], updated=MINUTE, other=True))
    warehouse.publish()
    after = warehouse.inodes()
    new = {path for path, inode in after.items() if inode not in before.values()}
    assert len(new) == len(NAMES)
    assert len(after) == len(before)
    assert len({Path(path).name for path in new}) == 1


@pytest.mark.proof
def test_a_part_that_grows_is_split_again(
    warehouse: PublishedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A month fills up over several publications."""
    small_parts(monkeypatch, 8)
    for day in range(5):
        created = [EPOCH + day * DAY + n * HOUR for n in range(5)]
        warehouse.merge(*(full(f"s-{day}-{n}", day, at) for n, at in enumerate(created)))
        warehouse.publish()
        assert max(sessions for *_, sessions in ranges(warehouse)) <= 8
        assert warehouse.ask("SELECT count(*) FROM sessions") == [(5 * (day + 1),)]


def test_sessions_of_one_instant_stay_in_one_part(
    warehouse: PublishedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They cannot be separated, so the part may be larger, and no session is lost."""
    small_parts(monkeypatch, 8)
    warehouse.merge(*(full(f"tie-{n}", 1, EPOCH + DAY) for n in range(30)))
    warehouse.merge(*(full(f"s-{n}", 1, EPOCH + n * HOUR) for n in range(48)))
    warehouse.publish()
    assert warehouse.ask("SELECT count(*), count(DISTINCT session_id) FROM sessions") == [(78, 78)]
    sizes = sorted(sessions for *_, sessions in ranges(warehouse))
    assert sizes[-1] >= 30
    assert sizes[-2] <= 8


def test_a_table_without_rows_in_a_month_has_no_file_there(warehouse: PublishedWarehouse) -> None:
    """Other months of the table have one."""
    warehouse.merge(observation("a", 1, created=JANUARY, messages=1), full("b", 1, MARCH))
    warehouse.publish()
    assert [path.parent.name for path in warehouse.snapshot.joinpath("costs").rglob("*.parquet")] == [
        "created_month=2026-03"
    ]


def test_the_empty_file_of_a_table_goes_with_its_first_row(warehouse: PublishedWarehouse) -> None:
    """An empty table has a file without rows, so that a glob finds its columns."""
    warehouse.merge(observation("a", 1, created=MARCH, messages=1))
    warehouse.publish()
    assert [path.name for path in warehouse.snapshot.joinpath("costs").rglob("*.parquet")] == [
        "empty.parquet"
    ]
    warehouse.merge(full("a", 2, MARCH, updated=HOUR))
    warehouse.publish()
    assert "empty.parquet" not in [path.name for path in warehouse.snapshot.rglob("*.parquet")]
    assert warehouse.ask("SELECT count(*) FROM costs") == [(1,)]
