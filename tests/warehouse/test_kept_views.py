"""The views of the last publication are kept and copied, because making them takes long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from published import NEW_VIEWS
from selection import first
from vapi_sessions.warehouse import views
from vapi_sessions.warehouse.layout import KEPT, Layout
from worlds import World


@pytest.fixture
def synced(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A warehouse whose views were made by the program, not by the tests' shortcut."""
    monkeypatch.setattr(views, "new_views", NEW_VIEWS)
    world.insert(3, lambda n: (world.ago(hours=3) + n, world.ago(hours=3) + n))
    world.sync()
    return world


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The time zones of the views that are made instead of copied."""
    zones: list[str] = []
    make = views._make_views

    def recorded(index: object, files: str, zone: str) -> None:
        zones.append(zone)
        make(index, files, zone)

    monkeypatch.setattr(views, "_make_views", recorded)
    return zones


def _kept(world: World) -> Path:
    (path,) = Layout(world.warehouse).scratch.iterdir()
    assert path.name.startswith(KEPT)
    return path


def _described(world: World) -> list[tuple[object, ...]]:
    return world.rows(
        "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal ORDER BY ALL"
    )


def test_a_sync_copies_the_views_of_the_one_before(synced: World, made: list[str]) -> None:
    """Views and comments are equal, and the rows are those of the new snapshot."""
    before = _described(synced)
    assert before
    synced.insert(2, lambda n: (synced.ago(hours=2) + n, synced.ago(hours=2) + n))
    synced.sync(full=True)
    assert made == []
    assert _described(synced) == before
    assert synced.rows("SELECT sum(session_count)::INTEGER FROM cost_by_day") == [(5,)]


@pytest.mark.proof
def test_another_time_zone_makes_new_views(synced: World, made: list[str]) -> None:
    """Only the newest are kept."""
    before = _kept(synced)
    synced.sync(time_zone="Asia/Kolkata")
    assert made == ["Asia/Kolkata"]
    assert _kept(synced) != before


@pytest.mark.parametrize(
    "harm",
    first(
        [
            lambda path: path.write_bytes(path.read_bytes()[:10_000]),
            lambda path: path.unlink(),
            lambda path: path.write_bytes(b""),
        ]
    ),
    ids=["cut", "gone", "empty"],
)
def test_kept_views_that_cannot_be_read_are_made_again(
    synced: World, made: list[str], harm: Callable[[Path], object]
) -> None:
    before = _described(synced)
    harm(_kept(synced))
    synced.sync()
    assert made == ["UTC"]
    assert _described(synced) == before
    synced.sync()
    assert made == ["UTC"]


@pytest.mark.proof
def test_a_link_in_place_of_the_kept_views_is_not_followed(
    synced: World, made: list[str], tmp_path: Path
) -> None:
    """Neither read nor written to."""
    kept = _kept(synced)
    elsewhere = tmp_path / "elsewhere"
    kept.rename(elsewhere)
    content = elsewhere.read_bytes()
    kept.symlink_to(elsewhere)
    synced.sync()
    assert made == ["UTC"]
    assert elsewhere.read_bytes() == content
    assert not kept.is_symlink()
