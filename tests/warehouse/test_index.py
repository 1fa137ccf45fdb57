"""The writer's index: which version of each session wins, the ledger and the state change together or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from models import EPOCH, ORG, Warehouse, observation
from selection import examples
from vapi_sessions.core.intervals import IntervalSet, Window
from vapi_sessions.core.records import WindowRecord
from vapi_sessions.core.timestamps import DAY, HOUR, MINUTE, SECOND, to_datetime
from vapi_sessions.errors import VapiSessionsError
from vapi_sessions.operations.window_buffer import sightings
from vapi_sessions.transform.flatten import flatten
from vapi_sessions.transform.resolve import (
    Known,
    Observation,
    Resolution,
    Tombstone,
    Unreadable,
    resolve,
    short,
)
from vapi_sessions.warehouse.derive import version
from vapi_sessions.warehouse.index import ALL_TABLES, Batch, Changes, Part

WINDOW = WindowRecord(
    run_id="run",
    window_index=0,
    org_id=ORG,
    lower_bound=to_datetime(EPOCH),
    upper_bound=to_datetime(EPOCH + HOUR),
    claimed=False,
    claimed_until=to_datetime(EPOCH + HOUR),
    expected=5,
    first_total=5,
    last_total=4,
    distinct_ids=2,
    requests=1,
    verdict="open",
    left_to_read='[[1, 2, null, ["a"]]]',
    noted_at=to_datetime(EPOCH),
)
PROGRESS = Changes(
    org_id=ORG,
    claims=IntervalSet([(EPOCH, EPOCH + HOUR)]),
    windows=[WINDOW],
    unsettled=IntervalSet([(EPOCH + MINUTE, EPOCH + HOUR)]),
    state={"org_id": ORG, "origin": str(EPOCH)},
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse."""
    with Warehouse(tmp_path / "warehouse") as opened:
        yield opened


def count(warehouse: Warehouse) -> int:
    """Sessions of the index."""
    ((found,),) = warehouse.index.rows("SELECT count(*) FROM sessions")
    return int(found)


# -- one transaction ---------------------------------------------------------------------------------------------------


def test_sessions_and_ledger_arrive_together(warehouse: Warehouse) -> None:
    """One merge writes the session, the claim, the window, the batch, the state, and that it is not published."""
    warehouse.merge(observation("a", 1), changes=PROGRESS)
    assert count(warehouse) == 1
    ledger = warehouse.index.ledger()
    assert (ledger.org_id, ledger.origin) == (ORG, EPOCH)
    assert list(ledger.unsettled) == [(EPOCH + MINUTE, EPOCH + HOUR)]
    assert list(ledger.completed) == [(EPOCH, EPOCH + HOUR)]
    assert warehouse.index.merged_files() == {"000000000001-1.parquet"}
    assert warehouse.index.unpublished() == {1: "000000000001-1.parquet"}
    assert len(warehouse.index.open_windows()) == 1
    (part,) = warehouse.index.parts()
    assert part.dirty == ALL_TABLES


Break = Callable[[Resolution, dict[str, Any]], None]


def _break_a_row(resolution: Resolution, changes: dict[str, Any]) -> None:
    known = resolution.held["c"]
    resolution.held["c"] = replace(known, head=replace(known.head, message_count=None))


def _break_what_is_aside(resolution: Resolution, changes: dict[str, Any]) -> None:
    resolution.unreadable["odd"] = Unreadable(
        "odd",
        True,
        ORG,
        None,
        None,
        EPOCH,
        1,
        "run",
        b"",
        "hash",
        problem=None,  # type: ignore[arg-type]
    )


def _break_window(resolution: Resolution, changes: dict[str, Any]) -> None:
    changes["windows"] = [structs.replace(WINDOW, verdict=None)]


def _break_batch(resolution: Resolution, changes: dict[str, Any]) -> None:
    changes["batch"] = replace(changes["batch"], file=None)


def _break_state(resolution: Resolution, changes: dict[str, Any]) -> None:
    changes["state"] = {"fine": "fine", "broken": None}


