"""Sessions, ledger and state of the index change together, in one transaction, or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from index_records import PROGRESS, WINDOW
from msgspec import structs

from batches import Warehouse, observation
from constants import EPOCH, ORG
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.records import Batch
from vapi_sessions.core.timestamps import DAY, HOUR, MINUTE
from vapi_sessions.errors import VapiSessionsError
from vapi_sessions.operations.window_buffer import sightings
from vapi_sessions.schema import TABLE_NAMES
from vapi_sessions.transform.resolve import (
    Resolution,
    Unreadable,
    resolve,
)
from vapi_sessions.warehouse.index import Changes


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse."""
    with Warehouse(tmp_path / "warehouse") as opened:
        yield opened


def test_a_merge_writes_sessions_and_ledger_together(warehouse: Warehouse) -> None:
    """The session, the claim, the window, the batch, the state, and that the batch is not published."""
    warehouse.merge(observation("a", 1), changes=PROGRESS)
    assert warehouse.index.count() == 1
    ledger = warehouse.index.ledger()
    assert (ledger.org_id, ledger.origin) == (ORG, EPOCH)
    assert list(ledger.unsettled) == [(EPOCH + MINUTE, EPOCH + HOUR)]
    assert list(ledger.completed) == [(EPOCH, EPOCH + HOUR)]
    assert warehouse.index.merged_files() == {"000000000001-1.parquet"}
    assert warehouse.index.unpublished() == {1: "000000000001-1.parquet"}
    assert len(warehouse.index.open_windows()) == 1
    (part,) = warehouse.index.parts()
    assert part.dirty == TABLE_NAMES


Break = Callable[[Resolution, dict[str, Any]], None]


def _break_session(resolution: Resolution, changes: dict[str, Any]) -> None:
    known = resolution.held["c"]
    resolution.held["c"] = replace(known, head=replace(known.head, message_count=None))


def _break_unreadable_session(resolution: Resolution, changes: dict[str, Any]) -> None:
    resolution.unreadable["odd"] = Unreadable(
        "odd",
        True,
        ORG,
        None,
        None,
        EPOCH,
        1,
        "run",
        b"",
        "hash",
        problem=None,  # type: ignore[arg-type]
    )


def _break_window(resolution: Resolution, changes: dict[str, Any]) -> None:
    changes["windows"] = [structs.replace(WINDOW, verdict=None)]


def _break_batch(resolution: Resolution, changes: dict[str, Any]) -> None:
    changes["batch"] = replace(changes["batch"], file=None)


def _break_state(resolution: Resolution, changes: dict[str, Any]) -> None:
    changes["state"] = {"fine": "fine", "broken": None}


@pytest.mark.parametrize(
    "break_it",
    [_break_session, _break_unreadable_session, _break_window, _break_batch, _break_state],
    ids=lambda function: function.__name__.strip("_"),
)
def test_a_merge_that_fails_anywhere_changes_nothing(warehouse: Warehouse, break_it: Break) -> None:
    """From the first DELETE to the last fact: the index stays as it was, and the next merge works."""
    warehouse.merge(observation("a", 1), observation("b", 1), changes=PROGRESS)
    warehouse.merge(observation("b", 2, kind="deleted"))
    before = warehouse.contents()
    batch = [
        observation("a", 3, updated=EPOCH + MINUTE, messages=1),
        observation("c", 3, created=EPOCH - 40 * DAY),
        observation("b", 4, kind="aged_out"),
    ]
    known = warehouse.index.known({o.session_id: o.created_at for o in batch})
    resolution = resolve(sightings(batch, {}), known, batch=3)
    whole = resolve(sightings(batch, {}), known, batch=3)
    changes = {
        "org_id": ORG,
        "claims": IntervalSet([(EPOCH + HOUR, EPOCH + DAY)]),
        "windows": [structs.replace(WINDOW, verdict="complete")],
        "batch": Batch(3, "third", "run", 3, EPOCH),
        "settled": IntervalSet([(EPOCH, EPOCH + 2 * MINUTE)]),
        "state": {"origin": "7"},
        "supersede": True,
    }
    whole_changes = Changes(**changes)  # type: ignore[arg-type]  # of several kinds
    break_it(resolution, changes)
    with pytest.raises((duckdb.Error, VapiSessionsError)):
        warehouse.index.merge(resolution, known, Changes(**changes))  # type: ignore[arg-type]
    assert warehouse.contents() == before
    assert warehouse.index.next_batch() == 3
    warehouse.index.merge(whole, known, whole_changes)
    assert warehouse.contents() != before
    assert warehouse.index.count() == 3


def test_a_committed_merge_survives_a_kill(tmp_path: Path) -> None:
    """There was no checkpoint before the process ended."""
    root = tmp_path / "warehouse"
    code = (
        "import os, sys; from pathlib import Path; from batches import Warehouse, observation\n"
        "w = Warehouse(Path(sys.argv[1])); w.merge(observation('a', 1, messages=2)); os._exit(9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(root)], check=False, cwd=Path(__file__).parents[1]
    )
    assert ended.returncode == 9
    with Warehouse(root) as warehouse:
        assert warehouse.index.rows("SELECT session_id, message_count FROM sessions") == [("a", 2)]
