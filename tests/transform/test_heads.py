"""Summaries of versions: hashes that show which tables changed, and the growth of a conversation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sample_sessions import FEW, SESSIONS, rows, session, version
from selection import examples
from vapi_sessions.transform.flatten import flatten, merge_growth, message_count


@FEW
@given(SESSIONS)
def test_message_count_equals_the_column(body: dict[str, Any]) -> None:
    """The fast count and the flattened one agree for every session."""
    item = version(body)
    assert message_count(item.body) == rows(flatten([item]), "sessions")[0]["message_count"]


@pytest.mark.parametrize("others", [{}, {"status": 7}], ids=["strict", "lenient"])
@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("messages", [{"role": "bot"}]),
        ("costs", [{"cost": 1}]),
        ("artifact", {"structuredOutputs": {"u": 1}}),
    ],
)
def test_hashes_show_which_tables_changed(part: str, value: Any, others: dict[str, Any]) -> None:
    """Each hash depends only on the member that its tables come from, and is equal in every process."""
    before = session(name="a", messages=[], **others)
    changed = before | {"name": "b", part: value}
    (old,), (other,), (new,) = (
        flatten([version(b)]).heads for b in (before, before | {"name": "b"}, changed)
    )
    assert old == other
    names = {"messages": "messages_hash", "costs": "costs_hash", "artifact": "outputs_hash"}
    for each, name in names.items():
        assert (getattr(old, name) == getattr(new, name)) == (each != part)
    assert old.messages_hash == 5399268765281079703


PAIRS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=5)


@given(PAIRS, PAIRS, PAIRS)
@examples(100)
def test_growth_does_not_depend_on_the_order_of_arrival(a: Any, b: Any, c: Any) -> None:
    """merge_growth is commutative, associative and idempotent."""
    assert merge_growth(a, b) == merge_growth(b, a)
    assert merge_growth(merge_growth(a, b), c) == merge_growth(a, merge_growth(b, c))
    assert merge_growth(merge_growth(a, b), b) == merge_growth(a, b)


@given(PAIRS)
@examples(100)
def test_growth_ascends_in_time_and_count(pairs: Any) -> None:
    """Both time and count ascend strictly."""
    merged = merge_growth(pairs, None)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(merged))
