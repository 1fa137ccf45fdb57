"""A walk can stop after any page, and be resumed later from its cursors."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from walks import PAGE, History, lost, pages, plain, read, source, tied

from selection import examples
from source_model import busy
from vapi_sessions.core.intervals import Window
from vapi_sessions.source.pagination import Cursor, decode_cursors, encode_cursors, walk


@pytest.mark.parametrize(
    "history",
    [plain, tied(3 * PAGE, created=True, updated=False), tied(3 * PAGE, created=True, updated=True)],
    ids=["plain", "ties in createdAt", "ties in both"],
)
def test_a_walk_can_stop_after_any_page(history: History) -> None:
    """The sessions read before the stop and after it are together those of an uninterrupted walk."""
    whole = [page.rows for page in pages(source(7, history))]
    assert len(whole) > 5
    for stop in range(1, len(whole)):
        model = source(7, history)
        first = []
        left: Sequence[Cursor] = ()
        for number, page in enumerate(pages(model), start=1):
            first += page.rows
            left = page.left
            if number == stop:
                break
        again = decode_cursors(json.loads(encode_cursors(tuple(left))))
        rest = [row for page in walk(model.fetch, again, limit=PAGE) for row in page.rows]
        ids = sorted(row.session_id for row in first + rest)
        assert ids == sorted(row.session_id for rows in whole for row in rows), stop


def test_a_walk_resumed_under_traffic_loses_nothing() -> None:
    """Sessions change between the stop and the next request, too."""
    for seed in range(60):
        model = source(seed, plain, traffic=busy(4, 1, 1), shuffle_ties=True)
        assert lost(model, read(model, abandon=0.7)) == 0, seed


def test_only_the_last_page_has_no_cursor_left() -> None:
    """`left` is empty exactly when the window is complete."""
    all_pages = list(pages(source(1, plain)))
    assert [bool(page.left) for page in all_pages] == [True] * (len(all_pages) - 1) + [False]


def test_without_cursors_there_is_no_request() -> None:
    """A window that was completed before is not read again."""
    model = source(1, plain)
    assert list(walk(model.fetch, (), limit=PAGE)) == []
    assert model.requests == 0


CURSORS = st.builds(
    Cursor,
    st.builds(Window, st.integers(0, 1 << 52), st.none() | st.integers(0, 1 << 52)),
    st.none() | st.integers(0, 1 << 52),
    st.frozensets(st.text(max_size=5), max_size=4),
)


@given(st.lists(CURSORS, max_size=4).map(tuple))
@examples(100)
def test_cursors_can_be_stored_as_json(cursors: tuple[Cursor, ...]) -> None:
    """Encoding and decoding gives the same cursors."""
    assert decode_cursors(json.loads(encode_cursors(cursors))) == cursors
