"""Windows that an earlier run did not finish: which are continued, and where."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import BOUND, FAR, LOOKBACK, NOW, after_a_run, begin, covered, end, history, make, stored_window

from constants import EPOCH, ORG
from selection import examples
from vapi_sessions.core.intervals import IntervalSet, Window
from vapi_sessions.core.ledger import Ledger
from vapi_sessions.core.records import OpenWindow
from vapi_sessions.core.timestamps import DAY, HOUR, MILLISECOND, MINUTE
from vapi_sessions.source.pagination import Cursor, encode_cursors, walk
from vapi_sessions.source.windows import PlannedWindow

UNREAD = after_a_run(completed=[(EPOCH, EPOCH + DAY)])


def test_an_unfinished_window_is_continued_from_its_cursors() -> None:
    """Only the rest of it is read, it claims the whole window, and no other window covers it."""
    plan, _ = make(history(), UNREAD, [stored_window(EPOCH + 2 * DAY, EPOCH + 3 * DAY)])
    (resumed,) = [p for p in plan.windows if p.resumed]
    window = Window(EPOCH + 2 * DAY, EPOCH + 3 * DAY)
    assert resumed == PlannedWindow(
        window,
        (EPOCH + 2 * DAY, EPOCH + 3 * DAY),
        7,
        (Cursor(window, EPOCH + DAY, frozenset({"tied-1", "tied-2"})),),
    )
    assert list(covered(plan.windows)) == [(EPOCH + DAY, FAR)]
    begins = [begin(p) for p in plan.windows]
    assert begins == sorted(begins)
    assert sum(end(p) - begin(p) for p in plan.windows) == FAR - EPOCH - DAY


@pytest.mark.parametrize(
    ("stored", "given_settings"),
    [
        (stored_window(EPOCH + 2 * DAY, NOW - HOUR), {}),
        (stored_window(EPOCH + 2 * DAY, NOW - HOUR - LOOKBACK + MILLISECOND), {}),
        (stored_window(EPOCH + 2 * DAY, None), {}),
        (stored_window(NOW - HOUR - MINUTE, None, claimed_until=NOW - HOUR), {}),
        (stored_window(EPOCH, EPOCH + DAY), {}),
        (stored_window(EPOCH + DAY // 2, EPOCH + 3 * DAY), {}),
        (stored_window(EPOCH + 2 * DAY, EPOCH + 3 * DAY, left=[]), {}),
        (stored_window(EPOCH + 2 * DAY, EPOCH + 3 * DAY), {"full": True}),
        (stored_window(EPOCH + 2 * DAY, EPOCH + 3 * DAY), {"since": EPOCH}),
    ],
    ids=[
        "ends at the end of the last run",
        "ends in the lookback",
        "open to the right without a claim",
        "open to the right and young",
        "already read",
        "partly read already",
        "nothing left",
        "full",
        "since",
    ],
)
def test_other_unfinished_windows_are_read_from_the_beginning(
    stored: OpenWindow, given_settings: dict[str, Any]
) -> None:
    """If changes in it may have been invisible, if it was read already, or if everything is read again."""
    plan, _ = make(history(), UNREAD, [stored], **given_settings)
    assert not any(p.resumed for p in plan.windows)
    begin = EPOCH if given_settings else EPOCH + DAY
    assert list(covered(plan.windows)) == [(begin, FAR)]


def test_a_window_up_to_the_unsettled_interval_is_continued() -> None:
    """All changes in it were visible when it was read."""
    plan, _ = make(history(), UNREAD, [stored_window(EPOCH + 2 * DAY, NOW - HOUR - LOOKBACK)])
    assert [p.window.upper for p in plan.windows if p.resumed] == [NOW - HOUR - LOOKBACK]


def test_a_resumed_window_may_be_the_whole_plan() -> None:
    """If it covers everything up to --until."""
    ledger = Ledger(ORG, EPOCH)
    stored = stored_window(EPOCH, EPOCH + 2 * DAY)
    plan, _ = make(history(), ledger, [stored], until=EPOCH + 2 * DAY, lookback=0)
    assert [(begin(p), end(p), p.resumed) for p in plan.windows] == [(EPOCH, EPOCH + 2 * DAY, True)]


def test_the_first_window_of_an_interrupted_first_run_is_continued() -> None:
    """It may be open to the left, but it is identified by the interval that it claims."""
    model = history(2000)
    plan, state = make(model, page_size=20)
    first = plan.windows[0]
    (page, *_) = walk(model.fetch, first.cursors, limit=20)
    assert first.claim is not None
    stored = OpenWindow(
        run_id="first",
        window_index=0,
        lower=first.claim[0],
        upper=first.window.upper,
        expected=first.expected - len(page.rows),
        claimed_until=first.claim[1],
        left=json.loads(encode_cursors(page.left)),
    )
    ledger = Ledger(ORG, int(state["origin"]), IntervalSet(), plan.unsettled)
    again, _ = make(model, ledger, [stored], page_size=20)
    assert again.windows[0].cursors == page.left
    assert again.windows[0].claim == first.claim
    assert covered(again.windows) == covered(plan.windows)


DAYS = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=5)


@given(DAYS, DAYS, DAYS, st.sampled_from([1, 6]))
@examples(60)
def test_a_plan_covers_what_the_ledger_requires_exactly_once(
    completed: list[tuple[int, int]],
    unsettled: list[tuple[int, int]],
    left_open: list[tuple[int, int]],
    concurrency: int,
) -> None:
    """Resumed and new windows together, with the open end."""
    ledger = Ledger(
        ORG,
        EPOCH,
        IntervalSet((EPOCH + a * DAY, EPOCH + b * DAY) for a, b in completed),
        IntervalSet((EPOCH + a * DAY, EPOCH + b * DAY) for a, b in unsettled),
    )
    stored = [stored_window(EPOCH + a * DAY, EPOCH + b * DAY) for a, b in left_open if a < b]
    plan, _ = make(history(100), ledger, stored, page_size=20, concurrency=concurrency)
    wanted = ledger.to_read(bound=BOUND, lookback=LOOKBACK) | IntervalSet([(BOUND, FAR)])
    assert covered(plan.windows) == wanted
    length = sum(end(p) - begin(p) for p in plan.windows)
    assert length == sum(upper - lower for lower, upper in wanted)
