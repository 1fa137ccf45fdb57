"""Deletions are found by counting and proven by requests for single ids; missing sessions are fetched."""

from __future__ import annotations

import json

import httpx
import pytest
from reconciling import DELETED, delete, run, tombstones

from selection import first
from synced_worlds import hourly, ids, synced_world
from transports import RealTransport
from vapi_sessions.core.timestamps import DAY, MILLISECOND, SECOND, parse
from vapi_sessions.errors import (
    ConfigurationError,
)
from vapi_sessions.operations.forget import Whom, forget
from vapi_sessions.operations.reconcile import reconcile
from worlds import World

template, world = synced_world(hourly(120, newest_hours=2))


def test_deleted_sessions_are_marked_and_no_others(world: World) -> None:
    """Three of 120, far apart. A second run has nothing to do."""
    gone = [ids(world)[n] for n in (7, 60, 111)]
    delete(world, *gone)
    done = run(world)
    assert (done.counts.deleted, done.checked) == (3, 3)
    assert [row[0] for row in world.rows(DELETED)] == sorted(gone)
    again = run(world)
    assert (again.counts.deleted, again.differing, again.checked, again.requests) == (0, 0, 0, 3)


def test_the_rows_of_a_deleted_session_stay(world: World) -> None:
    """A deletion is a time in a column: the session and its messages can still be read, or filtered out."""
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
        bounds = [parse(asked[name]) for name in ("createdAtGe", "updatedAtGe") if name in asked]
        lower = max(bounds, default=0)  # a hidden session has never changed
        upper = parse(asked["createdAtLt"]) if "createdAtLt" in asked else 1 << 62
        answer["results"] = [row for row in answer["results"] if row["id"] not in self._hidden][:limit]
        answer["metadata"]["totalItems"] -= sum(lower <= at < upper for at in self._hidden.values())
        answer["metadata"]["itemsPerPage"] = limit
        headers = {"content-type": "application/json", "date": response.headers["date"]}
        return httpx.Response(200, headers=headers, content=json.dumps(answer).encode())


