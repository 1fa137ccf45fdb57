"""A walk through one window reads every session that stays in it, each once, in few requests."""

from __future__ import annotations

import pytest
from walks import LATER, PAGE, WINDOW, History, lost, pages, plain, read, source, tied

from constants import EPOCH
from selection import first
from source_model import Session, SourceModel, busy, by_id, spread
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import DAY, HOUR
from vapi_sessions.errors import SourceUnavailableError
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.page import Page
from vapi_sessions.source.pagination import ALWAYS, EMPTY_RESPONSES, Cursor, walk

SOURCES = {
    "plain": {},
    "unstable order of ties": {"shuffle_ties": True},
    "page size capped": {"page_cap": 4},
    "page size capped silently": {"page_cap": 4, "cap_said": False},
}


@pytest.mark.parametrize("seeds", first([range(20), range(20, 80)]), ids=str)
@pytest.mark.parametrize("switches", SOURCES.values(), ids=SOURCES)
def test_every_session_that_stays_is_read_despite_traffic(switches: dict[str, object], seeds: range) -> None:
    """Sessions are created, updated and deleted between requests."""
    for seed in seeds:
        model = source(seed, plain, traffic=busy(), **switches)
        assert lost(model, read(model)) == 0, seed


@pytest.mark.parametrize("updates", [0.5, 10])
def test_every_session_that_stays_is_read_at_any_rate_of_change(updates: float) -> None:
    """A reader that loses rows does so with little and with much traffic."""
    for seed in range(40):
        model = source(seed, plain, traffic=busy(updates, updates / 2, updates / 2))
        assert lost(model, read(model)) == 0, seed


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_every_page_size_reads_everything(limit: int) -> None:
    """Also a page size of 1, where the row shared by two pages fills a page."""
    for seed in range(5):
        model = source(seed, plain, traffic=busy(1, 1, 1))
        assert lost(model, read(model, limit=limit)) == 0, seed


@pytest.mark.parametrize("size", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE - 1])
def test_a_window_of_about_a_page_is_read_whole(size: int) -> None:
    """After exactly one full page, the walk goes on, and ends."""
    model = source(size, lambda rng: spread(rng, size, WINDOW))
    assert sorted(read(model)) == sorted(model.sessions)
    assert model.requests <= (size // (PAGE - 1) + 1 if size else EMPTY_RESPONSES)


def test_window_bounds_are_exact_for_sources_with_microseconds() -> None:
    """The lower bound is inside the window, the upper bound is outside."""
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


def test_a_quiet_window_is_read_exactly() -> None:
    """Each session of the window once, and none from outside."""
    for seed in range(30):
        model = source(seed, plain)
        assert sorted(read(model)) == sorted(model.inside(WINDOW)), seed


def test_no_session_is_read_twice_under_traffic() -> None:
    """Rows that two pages or cursors share come again in responses, but are not returned again."""
    for seed in range(40):
        model = source(seed, tied(25, created=True, updated=False), traffic=busy(), shuffle_ties=True)
        ids = read(model, abandon=0.5)
        assert len(ids) == len(set(ids)), seed


def test_each_row_was_updated_inside_the_window() -> None:
    """A session that has left the window is not returned with its later state."""
    for seed in range(20):
        model = source(seed, plain, traffic=busy())
        assert all(row.updated_at in WINDOW for page in pages(model) for row in page.rows)


def test_a_quiet_window_takes_one_request_per_page() -> None:
    """Neighbouring pages share one row."""
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
def test_the_number_of_requests_under_traffic_is_limited(history: History, pages_at_most: float) -> None:
    """Ties cost more requests."""
    for seed in range(30):
        model = source(seed, history, traffic=busy(1, 1, 1), shuffle_ties=True)
        pages = len(model.inside(WINDOW)) / (PAGE - 1) + 1
        read(model, abandon=0.2)
        assert model.requests <= pages * pages_at_most + 1, seed


def test_an_open_window_that_grows_is_read_and_ends() -> None:
    """New sessions keep entering it; those that were settled before the bound are all read."""
    for seed in range(40):
        model = source(seed, plain, traffic=busy(2, 2, 1))
        ids = read(model, Window(WINDOW.lower, None), abandon=0.2)
        assert lost(model, ids, Window(WINDOW.lower, LATER)) == 0, seed
        assert model.requests < 100


@pytest.mark.parametrize(
    "history",
    [plain, tied(3 * PAGE, created=True, updated=False), tied(3 * PAGE, created=True, updated=True)],
    ids=["plain", "ties in createdAt", "ties in both"],
)
def test_a_range_of_created_at_is_read_whole_under_traffic(history: History) -> None:
    """A session stays in such a range until it is deleted, however often it is updated."""
    born = Window(EPOCH - DAY // 2, EPOCH + HOUR)
    for seed in range(30):
        model = source(seed, history, traffic=busy(5, 2, 1), shuffle_ties=True)
        cursor = Cursor(ALWAYS, created_from=born.lower, created_until=born.upper)
        rows = [row for page in walk(model.fetch, [cursor], limit=PAGE) for row in page.rows]
        there = {s.session_id for s in model.sessions.values() if s.created_at in born}
        assert len(there) > 10
        assert not there - {row.session_id for row in rows}, seed
        assert all(row.created_at in born for row in rows), seed


def test_an_empty_window_takes_three_requests() -> None:
    """All responses are empty, so the window is."""
    model = SourceModel({}, now=LATER)
    assert [(page.rows, page.left) for page in pages(model)] == [([], ())]
    assert model.requests == EMPTY_RESPONSES == 3


def test_errors_of_the_client_end_the_walk() -> None:
    """The client has already retried, so the walk does not."""

    def fetch(query: Query) -> Page:
        raise SourceUnavailableError("gone")

    with pytest.raises(SourceUnavailableError, match="gone"):
        next(walk(fetch, (Cursor(WINDOW),), limit=PAGE))
