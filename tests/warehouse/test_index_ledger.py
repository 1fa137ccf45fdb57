"""The ledger in the index: claims, open windows, facts and runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from index_records import RUN, WINDOW
from msgspec import structs

from batches import Warehouse
from constants import EPOCH, ORG
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.timestamps import HOUR, SECOND
from vapi_sessions.warehouse.index import Changes


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse."""
    with Warehouse(tmp_path / "warehouse") as opened:
        yield opened


def test_claims_are_joined_to_intervals(warehouse: Warehouse) -> None:
    """The table has unbroken intervals, not each claim."""
    for lower, upper in ((0, 10), (20, 30), (10, 20), (40, 50), (5, 12)):
        claims = IntervalSet([(EPOCH + lower * SECOND, EPOCH + upper * SECOND)])
        warehouse.index.record(Changes(org_id=ORG, claims=claims))
    assert list(warehouse.index.ledger().completed) == [
        (EPOCH, EPOCH + 30 * SECOND),
        (EPOCH + 40 * SECOND, EPOCH + 50 * SECOND),
    ]


def test_an_unsettled_interval_stays_until_it_is_settled(warehouse: Warehouse) -> None:
    """Other changes of the ledger do not settle it."""

    def spans(*seconds: tuple[int, int]) -> IntervalSet:
        return IntervalSet((EPOCH + a * SECOND, EPOCH + b * SECOND) for a, b in seconds)

    index = warehouse.index
    index.record(Changes(org_id=ORG, unsettled=spans((5, 10))))
    index.record(Changes(org_id=ORG, unsettled=spans((20, 30))))
    index.record(Changes(org_id=ORG, state={"origin": "0"}))
    assert index.ledger().unsettled == spans((5, 10), (20, 30))
    index.record(Changes(org_id=ORG, unsettled=spans((20, 30)), settled=spans((0, 20))))
    assert index.ledger().unsettled == spans((20, 30))
    index.record(Changes(org_id=ORG, settled=spans((0, 99))))
    assert index.ledger().unsettled == IntervalSet()


def test_nothing_is_claimed_without_an_organisation(warehouse: Warehouse) -> None:
    """A run that has seen no session of its organisation claims no interval."""
    warehouse.index.record(Changes(org_id=None, claims=IntervalSet([(0, 10)])))
    assert list(warehouse.index.ledger().completed) == []


def test_open_windows_are_returned_with_their_rest(warehouse: Warehouse) -> None:
    """With the cursors of the rest and the number of sessions in it."""
    complete = structs.replace(WINDOW, window_index=1, verdict="complete")
    warehouse.index.record(Changes(org_id=ORG, windows=[WINDOW, complete]))
    (found,) = warehouse.index.open_windows()
    assert (found.run_id, found.window_index) == ("run", 0)
    assert (found.lower, found.upper) == (EPOCH, EPOCH + HOUR)
    assert found.left == [[1, 2, None, ["a"]]]
    assert found.expected == 3  # of five, two were read


def test_a_window_is_replaced_by_its_later_state(warehouse: Warehouse) -> None:
    """Each window of a run has one row."""
    warehouse.index.record(Changes(windows=[WINDOW]))
    warehouse.index.record(Changes(windows=[structs.replace(WINDOW, verdict="complete", left_to_read=None)]))
    assert warehouse.index.rows("SELECT verdict FROM sync.windows") == [("complete",)]
    assert warehouse.index.open_windows() == []


def test_windows_of_earlier_runs_are_superseded(warehouse: Warehouse) -> None:
    """Except those that go on, which are written again in the same transaction."""
    warehouse.index.record(Changes(windows=[WINDOW, structs.replace(WINDOW, window_index=1)]))
    warehouse.index.record(Changes(windows=[structs.replace(WINDOW, run_id="next")], supersede=True))
    assert warehouse.index.rows("SELECT run_id, window_index, verdict FROM sync.windows ORDER BY ALL") == [
        ("next", 0, "open"),
        ("run", 0, "superseded"),
        ("run", 1, "superseded"),
    ]


def test_facts_are_replaced(warehouse: Warehouse) -> None:
    """Each fact has one value."""
    warehouse.index.record(Changes(state={"next_seq": "5"}))
    warehouse.index.record(Changes(state={"next_seq": "9"}))
    assert warehouse.index.state()["next_seq"] == "9"
    assert warehouse.index.rows("SELECT count(*) FROM sync.state WHERE key = 'next_seq'") == [(1,)]


def test_runs_of_killed_processes_are_closed(warehouse: Warehouse) -> None:
    """A run that is still running when the next one begins was killed."""
    warehouse.index.put_run(RUN)
    warehouse.index.put_run(structs.replace(RUN, run_id="other", outcome="done"))
    warehouse.index.close_dead_runs()
    assert warehouse.index.rows("SELECT run_id, outcome FROM sync.runs ORDER BY 1") == [
        ("other", "done"),
        ("run", "killed"),
    ]


def test_a_run_is_one_row(warehouse: Warehouse) -> None:
    """Written when it begins, and replaced when it ends."""
    warehouse.index.put_run(RUN)
    warehouse.index.put_run(structs.replace(RUN, outcome="done", requests=5))
    assert warehouse.index.rows("SELECT outcome, requests FROM sync.runs") == [("done", 5)]
