"""A verification compares the warehouse with the source, changes nothing, and refuses what cannot be compared."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

import command
from selection import first
from synced_worlds import hourly, ids, synced_world
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations.reconcile import reconcile
from verifying import change_silently, falsify, lose, only, run
from worlds import World

template, world = synced_world(hourly(300, newest_hours=1))


def test_verifying_by_counts_takes_two_requests_if_all_agrees(world: World) -> None:
    """One for the oldest session, one for the count of all."""
    done = run(world)
    assert (done.findings, done.sessions, done.requests) == ((), 300, 2)
    assert len(world.server.requests) == 2


def test_verifying_row_by_row_compares_every_session(world: World) -> None:
    """That takes as many requests as reading them."""
    done = run(world, deep=True)
    assert (done.findings, done.sessions) == ((), 300)
    assert 4 <= done.requests <= 6


def test_a_verification_changes_no_file(world: World) -> None:
    """Whatever it finds."""
    lose(world, ids(world)[5:8])
    before = world.files(".")
    assert run(world, deep=True).findings
    assert world.files(".") == before


@pytest.mark.parametrize("deep", first([True, False]))
def test_changes_since_the_watermark_are_no_difference(world: World, deep: bool) -> None:
    """No sync could have read them yet."""
    for session_id in ids(world)[::30]:
        world.server.store.update(world.server.org_id, session_id, lambda s: s.update(name="Changed"))
    world.insert(5, lambda n: (world.clock.us(),) * 2)
    world.clock.forward(minutes=1)
    assert run(world, deep=deep).findings == ()


@pytest.mark.parametrize("deep", first([True, False]))
def test_sessions_with_a_tombstone_are_no_difference(world: World, deep: bool) -> None:
    """Deleted and aged-out sessions are not expected at the source."""
    for session_id in ids(world)[100:103]:
        world.server.store.delete(world.server.org_id, session_id)
    world.server.configure(retention_days=10, retention_style="400")
    reconcile(world.settings(), environment=world.environment())
    assert world.rows("SELECT count(deleted_at), count(aged_out_at) > 20 FROM sessions") == [(3, True)]
    assert run(world, deep=deep).findings == ()


@pytest.mark.proof
@pytest.mark.parametrize("deep", first([True, False]))
def test_sessions_older_than_the_origin_are_no_difference(world: World, deep: bool) -> None:
    """A warehouse that begins with `--since` is compared from there."""
    world.warehouse = world.warehouse.with_name("since")
    world.sync(since=world.ago(hours=100))
    assert run(world, deep=deep).findings == ()


@pytest.mark.proof
def test_a_difference_is_found_with_few_requests(world: World) -> None:
    """By bisection: only the small window at the end is read."""
    lose(world, [ids(world)[123]])
    assert run(world).requests <= 6


@pytest.mark.proof
def test_large_sessions_are_compared_in_small_pages(world: World) -> None:
    """A page of a thousand of them would take hundreds of megabytes."""
    artifact = {"transcript": "x" * 300_000}
    large = world.insert(60, lambda n: (world.ago(hours=200 + n), world.ago(seconds=n)), artifact=artifact)
    world.sync()
    world.clock.forward(minutes=5)
    changed = large[30]
    change_silently(world, changed)
    world.forget_requests()
    assert only(run(world, deep=True)).ids == (changed,)
    limits = [int(request["limit"]) for request in world.pages()]
    assert limits[0] == limits[-1] == 100  # small ones, before and behind
    assert min(limits) < 30


def test_a_verification_with_another_organisations_key_is_refused(world: World) -> None:
    """Nothing is said about a warehouse that does not belong to the key."""
    keys = {**world.server.settings.keys, "another": "0e111a70-0000-4000-8000-00000000000b"}
    world.server.configure(keys=keys)
    world.insert(3, lambda n: (world.ago(hours=9),) * 2, org_id=keys["another"])
    with pytest.raises(ConfigurationError, match="belongs to organisation"):
        run(world, api_key=SecretStr("another"))


def test_a_verification_against_a_source_without_sessions_is_refused(world: World) -> None:
    """An empty list is neither agreement nor difference."""
    world.server.store.clear()
    with pytest.raises(ConfigurationError, match="shows no session at all"):
        run(world)


def test_a_verification_before_the_first_sync_is_refused(world: World) -> None:
    """The error says what to do first."""
    world.warehouse = world.warehouse.with_name("new")
    with pytest.raises(ConfigurationError, match="no published warehouse") as told:
        run(world)
    assert "vapi-sessions sync" in told.value.remedy


@pytest.mark.parametrize("deep", [(), pytest.param(("--deep",), marks=pytest.mark.proof)])
def test_the_verify_command_names_the_difference_and_exits_with_6(
    world: World, deep: tuple[str, ...]
) -> None:
    """Window, ids and remedy on stdout, the sum on stderr; exit code 0 if there is none."""
    environment = {
        "VAPI_API_KEY": world.server.key,
        "VAPI_BASE_URL": world.server.url,
        "VAPI_WAREHOUSE": str(world.warehouse),
    }
    ran = command.run("verify", *deep, environment=environment)
    assert (ran.code, "300 sessions agree with the source" in ran.out) == (0, True)
    lost = ids(world)[123]
    lose(world, [lost])
    ran = command.run("verify", *deep, environment=environment)
    assert ran.code == 6
    assert lost in ran.out
    assert "vapi-sessions sync --since" in ran.out
    assert "1 difference among" in ran.err


@pytest.mark.proof
def test_findings_show_no_content(world: World) -> None:
    """Only ids and counts, so that the output can be shown to anybody."""
    falsify(world, ids(world)[3])
    lose(world, ids(world)[40:42])
    said: list[Any] = [run(world).findings, run(world, deep=True).findings]
    assert "Hello" not in repr(said)
    assert "False" not in repr(said).replace("deep=False", "")
