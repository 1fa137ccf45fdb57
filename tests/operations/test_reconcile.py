"""Deletions are found by counting, proven by asking, told apart from retention, and never believed in bulk."""

from __future__ import annotations

import bisect
import json
import math
import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, cast

import httpx
import pytest
from pydantic import SecretStr

from conftest import RealTransport, new_world
from selection import first
from vapi_emulator.stored import decode
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import DAY, HOUR, MILLISECOND, SECOND, parse
from vapi_sessions.errors import (
    CircuitBreakerError,
    ConfigurationError,
    SourceInconsistentError,
    SourceUnavailableError,
    VapiSessionsError,
)
from vapi_sessions.operations import reconcile as module
from vapi_sessions.operations.compare import differences
from vapi_sessions.operations.progress import Silent
from vapi_sessions.operations.reconcile import Reconciled, most_at_once, reconcile
from vapi_sessions.warehouse.live_sessions import LiveSessions

if TYPE_CHECKING:
    from conftest import World

MARKED: Final = "SELECT session_id FROM sessions WHERE deleted_at IS NOT NULL ORDER BY 1"
AGED_OUT: Final = "SELECT session_id FROM sessions WHERE aged_out_at IS NOT NULL ORDER BY 1"


def _fill(world: World) -> None:
    world.insert(120, lambda n: (world.ago(hours=2 + 119 - n), world.ago(hours=2 + 119 - n) + SECOND))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """120 sessions, one an hour, the newest two hours old; all of them read."""
    with new_world(tmp_path_factory.mktemp("reconcile") / "warehouse") as made:
        _fill(made)
        made.sync()
        made.clock.forward(minutes=5)
        yield made


@pytest.fixture
def world(world: World, template: World) -> World:
    """That source, and a copy of that warehouse."""
    _fill(world)
    world.adopt(template)
    return world


def ids(world: World) -> list[str]:
    """All sessions at the source, oldest first."""
    return world.server.store.ids(world.server.org_id)


def delete(world: World, *session_ids: str) -> list[dict[str, Any]]:
    """Remove them at the source; returns their last state."""
    bodies = [world.server.store.delete(world.server.org_id, session_id) for session_id in session_ids]
    return [decode(body) for body in bodies if body is not None]


def run(world: World, transport: httpx.BaseTransport | None = None, **given: Any) -> Reconciled:
    """One reconcile, without the scrub unless it is asked for."""
    environment = module.Environment(
        now=world.clock.us, monotonic=world.clock.monotonic, sleep=world.clock.sleep, transport=transport
    )
    settings = world.settings(**{key: given.pop(key) for key in ("api_key",) if key in given})
    return reconcile(settings, environment=environment, **{"scrub": False, **given})


def marks(world: World) -> tuple[int, int]:
    """How many are marked as deleted, and as aged out."""
    return cast(
        "tuple[int, int]", world.rows("SELECT count(deleted_at), count(aged_out_at) FROM sessions")[0]
    )


# -- deletions


def test_what_is_gone_is_marked_and_nothing_else(world: World) -> None:
    """Three of 120, far apart: exactly these carry a mark, and a second run has nothing to do."""
    gone = [ids(world)[n] for n in (7, 60, 111)]
    delete(world, *gone)
    done = run(world)
    assert (done.counts.deleted, done.checked) == (3, 3)
    assert [row[0] for row in world.rows(MARKED)] == sorted(gone)
    again = run(world)
    assert (again.counts.deleted, again.differing, again.checked, again.requests) == (0, 0, 0, 2)


def test_the_rows_of_a_deleted_session_stay(world: World) -> None:
    """The mark is a moment in a column: the session and its messages can still be read, or left out."""
    gone = ids(world)[40]
    delete(world, gone)
    run(world)
    assert world.rows("SELECT count(*), count(*) FILTER (deleted_at IS NULL) FROM sessions") == [(120, 119)]
    assert world.rows(f"SELECT count(*) FROM messages WHERE session_id = '{gone}'") == [(1,)]
    assert world.rows("SELECT count(*) FROM sessions WHERE deleted_at >= synced_at") == [(1,)]


