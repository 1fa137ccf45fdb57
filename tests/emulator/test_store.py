"""The store: restarts, transactions, snapshots, queries."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vapi_emulator import EmulatorError
from vapi_emulator.listing import ListQuery
from vapi_emulator.store import Store
from vapi_emulator.stored import StoredSession, decode, encode, make_row

from .conftest import FakeClock

ORG = "0e111a70-0000-4000-8000-00000000000a"


def session_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "sessions.sqlite", clock=FakeClock())
    yield store
    store.close()


def rows(count: int, first: int = 0) -> list[StoredSession]:
    return [
        make_row({"id": session_id(n), "orgId": ORG}, n * 1000, n * 1000) for n in range(first, first + count)
    ]


def test_sessions_survive_a_restart(tmp_path: Path) -> None:
    """A store that is opened again holds what was written, delayed writes included."""
    path = tmp_path / "sessions.sqlite"
    first = Store(path, clock=FakeClock())
    first.insert_many(rows(3))
    first.commit_delay_seconds = 60
    body = first.update(ORG, session_id(1), lambda session: session.update(name="kept"))
    first.close()
    second = Store(path)
    assert (second.count(), second.get(ORG, session_id(1))) == (3, body)
    second.add({"id": session_id(9), "orgId": ORG})
    second.close()


def test_a_file_that_is_not_a_store_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text file or another database stays unchanged, and its connection is closed."""
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be read as one" * 20)
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE precious (a)")
    connection.commit()
    connection.close()
    before = other.read_bytes()
    connect, opened = sqlite3.connect, list[sqlite3.Connection]()

    def connecting(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", connecting)
    for path in (text, other, tmp_path / "missing" / "x.sqlite"):
        with pytest.raises(EmulatorError, match="Cannot use"):
            Store(path)
    assert other.read_bytes() == before
    assert len(opened) == 2
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_a_body_begins_with_the_fixed_fields(store: Store) -> None:
    """Ids and times come first in the body, and the times are the store's, for any order of the given fields."""
    body = store.add(
        {"name": "x", "updatedAt": "1999-01-01", "id": session_id(1), "orgId": ORG},
        created_us=0,
        updated_us=1500,
    )
    assert body == encode(
        {
            "id": session_id(1),
            "orgId": ORG,
            "createdAt": "1970-01-01T00:00:00.000Z",
            "updatedAt": "1970-01-01T00:00:00.001Z",
            "name": "x",
        }
    )


def test_rows_and_total_are_one_snapshot(store: Store) -> None:
    """While another thread inserts pairs of sessions, a page has whole pairs and as many rows as its total."""
    done = threading.Event()

    def write() -> None:
        for n in range(0, 300, 2):
            store.insert_many(rows(2, first=n))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    totals = set()
    while not done.is_set():
        page = store.query(ListQuery(ORG, limit=1000))
        assert len(page.bodies) == page.total
        assert page.total % 2 == 0
        totals.add(page.total)
    writer.join()
    assert store.query(ListQuery(ORG, limit=1000)).total == 300


def test_an_insert_that_fails_leaves_nothing(store: Store) -> None:
    """A batch is one transaction: an existing id rolls it back, and later inserts work."""
    store.insert_many(rows(1))
    with pytest.raises(sqlite3.IntegrityError):
        store.insert_many(rows(3, first=-2))
    assert store.count() == 1
    store.insert_many(rows(2, first=1))
    assert store.ids(ORG) == [session_id(0), session_id(1), session_id(2)]


def test_a_bulk_update_gives_all_sessions_the_same_time(store: Store) -> None:
    """All changed sessions have the same `updatedAt`; unknown ids are not counted."""
    store.insert_many(rows(5))
    ids = [*store.ids(ORG, limit=3), session_id(99)]
    assert store.update_many(ORG, ids, lambda session: session.update(name="b")) == 3
    assert len({session["updatedAt"] for session in store.sessions(ORG) if "name" in session}) == 1


def test_a_silent_change_keeps_updated_at(store: Store) -> None:
    """`touch=False` changes a field without moving `updatedAt`."""
    store.insert_many(rows(1))
    before = store.sessions(ORG)[0]
    body = store.update(ORG, session_id(0), lambda session: session.update(cost=0.5), touch=False)
    assert body is not None
    assert decode(body) == before | {"cost": 0.5}
    assert store.ids(ORG, "pending = 1") == []


def test_both_indexes_give_the_same_page(store: Store) -> None:
    """Few matches are found by time of change and sorted, many are read in order of creation."""
    store.insert_many(rows(25_000))
    few = ListQuery(ORG, updated=(12_000_000, 12_007_000), ascending=True, limit=7)
    many = ListQuery(ORG, updated=(0, None), ascending=True, limit=7, offset=12_000)
    assert store.query(few).total == 7
    assert store.query(many).total == 25_000
    assert store.query(few).bodies == store.query(many).bodies
    by_id = ListQuery(ORG, where=" AND id = ?", values=(session_id(12_000),), by_id=True)
    assert store.query(by_id).bodies == store.query(few).bodies[:1]


def test_clear_empties_the_store(store: Store) -> None:
    """Tests that share a store start with an empty one."""
    store.insert_many(rows(5))
    store.clear()
    assert store.count() == 0
    assert store.get(ORG, session_id(1)) is None
