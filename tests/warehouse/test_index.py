"""The versions in the index: which one wins, what is known of a session, and its tombstone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from index_records import PROGRESS

from batches import Warehouse, observation
from constants import EPOCH
from selection import examples
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import DAY, HOUR, MINUTE, SECOND, to_datetime
from vapi_sessions.errors import VapiSessionsError
from vapi_sessions.operations.window_buffer import sightings
from vapi_sessions.schema import TABLE_NAMES
from vapi_sessions.transform.flatten import flatten
from vapi_sessions.transform.resolve import (
    Known,
    Observation,
    Tombstone,
    resolve,
    short,
)
from vapi_sessions.warehouse.derive import version
from vapi_sessions.warehouse.index import Changes


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse."""
    with Warehouse(tmp_path / "warehouse") as opened:
        yield opened


def test_merging_a_batch_twice_changes_nothing(warehouse: Warehouse) -> None:
    """A commit that was not acknowledged can be repeated: the session stays in its first batch."""

    def but_batches() -> dict[str, Any]:
        found = warehouse.contents()
        assert len(found.pop("sync.batches")) == warehouse.index.next_batch() - 1
        return found

    warehouse.merge(observation("a", 1), observation("b", 2), changes=PROGRESS)
    before = but_batches()
    warehouse.merge(observation("b", 2), observation("a", 1), changes=PROGRESS)
    assert but_batches() == before


def test_an_older_version_does_not_overwrite_a_newer_one(warehouse: Warehouse) -> None:
    """The version stays; only the growth becomes more precise."""
    new = observation("a", 5, updated=EPOCH + HOUR, messages=3)
    warehouse.merge(new)
    warehouse.merge(observation("a", 4, updated=EPOCH + MINUTE, messages=2))
    known = warehouse.index.known({"a": EPOCH})["a"]
    assert (known.content_hash, known.seq, known.batch) == (short(new.content_hash), 5, 1)
    assert known.growth == ((EPOCH + MINUTE, 2), (EPOCH + HOUR, 3))


def test_a_duplicate_session_is_rolled_back(warehouse: Warehouse) -> None:
    """The tables have no key: the transaction checks that ids are unique."""
    warehouse.merge(observation("a", 1))
    before = warehouse.contents()
    newer = sightings([observation("a", 2, updated=EPOCH + MINUTE)], {})
    resolution = resolve(newer, {}, batch=2)  # as if nothing were known
    with pytest.raises(VapiSessionsError, match="A merge of 1 sessions left 2 rows; it was rolled back"):
        warehouse.index.merge(resolution, {}, Changes())
    assert warehouse.contents() == before


def test_an_existing_duplicate_is_repaired_by_the_next_version(warehouse: Warehouse) -> None:
    """A merge deletes all rows of a session."""
    warehouse.merge(observation("a", 1))
    warehouse.index.run("INSERT INTO sessions SELECT * FROM sessions")
    warehouse.merge(observation("a", 2, updated=EPOCH + MINUTE))
    assert warehouse.index.count() == 1


def test_sessions_with_one_created_at_are_told_apart(warehouse: Warehouse) -> None:
    """A scan that createdAt prunes replaces only the right session."""
    warehouse.merge(*(observation(f"s-{n}", 1, messages=2) for n in range(20)))
    warehouse.merge(observation("s-7", 2, updated=EPOCH + MINUTE, messages=5))
    sizes = warehouse.index.rows("SELECT session_id, message_count FROM sessions WHERE message_count <> 2")
    assert sizes == [("s-7", 5)]
    assert warehouse.index.count() == 20


def test_sessions_of_a_whole_history_are_replaced_at_once(warehouse: Warehouse) -> None:
    """They are deleted in groups of neighbours: none is missed at an edge, and no other session is deleted."""
    created = {f"s-{n:03d}": EPOCH - n * 3 * DAY - n * n for n in range(120)}
    warehouse.merge(*(observation(name, 1, created=at) for name, at in created.items()))
    changed = {name: at for n, (name, at) in enumerate(created.items()) if n % 7 == 0 or 50 < n < 60}
    warehouse.merge(*(observation(name, 2, created=at, updated=at + 1) for name, at in changed.items()))
    found = dict(warehouse.index.rows("SELECT session_id, seq FROM sessions"))
    assert found == {name: 2 if name in changed else 1 for name in created}
    assert warehouse.index.count() == 120


def test_known_returns_what_was_merged(warehouse: Warehouse) -> None:
    """The growth and the tombstone are included."""
    first = observation("a", 1, updated=EPOCH + MINUTE, messages=1)
    second = observation("a", 2, updated=EPOCH + HOUR, messages=4)
    gone = observation("a", 3, kind="deleted")
    for one in (first, second, gone):
        warehouse.merge(one)
    assert warehouse.index.known({"a": EPOCH, "missing": EPOCH}) == {
        "a": Known(
            created_at=EPOCH,
            updated_at=EPOCH + HOUR,
            seq=2,
            batch=2,
            content_hash=short(second.content_hash),
            head=flatten([version(second)]).heads[0],
            first_synced_at=first.requested_at,
            growth=((EPOCH + MINUTE, 1), (EPOCH + HOUR, 4)),
            tombstone=Tombstone("deleted", gone.requested_at, 3),
        )
    }


def test_known_without_sessions_is_empty(warehouse: Warehouse) -> None:
    """An empty question is not an error."""
    assert warehouse.index.known({}) == {}