class Hiding(RealTransport):
    """A source that leaves some sessions out of its lists and counts, and still knows them by id."""

    def __init__(self, hidden: dict[str, int]) -> None:
        super().__init__()
        self._hidden = hidden  # id to createdAt, µs

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != "/session":
            return super().handle_request(request)
        asked = request.url.params
        limit = int(asked["limit"])
        request.url = request.url.copy_set_param("limit", str(limit + len(self._hidden)))
        response = super().handle_request(request)
        answer = json.loads(response.read())
        lower = parse(asked["createdAtGe"]) if "createdAtGe" in asked else 0
        upper = parse(asked["createdAtLt"]) if "createdAtLt" in asked else 1 << 62
        answer["results"] = [row for row in answer["results"] if row["id"] not in self._hidden][:limit]
        answer["metadata"]["totalItems"] -= sum(lower <= at < upper for at in self._hidden.values())
        answer["metadata"]["itemsPerPage"] = limit
        headers = {"content-type": "application/json", "date": response.headers["date"]}
        return httpx.Response(200, headers=headers, content=json.dumps(answer).encode())


def test_what_a_list_leaves_out_but_the_source_knows_by_id_is_not_marked(world: World) -> None:
    """A list is no proof: each missing session is asked for, and an answer other than 404 saves it."""
    session_id = ids(world)[30]
    created = world.server.store.created_us(world.server.org_id, session_id)
    assert created is not None
    done = run(world, Hiding({session_id: created // MILLISECOND * MILLISECOND}))
    assert (done.differing, done.checked, done.counts.deleted) == (1, 1, 0)
    assert marks(world) == (0, 0)


@pytest.mark.parametrize("how", ["reconcile", "sync"])
def test_a_session_that_comes_back_loses_its_mark(world: World, how: str) -> None:
    """Restored with the same content, as a reconcile finds it, or with a new one, as a sync does."""
    (body,) = delete(world, ids(world)[50])
    run(world)
    assert marks(world) == (1, 0)
    world.clock.forward(hours=1)
    if how == "reconcile":
        world.server.store.add(body)
        assert run(world).counts.restored == 1
    else:
        world.server.store.add({**body, "name": "Back"}, updated_us=world.ago(minutes=30))
        assert world.sync().counts.restored == 1
    assert marks(world) == (0, 0)


def test_a_mark_survives_what_was_read_before_it(world: World) -> None:
    """A full sync finds nothing newer than the proof, so the mark stays."""
    delete(world, ids(world)[50])
    run(world)
    world.sync(full=True)
    assert marks(world) == (1, 0)


def test_what_lacks_is_fetched(world: World) -> None:
    """Sessions that the source shows late, in a stretch long claimed, are found by the same counts."""
    world.insert(4, lambda n: (world.ago(hours=70) + n * SECOND,) * 2)
    done = run(world)
    assert (done.counts.sessions_new, done.counts.deleted) == (4, 0)
    assert world.here() == world.there()


def test_a_pair_that_hides_itself_is_found_after_the_next_sync(world: World) -> None:
    """One deleted, one new, so the counts agree: the sync brings the new one, and then they do not."""
    delete(world, ids(world)[50])
    world.insert(1, lambda n: (world.ago(minutes=2),) * 2)
    assert run(world).counts.deleted == 0
    world.sync()
    assert run(world).counts.deleted == 1


def test_only_what_the_first_sync_began_with_is_compared(world: World) -> None:
    """A warehouse that begins with `--since` is not filled with what is older, nor are deletions there of interest."""
    world.warehouse = world.warehouse.with_name("since")
    world.sync(since=world.ago(hours=40))
    count = world.rows("SELECT count(*) FROM sessions")
    delete(world, ids(world)[5], ids(world)[110])
    done = run(world, recheck=20 * DAY)
    assert (done.counts.sessions_new, done.counts.deleted) == (0, 1)
    assert world.rows("SELECT count(*) FROM sessions") == count


# -- retention


@pytest.mark.parametrize("style", first(["silent", "flag", "400"]))
def test_what_retention_removed_has_aged_out(world: World, style: str) -> None:
    """Older than the oldest that is still listed: another column, the rows stay live, and true deletions are told apart."""
    gone = ids(world)[100]
    delete(world, gone)
    world.server.configure(retention_days=3, retention_style=style)
    listed = world.ago(days=3)
    old = [s[0] for s in world.rows(f"SELECT session_id FROM sessions WHERE epoch_us(created_at) < {listed}")]
    done = run(world)
    assert (done.counts.aged_out, done.counts.deleted) == (len(old), 1)
    assert [row[0] for row in world.rows(AGED_OUT)] == sorted(old)
    assert world.rows(MARKED) == [(gone,)]
    assert world.rows("SELECT count(*) FROM sessions WHERE deleted_at IS NULL") == [(119,)]
    assert run(world).differing == 0


def test_a_longer_retention_brings_sessions_back(world: World) -> None:
    """What is listed again has not aged out."""
    world.server.configure(retention_days=3)
    assert run(world).counts.aged_out > 0
    world.server.configure(retention_days=None)
    world.clock.forward(minutes=1)
    done = run(world)
    assert done.counts.restored > 40
    assert marks(world) == (0, 0)


def test_a_sync_goes_on_past_what_has_aged_out(world: World) -> None:
    """Nor does the full reading that no longer shows them delete or lift anything."""
    world.server.configure(retention_days=3, retention_style="400")
    run(world)
    before = marks(world)
    world.sync(full=True)
    assert marks(world) == before
    assert before[1] > 40


# -- the circuit breaker


def test_more_than_is_believable_is_not_marked(world: World) -> None:
    """21 of 120: exit code 7, no mark of either kind, and `--accept-deletions` goes on."""
    delete(world, *ids(world)[40:61])
    world.server.configure(retention_days=4.5)
    with pytest.raises(CircuitBreakerError, match="21 of 12") as told:
        run(world)
    assert told.value.exit_code == 7
    assert "--accept-deletions" in told.value.remedy
    assert marks(world) == (0, 0)
    done = run(world, accept_deletions=True)
    assert done.counts.deleted == 21
    assert marks(world) == (21, done.counts.aged_out)
    assert done.counts.aged_out > 0


def test_twenty_are_believed_however_few_there_are(world: World) -> None:
    """The breaker is no nuisance for a small organisation."""
    delete(world, *ids(world)[40:60])
    assert run(world).counts.deleted == 20


@pytest.mark.parametrize(
    ("live", "most"), [(0, 20), (120, 20), (1_000, 20), (2_000, 40), (50_000, 1_000), (3_000_000, 1_000)]
)
def test_how_many_are_believable(live: int, most: int) -> None:
    """Two percent or a thousand, whichever is smaller, but at least twenty."""
    assert most_at_once(live) == most


# -- what proves nothing


class Noting(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def say(self, text: str) -> None:
        self.notes.append(text)


def test_another_organisations_key_marks_nothing(world: World) -> None:
    """All our sessions are missing there; the key is refused instead."""
    keys = {**world.server.settings.keys, "another": "0e111a70-0000-4000-8000-00000000000b"}
    world.server.configure(keys=keys)
    world.insert(3, lambda n: (world.ago(hours=9),) * 2, org_id=keys["another"])
    with pytest.raises(ConfigurationError, match="belongs to organisation"):
        run(world, api_key=SecretStr("another"))
    assert marks(world) == (0, 0)


def test_an_organisation_that_shows_nothing_marks_nothing(world: World) -> None:
    """An empty list is no proof, whether the key is another one's or everything seems gone."""
    world.server.store.clear()
    noting = Noting()
    done = run(world, progress=noting)
    assert (done.counts.deleted, done.counts.aged_out, done.checked) == (0, 0, 0)
    assert noting.notes == ["the source shows no session at all: nothing is marked"]
    assert marks(world) == (0, 0)


def test_there_is_nothing_to_reconcile_before_the_first_sync(world: World) -> None:
    """It says what to do first."""
    world.warehouse = world.warehouse.with_name("new")
    with pytest.raises(ConfigurationError, match="holds nothing to reconcile") as told:
        run(world)
    assert "vapi-sessions sync" in told.value.remedy


class Spoiling(RealTransport):
    """Spoils the answers from the n-th request on."""

    def __init__(self, first: int, spoil: Callable[[httpx.Request, httpx.Response], httpx.Response]) -> None:
        super().__init__()
        self._left, self._spoil = first, spoil

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        self._left -= 1
        return response if self._left > 0 else self._spoil(request, response)


def _short(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    answer = json.loads(response.read())
    if "results" in answer and len(answer["results"]) > 1:
        answer["results"] = answer["results"][: len(answer["results"]) // 2]
    return httpx.Response(response.status_code, headers=_json(response), content=json.dumps(answer).encode())


def _emptied(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    answer = json.loads(response.read())
    if request.url.params.get("limit", "1") != "1":
        answer["results"] = []
    return httpx.Response(response.status_code, headers=_json(response), content=json.dumps(answer).encode())


def _failing(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    response.read()
    return httpx.Response(503)


def _lost(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    """A 404 of something in between, which says nothing about the session."""
    response.read()
    if request.url.path == "/session":
        return httpx.Response(200, headers=_json(response), content=response.content)
    return httpx.Response(404, headers={"content-type": "text/html"}, content=b"<h1>not here</h1>")


def _json(response: httpx.Response) -> dict[str, str]:
    return {"content-type": "application/json", "date": response.headers["date"]}


@pytest.mark.parametrize(
    ("first", "spoil", "error"),
    first(
        [
            (1, _short, SourceInconsistentError),
            (5, _failing, SourceUnavailableError),
            (1, _emptied, SourceInconsistentError),
            (1, _lost, SourceUnavailableError),
            (2, _failing, SourceUnavailableError),
            (8, _failing, SourceUnavailableError),
        ],
        2,
    ),
)
def test_a_reading_that_was_partial_or_failed_marks_nothing(
    world: World,
    first: int,
    spoil: Callable[[httpx.Request, httpx.Response], httpx.Response],
    error: type[VapiSessionsError],
) -> None:
    """Deletions and retention at the source, and answers that fail or cannot be trusted: no mark of either kind."""
    gone = [ids(world)[n] for n in (70, 71, 90)]
    delete(world, *gone)
    world.server.configure(retention_days=4)
    with pytest.raises(error):
        run(world, Spoiling(first, spoil))
    assert marks(world) == (0, 0)
    run(world)
    assert [row[0] for row in world.rows(MARKED)] == sorted(gone)


# -- what changes in silence


def test_the_young_are_read_again(world: World) -> None:
    """A cost filled in without moving updatedAt is found where the session is younger than `--recheck`."""
    young, old = ids(world)[100], ids(world)[10]
    for session_id in (young, old):
        world.server.store.update(world.server.org_id, session_id, lambda s: s.update(cost=7.5), touch=False)
    assert world.sync().counts.sessions_changed == 0
    assert run(world).counts.sessions_changed == 0
    done = run(world, recheck=48 * HOUR)
    assert (done.counts.sessions_changed, done.counts.silent_changes) == (1, 1)
    assert world.rows("SELECT session_id FROM sessions WHERE cost_usd = 7.5") == [(young,)]


@pytest.mark.proof
def test_the_scrub_comes_round_within_its_period(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One reconcile a day over two periods, while the history grows: no silent change lives longer than a period."""
    monkeypatch.setattr(module, "SCRUB_PERIOD", 7 * DAY)
    monkeypatch.setattr(module, "_SCRUB_ROUND", 5 * DAY)
    run(world, scrub=True)
    store, org_id = world.server.store, world.server.org_id
    pending: dict[str, int] = {}
    longest = 0
    for day in range(11):
        victim = ids(world)[day * 8]
        store.update(org_id, victim, lambda s, day=day: s.update(cost=100.0 + day), touch=False)
        pending[victim] = world.clock.us()
        world.clock.forward(days=1)
        world.insert(12, lambda n: (world.ago(hours=5) + n * SECOND,) * 2)
        run(world, scrub=True)
        found = {row[0] for row in world.rows("SELECT session_id FROM sessions WHERE cost_usd >= 100")}
        for session_id in found & pending.keys():
            longest = max(longest, world.clock.us() - pending.pop(session_id))
        assert all(world.clock.us() - since <= 7 * DAY for since in pending.values())
    assert longest > DAY


def test_each_scrub_reads_the_share_that_is_due(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of six days, where a round takes five; and nothing where no time has passed."""
    monkeypatch.setattr(module, "_SCRUB_ROUND", 5 * DAY)
    assert run(world, scrub=True).counts.sessions_read == 0
    world.clock.forward(days=1)
    assert 25 <= run(world, scrub=True).counts.sessions_read <= 33
    assert run(world, scrub=True).counts.sessions_read <= 1


# -- what it costs


class Million(LiveSessions):
    """A million sessions, one every 2.6 seconds over 30 days, and the source without some of them; only counted."""

    SESSIONS: Final = 1_000_000
    STEP: Final = 2_592 * MILLISECOND

    def __init__(self, deleted: int) -> None:
        self._gone = sorted(random.Random(deleted).sample(range(self.SESSIONS), deleted))
        self.requests = 0

    def _span(self, window: Window) -> tuple[int, int]:
        assert window.upper is not None
        lower, upper = (min(max(-(-at // self.STEP), 0), self.SESSIONS) for at in window)
        return lower, upper

    def count(self, window: Window) -> int:
        """Ours."""
        lower, upper = self._span(window)
        return upper - lower

    def middle(self, window: Window) -> int | None:
        """Ours."""
        lower, upper = self._span(window)
        return (lower + upper) // 2 * self.STEP if lower < upper else None

    def theirs(self, window: Window) -> int:
        """The source's, at the cost of one request."""
        self.requests += 1
        lower, upper = self._span(window)
        return upper - lower - (bisect.bisect_left(self._gone, upper) - bisect.bisect_left(self._gone, lower))

    def reconciled(self, page_size: int) -> tuple[int, int]:
        """Requests of a whole reconcile, and sessions read."""
        whole = Window(0, self.SESSIONS * self.STEP)
        found = list(differences(whole, self.theirs, self, page_size=page_size))
        assert sum(difference.ours - difference.theirs for difference in found) == len(self._gone)
        pages = sum(1 + difference.theirs // page_size for difference in found)
        proofs = len(self._gone) + bool(self._gone)  # each by its id, and a last look at what is listed
        return 1 + self.requests + pages + proofs, sum(difference.theirs for difference in found)


@pytest.mark.parametrize(
    ("deleted", "at_most", "rows_at_most"),
    [(0, 2, 0), (1, 20, 100), (10, 160, 1_000), (1_000, 7_000, 120_000)],
)
def test_requests_among_a_million_sessions(
    deleted: int, at_most: int, rows_at_most: int, record_property: Callable[[str, object], None]
) -> None:
    """Two without a deletion, eighteen for one: about as many for each as a million has halvings."""
    requests, rows = Million(deleted).reconciled(page_size=1000)
    print(f"{deleted:>5,} deletions: {requests:,} requests, {rows:,} sessions read")
    record_property("requests", requests)
    assert requests <= at_most
    assert rows <= rows_at_most
    if deleted:
        assert requests <= 4 + deleted * (3 + math.ceil(math.log2(Million.SESSIONS / 100)))


def test_large_sessions_are_read_again_a_few_at_a_time(world: World) -> None:
    """A page of a thousand of them would be hundreds of megabytes."""
    artifact = {"transcript": "x" * 300_000}
    world.insert(60, lambda n: (world.ago(hours=1 + n), world.ago(seconds=n)), artifact=artifact)
    world.sync()
    world.clock.forward(minutes=5)
    world.forget_requests()
    assert run(world, recheck=100 * HOUR).counts.sessions_read >= 60
    assert [request["limit"] for request in world.pages()][-2:] == ["20", "20"]


def test_the_count_of_requests_is_what_is_sent(world: World) -> None:
    """What it prints is what the source saw; one deletion among 120 costs a handful."""
    delete(world, ids(world)[50])
    world.forget_requests()
    done = run(world)
    assert done.requests == len(world.server.requests) <= 9
