"""The time zone of days in views: who sets it, when it takes effect, and what keeps it."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import httpx
import pytest

import vapi_sessions
from selection import first
from vapi_sessions.core.timestamps import parse
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations import rebuild
from vapi_sessions.operations.forget import Whom, forget
from vapi_sessions.operations.reconcile import reconcile
from worlds import World, new_world

#: A quarter of an hour before the end of a UTC day, in which Berlin has a new day and New York an old one.
LATE = parse("2026-02-20T23:45:00Z")
UTC_DAY, BERLIN_DAY = date(2026, 2, 20), date(2026, 2, 21)
BERLIN, UTC = ("Europe/Berlin", BERLIN_DAY), ("UTC", UTC_DAY)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One session of a late evening, synced without a setting."""
    with new_world(tmp_path_factory.mktemp("zones") / "warehouse") as world:
        world.insert(1, lambda n: (LATE, LATE))
        world.sync()
        yield world


@pytest.fixture
def late(world: World, template: World) -> World:
    """A copy of it."""
    world.insert(1, lambda n: (LATE, LATE))
    world.adopt(template)
    return world


def shown(world: World) -> tuple[str, date]:
    """The stored time zone, and the day that a view shows."""
    ((zone,),), ((day,),) = world.answers(
        ["SELECT value FROM sync.state WHERE key = 'time_zone'", "SELECT day FROM cost_by_day"]
    )
    return zone, day


def test_without_a_setting_days_are_those_of_utc(late: World) -> None:
    """The state says so."""
    assert shown(late) == UTC


@pytest.mark.proof
def test_a_sync_that_finds_nothing_publishes_views_with_the_new_time_zone(late: World) -> None:
    """No data file is written. A later sync without the setting keeps it, one with another replaces it."""
    files = late.files("parquet")
    assert late.sync(time_zone="Europe/Berlin").published is False
    assert shown(late) == BERLIN
    late.sync()
    assert shown(late) == BERLIN
    assert late.files("parquet") == files
    late.sync(time_zone="America/New_York")
    assert shown(late) == ("America/New_York", UTC_DAY)
    late.sync(time_zone="UTC")
    assert shown(late) == UTC


def test_readers_need_no_setting_and_show_times_in_utc(late: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever their environment says."""
    late.sync(time_zone="Europe/Berlin")
    monkeypatch.setenv("VAPI_TIME_ZONE", "America/New_York")
    with vapi_sessions.connect(late.warehouse) as db:
        query = "SELECT day, created_at::VARCHAR FROM cost_by_day, sessions"
        assert db.cursor().execute(query).fetchall() == [(BERLIN_DAY, "2026-02-20 23:45:00+00")]


def test_a_failed_run_takes_the_time_zone_over_too(late: World) -> None:
    """It publishes what it has."""

    def fail(request: httpx.Request) -> None:
        raise httpx.ConnectError("no route", request=request)

    with pytest.raises(vapi_sessions.errors.SourceUnavailableError):
        late.sync(before=fail, time_zone="Europe/Berlin")
    assert shown(late) == BERLIN


@pytest.mark.parametrize("command", first(["reconcile", "rebuild", "forget"]))
def test_every_command_that_publishes_sets_it_and_keeps_it(late: World, command: str) -> None:
    """Without the setting, the stored one stays."""

    def run(time_zone: str | None) -> None:
        settings, environment = late.settings(time_zone=time_zone), late.environment()
        if command == "reconcile":
            reconcile(settings, environment=environment)
        elif command == "rebuild":
            rebuild.rebuild(late.warehouse, time_zone=time_zone, environment=environment)
        else:
            forget(settings, Whom(sessions=["nobody"]), environment=environment)

    run("Europe/Berlin")
    assert shown(late) == BERLIN
    run(None)
    assert shown(late) == BERLIN


def test_a_dry_run_of_forget_changes_nothing(late: World) -> None:
    """Not the time zone either."""
    settings = late.settings(time_zone="Europe/Berlin")
    forget(settings, Whom(sessions=["nobody"]), dry_run=True, environment=late.environment())
    late.sync()
    assert shown(late) == UTC


@pytest.mark.parametrize("lost", first(["both", "index.duckdb"]))
@pytest.mark.parametrize("remedy", first(["sync", "rebuild"]))
def test_a_lost_index_gets_it_from_the_published_database(late: World, lost: str, remedy: str) -> None:
    """If that is lost too, days are those of UTC again."""
    late.sync(time_zone="Europe/Berlin")
    for name in ["index.duckdb"] if lost == "index.duckdb" else ["index.duckdb", "vapi.duckdb"]:
        (late.warehouse / name).unlink()
    late.rebuild() if remedy == "rebuild" else late.sync()
    assert shown(late) == (BERLIN if lost == "index.duckdb" else UTC)


@pytest.mark.proof
def test_a_damaged_index_is_rebuilt_with_the_published_time_zone(late: World) -> None:
    """The first database that can be read gives it."""
    late.sync(time_zone="Europe/Berlin")
    (late.warehouse / "index.duckdb").write_bytes(b"garbage" * 10_000)
    late.rebuild()
    assert shown(late) == BERLIN


@pytest.mark.proof
def test_a_stricter_policy_keeps_it(late: World) -> None:
    """Everything is rewritten, but the setting is none of the sessions'."""
    late.sync(time_zone="Europe/Berlin")
    late.sync(personal_data="drop")
    assert shown(late) == BERLIN


def test_a_time_zone_that_duckdb_does_not_know_is_refused_before_any_request(
    late: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's database of time zones may be newer. Nothing changes."""
    before = late.files("parquet"), Path(late.warehouse / "vapi.duckdb").read_bytes()
    settings = late.settings().model_copy(update={"time_zone": "Mars/Olympus_Mons"})
    monkeypatch.setattr(late, "settings", lambda **given: settings)
    late.forget_requests()
    with pytest.raises(ConfigurationError, match="does not know the time zone 'Mars/Olympus_Mons'") as caught:
        late.sync()
    assert caught.value.exit_code == 2
    assert "VAPI_TIME_ZONE" in caught.value.remedy
    assert late.server.requests == []
    assert (late.files("parquet"), Path(late.warehouse / "vapi.duckdb").read_bytes()) == before


@pytest.mark.proof
def test_a_copy_and_a_moved_warehouse_have_it(late: World) -> None:
    """It is part of the published state."""
    late.sync(time_zone="Europe/Berlin")
    copy = shutil.copytree(late.warehouse, late.warehouse.with_name("copy"), symlinks=True)
    with vapi_sessions.connect(copy) as db:
        assert db.execute("SELECT day FROM cost_by_day").fetchall() == [(BERLIN_DAY,)]