def test_growth_is_null_for_a_session_that_did_not_grow(warehouse: Warehouse) -> None:
    """That is nearly every session. One that has lost messages keeps the time when it had more."""
    warehouse.merge(observation("once", 1, messages=3), observation("lost", 1, messages=3))
    warehouse.merge(observation("lost", 2, updated=EPOCH + MINUTE, messages=1))
    found = dict(warehouse.index.rows("SELECT session_id, growth FROM sessions"))
    assert found == {"once": None, "lost": f"[[{EPOCH},3]]"}
    known = warehouse.index.known({"once": EPOCH, "lost": EPOCH})
    assert {name: one.growth for name, one in known.items()} == dict.fromkeys(known, ((EPOCH, 3),))


def test_contents_returns_the_sessions_of_a_window(warehouse: Warehouse) -> None:
    """The window is half-open and for the newest version. A session with a tombstone is left out, so that it is read again."""
    shown = [observation(f"s-{n}", 1, updated=EPOCH + n * SECOND, name=str(n)) for n in range(6)]
    warehouse.merge(*shown)
    warehouse.merge(observation("s-2", 2, kind="deleted"))
    content = {one.session_id: short(one.content_hash) for one in shown}
    index = warehouse.index
    assert index.contents(Window(EPOCH + SECOND, EPOCH + 4 * SECOND)) == {
        name: content[name] for name in ("s-1", "s-3")
    }
    assert index.contents(Window(EPOCH + 4 * SECOND, None)).keys() == {"s-4", "s-5"}
    assert index.contents(Window(EPOCH, EPOCH + 1), "created_at").keys() == content.keys() - {"s-2"}


OBSERVATIONS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 3),
        st.integers(0, 3),
        st.sampled_from(["seen", "seen", "seen", "deleted", "aged_out"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=10,
)


CREATED = {"a": EPOCH, "b": EPOCH, "c": EPOCH - 40 * DAY}


@given(OBSERVATIONS)
@examples(15)
def test_the_index_holds_the_result_of_resolve(
    tmp_path_factory: pytest.TempPathFactory, observations: list[tuple[str, int, int, Any, bool]]
) -> None:
    """For any observations in any batches, its sessions and dirty flags are those of a plain dictionary."""
    with Warehouse(tmp_path_factory.mktemp("w") / "w") as warehouse:
        expected: dict[str, Known] = {}
        batch: list[Observation] = []
        for seq, (name, updated, messages, kind, ends) in enumerate(observations, start=1):
            created = CREATED[name]
            batch.append(
                observation(
                    name,
                    seq,
                    created=created,
                    updated=created + updated * MINUTE,
                    messages=messages,
                    kind=kind,
                )
            )
            if not ends and seq < len(observations):
                continue
            resolution = resolve(sightings(batch, {}), expected, batch=warehouse.index.next_batch())
            months = {to_datetime(one.created_at).month for one in expected.values()}
            warehouse.index.run("UPDATE sync.parts SET dirty = false")
            warehouse.merge(*batch)
            batch = []
            expected.update(resolution.held)
            assert warehouse.index.known(CREATED) == expected
            stale: dict[int, frozenset[str]] = {}
            for changed, tables in resolution.dirty.items():
                month = to_datetime(CREATED[changed]).month
                stale[month] = stale.get(month, frozenset()) | (tables if month in months else TABLE_NAMES)
            found = {to_datetime(part.lower).month: part.dirty for part in warehouse.index.parts()}
            assert {month: tables for month, tables in found.items() if tables} == stale


def tombstones(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """The tombstone columns of every session."""
    return warehouse.index.rows(
        "SELECT session_id, epoch_us(deleted_at), epoch_us(aged_out_at) FROM sessions ORDER BY 1"
    )


def test_a_tombstone_keeps_the_version(warehouse: Warehouse) -> None:
    """Deleted and aged out are two columns."""
    warehouse.merge(*(observation(name, 1, messages=2) for name in "abc"))
    gone, aged = observation("a", 2, kind="deleted"), observation("b", 3, kind="aged_out")
    warehouse.merge(gone, aged)
    assert tombstones(warehouse) == [
        ("a", gone.requested_at, None),
        ("b", None, aged.requested_at),
        ("c", None, None),
    ]
    assert warehouse.index.rows("SELECT DISTINCT message_count, batch FROM sessions") == [(2, 1)]


@pytest.mark.parametrize("updated", [0, MINUTE], ids=["unchanged", "changed"])
def test_a_later_observation_removes_the_tombstone(warehouse: Warehouse, updated: int) -> None:
    """With new content or the same."""
    warehouse.merge(observation("a", 1))
    warehouse.merge(observation("a", 2, kind="deleted"))
    warehouse.merge(observation("a", 3, updated=EPOCH + updated))
    assert tombstones(warehouse) == [("a", None, None)]
    assert warehouse.index.known({"a": EPOCH})["a"].tombstone is None


def test_a_tombstone_survives_an_observation_that_was_requested_before_it(warehouse: Warehouse) -> None:
    """The row is written again with the new version and the tombstone."""
    warehouse.merge(observation("a", 1))
    gone = observation("a", 5, kind="deleted")
    warehouse.merge(gone)
    warehouse.merge(observation("a", 4, updated=EPOCH + MINUTE))
    assert tombstones(warehouse) == [("a", gone.requested_at, None)]


def test_a_later_tombstone_replaces_one_of_another_kind(warehouse: Warehouse) -> None:
    """The later check counts."""
    warehouse.merge(observation("a", 1))
    warehouse.merge(observation("a", 2, kind="aged_out"))
    gone = observation("a", 3, kind="deleted")
    warehouse.merge(gone)
    assert tombstones(warehouse) == [("a", gone.requested_at, None)]