def test_a_session_that_only_the_list_leaves_out_is_not_marked(world: World) -> None:
    """A list is no proof: each missing session is requested by id, and any answer but 404 keeps it."""
    session_id = ids(world)[30]
    created = world.server.store.created_us(world.server.org_id, session_id)
    assert created is not None
    done = run(world, Hiding({session_id: created // MILLISECOND * MILLISECOND}))
    assert (done.differing, done.checked, done.counts.deleted) == (1, 1, 0)
    assert tombstones(world) == (0, 0)


@pytest.mark.parametrize("how", first(["reconcile", "sync"]))
def test_a_session_that_comes_back_is_restored(world: World, how: str) -> None:
    """With the same content a reconcile finds it, with a new content a sync does."""
    (body,) = delete(world, ids(world)[50])
    run(world)
    assert tombstones(world) == (1, 0)
    world.clock.forward(hours=1)
    if how == "reconcile":
        world.server.store.add(body)
        assert run(world).counts.restored == 1
    else:
        world.server.store.add({**body, "name": "Back"}, updated_us=world.ago(minutes=30))
        assert world.sync().counts.restored == 1
    assert tombstones(world) == (0, 0)


def test_a_full_sync_does_not_remove_a_tombstone(world: World) -> None:
    """It reads nothing that is newer than the proof."""
    delete(world, ids(world)[50])
    run(world)
    world.sync(full=True)
    assert tombstones(world) == (1, 0)


def test_missing_sessions_are_fetched(world: World) -> None:
    """The source shows them late, in an interval that has long been claimed; the same counts find them."""
    world.insert(4, lambda n: (world.ago(hours=70) + n * SECOND,) * 2)
    done = run(world)
    assert (done.counts.sessions_new, done.counts.deleted) == (4, 0)
    assert world.here() == world.there()


def test_a_deletion_is_found_although_as_many_sessions_are_new(world: World) -> None:
    """One deleted, and one new that no sync has read, so the counts would agree: the new one is read first."""
    gone = ids(world)[50]
    delete(world, gone)
    world.insert(1, lambda n: (world.ago(minutes=2),) * 2)
    done = run(world)
    assert (done.counts.deleted, done.counts.sessions_new) == (1, 1)
    assert [row[0] for row in world.rows(DELETED)] == [gone]


def test_only_what_no_sync_has_read_is_read_first(world: World) -> None:
    """A gap in the middle of the history, as an interrupted sync leaves it, and not what was read after it."""
    world.warehouse = world.warehouse.with_name("gap")
    world.sync(until=world.ago(hours=80))
    world.sync(since=world.ago(hours=40))
    missing = 120 - len(world.here())
    done = run(world)
    assert 38 <= missing <= 42
    assert (done.counts.sessions_read, done.counts.sessions_new, done.differing) == (missing, missing, 0)


@pytest.mark.proof
@pytest.mark.parametrize("style", first(["400", "silent", "flag"]))
def test_a_gap_before_the_retention_of_the_source_is_no_obstacle(world: World, style: str) -> None:
    """Nothing older than what the source lists is asked for."""
    world.warehouse = world.warehouse.with_name("gap")
    world.sync(until=world.ago(hours=110))
    gone = ids(world)[115]
    delete(world, gone)
    world.server.configure(retention_days=3, retention_style=style)
    world.forget_requests()
    assert run(world).counts.deleted == 0  # it was never read
    sent = [r.parameters[name] for r in world.server.requests for name in r.parameters if name.endswith("Ge")]
    assert all(parse(at) >= world.ago(days=3) for at in sent)
    assert world.rows("SELECT count(*) FROM sessions WHERE aged_out_at IS NULL")[0][0] > 60


@pytest.mark.proof
def test_a_deletion_is_found_although_a_new_session_is_of_somebody_forgotten(world: World) -> None:
    """It is counted as held, and not stored."""
    someone = {"number": "+14155550104"}
    world.insert(1, lambda n: (world.ago(minutes=4),) * 2, customer=someone)
    world.sync()
    forget(world.settings(), Whom(customers=[("number", "+14155550104")]), environment=world.environment())
    gone = ids(world)[50]
    delete(world, gone)
    world.insert(1, lambda n: (world.ago(minutes=2),) * 2, customer=someone)
    done = run(world)
    assert (done.counts.deleted, done.counts.sessions_new) == (1, 0)
    assert run(world).differing == 0


@pytest.mark.proof
def test_a_deletion_is_found_although_the_watermark_is_after_the_bound(world: World) -> None:
    """The settling delay is longer than before. A session created before the bound, and changed after it, is new."""
    world.sync()
    gone = ids(world)[50]
    delete(world, gone)
    world.insert(1, lambda n: (world.ago(hours=30), world.ago(seconds=1)))
    done = reconcile(world.settings(settle="12h"), scrub=False, environment=world.environment())
    assert (done.counts.deleted, done.counts.sessions_new) == (1, 1)


@pytest.mark.proof
def test_a_deletion_is_found_in_a_warehouse_that_begins_with_since(world: World) -> None:
    """A session from before that time, which changes, is read and does not count."""
    world.warehouse = world.warehouse.with_name("since")
    world.sync(since=world.ago(hours=50))
    gone, old = ids(world)[100], ids(world)[3]
    delete(world, gone)
    world.server.store.update(world.server.org_id, old, lambda s: s.update(status="changed"))
    world.insert(1, lambda n: (world.ago(minutes=2),) * 2)
    world.clock.forward(minutes=1)
    done = run(world)
    assert (done.counts.deleted, done.counts.sessions_new) == (1, 1)
    assert [row[0] for row in world.rows(DELETED)] == [gone]


def test_sessions_older_than_the_origin_are_not_compared(world: World) -> None:
    """A warehouse that begins with `--since` gets no older sessions, and no tombstones for them."""
    world.warehouse = world.warehouse.with_name("since")
    world.sync(since=world.ago(hours=40))
    count = world.rows("SELECT count(*) FROM sessions")
    delete(world, ids(world)[5], ids(world)[110])
    done = run(world, recheck=20 * DAY)
    assert (done.counts.sessions_new, done.counts.deleted) == (0, 1)
    assert world.rows("SELECT count(*) FROM sessions") == count


def test_a_reconcile_before_the_first_sync_is_refused(world: World) -> None:
    """The error says what to do first."""
    world.warehouse = world.warehouse.with_name("new")
    with pytest.raises(ConfigurationError, match="holds nothing to reconcile") as told:
        run(world)
    assert "vapi-sessions sync" in told.value.remedy