@pytest.mark.parametrize(
    "break_it",
    [_break_a_row, _break_what_is_aside, _break_window, _break_batch, _break_state],
    ids=lambda function: function.__name__.strip("_"),
)
def test_a_merge_that_fails_anywhere_changes_nothing(warehouse: Warehouse, break_it: Break) -> None:
    """From the first DELETE to the last fact: everything is as it was, and the next merge works."""
    warehouse.merge(observation("a", 1), observation("b", 1), changes=PROGRESS)
    warehouse.merge(observation("b", 2, kind="deleted"))
    before = warehouse.contents()
    batch = [
        observation("a", 3, updated=EPOCH + MINUTE, messages=1),
        observation("c", 3, created=EPOCH - 40 * DAY),
        observation("b", 4, kind="aged_out"),
    ]
    known = warehouse.index.known({o.session_id: o.created_at for o in batch})
    resolution = resolve(sightings(batch, {}), known, batch=3)
    whole = resolve(sightings(batch, {}), known, batch=3)
    changes = {
        "org_id": ORG,
        "claims": IntervalSet([(EPOCH + HOUR, EPOCH + DAY)]),
        "windows": [structs.replace(WINDOW, verdict="complete")],
        "batch": Batch(3, "third", "run", 3, EPOCH),
        "settled": IntervalSet([(EPOCH, EPOCH + 2 * MINUTE)]),
        "state": {"origin": "7"},
        "supersede": True,
    }
    whole_changes = Changes(**changes)  # type: ignore[arg-type]  # of several kinds
    break_it(resolution, changes)
    with pytest.raises((duckdb.Error, VapiSessionsError)):
        warehouse.index.merge(resolution, known, Changes(**changes))  # type: ignore[arg-type]
    assert warehouse.contents() == before
    assert warehouse.index.next_batch() == 3
    warehouse.index.merge(whole, known, whole_changes)
    assert warehouse.contents() != before
    assert count(warehouse) == 3


def test_what_was_committed_survives_without_a_checkpoint(tmp_path: Path) -> None:
    """A process that ends anyhow after a merge has merged."""
    root = tmp_path / "warehouse"
    code = (
        "import os, sys; from pathlib import Path; from models import Warehouse, observation\n"
        "w = Warehouse(Path(sys.argv[1])); w.merge(observation('a', 1, messages=2)); os._exit(9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(root)], check=False, cwd=Path(__file__).parents[1]
    )
    assert ended.returncode == 9
    with Warehouse(root) as warehouse:
        assert warehouse.index.rows("SELECT session_id, message_count FROM sessions") == [("a", 2)]


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_merging_again_changes_nothing(warehouse: Warehouse) -> None:
    """A commit that was not acknowledged is repeated without harm: the session stays in the batch that it was in."""

    def but_batches() -> dict[str, Any]:
        found = warehouse.contents()
        assert len(found.pop("sync.batches")) == warehouse.index.next_batch() - 1
        return found

    warehouse.merge(observation("a", 1), observation("b", 2), changes=PROGRESS)
    before = but_batches()
    warehouse.merge(observation("b", 2), observation("a", 1), changes=PROGRESS)
    assert but_batches() == before


def test_an_older_version_does_not_overwrite(warehouse: Warehouse) -> None:
    """Never backwards: the version stays, what is known of the past may become more precise."""
    new = observation("a", 5, updated=EPOCH + HOUR, messages=3)
    warehouse.merge(new)
    warehouse.merge(observation("a", 4, updated=EPOCH + MINUTE, messages=2))
    known = warehouse.index.known({"a": EPOCH})["a"]
    assert (known.content_hash, known.seq, known.batch) == (short(new.content_hash), 5, 1)
    assert known.growth == ((EPOCH + MINUTE, 2), (EPOCH + HOUR, 3))


def test_a_duplicate_is_noticed_and_rolled_back(warehouse: Warehouse) -> None:
    """There is no key: uniqueness is asserted inside the transaction."""
    warehouse.merge(observation("a", 1))
    before = warehouse.contents()
    newer = sightings([observation("a", 2, updated=EPOCH + MINUTE)], {})
    resolution = resolve(newer, {}, batch=2)  # as if nothing were known
    with pytest.raises(VapiSessionsError, match="A merge of 1 sessions left 2 rows; it was rolled back"):
        warehouse.index.merge(resolution, {}, Changes())
    assert warehouse.contents() == before


def test_a_duplicate_that_was_there_before_is_repaired_by_the_next_version(warehouse: Warehouse) -> None:
    """A session is replaced as a set."""
    warehouse.merge(observation("a", 1))
    warehouse.index.run("INSERT INTO sessions SELECT * FROM sessions")
    warehouse.merge(observation("a", 2, updated=EPOCH + MINUTE))
    assert count(warehouse) == 1


