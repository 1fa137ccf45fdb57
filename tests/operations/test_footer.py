"""Footers of raw files that are joined when the files are merged."""

from __future__ import annotations

from typing import Any

import pytest

from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.records import Batch
from vapi_sessions.operations.footer import decode_progress, encode_progress, join_progress
from vapi_sessions.warehouse.index import Changes

SPAN = (10, 20)


def footer(*, settled: bool = False, unsettled: bool = False, seq: int = 1) -> dict[str, Any]:
    """One that claims `SPAN`."""
    span, none = IntervalSet([SPAN]), IntervalSet()
    changes = Changes(
        "org",
        claims=span,
        settled=span if settled else none,
        unsettled=span if unsettled else none,
        state={"next_seq": str(seq)},
    )
    return encode_progress(changes)


@pytest.mark.parametrize(
    ("footers", "is_settled"),
    [
        ([footer(settled=True), footer(unsettled=True)], False),
        ([footer(unsettled=True), footer(settled=True)], True),
        ([footer(unsettled=True), footer()], False),
    ],
    ids=["unsettled again", "settled later", "unsettled still"],
)
def test_the_later_footer_decides_what_is_settled(footers: list[dict[str, Any]], is_settled: bool) -> None:
    """A span that became unsettled must be read a second time, also after a rebuild from the merged file."""
    joined = decode_progress(join_progress(footers, ()), Batch(1, "f", "r", 1, 0))
    assert joined.claims == IntervalSet([SPAN])
    assert (SPAN in list(joined.settled), SPAN in list(joined.unsettled)) == (is_settled, not is_settled)


def test_the_highest_request_number_stays() -> None:
    """In whatever order the footers come."""
    joined = join_progress([footer(seq=9), footer(seq=4)], ())
    assert joined["state"]["next_seq"] == "9"
