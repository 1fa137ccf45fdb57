"""The rows of a published part: unchanged rows from the old file, new ones from staging, and the columns that the index knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from publications import NAMES, PublishedWarehouse, full, full_disk
from published_rows import expected_tables

from batches import observation
from constants import EPOCH
from sample_observations import EDGES, OBSERVATIONS, cut
from selection import examples, first
from vapi_sessions.core.timestamps import DAY, HOUR, MINUTE
from vapi_sessions.errors import WarehouseError
from vapi_sessions.transform.resolve import Observation
from vapi_sessions.warehouse import parts as parts_module
from vapi_sessions.warehouse import snapshots


def inodes_by_table(warehouse: PublishedWarehouse) -> dict[str, set[int]]:
    """The inodes of each table's files."""
    return {name: {path.stat().st_ino for path in warehouse.files(name)} for name in NAMES}


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[PublishedWarehouse]:
    """An empty warehouse."""
    with PublishedWarehouse(tmp_path / "warehouse") as opened:
        yield opened


def check_published(root: Path, batches: Sequence[Sequence[Observation]], every: int) -> None:
    """Merge and publish the batches, and compare with the expected rows, also after a publication from raw/ only."""
    expected = expected_tables([one for batch in batches for one in batch])
    with PublishedWarehouse(root) as warehouse:
        for number, batch in enumerate(batches):
            warehouse.merge(*batch)
            if number % every == 0:
                warehouse.publish()
        warehouse.publish()
        assert warehouse.tables() == expected
        warehouse.publish(force=True)
        assert warehouse.tables() == expected


@pytest.mark.proof
@given(OBSERVATIONS, EDGES, st.integers(1, 3))
@examples(60)
def test_published_rows_are_those_that_were_observed(
    tmp_path_factory: pytest.TempPathFactory, observations: list[Observation], edges: list[int], every: int
) -> None:
    """The result does not depend on how observations are cut into batches, or on when they are published."""
    check_published(tmp_path_factory.mktemp("w") / "w", cut(observations, edges), every)


def test_a_history_in_batches_is_published_correctly(tmp_path: Path) -> None:
    """Versions in any order, children that come and go, tombstones that stand or are removed, two months."""
    batches = [
        [full("a", 1), full("b", 1, created=EPOCH - DAY), full("c", 1)],
        [full("a", 2, updated=HOUR, messages=5), full("b", 2, created=EPOCH - DAY, costs=[])],
        [full("c", 3, kind="deleted"), full("a", 4, updated=MINUTE, messages=3)],
        [full("b", 5, created=EPOCH - DAY, kind="aged_out"), full("d", 5, artifact={})],
        [full("c", 6, updated=1, messages=0), full("d", 7, messages=4)],
    ]
    check_published(tmp_path / "w", batches, 2)


def test_unchanged_rows_stay_when_a_part_is_written_again(warehouse: PublishedWarehouse) -> None:
    """They are in no staged file, and come from the old one."""
    warehouse.merge(*(full(f"s-{n}", 1, created=EPOCH + n) for n in range(10)))
    warehouse.publish()
    before = warehouse.tables()
    warehouse.merge(full("s-4", 2, created=EPOCH + 4, updated=HOUR, messages=3, costs=[], artifact={}))
    warehouse.publish()
    after = warehouse.tables()
    for name in NAMES:
        kept = [row for row in after[name] if row["session_id"] != "s-4"]
        assert kept == [row for row in before[name] if row["session_id"] != "s-4"]
    assert [len(after[name]) for name in NAMES] == [10, 18 + 3, 9, 9, 9]


@pytest.mark.parametrize("published", [True, False], ids=["published", "staged"])
def test_a_staged_version_that_lost_is_not_published(warehouse: PublishedWarehouse, published: bool) -> None:
    """The winner may be in the old file, or staged too."""
    winner = full("a", 5, updated=HOUR, name="new")
    warehouse.merge(winner)
    if published:
        warehouse.publish()
    warehouse.merge(full("a", 6, updated=MINUTE, name="old", messages=4, costs=[]), full("b", 6))
    warehouse.publish()
    found = warehouse.tables()
    assert [row["name"] for row in found["sessions"]] == ["new", None]
    assert [len(found[name]) for name in NAMES] == [2, 4, 2, 2, 2]
    assert warehouse.index.unpublished() == {}


