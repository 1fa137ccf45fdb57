"""The walk through one window, in a source that changes between any two requests and does not always tell the truth."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import models
from models import EPOCH, Answer, Fault, Session, SourceModel, block, busy, by_id, spread
from selection import examples, first
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import DAY, HOUR, MILLISECOND
from vapi_sessions.errors import SourceInconsistentError, SourceUnavailableError
from vapi_sessions.source.client import Page, Query, Row
from vapi_sessions.source.pagination import (
    ALWAYS,
    COLLECTIONS,
    IDS_A_REQUEST,
    PATIENCE,
    WITNESSES,
    Cursor,
    PageRead,
    decode_cursors,
    encode_cursors,
    walk,
)

WINDOW = Window(EPOCH, EPOCH + HOUR)
LATER = EPOCH + 2 * HOUR  # the source's clock: the window is closed
PAGE = 10

History = Callable[[random.Random], list[Session]]


def plain(rng: random.Random) -> list[Session]:
    """150 sessions anywhere in the window, and some around it."""
    before = Window(WINDOW.lower - HOUR, WINDOW.lower)
    after = Window(EPOCH + HOUR, LATER)
    return [
        *spread(rng, 150, WINDOW),
        *spread(rng, 40, before, "before"),
        *spread(rng, 40, after, "after"),
    ]


def tied(size: int, *, created: bool, updated: bool) -> History:
    """A block of ties among 40 others."""
    return lambda rng: [
        *spread(rng, 40, WINDOW),
        *block(rng, size, WINDOW, created=created, updated=updated),
    ]


def source(seed: int, history: History, **switches: object) -> SourceModel:
    """A source with this history; the seed decides all that happens to it."""
    rng = random.Random(seed)
    return SourceModel(by_id(history(rng)), now=LATER, rng=rng, **switches)  # type: ignore[arg-type]


def steps(
    model: SourceModel,
    window: Window = WINDOW,
    *,
    limit: int = PAGE,
    abandon: float = 0.0,
) -> Iterator[PageRead]:
    """All steps of a walk that is abandoned after a step with probability `abandon`, and resumed from its JSON."""
    left: Sequence[Cursor] = (Cursor(window),)
    chance = random.Random(1)
    while left:
        for step in walk(model.fetch, left, limit=limit):
            yield step
            left = step.left
            if chance.random() < abandon:
                left = decode_cursors(json.loads(encode_cursors(step.left)))
                break


def read(model: SourceModel, window: Window = WINDOW, **how: object) -> list[str]:
    """Ids in the order they were read."""
    return [row.session_id for step in steps(model, window, **how) for row in step.rows]  # type: ignore[arg-type]


def lost(model: SourceModel, ids: Iterable[str], window: Window = WINDOW) -> int:
    """How many sessions stayed in the closed window and were not read."""
    return len(model.inside(window) - set(ids))


def complete_or_refused(model: SourceModel, **how: object) -> bool:
    """Whether the walk ended; one that ends has read every session that stayed."""
    try:
        ids = read(model, **how)
    except SourceInconsistentError:
        return False
    missing = lost(model, ids)
    assert missing == 0
    return True


# -- nothing is lost ---------------------------------------------------------------------------------------------------

SOURCES = {
    "plain": {},
    "ties in any order": {"shuffle_ties": True},
    "pages capped": {"page_cap": 4},
    "pages capped and not said": {"page_cap": 4, "cap_said": False},
}


@pytest.mark.parametrize("seeds", first([range(20), range(20, 80)]), ids=str)
@pytest.mark.parametrize("switches", SOURCES.values(), ids=SOURCES)
def test_every_session_that_stays_is_read_in_spite_of_traffic(
    switches: dict[str, object], seeds: range
) -> None:
    """Sessions are created, updated and deleted between any two requests, and none that stays is lost."""
    for seed in seeds:
        model = source(seed, plain, traffic=busy(), **switches)
        assert lost(model, read(model)) == 0, seed


@pytest.mark.parametrize("updates", [0.5, 10])
def test_every_session_that_stays_is_read_whatever_the_rate_of_change(updates: float) -> None:
    """Little traffic loses rows as well as much, where rows are lost."""
    for seed in range(40):
        model = source(seed, plain, traffic=busy(updates, updates / 2, updates / 2))
        assert lost(model, read(model)) == 0, seed


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_every_page_size_reads_everything(limit: int) -> None:
    """Also pages so small that the row at which two of them meet fills one."""
    for seed in range(5):
        model = source(seed, plain, traffic=busy(1, 1, 1))
        assert lost(model, read(model, limit=limit)) == 0, seed


@pytest.mark.parametrize("shuffled", [False, True], ids=["ties in order", "ties in any order"])
@pytest.mark.parametrize("size", [1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE])
@pytest.mark.parametrize(
    ("created", "updated"),
    [(True, False), (False, True), (True, True)],
    ids=["createdAt", "updatedAt", "both"],
)
def test_blocks_of_ties_are_read_whole(created: bool, updated: bool, size: int, shuffled: bool) -> None:
    """Sessions that share a millisecond, in either timestamp or in both, fewer and more than fit on a page."""
    for seed in range(12):
        model = source(
            seed, tied(size, created=created, updated=updated), traffic=busy(1, 1, 1), shuffle_ties=shuffled
        )
        assert lost(model, read(model, abandon=0.3)) == 0, seed


@pytest.mark.parametrize("size", [2, PAGE + 1, 3 * PAGE])
def test_nothing_but_ties(size: int) -> None:
    """A window in which all sessions share both timestamps."""
    for seed in range(10):
        model = source(
            seed, lambda rng: block(rng, size, WINDOW, created=True, updated=True), traffic=busy(1, 0, 1)
        )
        assert lost(model, read(model)) == 0, seed


def test_more_ties_than_one_request_can_name() -> None:
    """The proof counts the ids in chunks, none larger than a URL can hold."""
    size = 2 * IDS_A_REQUEST + 5
    model = source(3, lambda rng: block(rng, size, WINDOW, created=True, updated=True))
    assert sorted(read(model, limit=50)) == sorted(model.sessions)
    named = [query.ids for query in model.queries if query.ids]
    assert max(map(len, named)) <= IDS_A_REQUEST
    assert {session_id for ids in named for session_id in ids} == set(model.sessions)


@pytest.mark.parametrize("size", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE - 1])
def test_windows_of_about_a_page(size: int) -> None:
    """Exactly one full page is not the end, and not the beginning of an endless walk."""
    model = source(size, lambda rng: spread(rng, size, WINDOW))
    assert sorted(read(model)) == sorted(model.sessions)
    assert model.requests <= (size // (PAGE - 1) + 1 if size else WITNESSES)


def test_one_full_page_of_equal_sessions() -> None:
    """The cursor cannot move and nothing is left: the walk sees both."""
    model = source(1, lambda rng: block(rng, PAGE, WINDOW, created=True, updated=True))
    assert sorted(read(model)) == sorted(model.sessions)
    assert model.requests <= 20  # seven of them until empty answers are believed


def test_bounds_hold_to_the_microsecond_behind_the_milliseconds() -> None:
    """The lower bound belongs to the window, the upper does not, whatever microseconds the source keeps."""
    moments = [
        WINDOW.lower - 1,
        WINDOW.lower,
        WINDOW.lower + 999,
        EPOCH + HOUR - 1,
        EPOCH + HOUR,
        EPOCH + HOUR + 1,
    ]
    sessions = [Session(str(number), EPOCH - DAY, moment) for number, moment in enumerate(moments)]
    assert sorted(read(SourceModel(by_id(sessions), now=LATER))) == ["1", "2", "3"]


# -- once, and in how many requests ------------------------------------------------------------------------------------


def test_a_quiet_window_is_read_exactly() -> None:
    """Each session of the window once, none from outside."""
    for seed in range(30):
        model = source(seed, plain)
        assert sorted(read(model)) == sorted(model.inside(WINDOW)), seed


def test_no_session_is_told_twice_under_traffic() -> None:
    """Rows at which pages, pieces and resumed walks meet come again in answers, not in steps."""
    for seed in range(40):
        model = source(seed, tied(25, created=True, updated=False), traffic=busy(), shuffle_ties=True)
        ids = read(model, abandon=0.5)
        assert len(ids) == len(set(ids)), seed


def test_each_row_shows_a_state_inside_the_window() -> None:
    """What has left the window is not delivered with the state it has outside."""
    for seed in range(20):
        model = source(seed, plain, traffic=busy())
        assert all(row.updated_at in WINDOW for step in steps(model) for row in step.rows)


def test_requests_of_a_quiet_window() -> None:
    """One request for each page; neighbouring pages share the row at which they meet."""
    for seed in range(30):
        model = source(seed, plain)
        read(model)
        assert model.requests <= 150 // (PAGE - 1) + 1, seed


@pytest.mark.parametrize(
    ("history", "pages_at_most"),
    [
        (plain, 1.1),
        (tied(3 * PAGE, created=False, updated=True), 1.1),
        (tied(3 * PAGE, created=True, updated=False), 2),
        (tied(3 * PAGE, created=True, updated=True), 8),
    ],
    ids=["plain", "ties in updatedAt", "ties in createdAt", "ties in both"],
)
def test_requests_under_traffic_stay_within_a_bound(history: History, pages_at_most: float) -> None:
    """Ties cost more requests, and never without end."""
    for seed in range(30):
        model = source(seed, history, traffic=busy(1, 1, 1), shuffle_ties=True)
        pages = len(model.inside(WINDOW)) / (PAGE - 1) + 1
        read(model, abandon=0.2)
        assert model.requests <= pages * pages_at_most + 1, seed


def test_page_numbers_are_used_only_among_inseparable_sessions() -> None:
    """Everywhere else the walk asks for first pages."""
    model = source(5, tied(3 * PAGE, created=True, updated=False), traffic=busy())
    read(model)
    assert {query.page for query in model.queries} == {1}


# -- stopping and going on ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "history",
    [plain, tied(3 * PAGE, created=True, updated=False), tied(3 * PAGE, created=True, updated=True)],
    ids=["plain", "ties in createdAt", "ties in both"],
)
def test_a_walk_can_stop_after_any_step(history: History) -> None:
    """What was read before a stop and what is read from `left` is, together, what an unbroken walk reads."""
    whole = [step.rows for step in steps(source(7, history))]
    assert len(whole) > 5
    for stop in range(1, len(whole)):
        model = source(7, history)
        first = []
        left: Sequence[Cursor] = ()
        for number, step in enumerate(steps(model), start=1):
            first += step.rows
            left = step.left
            if number == stop:
                break
        again = decode_cursors(json.loads(encode_cursors(tuple(left))))
        rest = [row for step in walk(model.fetch, again, limit=PAGE) for row in step.rows]
        ids = sorted(row.session_id for row in first + rest)
        assert ids == sorted(row.session_id for rows in whole for row in rows), stop


def test_a_walk_resumed_under_traffic_loses_nothing() -> None:
    """Sessions may leave and others come to an end while nobody reads."""
    for seed in range(60):
        model = source(seed, plain, traffic=busy(4, 1, 1), shuffle_ties=True)
        assert lost(model, read(model, abandon=0.7)) == 0, seed


def test_nothing_is_left_after_the_last_step_only() -> None:
    """`left` is empty exactly when the window is complete."""
    all_steps = list(steps(source(1, plain)))
    assert [bool(step.left) for step in all_steps] == [True] * (len(all_steps) - 1) + [False]


def test_no_pieces_no_requests() -> None:
    """A window that was completed before is not read again."""
    model = source(1, plain)
    assert list(walk(model.fetch, (), limit=PAGE)) == []
    assert model.requests == 0


PIECES = st.builds(
    Cursor,
    st.builds(Window, st.integers(0, 1 << 52), st.none() | st.integers(0, 1 << 52)),
    st.none() | st.integers(0, 1 << 52),
    st.frozensets(st.text(max_size=5), max_size=4),
)


@given(st.lists(PIECES, max_size=4).map(tuple))
@examples(100)
def test_what_is_left_survives_json(cursors: tuple[Cursor, ...]) -> None:
    """Encoding and decoding gives the same pieces."""
    assert decode_cursors(json.loads(encode_cursors(cursors))) == cursors


# -- the window that is open to the right ------------------------------------------------------------------------------


def test_an_open_window_that_grows_is_read_and_ends() -> None:
    """New sessions keep entering at its end; those settled before the bound are all read."""
    for seed in range(40):
        model = source(seed, plain, traffic=busy(2, 2, 1))
        ids = read(model, Window(WINDOW.lower, None), abandon=0.2)
        assert lost(model, ids, Window(WINDOW.lower, LATER)) == 0, seed
        assert model.requests < 100


def test_ties_in_an_open_window() -> None:
    """The cut on updatedAt keeps the right side open."""
    for seed in range(10):
        for updated in (False, True):
            model = source(seed, tied(3 * PAGE, created=True, updated=updated), traffic=busy(1, 1, 1))
            ids = read(model, Window(WINDOW.lower, None))
            assert lost(model, ids, Window(WINDOW.lower, LATER)) == 0, seed


# -- a range of createdAt, read for another reason than a window --------------------------------------------------------


@pytest.mark.parametrize(
    "history",
    [plain, tied(3 * PAGE, created=True, updated=False), tied(3 * PAGE, created=True, updated=True)],
    ids=["plain", "ties in createdAt", "ties in both"],
)
def test_a_range_of_created_at_is_read_whole_although_its_sessions_change(history: History) -> None:
    """Whoever is not deleted stays in such a range, however often it is updated."""
    born = Window(EPOCH - DAY // 2, EPOCH + HOUR)
    for seed in range(30):
        model = source(seed, history, traffic=busy(5, 2, 1), shuffle_ties=True)
        cursor = Cursor(ALWAYS, created_from=born.lower, created_until=born.upper)
        rows = [row for step in walk(model.fetch, [cursor], limit=PAGE) for row in step.rows]
        there = {s.session_id for s in model.sessions.values() if s.created_at in born}
        assert len(there) > 10
        assert not there - {row.session_id for row in rows}, seed
        assert all(row.created_at in born for row in rows), seed


def test_a_range_of_created_at_stops_at_an_upper_bound_that_is_ignored() -> None:
    """Rows behind the range are noticed."""

    def ignored_upper(model: SourceModel, query: Query, answer: Answer) -> Answer:
        lower = query.created.lower if query.created is not None else 0
        return model.answer(replace(query, created=Window(lower, None)), model.sessions)

    model = source(1, plain, faults=[ignored_upper])
    cursor = Cursor(ALWAYS, created_from=0, created_until=EPOCH - DAY // 2)
    with pytest.raises(SourceInconsistentError, match="behind the bound asked for"):
        list(walk(model.fetch, [cursor], limit=PAGE))


# -- answers that are wrong --------------------------------------------------------------------------------------------

#: Faults that a walk survives or reports; what it cannot know is that everything consistently claims to be empty.
FAULTS: tuple[Fault, ...] = (
    models.short_page,
    models.empty_page,
    models.low_total,
    models.high_total,
    models.repeated_row,
    models.stale_page,
    models.answer_to_another,
    models.ignored_updated,
    models.ignored_created,
    models.ignored_order,
    models.no_order,
)


@pytest.mark.parametrize("seeds", first([range(20), range(20, 60)]), ids=str)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_one_wrong_answer_in_five_is_survived_or_reported(fault: Fault, seeds: range) -> None:
    """A walk that ends has read everything that stayed; nearly all of them do end."""
    ended = 0
    for seed in seeds:
        model = source(seed, plain, traffic=busy(), faults=[fault], fault_rate=0.2)
        ended += complete_or_refused(model, abandon=0.2)
    assert ended >= 0.9 * len(seeds)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_nothing_but_wrong_answers_are_survived_or_reported(fault: Fault) -> None:
    """A server that is wrong all the time stops the walk, or does no harm."""
    for seed in range(20):
        model = source(seed, plain, traffic=busy(), faults=[fault])
        complete_or_refused(model)


@pytest.mark.parametrize(
    "fault",
    [
        models.short_page,
        models.empty_page,
        models.high_total,
        models.ignored_updated,
        models.ignored_created,
        models.ignored_order,
        models.no_order,
    ],
    ids=lambda fault: fault.__name__,
)
def test_a_lasting_contradiction_stops_the_walk(fault: Fault) -> None:
    """It is asked for again a few times, then it is an error, never an end."""
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
    """Different faults in one walk, with ties in createdAt beside."""
    harmless_with_ties = [f for f in FAULTS if f not in (models.ignored_order, models.no_order)]
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


def test_two_answers_that_there_is_nothing_are_not_believed() -> None:
    """Wherever in the walk they come, and whether together or not."""
    for one, other in itertools.combinations(range(1, 16), 2):
        faults = [_once(number, models.empty_source) for number in (one, other)]
        model = source(1, plain, faults=faults)
        assert lost(model, read(model)) == 0, (one, other)


def test_nor_after_a_contradiction_of_another_kind() -> None:
    """Rows missing and counted, then none counted, twice: the one says nothing for the other."""
    for number in range(1, 15):
        faults = [
            _once(number, models.empty_page),
            *(_once(number + later, models.empty_source) for later in (1, 2)),
        ]
        model = source(1, plain, faults=faults)
        assert lost(model, read(model)) == 0, number


def test_an_empty_window_takes_three_answers() -> None:
    """All say that there is nothing, and so it is."""
    model = SourceModel({}, now=LATER)
    assert [(step.rows, step.left) for step in steps(model)] == [([], ())]
    assert model.requests == WITNESSES == 3


@pytest.mark.parametrize("fault", [models.ignored_order, models.no_order], ids=lambda fault: fault.__name__)
def test_an_ignored_order_is_noticed_although_a_whole_page_is_tied(fault: Fault) -> None:
    """The newest page, all of one millisecond, is in no order that could betray it; rows before it must not be lost."""
    for seed in range(10):
        rng = random.Random(seed)
        imported = [Session(f"import-{n:03d}", EPOCH + n % 1000, EPOCH + n * MILLISECOND) for n in range(30)]
        model = SourceModel(by_id(spread(rng, 40, WINDOW), imported), now=LATER, rng=rng, faults=[fault])
        complete_or_refused(model)


@pytest.mark.parametrize("said", [0, 2 * PAGE], ids=["always none", "never more than two pages"])
def test_a_count_that_is_capped_does_not_prove_a_block_of_ties(said: int) -> None:
    """Where counts are the only proof, a count below the rows at hand is a contradiction, and a round one is none."""

    def capped(model: SourceModel, query: Query, answer: Answer) -> Answer:
        return replace(answer, total=min(answer.total, said))

    for seed in range(10):
        model = source(seed, tied(3 * PAGE, created=True, updated=True), faults=[capped])
        complete_or_refused(model)


def test_a_filter_on_ids_that_is_ignored_does_not_prove_a_block_of_ties() -> None:
    """The rows of a count tell whether the ids were looked at; sessions that left must not stand in for unread ones."""

    def ignored_ids(model: SourceModel, query: Query, answer: Answer) -> Answer:
        return model.answer(replace(query, ids=()), model.sessions)

    for seed in range(60):
        model = source(
            seed, tied(25, created=True, updated=True), traffic=busy(1, 1, 1), faults=[ignored_ids]
        )
        complete_or_refused(model)


def test_a_repeated_row_does_not_stand_in_for_one_that_is_missing() -> None:
    """What is compared with the count is sessions, not rows."""
    sessions = by_id(
        Session(name, EPOCH + n * MILLISECOND, EPOCH + n * MILLISECOND) for n, name in enumerate("abc")
    )

    def twice(model: SourceModel, query: Query, answer: Answer) -> Answer:
        return replace(answer, rows=[*answer.rows[:-1], *answer.rows[-2:-1]])

    model = SourceModel(sessions, now=LATER, faults=[_once(1, twice)])
    assert sorted(read(model)) == ["a", "b", "c"]


def test_ties_that_pages_never_show_whole_are_refused() -> None:
    """A server without page numbers cannot prove a block: the walk fails closed and says how it tried."""

    def ignored_page(model: SourceModel, query: Query, answer: Answer) -> Answer:
        return model.answer(replace(query, page=1), model.sessions)

    model = source(
        1, lambda rng: block(rng, 5 * PAGE, WINDOW, created=True, updated=True), faults=[ignored_page]
    )
    with pytest.raises(SourceInconsistentError, match=f"50 sessions .* {COLLECTIONS} times found 20"):
        read(model)


def test_a_block_of_ties_stops_at_a_filter_that_is_ignored() -> None:
    """While ties are collected, rows from outside are noticed too."""

    def ignored_upper(model: SourceModel, query: Query, answer: Answer) -> Answer:
        if query.created is None or query.created.upper is None:
            return answer
        return model.answer(replace(query, created=Window(query.created.lower, None)), model.sessions)

    late = Session("late", EPOCH + HOUR // 2 - 1, EPOCH + HOUR // 2)
    model = source(1, tied(3 * PAGE, created=True, updated=True), faults=[ignored_upper])
    model.sessions["late"] = late
    with pytest.raises(SourceInconsistentError, match="ignores a filter"):
        read(model)


def test_a_cap_that_is_not_said_and_ties_beyond_it_fail_closed() -> None:
    """Where nothing shows that a page is full, the walk stops with an error."""
    for seed in range(10):
        model = source(seed, tied(12, created=True, updated=True), page_cap=4, cap_said=False)
        with pytest.raises(SourceInconsistentError):
            read(model)


def test_the_error_names_no_session() -> None:
    """What the source says of its sessions stays out of messages."""
    for fault in (models.ignored_updated, models.ignored_created, models.no_order, models.short_page):
        model = source(3, plain, faults=[fault])
        with pytest.raises(SourceInconsistentError) as caught:
            read(model)
        assert not any(session_id in str(caught.value) for session_id in model.sessions)


def test_rows_of_a_refused_answer_are_not_told() -> None:
    """An answer that breaks a filter is dropped whole."""
    model = source(4, plain, faults=[_once(2, models.ignored_updated)])
    assert set(read(model)) == model.inside(WINDOW)


def test_errors_of_the_source_pass_through() -> None:
    """The walk has no retries of its own for what the client gave up on."""

    def fetch(query: Query) -> Page:
        raise SourceUnavailableError("gone")

    with pytest.raises(SourceUnavailableError, match="gone"):
        next(walk(fetch, (Cursor(WINDOW),), limit=PAGE))


def test_of_a_repeated_id_the_newest_version_is_told() -> None:
    """One response that shows a session twice counts as one session, at its newest."""
    old, new = (Row("a", "org", EPOCH, EPOCH + n * MILLISECOND, b"") for n in (1, 2))
    for rows in ([old, new], [new, old]):
        page = Page(rows, total=1, limit=PAGE, requested_at=LATER, seq=1, server_time=None, size=0)
        (step,) = walk(lambda query, page=page: page, (Cursor(WINDOW),), limit=PAGE)  # type: ignore[misc]
        assert step.rows == [new]


def _once(number: int, fault: Fault) -> Fault:
    """Only the n-th request goes wrong."""
    return lambda model, query, answer: fault(model, query, answer) if model.requests == number else answer


# -- the model can tell a reader that loses rows -----------------------------------------------------------------------


def page_numbers(fetch: Callable[[Query], Page], limit: int) -> set[str]:
    """The obvious reader: page 1, 2, 3, … until a page is short."""
    ids: set[str] = set()
    for number in range(1, 1000):
        page = fetch(Query(updated=WINDOW, limit=limit, page=number))
        ids |= {row.session_id for row in page.rows}
        if len(page.rows) < limit:
            break
    return ids


def keyset(fetch: Callable[[Query], Page], limit: int, *, ends: Callable[[Page], bool]) -> set[str]:
    """A keyset on createdAt that believes one sign of the end."""
    ids: set[str] = set()
    cursor: Window | None = None
    for _ in range(1000):
        page = fetch(Query(updated=WINDOW, created=cursor, limit=limit))
        ids |= {row.session_id for row in page.rows}
        if ends(page):
            break
        if page.rows:
            cursor = Window(page.rows[-1].created_at, None)
    return ids


def losses(reader: Callable[[SourceModel], Iterable[str]], **switches: object) -> int:
    """In how many of 40 seeded sources the reader loses a session that stayed."""
    return sum(
        lost(model, reader(model)) > 0 for model in (source(seed, plain, **switches) for seed in range(40))
    )


def test_page_numbers_lose_rows_under_traffic() -> None:
    """The same traffic that the walk survives every time makes page numbers lose rows nearly every time."""
    assert losses(lambda model: page_numbers(model.fetch, PAGE), traffic=busy()) > 35
    assert losses(lambda model: page_numbers(model.fetch, PAGE)) == 0
    assert losses(read, traffic=busy()) == 0


def test_ending_on_a_short_page_loses_rows() -> None:
    """A server's own page size, or a page cut short, ends such a walk early."""

    def reader(model: SourceModel) -> set[str]:
        return keyset(model.fetch, PAGE, ends=lambda page: len(page.rows) < PAGE)

    assert losses(reader) == 0
    assert losses(reader, page_cap=PAGE - 1) == 40
    assert losses(reader, faults=[models.short_page], fault_rate=0.2) > 30
    assert losses(read, page_cap=PAGE - 1) == 0


def test_ending_on_an_empty_page_loses_rows() -> None:
    """One answer whose rows are missing ends such a walk early."""

    def reader(model: SourceModel) -> set[str]:
        return keyset(model.fetch, PAGE, ends=lambda page: not page.rows or page.total <= len(page.rows))

    assert losses(reader) == 0
    assert losses(reader, faults=[models.empty_page], fault_rate=0.2) > 30


def test_ending_on_the_count_alone_loses_rows() -> None:
    """A count that is too small ends such a walk early."""

    def reader(model: SourceModel) -> set[str]:
        return keyset(model.fetch, PAGE, ends=lambda page: page.total <= len(page.rows))

    assert losses(reader) == 0
    assert losses(reader, faults=[models.low_total], fault_rate=0.2) > 10
    assert losses(read, faults=[models.low_total], fault_rate=0.2) == 0
