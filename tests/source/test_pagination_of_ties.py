"""Sessions that share a millisecond in one timestamp or in both, more than fit on a page."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from walks import LATER, PAGE, WINDOW, complete_or_refused, lost, read, source, tied

import source_faults
from constants import EPOCH
from source_model import Answer, Fault, Session, SourceModel, block, busy, by_id, spread
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import HOUR, MILLISECOND
from vapi_sessions.errors import SourceInconsistentError
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.pagination import COLLECTIONS, IDS_A_REQUEST


@pytest.mark.parametrize("shuffled", [False, True], ids=["stable order", "unstable order"])
@pytest.mark.parametrize("size", [1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE])
@pytest.mark.parametrize(
    ("created", "updated"),
    [(True, False), (False, True), (True, True)],
    ids=["createdAt", "updatedAt", "both"],
)
def test_blocks_of_ties_are_read_whole(created: bool, updated: bool, size: int, shuffled: bool) -> None:
    """Fewer and more sessions than fit on a page, under traffic."""
    for seed in range(12):
        model = source(
            seed, tied(size, created=created, updated=updated), traffic=busy(1, 1, 1), shuffle_ties=shuffled
        )
        assert lost(model, read(model, abandon=0.3)) == 0, seed


@pytest.mark.parametrize("size", [2, PAGE + 1, 3 * PAGE])
def test_a_window_of_only_ties_is_read_whole(size: int) -> None:
    """All sessions share both timestamps."""
    for seed in range(10):
        model = source(
            seed, lambda rng: block(rng, size, WINDOW, created=True, updated=True), traffic=busy(1, 0, 1)
        )
        assert lost(model, read(model)) == 0, seed


def test_a_request_names_a_limited_number_of_ties() -> None:
    """The proof counts the ids in chunks that fit into a URL."""
    size = 2 * IDS_A_REQUEST + 5
    model = source(3, lambda rng: block(rng, size, WINDOW, created=True, updated=True))
    assert sorted(read(model, limit=50)) == sorted(model.sessions)
    named = [query.ids for query in model.queries if query.ids]
    assert max(map(len, named)) <= IDS_A_REQUEST
    assert {session_id for ids in named for session_id in ids} == set(model.sessions)


def test_one_full_page_of_ties_ends_the_walk() -> None:
    """The cursor cannot move, and nothing is left."""
    model = source(1, lambda rng: block(rng, PAGE, WINDOW, created=True, updated=True))
    assert sorted(read(model)) == sorted(model.sessions)
    assert model.requests <= 20  # seven of them confirm empty responses


def test_page_numbers_are_used_only_for_ties_in_both_timestamps() -> None:
    """All other requests are for first pages."""
    model = source(5, tied(3 * PAGE, created=True, updated=False), traffic=busy())
    read(model)
    assert {query.page for query in model.queries} == {1}


def test_ties_in_an_open_window_are_read_whole() -> None:
    """After a cut on updatedAt, the upper part is still open to the right."""
    for seed in range(10):
        for updated in (False, True):
            model = source(seed, tied(3 * PAGE, created=True, updated=updated), traffic=busy(1, 1, 1))
            ids = read(model, Window(WINDOW.lower, None))
            assert lost(model, ids, Window(WINDOW.lower, LATER)) == 0, seed


@pytest.mark.parametrize(
    "fault", [source_faults.ignored_order, source_faults.no_order], ids=lambda fault: fault.__name__
)
def test_an_ignored_order_is_noticed_even_if_a_whole_page_is_tied(fault: Fault) -> None:
    """The newest page, all of one millisecond, does not show that it is not the first; rows before it must not be lost."""
    for seed in range(10):
        rng = random.Random(seed)
        imported = [Session(f"import-{n:03d}", EPOCH + n % 1000, EPOCH + n * MILLISECOND) for n in range(30)]
        model = SourceModel(by_id(spread(rng, 40, WINDOW), imported), now=LATER, rng=rng, faults=[fault])
        complete_or_refused(model)


@pytest.mark.parametrize("cap", [0, 2 * PAGE], ids=["always 0", "at most two pages"])
def test_a_capped_count_does_not_prove_a_block_of_ties(cap: int) -> None:
    """Counts are the only proof of a block, so a count below the number of rows is a contradiction."""

    def capped(model: SourceModel, query: Query, answer: Answer) -> Answer:
        return replace(answer, total=min(answer.total, cap))

    for seed in range(10):
        model = source(seed, tied(3 * PAGE, created=True, updated=True), faults=[capped])
        complete_or_refused(model)


def test_an_ignored_filter_on_ids_does_not_prove_a_block_of_ties() -> None:
    """Otherwise sessions that left the block could be counted instead of unread ones."""

    def ignored_ids(model: SourceModel, query: Query, answer: Answer) -> Answer:
        return model.answer(replace(query, ids=()), model.sessions)

    for seed in range(60):
        model = source(
            seed, tied(25, created=True, updated=True), traffic=busy(1, 1, 1), faults=[ignored_ids]
        )
        complete_or_refused(model)


def test_a_block_that_page_numbers_do_not_reach_is_an_error() -> None:
    """The error shows the count and the number of attempts."""

    def ignored_page(model: SourceModel, query: Query, answer: Answer) -> Answer:
        return model.answer(replace(query, page=1), model.sessions)

    model = source(
        1, lambda rng: block(rng, 5 * PAGE, WINDOW, created=True, updated=True), faults=[ignored_page]
    )
    with pytest.raises(SourceInconsistentError, match=f"counts 50, but {COLLECTIONS} attempts found 20"):
        read(model)


def test_an_ignored_filter_is_noticed_while_a_block_is_collected() -> None:
    """Rows from outside of the block are an error."""

    def ignored_upper(model: SourceModel, query: Query, answer: Answer) -> Answer:
        if query.created is None or query.created.upper is None:
            return answer
        return model.answer(replace(query, created=Window(query.created.lower, None)), model.sessions)

    late = Session("late", EPOCH + HOUR // 2 - 1, EPOCH + HOUR // 2)
    model = source(1, tied(3 * PAGE, created=True, updated=True), faults=[ignored_upper])
    model.sessions["late"] = late
    with pytest.raises(SourceInconsistentError, match="ignores a filter"):
        read(model)


def test_a_block_larger_than_a_silent_page_cap_is_an_error() -> None:
    """Nothing shows that a page is full, so the walk cannot be sure."""
    for seed in range(10):
        model = source(seed, tied(12, created=True, updated=True), page_cap=4, cap_said=False)
        with pytest.raises(SourceInconsistentError):
            read(model)
