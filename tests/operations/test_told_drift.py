"""A field without a column is news once: the run that finds it tells it, or the next one, and no other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from selection import first
from vapi_sessions.core import faultpoints
from vapi_sessions.operations.forget import Whom, forget
from vapi_sessions.warehouse import told_drift
from vapi_sessions.warehouse.index import Index
from worlds import RecordedProgress, World, new_world

#: Where a run is killed when a field is in `raw/`, staged, or committed.
POINTS: Final = ("raw.renamed", "staging.written", "merge.committed")


def arrive(world: World, **fields: Any) -> list[str]:
    """A new session with these members; returns its id."""
    world.clock.forward(minutes=1)
    now = world.clock.us()
    made = world.insert(1, lambda n: (now, now), **fields)
    world.clock.forward(minutes=1)
    return made


def told(world: World) -> tuple[str, ...]:
    """The new fields of one sync, of which it also warned, or did not if there are none."""
    progress = RecordedProgress()
    new = world.sync(progress=progress).new_drift
    warnings = [text for text in progress.said if text.startswith("warning: ")]
    assert len(warnings) == bool(new)
    assert all(told_drift.describe(new) in text and len(text) < 200 for text in warnings)
    return new


def test_a_field_is_told_once(world: World) -> None:
    """By the run that brings it. A second field is news of its own; a session with a known one is none."""
    arrive(world, mood="calm")
    assert told(world) == ("session.mood",)
    arrive(world, mood="angry", colour="red", size=3)
    assert told(world) == ("session.colour", "session.size")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world, and beside its warehouse copies as a run leaves them that is killed at one of the points. Only the killed run has
    seen the field `mood`.
    """
    with new_world(tmp_path_factory.mktemp("killed") / "warehouse") as world:
        arrive(world, known="yes")
        assert told(world) == ("session.known",)
        arrive(world, known="yes", mood="calm")

        def reach(point: str) -> None:
            copy = world.warehouse.with_name(point)
            if point in POINTS and not copy.exists():
                shutil.copytree(world.warehouse, copy, symlinks=True)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(faultpoints, "reach", reach)
            assert told(world) == ("session.mood",)
        yield world


def left(killed: World, point: str, tmp_path: Path) -> World:
    """The world with what a run left that was killed at this point."""
    shutil.copytree(killed.warehouse.with_name(point), tmp_path / "warehouse", symlinks=True)
    return World(killed.server, tmp_path / "warehouse", killed.clock)


@pytest.mark.parametrize("point", first(POINTS))
def test_a_killed_run_leaves_its_news_to_the_next(killed: World, point: str, tmp_path: Path) -> None:
    """Wherever it is killed; and to no later one."""
    world = left(killed, point, tmp_path)
    assert told(world) == ("session.mood",)
    assert told(world) == ()


@pytest.mark.proof
def test_a_rebuild_leaves_the_news_of_a_killed_run(killed: World, tmp_path: Path) -> None:
    """And tells none itself. What was told before is no news."""
    world = left(killed, "raw.renamed", tmp_path)
    world.rebuild()
    assert told(world) == ("session.mood",)


@pytest.mark.proof
def test_forget_leaves_the_news_of_a_killed_run(killed: World, tmp_path: Path) -> None:
    """Although it publishes the session."""
    world = left(killed, "raw.renamed", tmp_path)
    whom = Whom(sessions=["00000000-0000-4000-8000-000000000001"])
    forget(world.settings(), whom, environment=world.environment())
    assert world.rows("SELECT field FROM drift ORDER BY 1") == [("session.known",), ("session.mood",)]
    assert told(world) == ("session.mood",)


@pytest.mark.parametrize("lost", first([True, False]))
def test_a_rebuild_keeps_what_was_told(world: World, lost: bool) -> None:
    """From the index that it replaces, or if that is lost from what was published."""
    arrive(world, mood="calm")
    told(world)
    if lost:
        (world.warehouse / "index.duckdb").unlink()
    world.rebuild()
    arrive(world, mood="calm", colour="red")
    assert told(world) == ("session.colour",)


@pytest.mark.proof
def test_a_warehouse_of_an_earlier_version_knows_the_fields_of_its_runs(world: World) -> None:
    """Every run of an earlier version told its fields."""
    arrive(world, mood="calm")
    told(world)
    with Index(world.warehouse / "index.duckdb", world.warehouse / "staging") as index:
        index.run("DELETE FROM sync.state WHERE key = ?", [told_drift.FACT])
        index.checkpoint()
    arrive(world, mood="calm", colour="red")
    assert told(world) == ("session.colour",)


def test_many_fields_are_told_within_bounds() -> None:
    """The message names a few. Where there are thousands, names are data and no news."""
    state: dict[str, str] = {}
    for start in range(0, 8_000, 100):
        state |= told_drift.seen(state, [f"session.f{n}" for n in range(start, start + 100)])
    assert len(told_drift.news(state)) == told_drift.MOST
    message = told_drift.describe(told_drift.news(state))
    assert message.startswith("1,000 new fields without a column")
    assert ", and 995 more; " in message
    state |= told_drift.told(state)
    assert told_drift.seen(state, ["session.another", "session.f1"]) == {}
    assert len(state[told_drift.FACT]) < 20_000
    assert told_drift.seen({}, ["other"]) == {}
