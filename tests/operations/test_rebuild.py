"""`rebuild` derives the same warehouse from `raw/`, and refuses if files of `raw/` are missing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sync_sessions import spread

from clocks import Clock
from selection import first
from vapi_emulator.server import EmulatorServer
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.errors import (
    ConfigurationError,
    WarehouseDamagedError,
)
from worlds import World


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A warehouse of several raw files: sessions that were seen growing, and that changed silently."""
    clock = Clock()
    with EmulatorServer(clock=clock) as server:
        world = World(server, tmp_path_factory.mktemp("history") / "warehouse", clock)
        world.generate(150, until=world.ago(hours=1))
        world.sync()
        traffic = server.traffic(late_cost_moves_updated_at=False)
        for _ in range(3):
            traffic.steps(25)
            clock.forward(hours=1)
            world.sync(full=True)
        yield world


@pytest.fixture
def grown(history: World, tmp_path: Path) -> World:
    """A copy of that warehouse."""
    shutil.copytree(history.warehouse, tmp_path / "warehouse", symlinks=True)
    return World(history.server, tmp_path / "warehouse", history.clock)


def _rename_raw(world: World, *, reverse: bool) -> None:
    raw = world.warehouse / "raw"
    for n, path in enumerate(sorted(raw.iterdir(), reverse=reverse)):
        path.rename(raw / f"{n:03d}.parquet")


def test_a_rebuild_derives_an_equal_warehouse(grown: World) -> None:
    """From `raw/` alone all five tables come out the same, in a new index; no other file appears."""
    rows, ledger = grown.tables(), grown.ledger()
    assert len(grown.files("raw")) >= 4
    there = {path.name for path in grown.warehouse.iterdir()}
    _, sessions = grown.rebuild()
    assert {path.name for path in grown.warehouse.iterdir()} == there
    assert sessions == len(rows["sessions"])
    assert grown.tables() == rows
    assert len(IntervalSet(grown.ledger()) - IntervalSet(ledger)) == 0


@pytest.mark.proof
def test_a_rebuild_does_not_depend_on_the_names_of_raw_files(grown: World) -> None:
    """Renamed into the reverse order, the files give the same five tables."""
    rows = grown.tables()
    _rename_raw(grown, reverse=True)
    grown.rebuild()
    assert grown.tables() == rows


def test_a_sync_after_a_rebuild_finds_every_row_known(grown: World) -> None:
    """Also if only `raw/` was left."""
    rows = grown.tables()
    (grown.warehouse / "index.duckdb").unlink()
    shutil.rmtree(grown.warehouse / "parquet")
    grown.rebuild()
    summary = grown.sync(full=True)
    assert (summary.counts.sessions_new, summary.counts.sessions_changed) == (0, 0)
    assert grown.tables() == rows


@pytest.mark.proof
@pytest.mark.parametrize("reverse", first([True, False]), ids=["reversed", "as written"])
def test_after_a_rebuild_later_requests_still_win(world: World, reverse: bool) -> None:
    """Request numbers continue after those in `raw/`: a silent change that is read after the rebuild is stored."""
    ids = spread(world, 5)

    def change_silently(name: str) -> None:
        for session_id in ids:
            world.server.store.update(
                world.server.org_id, session_id, lambda s: s.update(name=name), touch=False
            )
        world.clock.forward(hours=1)

    for name in ("a", "b", "c"):
        change_silently(name)
        world.sync(full=True)
    _rename_raw(world, reverse=reverse)
    world.rebuild()
    change_silently("d")
    world.sync(full=True)
    assert world.rows("SELECT DISTINCT name FROM sessions") == [("d",)]


@pytest.mark.parametrize("left", first([1, 0]))
def test_a_rebuild_refuses_to_lose_the_sessions_of_missing_files(grown: World, left: int) -> None:
    """The published rows would be replaced by fewer. Restoring the files helps, and so does giving them up."""
    files = sorted((grown.warehouse / "raw").iterdir())
    before = grown.tables()
    kept = [(path, path.read_bytes()) for path in files]
    for path in files[left:]:
        path.unlink()
    with pytest.raises(ConfigurationError if left == 0 else WarehouseDamagedError, match="raw"):
        grown.rebuild()
    assert grown.tables() == before
    assert not list((grown.warehouse / ".tmp").iterdir())
    if left:
        (grown.warehouse / "vapi.duckdb").rename(grown.warehouse / "aside.duckdb")
        merged, sessions = grown.rebuild()
        assert (merged, sessions < len(before["sessions"])) == (left, True)
    for path, body in kept:
        path.write_bytes(body)
    grown.rebuild()
    assert grown.tables() == before


def test_a_rebuild_outside_a_warehouse_is_refused(world: World) -> None:
    """A directory without raw files is refused, and nothing is created in it."""
    world.warehouse.mkdir()
    with pytest.raises(ConfigurationError, match="is not a warehouse"):
        world.rebuild()
    assert list(world.warehouse.iterdir()) == []
