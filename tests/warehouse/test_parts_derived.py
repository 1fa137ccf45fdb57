"""Published files that are not what the index says of them: derived again from raw/, or nothing is replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from test_parts import NAMES, Published, as_defined, full

from models import EPOCH
from vapi_sessions.core.timestamps import DAY, HOUR, show
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.warehouse import part_ranges


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Published]:
    """A warehouse with nothing in it."""
    with Published(tmp_path / "warehouse") as opened:
        yield opened


def without_a_row(path: Path) -> None:
    """As if a publication had forgotten one."""
    rows = pq.read_table(path)
    path.unlink()
    pq.write_table(rows.slice(1), path)


def without_a_column(path: Path) -> None:
    """As a version before wrote it."""
    rows = pq.read_table(path)
    path.unlink()
    pq.write_table(rows.drop_columns([rows.column_names[-1]]), path)


def rotten(path: Path) -> None:
    """A page that is not what was written, under an end that is."""
    data = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(0)
    at = column.data_page_offset + column.total_compressed_size - 3
    data[at] ^= 0xFF
    path.unlink()
    path.write_bytes(data)


HARMS = (without_a_row, without_a_column, rotten)


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("table", ["sessions", "messages"])
def test_a_file_that_is_not_what_the_index_says_is_derived_again(
    warehouse: Published, table: str, harm: Any
) -> None:
    """When it is to be rewritten, from raw: what it had is not believed, and nothing of it is lost."""
    warehouse.merge(*(full(f"s-{n}", 1, created=EPOCH + n) for n in range(5)))
    warehouse.publish()
    expected = warehouse.tables()
    (path,) = warehouse.files(table)
    harm(path)
    warehouse.merge(full("new", 2, created=EPOCH + DAY))
    warehouse.publish()
    found = warehouse.tables()
    assert [len(found[name]) for name in NAMES] == [6, 12, 6, 6, 6]
    for name in NAMES:
        assert [row for row in found[name] if row["session_id"] != "new"] == expected[name]
    assert list(warehouse.layout.staging.iterdir()) == []


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_where_raw_cannot_give_it_nothing_is_replaced(warehouse: Published, harm: Any) -> None:
    """Exit code 5, naming the part and the sessions; what was committed is published once raw is back."""
    warehouse.merge(*(full(f"lost-{n}", 1, created=EPOCH + n) for n in range(3)))
    (only,) = warehouse.layout.raw.iterdir()
    warehouse.merge(full("kept", 2, created=EPOCH + HOUR))
    warehouse.publish()
    (path,) = warehouse.files("sessions")
    harm(path)
    kept = only.rename(warehouse.layout.root / "elsewhere.parquet")
    warehouse.merge(full("new", 3, created=EPOCH + DAY))
    before = warehouse.everything()
    for _ in range(2):
        with pytest.raises(WarehouseDamagedError) as told:
            warehouse.publish()
        assert told.value.exit_code == 5
        assert f"from {show(EPOCH)} to {show(EPOCH + 31 * DAY)}" in told.value.fact
        assert "3 of them: lost-0, lost-1, lost-2" in told.value.fact
        assert "raw/" in told.value.remedy
        assert warehouse.everything() == before
    assert [path.name for path in warehouse.layout.parquet.glob(".*")] == []
    kept.rename(only)
    warehouse.publish()
    assert {row["session_id"] for row in warehouse.tables()["sessions"]} == {
        "lost-0", "lost-1", "lost-2", "kept", "new",
    }  # fmt: skip


def test_a_raw_file_that_is_damaged_gives_what_can_be_read(warehouse: Published) -> None:
    """And the sessions that it cannot give are named."""
    warehouse.merge(full("a", 1))
    warehouse.merge(full("b", 2))
    first, _ = sorted(warehouse.layout.raw.iterdir())
    warehouse.publish()
    first.write_bytes(b"PAR1, once")
    for path in warehouse.files("messages"):
        path.unlink()
    with pytest.raises(WarehouseDamagedError, match="1 of them: a"):
        warehouse.publish()


def test_rows_without_a_raw_file_stay_as_they_are_published(warehouse: Published) -> None:
    """Those that were taken over from an earlier form: copied as long as they are there, and missed when they are not."""
    warehouse.merge(full("taken", 1))
    warehouse.merge(full("other", 2))
    warehouse.publish()
    warehouse.index.run("UPDATE sync.batches SET file = '' WHERE batch = 1")
    before = [row for row in warehouse.tables()["messages"] if row["session_id"] == "taken"]
    warehouse.merge(full("other", 3, updated=EPOCH + HOUR, messages=1))
    warehouse.publish()
    assert [row for row in warehouse.tables()["messages"] if row["session_id"] == "taken"] == before
    for path in warehouse.files("costs"):
        path.unlink()
    with pytest.raises(WarehouseDamagedError, match="1 of them: taken"):
        warehouse.publish()


def test_a_part_with_too_many_lost_sessions_names_some(warehouse: Published) -> None:
    """And says how many more there are."""
    warehouse.merge(*(full(f"s-{n:02d}", 1) for n in range(30)))
    warehouse.publish()
    for path in (*warehouse.layout.raw.iterdir(), *warehouse.files("costs")):
        path.unlink()
    with pytest.raises(WarehouseDamagedError, match=r"30 of them: s-00, .* s-19, and 10 more"):
        warehouse.publish()


def test_unstaged_batches_are_derived_for_their_parts_only(
    warehouse: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run that was killed: what they hold is spread over parts, and each part is made of its own."""
    monkeypatch.setattr(part_ranges, "SESSIONS_A_PART", 4)
    monkeypatch.setattr(part_ranges, "SESSIONS_A_NEW_PART", 4)
    batch = [full(f"s-{n:02d}", 1, created=EPOCH + n * DAY) for n in range(12)]
    warehouse.merge(*batch)
    warehouse.staging.drop([1])
    warehouse.publish()
    assert warehouse.tables() == as_defined(batch)
    assert len(warehouse.files("sessions")) >= 3
    assert list(warehouse.layout.staging.iterdir()) == []


def test_what_was_derived_goes_when_it_cannot_be_used(warehouse: Published) -> None:
    """A run that goes on after that has no more on its disk than before."""
    warehouse.merge(full("a", 1))
    warehouse.publish()
    for path in (*warehouse.layout.raw.iterdir(), *warehouse.files("costs")):
        path.unlink()
    warehouse.merge(full("b", 2))
    before = {path.name for path in warehouse.layout.staging.iterdir()}
    with contextlib.suppress(WarehouseDamagedError):
        warehouse.publish()
    assert {path.name for path in warehouse.layout.staging.iterdir()} == before
