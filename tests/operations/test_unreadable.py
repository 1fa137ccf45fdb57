"""A session without its required fields hides no other: it is kept aside, named in every run, and counts as held."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from selection import first
from transports import Edited
from vapi_sessions.errors import ConfigurationError, SourceUnavailableError
from vapi_sessions.operations.forget import Whom, forget
from vapi_sessions.operations.reconcile import Reconciled, reconcile
from vapi_sessions.operations.status import status
from vapi_sessions.operations.sync import Summary, sync
from vapi_sessions.operations.verify import Verified, verify
from vapi_sessions.source.environment import Environment
from vapi_sessions.warehouse.raw import files
from worlds import RecordedProgress, World

Session = dict[str, Any]
SECRET = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"


class Poisoned:
    """A world in which `spoil`, unless it is None, changes one session on its way."""

    def __init__(self, world: World, spoil: Callable[[Session], Any] | None, count: int = 30) -> None:
        self.world = world
        self.spoil = spoil
        start = world.ago(days=3)
        ids = world.insert(count, lambda n: (start + n * 1_000_000, start + n * 1_000_000), apiKey=SECRET)
        self.poison = ids[count // 2]
        self.others = set(ids) - {self.poison}

    def _change(self, session: Session) -> Any:
        return self.spoil(session) if self.spoil and session["id"] == self.poison else session

    @property
    def environment(self) -> Environment:
        clock = self.world.clock
        return Environment(clock.us, clock.monotonic, clock.sleep, Edited(self._change))

    def sync(self, **given: object) -> tuple[Summary, list[str]]:
        """One sync, and its messages."""
        notes = RecordedProgress()
        settings = self.world.settings(page_size=7, **given)
        return sync(settings, environment=self.environment, progress=notes), notes.said

    def verify(self, *, deep: bool = False) -> Verified:
        return verify(self.world.settings(page_size=7), deep=deep, environment=self.environment)

    def reconcile(self) -> Reconciled:
        return reconcile(self.world.settings(page_size=7), environment=self.environment)

    def held(self) -> set[str]:
        return {name for (name,) in self.world.rows("SELECT session_id FROM sessions")}

    def aside(self) -> dict[str, str]:
        return dict(self.world.rows("SELECT session_id, problem FROM sync.unreadable"))

    def raw(self) -> list[Session]:
        """Unreadable sessions in raw/."""
        paths = files(self.world.warehouse / "raw")
        rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
        return [row for row in rows if row["kind"] == "unreadable"]


def without(name: str) -> Callable[[Session], Session]:
    return lambda session: {key: value for key, value in session.items() if key != name}


def having(**fields: object) -> Callable[[Session], Session]:
    return lambda session: session | fields


SPOILT: dict[str, tuple[Callable[[Session], Any], str]] = {
    "no updatedAt": (without("updatedAt"), "updatedAt is missing"),
    "no createdAt": (without("createdAt"), "createdAt is missing"),
    "no organisation": (having(orgId=None), "orgId is null"),
    "a time in words": (having(updatedAt="soon"), "updatedAt is not a time"),
    "a number as id": (having(id=17), "id is not a string"),
    "no object": (lambda _: None, "it is not an object"),
    "nothing but an id": (lambda s: {"id": s["id"]}, "orgId is missing, createdAt is missing, updatedAt is missing"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "problem"), first(SPOILT.values()), ids=SPOILT)
def test_an_unreadable_session_hides_no_other(
    world: World, spoil: Callable[[Session], Any], problem: str
) -> None:
    """The others are stored, the window is claimed, and sync, status, verify and reconcile report the one that is kept aside."""
    poisoned = Poisoned(world, spoil)
    for _ in range(2):  # the second run finds nothing new, and warns again
        summary, said = poisoned.sync()
        ((name, found),) = summary.unreadable.items()
        assert found == problem
        assert any(name in line and problem in line for line in said)
        assert summary.watermark == summary.bound
        assert poisoned.held() == poisoned.others
    assert status(world.warehouse, now=world.clock.us()).unreadable == {name: problem}
    assert world.rows("SELECT DISTINCT sessions_unreadable FROM sync.runs") == [(1,)]
    for deep in (False, True):
        done = poisoned.verify(deep=deep)
        assert (done.findings, dict(done.unreadable)) == ((), {name: problem})
    done = poisoned.reconcile()
    assert (done.counts.deleted, done.counts.sessions_new, done.checked) == (0, 0, 0)
    # It counts as held by its createdAt. (This source counts by createdAt, even if it does not show it.)
    assert done.differing == (world.rows("SELECT count(*) - count(created_at) FROM sync.unreadable")[0][0])
    assert len(poisoned.raw()) == 1
    world.rebuild()
    assert (poisoned.held(), poisoned.aside()) == (poisoned.others, {name: problem})


def test_an_unreadable_session_is_stored_redacted_with_the_fields_it_has(world: World) -> None:
    """Ids and times that it does not have are null."""
    poisoned = Poisoned(world, having(orgId=None, createdAt=None))
    poisoned.sync()
    (row,) = poisoned.raw()
    assert (row["session_id"], row["org_id"], row["created_at"]) == (poisoned.poison, None, None)
    assert row["updated_at"] is not None
    assert SECRET not in row["body"]
    assert json.loads(row["body"])["apiKey"] == "[redacted]"


def test_an_unreadable_session_that_becomes_readable_is_stored_like_any_other(world: World) -> None:
    """The warning ends, and a rebuild agrees."""
    poisoned = Poisoned(world, without("updatedAt"))
    poisoned.sync()
    poisoned.spoil = None
    summary, said = poisoned.sync(full=True)
    assert (summary.unreadable, poisoned.aside()) == ({}, {})
    assert not any("cannot be read" in line for line in said)
    assert poisoned.held() == poisoned.others | {poisoned.poison}
    world.rebuild()
    assert (poisoned.held(), poisoned.aside()) == (poisoned.others | {poisoned.poison}, {})


@pytest.mark.proof
def test_a_stored_session_that_becomes_unreadable_keeps_its_rows(world: World) -> None:
    """They are neither lost nor marked. When it is readable again, this is remembered although nothing in it changed."""
    poisoned = Poisoned(world, None)
    poisoned.sync()
    before = world.tables()
    poisoned.spoil = without("updatedAt")
    poisoned.sync(full=True)
    assert poisoned.reconcile().counts.deleted == 0
    assert poisoned.verify(deep=True).findings == ()
    assert list(poisoned.aside()) == [poisoned.poison]
    assert world.tables() == before
    poisoned.spoil = None
    poisoned.sync(full=True)
    assert poisoned.aside() == {}
    world.rebuild()
    assert poisoned.aside() == {}


@pytest.mark.proof
@pytest.mark.parametrize("spoil", first([without("updatedAt"), without("createdAt"), having(id=None)]))
def test_an_unreadable_session_that_is_deleted_at_the_source_is_released(
    world: World, spoil: Callable[[Session], Any]
) -> None:
    """Reconcile finds out, and marks nothing, because there never was a row."""
    poisoned = Poisoned(world, spoil)
    poisoned.sync()
    assert len(poisoned.aside()) == 1
    world.server.store.delete(world.server.org_id, poisoned.poison)
    assert poisoned.reconcile().counts.deleted == 0
    assert poisoned.aside() == {}
    assert poisoned.verify().findings == ()
    world.rebuild()
    assert poisoned.aside() == {}


def test_a_session_that_is_unreadable_once_is_not_kept_aside(world: World) -> None:
    """A row counts as unreadable only if several responses show it so."""
    seen: list[str] = []

    def now_and_then(session: Session) -> Session:
        seen.append(session["id"])
        return session if len(seen) % 2 == 0 else without("updatedAt")(session)

    poisoned = Poisoned(world, now_and_then)
    summary, _ = poisoned.sync()
    assert (summary.unreadable, poisoned.raw()) == ({}, [])
    assert poisoned.held() == poisoned.others | {poisoned.poison}


def test_an_unreadable_session_of_another_organisation_is_refused(world: World) -> None:
    """It names its organisation."""
    poisoned = Poisoned(world, having(orgId="somebody else", updatedAt=None))
    with pytest.raises(ConfigurationError, match="belongs to organisation"):
        poisoned.sync()


def test_a_page_of_sessions_without_created_at_is_an_error_that_names_them(world: World) -> None:
    """They never move the cursor, so the sessions after them cannot be read."""
    poisoned = Poisoned(world, None)
    poisoned.sync()
    world.clock.forward(hours=1)
    later = world.insert(9, lambda n: (world.ago(minutes=30), world.ago(minutes=30)))
    environment = Environment(
        world.clock.us,
        world.clock.monotonic,
        world.clock.sleep,
        Edited(lambda session: without("createdAt")(session) if session["id"] in later else session),
    )
    with pytest.raises(SourceUnavailableError) as caught:
        sync(world.settings(page_size=7), environment=environment)
    assert caught.value.exit_code == 4
    assert sum(name in caught.value.fact for name in later) >= 7


def test_an_organisation_with_unreadable_sessions_only_is_an_error(world: World) -> None:
    """Nothing is claimed."""
    world.insert(3, lambda n: (world.ago(days=1), world.ago(days=1)))
    environment = Environment(
        world.clock.us, world.clock.monotonic, world.clock.sleep, Edited(without("orgId"))
    )
    with pytest.raises(SourceUnavailableError, match="The source lists only unreadable sessions first"):
        sync(world.settings(), environment=environment)


@pytest.mark.proof
def test_an_unreadable_session_that_no_sync_sees_is_found_by_reconcile(world: World) -> None:
    """A source may leave sessions without `updatedAt` out of every filter on it: verify names the session, and reconcile keeps it aside."""
    poisoned = Poisoned(world, None)
    poisoned.sync()
    world.clock.forward(hours=1)
    (poison,) = world.insert(1, lambda n: (world.ago(minutes=30), world.ago(minutes=30)))

    class Filtered(Edited):
        """Without the poison if a request filters on `updatedAt`."""

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = super().handle_request(request)
            if not any(name.startswith("updatedAt") for name in request.url.params):
                return answer
            found = json.loads(answer.content)
            kept = [s for s in found["results"] if s["id"] != poison]
            found["metadata"]["totalItems"] -= len(found["results"]) - len(kept)
            headers = {name: answer.headers[name] for name in ("content-type", "date")}
            return httpx.Response(200, headers=headers, json=found | {"results": kept})

    def change(session: Session) -> Session:
        return without("updatedAt")(session) if session["id"] == poison else session

    clock = world.clock
    environment = Environment(clock.us, clock.monotonic, clock.sleep, Filtered(change))
    settings = world.settings()
    sync(settings, environment=environment)
    assert poison not in poisoned.held() | poisoned.aside().keys()
    (finding,) = verify(settings, environment=environment).findings
    assert (finding.ids, finding.remedy) == ((poison,), "vapi-sessions reconcile")
    reconcile(settings, environment=environment)
    assert list(poisoned.aside()) == [poison]
    assert verify(settings, environment=environment).findings == ()


@pytest.mark.proof
def test_an_unreadable_session_can_be_forgotten_by_its_name(world: World) -> None:
    """Its JSON is removed from raw/, and the next sync does not bring it back."""
    poisoned = Poisoned(world, having(id=None))
    poisoned.sync()
    (name,) = poisoned.aside()
    forget(world.settings(), Whom([name]), environment=world.environment())
    assert (poisoned.aside(), poisoned.raw()) == ({}, [])
    summary, _ = poisoned.sync(full=True)
    assert (summary.unreadable, poisoned.raw()) == ({}, [])
