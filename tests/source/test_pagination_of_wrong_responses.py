"""A walk survives wrong responses or reports them; it never ends early because of them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from walks import LATER, PAGE, WINDOW, complete_or_refused, lost, once, plain, read, source

import source_faults
from constants import EPOCH
from selection import first
from source_model import Answer, Fault, Session, SourceModel, block, busy, by_id
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import DAY, MILLISECOND
from vapi_sessions.errors import SourceInconsistentError
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.page import Page
from vapi_sessions.source.pagination import ALWAYS, PATIENCE, Cursor, walk
from vapi_sessions.transform.headers import Row

#: Faults that a walk survives or reports. It cannot detect a source that is consistently empty.
FAULTS: tuple[Fault, ...] = (
    source_faults.short_page,
    source_faults.empty_page,
    source_faults.low_total,
    source_faults.high_total,
    source_faults.repeated_row,
    source_faults.stale_page,
    source_faults.answer_to_another,
    source_faults.ignored_updated,
    source_faults.ignored_created,
    source_faults.ignored_order,
    source_faults.no_order,
)


@pytest.mark.parametrize("seeds", first([range(20), range(20, 60)]), ids=str)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_one_wrong_response_in_five_is_survived_or_reported(fault: Fault, seeds: range) -> None:
    """A walk that ends has read every session that stayed. Nearly all walks end."""
    ended = 0
    for seed in seeds:
        model = source(seed, plain, traffic=busy(), faults=[fault], fault_rate=0.2)
        ended += complete_or_refused(model, abandon=0.2)
    assert ended >= 0.9 * len(seeds)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_only_wrong_responses_are_survived_or_reported(fault: Fault) -> None:
    """A server that is always wrong stops the walk, or the walk reads everything."""
    for seed in range(20):
        model = source(seed, plain, traffic=busy(), faults=[fault])
        complete_or_refused(model)


@pytest.mark.parametrize(
    "fault",
    [
        source_faults.short_page,
        source_faults.empty_page,
        source_faults.high_total,
        source_faults.ignored_updated,
        source_faults.ignored_created,
        source_faults.ignored_order,
        source_faults.no_order,
    ],
    ids=lambda fault: fault.__name__,
)
def test_a_lasting_contradiction_stops_the_walk(fault: Fault) -> None:
    """The request is repeated a few times. Then the walk raises an error instead of ending."""
    model = source(2, plain, faults=[fault])
    with pytest.raises(
        SourceInconsistentError, match="contradicts itself between 2026-03-01T00:00:00"
    ) as caught:
        read(model)
    *before, first = [query == model.queries[-1] for query in model.queries[-2 - PATIENCE :]]
    assert first
    assert sum(before) == PATIENCE
    assert caught.value.exit_code == 4


def test_all_faults_together_are_survived_or_reported() -> None:
    """Different faults in one walk, with ties in createdAt as well."""
    harmless_with_ties = [f for f in FAULTS if f not in (source_faults.ignored_order, source_faults.no_order)]
    ended = 0
    for seed in range(60):
        model = source(
            seed,
            lambda rng: [*plain(rng), *block(rng, 25, WINDOW, created=True, updated=False)],
            traffic=busy(),
            faults=harmless_with_ties,
            fault_rate=0.15,
        )
        ended += complete_or_refused(model, abandon=0.2)
    assert ended >= 50


def test_two_empty_responses_do_not_end_a_walk() -> None:
    """At any two requests of the walk, consecutive or not."""
    for one, other in itertools.combinations(range(1, 16), 2):
        faults = [once(number, source_faults.empty_source) for number in (one, other)]
        model = source(1, plain, faults=faults)
        assert lost(model, read(model)) == 0, (one, other)


def test_missing_rows_and_two_empty_responses_do_not_end_a_walk() -> None:
    """A response without rows but with a count does not confirm the empty ones after it."""
    for number in range(1, 15):
        faults = [
            once(number, source_faults.empty_page),
            *(once(number + later, source_faults.empty_source) for later in (1, 2)),
        ]
        model = source(1, plain, faults=faults)
        assert lost(model, read(model)) == 0, number


def test_an_ignored_upper_bound_of_created_at_stops_the_walk() -> None:
    """Rows after the range are noticed."""

    def ignored_upper(model: SourceModel, query: Query, answer: Answer) -> Answer:
        lower = query.created.lower if query.created is not None else 0
        return model.answer(replace(query, created=Window(lower, None)), model.sessions)

    model = source(1, plain, faults=[ignored_upper])
    cursor = Cursor(ALWAYS, created_from=0, created_until=EPOCH - DAY // 2)
    with pytest.raises(SourceInconsistentError, match="after the requested range"):
        list(walk(model.fetch, [cursor], limit=PAGE))


def test_a_repeated_row_does_not_replace_a_missing_one() -> None:
    """The count is compared with sessions, not with rows."""
    sessions = by_id(
        Session(name, EPOCH + n * MILLISECOND, EPOCH + n * MILLISECOND) for n, name in enumerate("abc")
    )

    def twice(model: SourceModel, query: Query, answer: Answer) -> Answer:
        return replace(answer, rows=[*answer.rows[:-1], *answer.rows[-2:-1]])

    model = SourceModel(sessions, now=LATER, faults=[once(1, twice)])
    assert sorted(read(model)) == ["a", "b", "c"]


def test_an_error_names_no_session() -> None:
    """Data of sessions does not appear in messages."""
    for fault in (
        source_faults.ignored_updated,
        source_faults.ignored_created,
        source_faults.no_order,
        source_faults.short_page,
    ):
        model = source(3, plain, faults=[fault])
        with pytest.raises(SourceInconsistentError) as caught:
            read(model)
        assert not any(session_id in str(caught.value) for session_id in model.sessions)


def test_a_response_that_ignores_a_filter_is_dropped_whole() -> None:
    """Its rows inside the window are read from the next response."""
    model = source(4, plain, faults=[once(2, source_faults.ignored_updated)])
    assert set(read(model)) == model.inside(WINDOW)


def test_the_newest_version_of_a_repeated_session_is_read() -> None:
    """A response that lists a session twice counts as one session."""
    old, new = (Row("a", "org", EPOCH, EPOCH + n * MILLISECOND, b"") for n in (1, 2))
    for rows in ([old, new], [new, old]):
        page = Page(rows, total=1, limit=PAGE, requested_at=LATER, seq=1, server_time=None, size=0)
        (found,) = walk(lambda query, page=page: page, (Cursor(WINDOW),), limit=PAGE)  # type: ignore[misc]
        assert found.rows == [new]
