"""Request numbers decide ties, so they always increase: across threads, batches and recoveries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batches import Warehouse, observation
from vapi_sessions.core.ledger import RequestNumbers
from vapi_sessions.operations.recovery import recover
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.index import Changes
from vapi_sessions.warehouse.layout import Layout


def test_each_number_is_taken_once_across_threads() -> None:
    """`next` is always above every number taken so far."""
    numbers = RequestNumbers(5)

    def ask(_: int) -> tuple[int, int]:
        number = numbers.take()
        return number, numbers.next

    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(ask, range(4_000)))
    assert sorted(number for number, _ in asked) == list(range(5, 4_005))
    assert all(number < following for number, following in asked)
    assert numbers.next == 4_005


def test_a_batch_recorded_late_does_not_lower_the_next_number(tmp_path: Path) -> None:
    """Batches may be recorded in another order than they were prepared in."""
    with Warehouse(tmp_path) as warehouse:
        warehouse.index.record(Changes(state={"next_seq": "60"}))
        warehouse.index.record(Changes(state={"next_seq": "40"}))
        assert warehouse.index.state()["next_seq"] == "60"


@pytest.mark.parametrize(("footers", "expected"), [((60, 40), "60"), ((40, 60), "60"), ((3, 2), "13")])
def test_after_a_recovery_the_next_number_is_above_those_of_all_files(
    tmp_path: Path, footers: tuple[int, int], expected: str
) -> None:
    """Files are recovered in the order of their first requests. The highest number may be in any of them."""
    layout = Layout(tmp_path)
    layout.create()
    for name, seq, following in (("a", 10, footers[0]), ("b", 12, footers[1])):
        raw.write(
            layout.raw, f"{name}.parquet", [observation(name, seq)], {"state": {"next_seq": str(following)}}
        )
    with Warehouse(tmp_path) as warehouse:
        recover(warehouse.index, layout, now=lambda: 0)
        assert warehouse.index.state()["next_seq"] == expected