def test_sessions_of_one_moment_are_told_apart(warehouse: Warehouse) -> None:
    """Pruning by createdAt replaces only what was meant."""
    warehouse.merge(*(observation(f"s-{n}", 1, messages=2) for n in range(20)))
    warehouse.merge(observation("s-7", 2, updated=EPOCH + MINUTE, messages=5))
    sizes = warehouse.index.rows("SELECT session_id, message_count FROM sessions WHERE message_count <> 2")
    assert sizes == [("s-7", 5)]
    assert count(warehouse) == 20


def test_sessions_all_over_a_history_are_replaced_at_once(warehouse: Warehouse) -> None:
    """In groups of neighbours, so that scans prune: none is missed at a border, and no other one goes."""
    created = {f"s-{n:03d}": EPOCH - n * 3 * DAY - n * n for n in range(120)}
    warehouse.merge(*(observation(name, 1, created=at) for name, at in created.items()))
    changed = {name: at for n, (name, at) in enumerate(created.items()) if n % 7 == 0 or 50 < n < 60}
    warehouse.merge(*(observation(name, 2, created=at, updated=at + 1) for name, at in changed.items()))
    found = dict(warehouse.index.rows("SELECT session_id, seq FROM sessions"))
    assert found == {name: 2 if name in changed else 1 for name in created}
    assert count(warehouse) == 120


def test_known_is_what_was_merged(warehouse: Warehouse) -> None:
    """What the next merge is measured against, growth and marks included."""
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


def test_nothing_wanted_nothing_known(warehouse: Warehouse) -> None:
    """An empty question is no error."""
    assert warehouse.index.known({}) == {}


def test_growth_is_null_unless_there_is_something_to_tell(warehouse: Warehouse) -> None:
    """Of nearly all sessions; one that has lost messages still tells when it first had as many."""
    warehouse.merge(observation("once", 1, messages=3), observation("lost", 1, messages=3))
    warehouse.merge(observation("lost", 2, updated=EPOCH + MINUTE, messages=1))
    found = dict(warehouse.index.rows("SELECT session_id, growth FROM sessions"))
    assert found == {"once": None, "lost": f"[[{EPOCH},3]]"}
    known = warehouse.index.known({"once": EPOCH, "lost": EPOCH})
    assert {name: one.growth for name, one in known.items()} == dict.fromkeys(known, ((EPOCH, 3),))


def test_contents_are_those_of_a_window(warehouse: Warehouse) -> None:
    """Half-open, by the newest version; a session with a mark is read again, so that this can be lifted."""
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


