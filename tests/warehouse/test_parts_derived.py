"""Published files that do not match the index: their rows are derived again from raw/, or nothing is replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from publications import NAMES, PublishedWarehouse, full, small_parts
from published_rows import expected_tables

from constants import EPOCH
from selection import first
from vapi_sessions.core.timestamps import DAY, HOUR, show
from vapi_sessions.errors import WarehouseDamagedError


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[PublishedWarehouse]:
    """An empty warehouse."""
    with PublishedWarehouse(tmp_path / "warehouse") as opened:
        yield opened


def without_a_row(path: Path) -> None:
    """Remove a row, as if a publication had forgotten it."""
    rows = pq.read_table(path)
    path.unlink()
    pq.write_table(rows.slice(1), path)


def without_a_column(path: Path) -> None:
    """Remove a column, as if an earlier version had written the file."""
    rows = pq.read_table(path)
    path.unlink()
    pq.write_table(rows.drop_columns([rows.column_names[-1]]), path)


def with_a_damaged_page(path: Path) -> None:
    """Change a byte in a page; the footer stays right."""
    data = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(0)
    at = column.data_page_offset + column.total_compressed_size - 3
    data[at] ^= 0xFF
    path.unlink()
    path.write_bytes(data)


HARMS = (without_a_row, without_a_column, with_a_damaged_page)


@pytest.mark.parametrize("harm", first(HARMS), ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("table", first(["messages", "sessions"]))
def test_a_file_that_does_not_match_the_index_is_derived_again(
    warehouse: PublishedWarehouse, table: str, harm: Any
) -> None:
    """When it has to be rewritten, its rows come from raw/, and none is lost."""
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


@pytest.mark.parametrize("harm", first(HARMS), ids=lambda harm: harm.__name__)
def test_nothing_is_replaced_if_raw_does_not_have_the_rows(warehouse: PublishedWarehouse, harm: Any) -> None:
    """The error has exit code 5 and names the part and the sessions. All is published when raw/ is back."""
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
        with pytest.raises(WarehouseDamagedError) as caught:
            warehouse.publish()
        assert caught.value.exit_code == 5
        assert f"from {show(EPOCH)} to {show(EPOCH + 31 * DAY)}" in caught.value.fact
        assert "3 of them: lost-0, lost-1, lost-2" in caught.value.fact
        assert "raw/" in caught.value.remedy
        assert warehouse.everything() == before
    assert [path.name for path in warehouse.layout.parquet.glob(".*")] == []
    kept.rename(only)
    warehouse.publish()
    assert {row["session_id"] for row in warehouse.tables()["sessions"]} == {
        "lost-0", "lost-1", "lost-2", "kept", "new",
    }  # fmt: skip


def test_sessions_of_a_damaged_raw_file_are_named(warehouse: PublishedWarehouse) -> None:
    """Other sessions can still be derived."""
    warehouse.merge(full("a", 1))
    warehouse.merge(full("b", 2))
    first, _ = sorted(warehouse.layout.raw.iterdir())
    warehouse.publish()
    first.write_bytes(b"PAR1, once")
    for path in warehouse.files("messages"):
        path.unlink()
    with pytest.raises(WarehouseDamagedError, match="1 of them: a"):
        warehouse.publish()


def test_rows_without_a_raw_file_are_copied_from_the_old_file(warehouse: PublishedWarehouse) -> None:
    """Rows that were taken over from version 0.1.0 have none. If the old file is gone, that is an error."""
    warehouse.merge(full("taken", 1))
    warehouse.merge(full("other", 2))
    warehouse.publish()
    warehouse.index.run("UPDATE sync.batches SET file = '' WHERE batch = 1")
    before = [row for row in warehouse.tables()["messages"] if row["session_id"] == "taken"]
    warehouse.merge(full("other", 3, updated=HOUR, messages=1))
    warehouse.publish()
    assert [row for row in warehouse.tables()["messages"] if row["session_id"] == "taken"] == before
    for path in warehouse.files("costs"):
        path.unlink()
    with pytest.raises(WarehouseDamagedError, match="1 of them: taken"):
        warehouse.publish()


def test_an_error_names_at_most_20_lost_sessions(warehouse: PublishedWarehouse) -> None:
    """It says how many more there are."""
    warehouse.merge(*(full(f"s-{n:02d}", 1) for n in range(30)))
    warehouse.publish()
    for path in (*warehouse.layout.raw.iterdir(), *warehouse.files("costs")):
        path.unlink()
    with pytest.raises(WarehouseDamagedError, match=r"30 of them: s-00, .* s-19, and 10 more"):
        warehouse.publish()


def test_batches_of_a_killed_run_are_derived_part_by_part(
    warehouse: PublishedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part gets only its own rows of such a batch."""
    small_parts(monkeypatch, 4)
    batch = [full(f"s-{n:02d}", 1, created=EPOCH + n * DAY) for n in range(12)]
    warehouse.merge(*batch)
    warehouse.staging.drop([1])
    warehouse.publish()
    assert warehouse.tables() == expected_tables(batch)
    assert len(warehouse.files("sessions")) >= 3
    assert list(warehouse.layout.staging.iterdir()) == []


def test_derived_rows_are_removed_after_an_error(warehouse: PublishedWarehouse) -> None:
    """A run that goes on has no more on the disk than before."""
    warehouse.merge(full("a", 1))
    warehouse.publish()
    for path in (*warehouse.layout.raw.iterdir(), *warehouse.files("costs")):
        path.unlink()
    warehouse.merge(full("b", 2))
    before = {path.name for path in warehouse.layout.staging.iterdir()}
    with contextlib.suppress(WarehouseDamagedError):
        warehouse.publish()
    assert {path.name for path in warehouse.layout.staging.iterdir()} == before
