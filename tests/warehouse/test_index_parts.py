"""Parts and batches in the index: what is not published yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batches import Warehouse, observation
from constants import EPOCH
from vapi_sessions.core.records import Part
from vapi_sessions.core.timestamps import DAY, HOUR, to_datetime
from vapi_sessions.schema import TABLE_NAMES
from vapi_sessions.transform.resolve import (
    Observation,
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse."""
    with Warehouse(tmp_path / "warehouse") as opened:
        yield opened


def parts(warehouse: Warehouse) -> list[tuple[str, frozenset[str]]]:
    """The ranges, and the tables that are dirty."""
    return [
        (f"{to_datetime(part.lower):%Y-%m-%d} {to_datetime(part.upper):%Y-%m-%d}", part.dirty)
        for part in warehouse.index.parts()
    ]


def test_a_change_makes_only_its_tables_of_its_month_dirty(warehouse: Warehouse) -> None:
    """Months are in UTC. A tombstone and a later growth make fewer tables dirty than a new version."""
    january, march = EPOCH - 40 * DAY, EPOCH
    edge = EPOCH - 1  # the last microsecond of February
    warehouse.merge(
        observation("jan", 1, created=january, updated=january + HOUR, messages=2),
        observation("feb", 1, created=edge),
        observation("mar", 1, created=march),
    )
    ranges = ["2026-01-01 2026-02-01", "2026-02-01 2026-03-01", "2026-03-01 2026-04-01"]
    assert parts(warehouse) == [(name, TABLE_NAMES) for name in ranges]
    changes: list[tuple[Observation, int, set[str]]] = [
        (observation("feb", 2, created=edge, kind="deleted"), 1, {"sessions"}),
        (observation("mar", 3, created=march, updated=march + 1), 2, {"sessions"}),
        (
            observation("jan", 0, created=january, updated=january + 1, messages=1),
            0,
            {"sessions", "messages"},
        ),
    ]
    for one, touched, tables in changes:
        warehouse.index.run("UPDATE sync.parts SET dirty = false")
        warehouse.merge(one)
        assert parts(warehouse) == [
            (name, tables if n == touched else set()) for n, name in enumerate(ranges)
        ]


def test_a_recorded_publication_replaces_parts_and_publishes_batches(warehouse: Warehouse) -> None:
    """One transaction with the facts. Later batches stay unpublished, and other parts unchanged."""
    warehouse.merge(observation("feb", 1, created=EPOCH - 1), observation("mar", 1))
    warehouse.merge(observation("mar", 2, messages=1))
    february, march = warehouse.index.parts()
    middle = EPOCH + 10 * DAY
    new = [Part(EPOCH, middle, 1, {"sessions": "f"}), Part(middle, march.upper, 0, {})]
    warehouse.index.record_publication(new, [march], [1], {"snapshot": "s"})
    assert warehouse.index.parts() == [february, *new]
    assert list(warehouse.index.unpublished()) == [2]
    assert warehouse.index.state()["snapshot"] == "s"


def test_batches_are_numbered_without_a_gap(tmp_path: Path) -> None:
    """From run to run; a number belongs to one file for ever."""
    for run in range(3):
        with Warehouse(tmp_path / "w") as warehouse:
            assert warehouse.index.next_batch() == 1 + 2 * run
            warehouse.merge(observation("a", 2 * run, updated=EPOCH + run))
            warehouse.merge(observation("b", 2 * run + 1, updated=EPOCH + run))
    with Warehouse(tmp_path / "w") as warehouse:
        found = warehouse.index.rows("SELECT batch, file FROM sync.batches ORDER BY 1")
    assert found == [(n, f"{n - 1:012d}-{n}.parquet") for n in range(1, 7)]