TELLINGS = st.lists(
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
BORN = {"a": EPOCH, "b": EPOCH, "c": EPOCH - 40 * DAY}


@given(TELLINGS)
@examples(15)
def test_the_index_holds_what_the_merge_says(
    tmp_path_factory: pytest.TempPathFactory, tellings: list[tuple[str, int, int, Any, bool]]
) -> None:
    """The index is the dictionary that resolution imagines, and its parts have the flags, whatever arrives in whichever batches."""
    with Warehouse(tmp_path_factory.mktemp("w") / "w") as warehouse:
        expected: dict[str, Known] = {}
        batch: list[Observation] = []
        for seq, (name, updated, messages, kind, ends) in enumerate(tellings, start=1):
            born = BORN[name]
            batch.append(
                observation(
                    name, seq, created=born, updated=born + updated * MINUTE, messages=messages, kind=kind
                )
            )
            if not ends and seq < len(tellings):
                continue
            resolution = resolve(sightings(batch, {}), expected, batch=warehouse.index.next_batch())
            months = {to_datetime(one.created_at).month for one in expected.values()}
            warehouse.index.run("UPDATE sync.parts SET dirty = false")
            warehouse.merge(*batch)
            batch = []
            expected.update(resolution.held)
            assert warehouse.index.known(BORN) == expected
            stale: dict[int, frozenset[str]] = {}
            for changed, tables in resolution.dirty.items():
                month = to_datetime(BORN[changed]).month
                stale[month] = stale.get(month, frozenset()) | (tables if month in months else ALL_TABLES)
            found = {to_datetime(part.lower).month: part.dirty for part in warehouse.index.parts()}
            assert {month: tables for month, tables in found.items() if tables} == stale


# -- marks -------------------------------------------------------------------------------------------------------------


def tombstones(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """Of every session."""
    return warehouse.index.rows(
        "SELECT session_id, epoch_us(deleted_at), epoch_us(aged_out_at) FROM sessions ORDER BY 1"
    )


def test_marks_are_set_and_keep_what_was_read(warehouse: Warehouse) -> None:
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
def test_marks_are_lifted_by_a_later_row(warehouse: Warehouse, updated: int) -> None:
    """Whether its content is new or not."""
    warehouse.merge(observation("a", 1))
    warehouse.merge(observation("a", 2, kind="deleted"))
    warehouse.merge(observation("a", 3, updated=EPOCH + updated))
    assert tombstones(warehouse) == [("a", None, None)]
    assert warehouse.index.known({"a": EPOCH})["a"].tombstone is None


def test_a_mark_survives_a_version_that_was_requested_before_it(warehouse: Warehouse) -> None:
    """The session is written anew, and the mark with it."""
    warehouse.merge(observation("a", 1))
    gone = observation("a", 5, kind="deleted")
    warehouse.merge(gone)
    warehouse.merge(observation("a", 4, updated=EPOCH + MINUTE))
    assert tombstones(warehouse) == [("a", gone.requested_at, None)]


def test_another_kind_of_mark_replaces_the_first(warehouse: Warehouse) -> None:
    """The later check counts."""
    warehouse.merge(observation("a", 1))
    warehouse.merge(observation("a", 2, kind="aged_out"))
    gone = observation("a", 3, kind="deleted")
    warehouse.merge(gone)
    assert tombstones(warehouse) == [("a", gone.requested_at, None)]


# -- what has to be published ------------------------------------------------------------------------------------------


def parts(warehouse: Warehouse) -> list[tuple[str, frozenset[str]]]:
    """Ranges, and the tables that are stale."""
    return [
        (f"{to_datetime(part.lower):%Y-%m-%d} {to_datetime(part.upper):%Y-%m-%d}", part.dirty)
        for part in warehouse.index.parts()
    ]


def test_each_month_has_a_range_and_only_touched_ones_are_stale(warehouse: Warehouse) -> None:
    """Months are cut in UTC; a mark and a later growth touch as well as a new version, and each only its tables."""
    january, march = EPOCH - 40 * DAY, EPOCH
    edge = EPOCH - 1  # the last microsecond of February
    warehouse.merge(
        observation("jan", 1, created=january, updated=january + HOUR, messages=2),
        observation("feb", 1, created=edge),
        observation("mar", 1, created=march),
    )
    ranges = ["2026-01-01 2026-02-01", "2026-02-01 2026-03-01", "2026-03-01 2026-04-01"]
    assert parts(warehouse) == [(name, ALL_TABLES) for name in ranges]
    changes: list[tuple[Observation, int, set[str]]] = [
        (observation("feb", 2, created=edge, kind="deleted"), 1, {"sessions"}),
        (observation("mar", 3, created=march, updated=march + 1), 2, {"sessions"}),
        (
            observation("jan", 0, created=january, updated=january + 1, messages=1),
            0,
            {"sessions", "messages"},
        ),
    ]
    for one, touched, tables in changes:
        warehouse.index.run("UPDATE sync.parts SET dirty = false")
        warehouse.merge(one)
        assert parts(warehouse) == [
            (name, tables if n == touched else set()) for n, name in enumerate(ranges)
        ]


def test_a_publication_replaces_parts_and_marks_its_batches(warehouse: Warehouse) -> None:
    """In one transaction with the facts; batches that came later stay unpublished, other parts as they are."""
    warehouse.merge(observation("feb", 1, created=EPOCH - 1), observation("mar", 1))
    warehouse.merge(observation("mar", 2, messages=1))
    february, march = warehouse.index.parts()
    middle = EPOCH + 10 * DAY
    new = [Part(EPOCH, middle, 1, {"sessions": "f"}), Part(middle, march.upper, 0, {})]
    warehouse.index.record_publication(new, [march], [1], {"snapshot": "s"})
    assert warehouse.index.parts() == [february, *new]
    assert list(warehouse.index.unpublished()) == [2]
    assert warehouse.index.state()["snapshot"] == "s"


def test_batches_are_numbered_without_a_gap(tmp_path: Path) -> None:
    """From run to run; a number belongs to one file for good."""
    for run in range(3):
        with Warehouse(tmp_path / "w") as warehouse:
            assert warehouse.index.next_batch() == 1 + 2 * run
            warehouse.merge(observation("a", 2 * run, updated=EPOCH + run))
            warehouse.merge(observation("b", 2 * run + 1, updated=EPOCH + run))
    with Warehouse(tmp_path / "w") as warehouse:
        found = warehouse.index.rows("SELECT batch, file FROM sync.batches ORDER BY 1")
    assert found == [(n, f"{n - 1:012d}-{n}.parquet") for n in range(1, 7)]
