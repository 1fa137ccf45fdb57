"""A long first sync publishes before its end: readers always see a whole committed state, and `status` says that it runs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

import command
from constants import KEY
from forks import KILLED, Forks
from selection import first
from vapi_sessions.core import resources
from vapi_sessions.core.timestamps import SECOND
from vapi_sessions.operations import coordinator
from vapi_sessions.operations.status import status
from vapi_sessions.operations.sync import Run
from vapi_sessions.warehouse import raw
from worlds import World

SESSIONS = 120
#: Bytes of staged rows: about a tenth of what these sessions have.
STAGED = 12_000


@pytest.fixture
def world(world: World) -> World:
    """Sessions over twelve days; each window has several pages."""
    world.insert(SESSIONS, lambda n: (world.ago(hours=300 - 2 * n), world.ago(hours=300 - 2 * n) + SECOND))
    return world


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches, which are published early."""
    monkeypatch.setattr(coordinator, "STAGED_MOST", STAGED)
    monkeypatch.setattr(coordinator, "BATCH_BYTES", 2_000)


def check(world: World) -> int:
    """Assert that the published state was committed and agrees with its ledger; returns how many sessions it has."""
    sessions, batches, claimed, running, messages, *contradictions = world.answers(
        [
            "SELECT session_id, epoch_us(updated_at) FROM sessions",
            "SELECT file, published FROM sync.batches",
            "SELECT epoch_us(lower_bound), epoch_us(upper_bound) FROM sync.intervals",
            "SELECT outcome FROM sync.runs ORDER BY started_at DESC LIMIT 1",
            "SELECT DISTINCT session_id FROM messages",
            *(file.read_text("utf-8") for file in resources.sql_files("checks")),
        ]
    )
    assert [found for found in contradictions if found] == []
    held = {session_id for session_id, _ in sessions}
    assert len(held) == len(sessions)
    stored = {
        o.session_id
        for file, published in batches
        for part in raw.read(world.warehouse / "raw" / file)
        for o in part
        if published
    }
    assert held == stored, "exactly the sessions of the published batches"
    assert held == {session_id for (session_id,) in messages}
    listed = {s for s, at, _ in world.there() if any(a <= at * 1000 < b for a, b in claimed)}
    assert listed <= held, "all sessions of claimed time"
    assert running in ([("running",)], [("done",)])
    return len(held)


@pytest.mark.proof
@pytest.mark.usefixtures("often")
def test_readers_see_whole_states_during_a_first_sync(world: World) -> None:
    """Several states, each with more sessions than the one before, and each agrees with its own ledger."""
    seen: list[int] = []
    said: list[str] = []

    def before(request: httpx.Request) -> None:
        if (world.warehouse / "vapi.duckdb").exists():
            seen.append(check(world))
            if len(seen) in (1, 25):
                said.append(_status(world, {}))

    world.sync(before=before, concurrency=1, page_size=4)

    assert len(set(seen)) >= 4
    assert seen == sorted(seen)
    assert 0 < seen[0] < SESSIONS
    assert "first sync running: complete until nothing yet" in said[0]
    assert "first sync running: complete until 2026-0" in said[-1]
    assert re.search(r"sync +running +read [1-9]", said[-1])
    assert "first sync" not in _status(world, {})
    assert check(world) == SESSIONS
    assert list((world.warehouse / "staging").iterdir()) == []


@pytest.mark.proof
@pytest.mark.usefixtures("often")
def test_an_interrupted_first_sync_is_published_as_unfinished(world: World) -> None:
    """The next run continues; until it has succeeded, `status` calls the first sync unfinished."""
    asked: list[str] = []

    def before(request: httpx.Request) -> None:
        asked.append(str(request.url))
        if len(asked) > 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.sync(before=before, concurrency=1, page_size=4)
    arrived = len(world.here())
    assert 0 < arrived < SESSIONS
    assert "first sync not finished: complete until" in _status(world, {})
    assert json.loads(_status(world, {}, "--json"))["first_sync"] == "not finished"
    summary = world.sync(concurrency=1, page_size=4)
    assert summary.counts.sessions_read <= SESSIONS - arrived + 3
    assert world.here() == world.there()
    assert json.loads(_status(world, {}, "--json"))["first_sync"] is None


@pytest.mark.parametrize("name", first(["sync", "sync flow", "backfill flow"]))
def test_a_failed_first_sync_of_any_kind_is_unfinished(world: World, name: str) -> None:
    """Syncs of flows count like those of the command line."""

    def fail() -> None:
        with Run(world.settings(), environment=world.environment(), command=name) as run:
            run.plan()
            run.fetch(0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert status(world.warehouse, now=world.clock.us()).first_sync == "not finished"


@pytest.mark.proof
@pytest.mark.parametrize(
    "point",
    [
        "publish.snapshot_drafted:3",
        "merge.committed:13",
        "staging.written:13",
        "publish.file_written:8",
        "publish.snapshot_noted:2",
        "publish.views_renamed:2",
        "publish.latest_swapped:2",
    ],
)
def test_the_next_run_continues_a_killed_first_sync(world: World, tmp_path: Path, point: str) -> None:
    """Killed after a publication or more: the published state is whole and stays so, and nothing in raw/ is read again."""
    environment: dict[str, Any] = {"VAPI_API_KEY": KEY, "VAPI_BASE_URL": world.server.url}
    sync = ("sync", "--settle", "0s", "--concurrency", "1", "--page-size", "4")
    forks = Forks(world.server, tmp_path / "said", {"STAGED_MOST": str(STAGED), "BATCH_BYTES": "2000"})
    try:
        assert forks.run(sync, world.warehouse, point) == KILLED, forks.said()
    finally:
        forks.end()
    shown = check(world)
    assert 0 < shown < SESSIONS
    assert "first sync not finished: complete until" in _status(world, environment)
    kept = sum(len(part) for path in raw.files(world.warehouse / "raw") for part in raw.read(path))
    ran = command.run(*sync, "--warehouse", str(world.warehouse), environment=environment)
    assert ran.code == 0, ran.err
    read = int(ran.out.split()[0].replace(",", ""))
    assert read <= SESSIONS - kept + 3, (
        "each resumed window requests once more the session at which it stopped"
    )
    assert world.here() == world.there()
    assert check(world) == SESSIONS
    assert "first sync" not in _status(world, environment)


def _status(world: World, environment: dict[str, Any], *options: str) -> str:
    ran = command.run("status", *options, "--warehouse", str(world.warehouse), environment=environment)
    assert ran.code == 0, ran.err
    return ran.out