def test_staged_rows_that_are_published_already_are_not_added_again(
    warehouse: PublishedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose views could not be written publishes again when it ends, and still has the rows staged."""
    warehouse.merge(full("a", 1))
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "publish_views", full_disk)
        with pytest.raises(WarehouseError):
            warehouse.publish()
    assert (warehouse.index.unpublished(), warehouse.staging.batches.keys()) == ({}, {1})
    warehouse.merge(full("b", 2))
    warehouse.publish()
    assert [len(rows) for rows in warehouse.tables().values()] == [2, 4, 2, 2, 2]


@pytest.mark.parametrize(
    ("change", "tables"),
    [
        (full("a", 2, costs=[{"type": "session", "cost": 0.75}]), {"sessions", "costs"}),
        (full("a", 2, kind="deleted"), {"sessions"}),
        (full("a", 2, updated=HOUR, status="completed"), {"sessions"}),
        (full("a", 2, updated=-HOUR), {"messages"}),
        (full("a", 2, updated=-HOUR, messages=1), {"messages"}),
        (full("a", 2, artifact={}), {"sessions", "structured_outputs"}),
        (full("a", 2, messages=1), {"sessions", "messages", "tool_calls"}),
        (full("a", 1), set()),
    ],
    ids=[
        "costs",
        "tombstone",
        "status",
        "growth",
        "growth of an older one",
        "outputs",
        "messages",
        "nothing",
    ],
)
def test_a_table_that_did_not_change_is_linked(
    warehouse: PublishedWarehouse, change: Observation, tables: set[str]
) -> None:
    """New costs rewrite no messages, a tombstone rewrites only sessions, growth alone only messages."""
    warehouse.merge(full("a", 1), full("b", 1))
    warehouse.publish()
    inodes = inodes_by_table(warehouse)
    snapshot = warehouse.snapshot
    warehouse.merge(change)
    assert warehouse.publish() is bool(tables)
    after = inodes_by_table(warehouse)
    assert {name for name in NAMES if after[name] != inodes[name]} == tables
    assert (warehouse.snapshot != snapshot) is bool(tables)
    assert warehouse.index.unpublished() == {}
    published = warehouse.tables()
    warehouse.publish(force=True)
    assert warehouse.tables() == published


def test_a_table_that_loses_its_last_row_loses_its_file(warehouse: PublishedWarehouse) -> None:
    """It gets the empty file that has only columns."""
    warehouse.merge(full("a", 1))
    warehouse.publish()
    warehouse.merge(full("a", 2, costs=[]))
    warehouse.publish()
    assert [path.name for path in warehouse.files("costs")] == ["empty.parquet"]
    assert warehouse.index.parts()[0].files.keys() == {*NAMES} - {"costs"}


@pytest.mark.parametrize("at_once", first([2, 1_000, 1, 3, 5], 1))
def test_first_seen_is_right_if_a_session_is_split_over_row_groups(
    warehouse: PublishedWarehouse, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Its rows may be read in several batches, together with those of other sessions."""
    monkeypatch.setattr(parts_module, "_ROWS_AT_ONCE", at_once)
    monkeypatch.setattr(parts_module, "_GROUP_BYTES", 1)
    seen: dict[str, list[tuple[int, int]]] = {
        "once": [(0, 7)],
        "grew": [(0, 2), (MINUTE, 5), (HOUR, 11)],
        "shrank": [(0, 6), (HOUR, 4)],
        "back": [(HOUR, 9), (MINUTE, 3), (2 * MINUTE, 3), (2 * HOUR, 9)],
    }
    requests = iter(range(1, 100))
    for number in range(4):
        batch = [
            observation(name, next(requests), updated=EPOCH + states[number][0], messages=states[number][1])
            for name, states in seen.items()
            if number < len(states)
        ]
        warehouse.merge(*batch)
        warehouse.publish()
    if at_once < 10:
        assert all(pq.read_metadata(path).num_row_groups > 1 for path in warehouse.files("messages"))
    found: dict[str, list[int]] = {}
    for row in warehouse.tables()["messages"]:
        found.setdefault(row["session_id"], []).append(round(row["first_seen_at"].timestamp() * 1e6) - EPOCH)
    assert found == {
        name: [min(at for at, count in states if count > place) for place in range(max(states)[1])]
        for name, states in seen.items()
    }
