"""What was replaced leaves the writer's database when it is much; and that is never worth losing a sync for."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from conftest import Notes, World, new_world
from vapi_sessions import pipeline
from vapi_sessions.errors import WarehouseError
from vapi_sessions.timestamps import SECOND
from vapi_sessions.warehouse import store
from vapi_sessions.warehouse.layout import Layout

SESSIONS = 60
TALK = [{"role": "user", "content": "word " * 400}] * 20


def _grow(world: World) -> Iterator[None]:
    """Sessions that all change, again and again."""
    start = world.ago(hours=9)
    world.insert(SESSIONS, lambda n: (start + n * SECOND,) * 2, messages=TALK)
    for _ in range(6):
        _change_all(world)
        yield


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A warehouse in which each session has been replaced five times, and nothing was compacted yet."""
    with (
        new_world(tmp_path_factory.mktemp("compact") / "warehouse") as made,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(store, "COMPACT_FROM", 1_000_000)
        for _ in _grow(made):
            made.sync()
        yield made


@pytest.fixture
def growing(world: World, template: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """That source, and a copy of that warehouse, from now on to be compacted."""
    for _ in _grow(world):
        pass
    world.adopt(template)
    monkeypatch.setattr(store, "COMPACT_FROM", 20)
    return world


def _change_all(world: World) -> None:
    world.clock.forward(minutes=30)
    ids = [session_id for session_id, _, _ in world.there()]
    name = f"at {world.clock.us()}"
    assert (
        world.server.store.update_many(world.server.org_id, ids, lambda session: session.update(name=name))
        == SESSIONS
    )
    world.clock.forward(minutes=5)


def _size(world: World) -> int:
    return Layout(world.warehouse).store.stat().st_size


def test_the_database_shrinks_and_holds_the_same(growing: World) -> None:
    """One more sync copies it; the rows, the ledger and what is published stay, and the next sync goes on from there."""
    before = _size(growing)
    _change_all(growing)
    growing.sync()
    assert _size(growing) < before * 0.7
    assert growing.here() == growing.there()
    ledger = growing.ledger()
    assert growing.sync().counts.sessions_changed == 0
    assert growing.ledger()[-1][1] >= ledger[-1][1]


def test_what_was_just_compacted_is_not_compacted_again(
    growing: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only when as much has been replaced once more."""
    calls = []
    compact = pipeline.compact
    monkeypatch.setattr(pipeline, "compact", lambda *a, **k: calls.append(compact(*a, **k)))
    _change_all(growing)
    growing.sync()
    growing.sync()
    assert len(calls) == 1
    assert calls[0] > 0
    _change_all(growing)
    growing.sync()
    assert len(calls) == 2


def test_a_copy_that_fails_is_told_and_fails_nothing(growing: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was synced is safe, in a file larger than it need be."""

    def full(*_: object, **__: object) -> int:
        raise WarehouseError("The disk is full.", "Free some.")

    monkeypatch.setattr(pipeline, "compact", full)
    _change_all(growing)
    notes = Notes()
    growing.sync(progress=notes)
    assert notes.said == ["the database could not be compacted: The disk is full."]
    assert growing.here() == growing.there()
    assert growing.rows("SELECT count(*) FROM sync.runs WHERE outcome <> 'done'") == [(0,)]


def test_long_texts_are_not_packed_before_nor_after(growing: World) -> None:
    """DuckDB is told so when a table is made, and the copy keeps it: packing them would take longer than all else."""

    def packed() -> list[str]:
        with duckdb.connect(Layout(growing.warehouse).store, read_only=True) as db:
            found = db.execute(
                "SELECT DISTINCT compression FROM pragma_storage_info('messages') "
                "WHERE column_name = 'content' AND segment_type = 'VARCHAR'"
            ).fetchall()
        return [name for (name,) in found]

    assert packed() == ["Uncompressed"]
    before = _size(growing)
    _change_all(growing)
    growing.sync()
    assert _size(growing) < before * 0.7
    assert packed() == ["Uncompressed"]
