"""The writer's database: rows, ledger and state change together or not at all."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import EPOCH, ORG, Warehouse, observation
from selection import examples, first
from vapi_sessions import schema
from vapi_sessions.errors import VapiSessionsError, WarehouseBusyError, WarehouseDamagedError, WarehouseError
from vapi_sessions.flatten import flatten, merge_growth, message_count
from vapi_sessions.merge import Known, Mark, Observation, resolve
from vapi_sessions.timestamps import DAY, HOUR, MINUTE, SECOND, to_datetime
from vapi_sessions.warehouse import erase, store
from vapi_sessions.warehouse.compact import compact
from vapi_sessions.warehouse.layout import Layout, writer_lock
from vapi_sessions.warehouse.store import LOCK_PATIENCE, Changes, Store
from vapi_sessions.windows import IntervalSet

BATCH = {
    "file": "000000000001-run.parquet",
    "run_id": "run",
    "observations": 1,
    "merged_at": to_datetime(EPOCH),
}
WINDOW = {
    "run_id": "run",
    "window_index": 0,
    "org_id": ORG,
    "lower_bound": to_datetime(EPOCH),
    "upper_bound": to_datetime(EPOCH + HOUR),
    "claimed": False,
    "claimed_until": to_datetime(EPOCH + HOUR),
    "expected": 5,
    "first_total": 5,
    "last_total": 4,
    "distinct_ids": 2,
    "requests": 1,
    "verdict": "open",
    "left_to_read": '[[1, 2, null, ["a"]]]',
    "noted_at": to_datetime(EPOCH),
}
PROGRESS = Changes(
    org_id=ORG,
    claims=IntervalSet([(EPOCH, EPOCH + HOUR)]),
    windows=[WINDOW],
    batch=BATCH,
    unsettled=IntervalSet([(EPOCH + MINUTE, EPOCH + HOUR)]),
    state={"org_id": ORG, "origin": str(EPOCH)},
)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse."""
    with Warehouse(tmp_path / "warehouse") as opened:
        yield opened


def full(session_id: str, seq: int, *, updated: int = 0, children: int = 2) -> Observation:
    """A session with children in every table."""
    calls = [{"id": f"call-{n}", "type": "function", "function": {"name": "f"}} for n in range(children)]
    return observation(
        session_id,
        seq,
        updated=EPOCH + updated,
        messages=[{"role": "assistant", "tool_calls": calls} for _ in range(children)],
        costs=[{"type": "session", "cost": 0.5} for _ in range(children)],
        artifact={"structuredOutputs": {f"o-{n}": {"name": "n", "result": n} for n in range(children)}},
    )


def counts(warehouse: Warehouse) -> dict[str, int]:
    """Rows of each table of sessions."""
    return {t.name: warehouse.store.rows(f"SELECT count(*) FROM {t.name}")[0][0] for t in schema.TABLES}


# -- one transaction ---------------------------------------------------------------------------------------------------


def test_rows_and_ledger_arrive_together(warehouse: Warehouse) -> None:
    """One merge writes the sessions, the claim, the window, the batch and the state."""
    warehouse.merge(full("a", 1), changes=PROGRESS)
    assert counts(warehouse) == {
        "sessions": 1,
        "messages": 2,
        "tool_calls": 4,
        "costs": 2,
        "structured_outputs": 2,
    }
    ledger = warehouse.store.ledger()
    assert (ledger.org_id, ledger.origin) == (ORG, EPOCH)
    assert list(ledger.unsettled) == [(EPOCH + MINUTE, EPOCH + HOUR)]
    assert list(ledger.completed) == [(EPOCH, EPOCH + HOUR)]
    assert warehouse.store.merged_files() == {BATCH["file"]}
    assert warehouse.store.dirty()


Break = Callable[[dict[str, Any], dict[str, Any]], None]


def _break_last_table(tables: dict[str, Any], changes: dict[str, Any]) -> None:
    tables["structured_outputs"] = tables["structured_outputs"].rename_columns(
        [f"other_{name}" for name in tables["structured_outputs"].column_names]
    )


def _duplicate_session(tables: dict[str, Any], changes: dict[str, Any]) -> None:
    import pyarrow as pa

    tables["sessions"] = pa.concat_tables([tables["sessions"], tables["sessions"]])


def _break_window(tables: dict[str, Any], changes: dict[str, Any]) -> None:
    changes["windows"] = [WINDOW | {"verdict": None}]


def _break_batch(tables: dict[str, Any], changes: dict[str, Any]) -> None:
    changes["batch"] = BATCH | {"file": None}


def _break_state(tables: dict[str, Any], changes: dict[str, Any]) -> None:
    changes["state"] = {"fine": "fine", "broken": None}


@pytest.mark.parametrize(
    "break_it",
    [_break_last_table, _duplicate_session, _break_window, _break_batch, _break_state],
    ids=lambda function: function.__name__.strip("_"),
)
def test_a_merge_that_fails_anywhere_changes_nothing(warehouse: Warehouse, break_it: Break) -> None:
    """From the first DELETE to the last fact: everything is as it was, and the next merge works."""
    warehouse.merge(full("a", 1), full("b", 1), changes=PROGRESS)
    warehouse.merge(observation("b", 2, kind="deleted"))
    before = warehouse.contents()
    batch = [full("a", 3, updated=MINUTE, children=1), full("c", 3), observation("b", 4, kind="aged_out")]
    known = warehouse.store.known({o.session_id: o.created_at for o in batch})
    resolution = resolve(batch, known)
    tables = dict(flatten(resolution.versions).tables)
    changes = {
        "org_id": ORG,
        "claims": IntervalSet([(EPOCH + HOUR, EPOCH + DAY)]),
        "windows": [WINDOW | {"verdict": "complete"}],
        "batch": BATCH | {"file": "second"},
        "settled": IntervalSet([(EPOCH, EPOCH + 2 * MINUTE)]),
        "state": {"origin": "7"},
        "supersede": True,
    }
    whole_tables, whole_changes = dict(tables), Changes(**changes)
    break_it(tables, changes)
    with pytest.raises((duckdb.Error, VapiSessionsError)):
        warehouse.store.merge(resolution, tables, known, Changes(**changes))
    assert warehouse.contents() == before
    warehouse.store.merge(resolution, whole_tables, known, whole_changes)
    assert warehouse.contents() != before
    assert counts(warehouse)["sessions"] == 3


def test_what_was_committed_survives_without_a_checkpoint(tmp_path: Path) -> None:
    """A process that ends anyhow after a merge has merged."""
    root = tmp_path / "warehouse"
    code = (
        "import os, sys; from pathlib import Path; from models import Warehouse, observation\n"
        "w = Warehouse(Path(sys.argv[1])); w.merge(observation('a', 1, messages=2)); os._exit(9)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(root)], check=False, cwd=Path(__file__).parent)
    assert ended.returncode == 9
    with Warehouse(root) as warehouse:
        assert counts(warehouse)["messages"] == 2


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_children_are_replaced_as_a_set(warehouse: Warehouse) -> None:
    """A newer version with fewer children leaves none of the old ones, and those of others alone."""
    warehouse.merge(full("a", 1, children=3), full("b", 1, children=1))
    warehouse.merge(full("a", 2, updated=MINUTE, children=1))
    assert counts(warehouse) == {
        "sessions": 2,
        "messages": 2,
        "tool_calls": 2,
        "costs": 2,
        "structured_outputs": 2,
    }
    for table in schema.CHILDREN:
        rows = warehouse.store.rows(f"SELECT session_id, count(*) FROM {table.name} GROUP BY 1 ORDER BY 1")
        assert rows == [("a", 1), ("b", 1)]


def test_children_may_all_go(warehouse: Warehouse) -> None:
    """A version without any leaves no orphan."""
    warehouse.merge(full("a", 1))
    warehouse.merge(full("a", 2, updated=MINUTE, children=0))
    assert [rows for name, rows in counts(warehouse).items() if name != "sessions"] == [0, 0, 0, 0]


def test_merging_again_changes_nothing(warehouse: Warehouse) -> None:
    """A commit that was not acknowledged is repeated without harm."""
    warehouse.merge(full("a", 1), full("b", 2), changes=PROGRESS)
    before = warehouse.contents()
    changes = Changes(org_id=ORG, claims=PROGRESS.claims, windows=PROGRESS.windows, state=PROGRESS.state)
    warehouse.merge(full("b", 2), full("a", 1), changes=changes)
    assert warehouse.contents() == before


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    """3,200 sessions with 256 messages each, in many small row groups; and less memory than usual."""
    monkeypatch.setattr(store, "ROW_GROUP", 2048)
    monkeypatch.setattr(store, "MEMORY_LIMIT", 64)
    with Warehouse(tmp_path / "large") as warehouse:
        warehouse.merge(full("s0", 1, children=1))
        warehouse.store.run(
            "INSERT INTO sessions SELECT s.* REPLACE ('s' || i AS session_id) FROM sessions AS s, range(1, 3200) AS r(i)"
        )
        warehouse.store.run(
            "INSERT INTO messages SELECT m.* REPLACE ('s' || i AS session_id, n AS message_index) "
            "FROM messages AS m, range(3200) AS r(i), range(1, 257) AS s(n)"
        )
        warehouse.store.checkpoint()
        yield warehouse


def _replace(warehouse: Warehouse, numbers: range) -> None:
    warehouse.merge(*(full(f"s{n}", 2, updated=SECOND, children=1) for n in numbers))


def _erase(warehouse: Warehouse, numbers: range) -> None:
    erase.from_store(warehouse.store, [f"s{n}" for n in numbers])


@pytest.mark.parametrize(("delete", "left"), first([(_replace, 3200), (_erase, 2800)]))
def test_sessions_all_over_a_large_history_go_at_once(
    large: Warehouse, delete: Callable[[Warehouse, range], None], left: int
) -> None:
    """DuckDB keeps a block in memory for each row group with a deletion: it is given as much more as that takes."""
    delete(large, range(0, 3200, 8))
    assert counts(large)["sessions"] == left


@pytest.mark.proof
@pytest.mark.parametrize("delete", [_replace, _erase])
def test_without_more_memory_they_would_not(
    large: Warehouse, delete: Callable[[Warehouse, range], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The measure can see it; and what failed is told as what it is."""
    monkeypatch.setattr(store, "_A_DELETION", 0.0)
    with pytest.raises(WarehouseError, match="ran out of memory"):
        delete(large, range(0, 3200, 8))


def _wide(warehouse: Warehouse, first: int, count: int) -> None:
    """Sessions with an artifact of 30 kB, in batches of 5 MB."""
    for start in range(first, first + count, 160):
        numbers = range(start, min(start + 160, first + count))
        artifact = {"x": "".join(random.Random(start).choices("0123456789abcdef", k=30_000))}
        warehouse.merge(*(observation(f"w{n}", n + 1, artifact=artifact) for n in numbers))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less memory than 2,048 such sessions take."""
    monkeypatch.setattr(store, "MEMORY_LIMIT", 40)
    monkeypatch.setattr(store, "_BESIDE_A_VECTOR", 16)


@pytest.mark.proof
@pytest.mark.usefixtures("narrow")
def test_large_sessions_get_the_memory_that_2048_of_them_take(tmp_path: Path) -> None:
    """DuckDB reads a whole vector to write its log and its row group: in later runs too, and after a kill."""
    with Warehouse(tmp_path / "wide") as warehouse:
        _wide(warehouse, 0, 3_000)
        killed = tmp_path / "killed"
        killed.mkdir()
        for name in ("store.duckdb", "store.duckdb.wal"):
            shutil.copy(warehouse.layout.store.with_name(name), killed / name)
    with Warehouse(tmp_path / "wide") as warehouse:
        _wide(warehouse, 3_000, 160)
        warehouse.store.run("UPDATE sessions SET deleted_at = now() WHERE session_id = 'w100'")
        warehouse.store.checkpoint()
        assert counts(warehouse)["sessions"] == 3_160
    with Store(killed / "store.duckdb", tmp_path) as opened:
        assert opened.rows("SELECT count(*) FROM sessions") == [(3_000,)]


@pytest.mark.proof
@pytest.mark.usefixtures("narrow")
def test_a_copy_of_large_sessions_takes_more_than_merging_them(tmp_path: Path) -> None:
    """What is read is in memory beside what is written, which may be packed meanwhile; small ones take no more than usual."""
    with Warehouse(tmp_path / "wide") as warehouse:
        assert warehouse.store.memory_to_copy == warehouse.store.memory == 40
        _wide(warehouse, 0, 3_000)
        vector = 2_048 * 30_000 / 2**20
        assert warehouse.store.memory > 16 + vector
        assert warehouse.store.memory_to_copy > warehouse.store.memory + 2 * vector
    compact(warehouse.layout, sleep=time.sleep)
    with Store(warehouse.layout.store, tmp_path) as opened:
        assert opened.rows("SELECT count(*), count(DISTINCT session_id) FROM sessions") == [(3_000, 3_000)]


@pytest.mark.proof
@pytest.mark.usefixtures("narrow")
def test_without_it_they_could_not_be_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure can see it; and what failed is told as what it is."""
    monkeypatch.setattr(store, "_OF_A_VECTOR", 0.0)
    with Warehouse(tmp_path / "wide") as warehouse, pytest.raises(WarehouseError, match="ran out of memory"):
        _wide(warehouse, 0, 3_000)


@pytest.mark.usefixtures("narrow")
def test_heavy_sessions_raise_the_limit(tmp_path: Path) -> None:
    """By what DuckDB takes to read a vector of them, in this run and in the next; to copy them takes more."""
    with Warehouse(tmp_path / "wide") as warehouse:
        assert warehouse.store.memory_to_copy == warehouse.store.memory == 40
        _wide(warehouse, 0, 480)
        reached = warehouse.store.memory
        assert reached > 16 + 480 * 30_000 / 2**20
        assert warehouse.store.memory_to_copy > reached
    with Warehouse(tmp_path / "wide") as warehouse:
        warehouse.merge(observation("light", 1_000))
        assert warehouse.store.memory >= reached
        assert counts(warehouse)["sessions"] == 481


@pytest.mark.proof
@pytest.mark.usefixtures("narrow")
def test_what_earlier_runs_wrote_counts(tmp_path: Path) -> None:
    """Rows of many small runs lie in one vector; light ones push the heavy ones out of it, whose weight stays."""
    memory = []
    for run in range(8):
        with Warehouse(tmp_path / "wide") as warehouse:
            _wide(warehouse, run * 160, 160)
            memory.append(warehouse.store.memory)
    assert memory[0] == 40
    assert memory == sorted(memory)
    assert memory[-1] > 8 * 160 * 30_000 / 2**20 + 16
    for run in range(3):
        with Warehouse(tmp_path / "wide") as warehouse:
            warehouse.merge(*(observation(f"light{run}-{n}", n + 1) for n in range(2_000)))
            written = json.loads(warehouse.store.state()["last_written"])
            assert all(len(merges) <= 16 for merges in written.values())
            assert warehouse.store.memory >= memory[-1]
    assert sum(size for _, size in written["sessions"]) < 4_000_000


def test_an_older_version_does_not_overwrite(warehouse: Warehouse) -> None:
    """Never backwards: the row stays, what it shows of the past may become more precise."""
    warehouse.merge(observation("a", 5, updated=EPOCH + HOUR, messages=3, name="new"))
    warehouse.merge(observation("a", 4, updated=EPOCH + MINUTE, messages=2, name="old"))
    ((name, count),) = warehouse.store.rows("SELECT name, message_count FROM sessions")
    assert (name, count) == ("new", 3)
    seen = warehouse.store.rows("SELECT epoch_us(first_seen_at) FROM messages ORDER BY message_index")
    assert seen == [(EPOCH + MINUTE,), (EPOCH + MINUTE,), (EPOCH + HOUR,)]


def test_first_and_last_reading(warehouse: Warehouse) -> None:
    """A session remembers when it was read first, and when the state shown was read."""
    first, second = observation("a", 1), observation("a", 2, updated=EPOCH + MINUTE)
    warehouse.merge(first)
    warehouse.merge(second)
    rows = warehouse.store.rows("SELECT epoch_us(first_synced_at), epoch_us(synced_at) FROM sessions")
    assert rows == [(first.requested_at, second.requested_at)]


def test_a_duplicate_is_noticed_and_rolled_back(warehouse: Warehouse) -> None:
    """There is no key: uniqueness is asserted inside the transaction."""
    warehouse.merge(full("a", 1))
    before = warehouse.contents()
    resolution = resolve([full("a", 2, updated=MINUTE)], {})  # as if nothing were known
    with pytest.raises(VapiSessionsError, match="A merge of 1 sessions left 2 rows; it was rolled back"):
        warehouse.store.merge(resolution, flatten(resolution.versions).tables, {}, Changes())
    assert warehouse.contents() == before


def test_a_duplicate_that_was_there_before_is_repaired_by_the_next_version(warehouse: Warehouse) -> None:
    """A session is replaced as a set too."""
    warehouse.merge(full("a", 1))
    warehouse.store.run("INSERT INTO sessions SELECT * FROM sessions")
    warehouse.merge(full("a", 2, updated=MINUTE))
    assert counts(warehouse)["sessions"] == 1


def test_sessions_of_one_moment_are_told_apart(warehouse: Warehouse) -> None:
    """Pruning by createdAt replaces only what was meant."""
    warehouse.merge(*(full(f"s-{n}", 1) for n in range(20)))
    warehouse.merge(full("s-7", 2, updated=MINUTE, children=5))
    sizes = warehouse.store.rows("SELECT session_id, message_count FROM sessions WHERE message_count <> 2")
    assert sizes == [("s-7", 5)]
    assert counts(warehouse)["messages"] == 19 * 2 + 5


def test_known_is_what_was_merged(warehouse: Warehouse) -> None:
    """What the next merge is measured against, growth and marks included."""
    first = observation("a", 1, updated=EPOCH + MINUTE, messages=1)
    second = observation("a", 2, updated=EPOCH + HOUR, messages=4)
    gone = observation("a", 3, kind="deleted")
    for one in (first, second, gone):
        warehouse.merge(one)
    assert warehouse.store.known({"a": EPOCH, "missing": EPOCH}) == {
        "a": Known(
            EPOCH,
            EPOCH + HOUR,
            2,
            second.content_hash,
            first.requested_at,
            ((EPOCH + MINUTE, 1), (EPOCH + HOUR, 4)),
            Mark("deleted", gone.requested_at, 3),
        )
    }


def test_nothing_wanted_nothing_known(warehouse: Warehouse) -> None:
    """An empty question is no error."""
    assert warehouse.store.known({}) == {}


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
def test_the_store_holds_what_the_merge_says(
    tmp_path_factory: pytest.TempPathFactory, tellings: list[tuple[str, int, int, Any, bool]]
) -> None:
    """The store is the dictionary that resolution imagines, whatever arrives in whichever batches."""
    with Warehouse(tmp_path_factory.mktemp("w") / "w") as warehouse:
        expected: dict[str, Known] = {}
        batch: list[Observation] = []
        for seq, (name, updated, messages, kind, ends) in enumerate(tellings, start=1):
            batch.append(
                observation(
                    name,
                    seq,
                    created=BORN[name],
                    updated=BORN[name] + updated * MINUTE,
                    messages=messages,
                    kind=kind,
                )
            )
            if not ends and seq < len(tellings):
                continue
            resolution = resolve(batch, dict(expected))
            warehouse.merge(*batch)
            batch = []
            for v in resolution.versions:
                growth = merge_growth(v.growth, ((v.updated_at, message_count(v.body)),))
                expected[v.session_id] = Known(
                    v.created_at, v.updated_at, v.seq, v.content_hash, v.first_synced_at, growth, None
                )
            for name_, (first, growth) in resolution.earlier.items():
                k = expected[name_]
                expected[name_] = Known(
                    k.created_at, k.updated_at, k.seq, k.content_hash, first, growth, k.mark
                )
            for name_, mark in resolution.marks.items():
                k = expected[name_]
                expected[name_] = Known(
                    k.created_at, k.updated_at, k.seq, k.content_hash, k.first_synced_at, k.growth, mark
                )
            assert warehouse.store.known(BORN) == expected
        for session_id, known in expected.items():
            seen = warehouse.store.rows(
                "SELECT epoch_us(first_seen_at) FROM messages WHERE session_id = ? ORDER BY message_index",
                [session_id],
            )
            steps = [min(at for at, size in known.growth if size > index) for index in range(len(seen))]
            assert [at for (at,) in seen] == steps


# -- marks -------------------------------------------------------------------------------------------------------------


def marks(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """Of every session."""
    return warehouse.store.rows(
        "SELECT session_id, epoch_us(deleted_at), epoch_us(aged_out_at) FROM sessions ORDER BY 1"
    )


def test_marks_are_set_and_keep_the_rows(warehouse: Warehouse) -> None:
    """Deleted and aged out are two columns; what was read stays."""
    warehouse.merge(full("a", 1), full("b", 1), full("c", 1))
    gone, aged = observation("a", 2, kind="deleted"), observation("b", 3, kind="aged_out")
    warehouse.merge(gone, aged)
    assert marks(warehouse) == [
        ("a", gone.requested_at, None),
        ("b", None, aged.requested_at),
        ("c", None, None),
    ]
    assert counts(warehouse)["messages"] == 6


@pytest.mark.parametrize("updated", [0, MINUTE], ids=["unchanged", "changed"])
def test_marks_are_lifted_by_a_later_row(warehouse: Warehouse, updated: int) -> None:
    """Whether its content is new or not."""
    warehouse.merge(full("a", 1))
    warehouse.merge(observation("a", 2, kind="deleted"))
    warehouse.merge(full("a", 3, updated=updated))
    assert marks(warehouse) == [("a", None, None)]
    assert warehouse.store.known({"a": EPOCH})["a"].mark is None


def test_a_mark_survives_a_version_that_was_requested_before_it(warehouse: Warehouse) -> None:
    """The row is written anew, and the mark with it."""
    warehouse.merge(full("a", 1))
    gone = observation("a", 5, kind="deleted")
    warehouse.merge(gone)
    warehouse.merge(full("a", 4, updated=MINUTE))
    assert marks(warehouse) == [("a", gone.requested_at, None)]


def test_another_kind_of_mark_replaces_the_first(warehouse: Warehouse) -> None:
    """The later check counts."""
    warehouse.merge(full("a", 1))
    warehouse.merge(observation("a", 2, kind="aged_out"))
    gone = observation("a", 3, kind="deleted")
    warehouse.merge(gone)
    assert marks(warehouse) == [("a", gone.requested_at, None)]


# -- what has to be published ------------------------------------------------------------------------------------------


def parts(warehouse: Warehouse) -> list[tuple[str, bool]]:
    """Ranges, and whether they are stale."""
    return warehouse.store.rows(
        "SELECT strftime(lower_bound, '%Y-%m-%d') || ' ' || strftime(upper_bound, '%Y-%m-%d'), dirty "
        "FROM sync.parts ORDER BY lower_bound"
    )


def test_each_month_has_a_range_and_only_touched_ones_are_stale(warehouse: Warehouse) -> None:
    """Months are cut in UTC; a mark and a later growth touch as well as a new version."""
    january, march = EPOCH - 40 * DAY, EPOCH
    edge = EPOCH - 1  # the last microsecond of February
    warehouse.merge(
        observation("jan", 1, created=january, updated=january + HOUR, messages=2),
        observation("feb", 1, created=edge),
        observation("mar", 1, created=march),
    )
    ranges = ["2026-01-01 2026-02-01", "2026-02-01 2026-03-01", "2026-03-01 2026-04-01"]
    assert parts(warehouse) == [(name, True) for name in ranges]
    clean = "UPDATE sync.parts SET dirty = false"
    changes: list[tuple[Observation, int]] = [
        (observation("feb", 2, created=edge, kind="deleted"), 1),
        (observation("mar", 3, created=march, updated=march + 1), 2),
        (observation("jan", 0, created=january, updated=january + 1, messages=1), 0),
    ]
    for one, touched in changes:
        warehouse.store.run(clean)
        warehouse.merge(one)
        assert parts(warehouse) == [(name, n == touched) for n, name in enumerate(ranges)]


def test_nothing_new_touches_nothing(warehouse: Warehouse) -> None:
    """Overlap costs no publication."""
    warehouse.merge(full("a", 1))
    warehouse.store.run("UPDATE sync.parts SET dirty = false")
    warehouse.merge(full("a", 2))
    assert not warehouse.store.dirty()


# -- ledger ------------------------------------------------------------------------------------------------------------


def test_claims_are_joined(warehouse: Warehouse) -> None:
    """The ledger holds unbroken stretches, not their history."""
    for lower, upper in ((0, 10), (20, 30), (10, 20), (40, 50), (5, 12)):
        claims = IntervalSet([(EPOCH + lower * SECOND, EPOCH + upper * SECOND)])
        warehouse.store.note(Changes(org_id=ORG, claims=claims))
    assert list(warehouse.store.ledger().completed) == [
        (EPOCH, EPOCH + 30 * SECOND),
        (EPOCH + 40 * SECOND, EPOCH + 50 * SECOND),
    ]


def test_what_is_unsettled_is_settled_by_a_second_reading(warehouse: Warehouse) -> None:
    """Until then it stays, however often something else is noted."""

    def spans(*seconds: tuple[int, int]) -> IntervalSet:
        return IntervalSet((EPOCH + a * SECOND, EPOCH + b * SECOND) for a, b in seconds)

    store = warehouse.store
    store.note(Changes(org_id=ORG, unsettled=spans((5, 10))))
    store.note(Changes(org_id=ORG, unsettled=spans((20, 30))))
    store.note(Changes(org_id=ORG, state={"origin": "0"}))
    assert store.ledger().unsettled == spans((5, 10), (20, 30))
    store.note(Changes(org_id=ORG, unsettled=spans((20, 30)), settled=spans((0, 20))))
    assert store.ledger().unsettled == spans((20, 30))
    store.note(Changes(org_id=ORG, settled=spans((0, 99))))
    assert store.ledger().unsettled == IntervalSet()


def test_nothing_is_claimed_for_nobody(warehouse: Warehouse) -> None:
    """A run that has not seen its organisation claims no interval."""
    warehouse.store.note(Changes(org_id=None, claims=IntervalSet([(0, 10)])))
    assert list(warehouse.store.ledger().completed) == []


def test_open_windows_come_back(warehouse: Warehouse) -> None:
    """With what is left of them, and how many sessions they still lack."""
    complete = WINDOW | {"window_index": 1, "verdict": "complete"}
    warehouse.store.note(Changes(org_id=ORG, windows=[WINDOW, complete]))
    (found,) = warehouse.store.open_windows()
    assert (found["run_id"], found["window_index"]) == ("run", 0)
    assert (found["lower"], found["upper"]) == (EPOCH, EPOCH + HOUR)
    assert found["left"] == [[1, 2, None, ["a"]]]
    assert found["expected"] == 3  # of five, two were read


def test_a_window_is_replaced_by_its_later_state(warehouse: Warehouse) -> None:
    """One row for each window of a run."""
    warehouse.store.note(Changes(windows=[WINDOW]))
    warehouse.store.note(Changes(windows=[WINDOW | {"verdict": "complete", "left_to_read": None}]))
    assert warehouse.store.rows("SELECT verdict FROM sync.windows") == [("complete",)]
    assert warehouse.store.open_windows() == []


def test_windows_of_earlier_runs_are_superseded(warehouse: Warehouse) -> None:
    """Except those that go on, which are noted anew in the same transaction."""
    warehouse.store.note(Changes(windows=[WINDOW, WINDOW | {"window_index": 1}]))
    warehouse.store.note(Changes(windows=[WINDOW | {"run_id": "next"}], supersede=True))
    assert warehouse.store.rows("SELECT run_id, window_index, verdict FROM sync.windows ORDER BY ALL") == [
        ("next", 0, "open"),
        ("run", 0, "superseded"),
        ("run", 1, "superseded"),
    ]


def test_facts_are_replaced(warehouse: Warehouse) -> None:
    """One value for each."""
    warehouse.store.note(Changes(state={"next_seq": "5"}))
    warehouse.store.note(Changes(state={"next_seq": "9"}))
    assert warehouse.store.state()["next_seq"] == "9"
    assert warehouse.store.rows("SELECT count(*) FROM sync.state WHERE key = 'next_seq'") == [(1,)]


def test_runs_that_were_killed_are_told(warehouse: Warehouse) -> None:
    """A run that still says it is running when the next one begins was not."""
    run = {
        "run_id": "run",
        "command": "sync",
        "started_at": dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
        "outcome": "running",
        "program_version": "0",
    }
    warehouse.store.put_run(run)
    warehouse.store.put_run(run | {"run_id": "other", "outcome": "done"})
    warehouse.store.close_dead_runs()
    assert warehouse.store.rows("SELECT run_id, outcome FROM sync.runs ORDER BY 1") == [
        ("other", "done"),
        ("run", "killed"),
    ]


def test_a_run_is_one_row(warehouse: Warehouse) -> None:
    """Written when it begins, replaced when it ends."""
    run = {
        "run_id": "run",
        "command": "sync",
        "started_at": to_datetime(EPOCH),
        "outcome": "running",
        "program_version": "0",
    }
    warehouse.store.put_run(run)
    warehouse.store.put_run(run | {"outcome": "done", "requests": 5})
    assert warehouse.store.rows("SELECT outcome, requests FROM sync.runs") == [("done", 5)]


# -- opening -----------------------------------------------------------------------------------------------------------


def test_a_store_opens_again_as_it_was(tmp_path: Path) -> None:
    """Everything is on disk."""
    with Warehouse(tmp_path / "w") as warehouse:
        warehouse.merge(full("a", 1), changes=PROGRESS)
        before = warehouse.contents()
    with Warehouse(tmp_path / "w") as warehouse:
        assert warehouse.contents() == before


@pytest.fixture
def of_another_version(tmp_path: Path) -> Layout:
    """A warehouse whose database another program wrote."""
    with Warehouse(tmp_path / "w") as warehouse:
        warehouse.store.note(Changes(state={"schema_version": "99"}))
        return warehouse.layout


def test_a_store_of_another_version_is_refused(of_another_version: Layout) -> None:
    """The message gives both versions and the way out."""
    with pytest.raises(WarehouseError, match="has schema version 99, this program has 2") as caught:
        Store(of_another_version.store, of_another_version.scratch)
    assert "rebuild" in caught.value.remedy


def test_a_store_that_is_refused_is_not_kept_open(of_another_version: Layout) -> None:
    """While the error is being handled, other processes can look into the file."""
    with pytest.raises(WarehouseError) as caught:
        Store(of_another_version.store, of_another_version.scratch)
    code = "import duckdb, sys; duckdb.connect(sys.argv[1])"
    other = subprocess.run(
        [sys.executable, "-c", code, str(of_another_version.store)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode == 0, (caught.value.fact, other.stderr[-300:])


@pytest.mark.parametrize("content", [b"not a database", b"x" * 100_000], ids=["short", "long"])
def test_a_file_that_is_no_database_is_told(tmp_path: Path, content: bytes) -> None:
    """With the way out."""
    layout = Layout(tmp_path / "w")
    layout.create()
    layout.store.write_bytes(content)
    with pytest.raises(WarehouseDamagedError, match=r"store\.duckdb is damaged") as caught:
        Store(layout.store, layout.scratch)
    assert "rebuild" in caught.value.remedy


def test_damage_inside_the_file_is_told(tmp_path: Path) -> None:
    """A block that is not what was written is noticed when it is read."""
    with Warehouse(tmp_path / "w") as warehouse:
        warehouse.merge(*(observation(f"s-{n:05d}", n, messages=5) for n in range(2000)))
        warehouse.store.checkpoint()
        layout = warehouse.layout
    data = bytearray(layout.store.read_bytes())
    for position in range(12_288 + 5_000, len(data), 50_000):
        data[position : position + 64] = bytes(64)
    layout.store.write_bytes(data)

    def everything() -> object:
        with Store(layout.store, layout.scratch) as store:
            return [store.rows(f"FROM {table.name}") for table in schema.TABLES]

    with pytest.raises(WarehouseDamagedError):
        everything()


def test_damage_in_the_middle_of_a_stream_is_told(tmp_path: Path) -> None:
    """What DuckDB says while rows are taken from it reaches us as Arrow's error, and means the same."""
    texts = itertools.count()

    def long_message() -> dict[str, Any]:
        return {"role": "user", "content": f"{next(texts)} " + "word " * 100}

    with Warehouse(tmp_path / "w") as warehouse:
        warehouse.merge(
            *(observation(f"s-{n:03d}", n, messages=[long_message() for _ in range(100)]) for n in range(400))
        )
        warehouse.store.checkpoint()
        layout = warehouse.layout
    data = bytearray(layout.store.read_bytes())
    at = data.index(b"30000 word word")
    data[at : at + 8] = bytes(8)
    layout.store.write_bytes(data)

    def stream(store: Store) -> int:
        with store.batches("FROM messages", [], 1000) as (_, batches):
            return sum(batch.num_rows for batch in batches)

    with Store(layout.store, layout.scratch) as store, pytest.raises(WarehouseDamagedError):
        stream(store)


def test_a_stream_that_is_left_early_is_in_nobodys_way(warehouse: Warehouse) -> None:
    """Whoever asks next gets the same connection, and all of an answer of its own."""
    warehouse.merge(*(full(f"s-{n:02d}", 1) for n in range(50)))
    for _ in range(3):
        with warehouse.store.batches("FROM sessions", [], 8) as (_, batches):
            next(batches)
        with warehouse.store.batches("FROM sessions", [], 8) as (_, batches):
            assert sum(batch.num_rows for batch in batches) == 50
    with pytest.raises(WarehouseDamagedError), warehouse.store.batches("FROM sessions", [], 8):
        raise duckdb.Error("Corrupt database file")
    with warehouse.store.batches("FROM sessions", [], 8) as (_, batches):
        assert sum(batch.num_rows for batch in batches) == 50


def test_the_store_is_the_owners_alone(warehouse: Warehouse) -> None:
    """The database, and its log, which holds conversations too, even in a directory that others may enter."""
    warehouse.merge(full("a", 1))
    files = {
        path.name: path.stat().st_mode & 0o777 for path in warehouse.layout.root.iterdir() if path.is_file()
    }
    assert files == {"store.duckdb": 0o600, "store.duckdb.wal": 0o600}


def test_moments_are_utc_wherever_the_machine_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Months and shown moments do not depend on the time zone of the process."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        with Warehouse(tmp_path / "w") as warehouse:
            warehouse.merge(observation("a", 1, created=EPOCH - 1))
            assert parts(warehouse) == [("2026-02-01 2026-03-01", True)]
            assert warehouse.store.rows("SELECT created_at::VARCHAR FROM sessions") == [
                ("2026-02-28 23:59:59.999999+00",)
            ]
    finally:
        monkeypatch.undo()
        time.tzset()


# -- two writers -------------------------------------------------------------------------------------------------------

HOLD = {
    "our lock": (
        "import sys; from pathlib import Path; from vapi_sessions.warehouse.layout import *\n"
        "with writer_lock(Layout(Path(sys.argv[1]))): print('ready', flush=True); sys.stdin.read()"
    ),
    "the database": (
        "import duckdb, sys; db = duckdb.connect(sys.argv[1] + '/store.duckdb')\n"
        "print('ready', flush=True); sys.stdin.read()"
    ),
}


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Callable[[str], tuple[Layout, subprocess.Popen[str]]]]:
    """Another process that holds a warehouse in one of two ways."""
    processes: list[subprocess.Popen[str]] = []
    layout = Layout(tmp_path / "warehouse")
    with Warehouse(layout.root):
        pass

    def hold(what: str) -> tuple[Layout, subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD[what], str(layout.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return layout, process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


Held = Callable[[str], tuple[Layout, "subprocess.Popen[str]"]]


def test_a_second_writer_is_told_who_the_first_is(held: Held) -> None:
    """At once, and with its pid."""
    layout, process = held("our lock")
    with (
        pytest.raises(WarehouseBusyError, match=f"Another run \\(pid {process.pid}\\)"),
        writer_lock(layout),
    ):
        pass


def test_the_lock_goes_with_its_process(held: Held) -> None:
    """However that ends."""
    layout, process = held("our lock")
    process.kill()
    process.communicate()
    with writer_lock(layout):
        pass


def test_the_lock_excludes_within_one_process_too(tmp_path: Path) -> None:
    """And is free again afterwards."""
    layout = Layout(tmp_path)
    with (
        writer_lock(layout),
        pytest.raises(WarehouseBusyError, match="is writing to"),
        writer_lock(layout),
    ):
        pass
    with writer_lock(layout):
        assert (tmp_path / ".lock").stat().st_mode & 0o777 == 0o600


def test_somebody_who_opened_the_database_is_waited_for(held: Held) -> None:
    """Not for ever: then the message names who it is, and what to open instead."""
    layout, process = held("the database")
    slept: list[float] = []
    with pytest.raises(
        WarehouseBusyError, match=f"open in another process \\(pid {process.pid}\\)"
    ) as caught:
        Store(layout.store, layout.scratch, sleep=slept.append)
    assert sum(slept) == pytest.approx(LOCK_PATIENCE)
    assert "vapi.duckdb" in caught.value.remedy


def test_somebody_who_closes_the_database_in_time_does_no_harm(held: Held) -> None:
    """A glance into the database costs a run a second."""
    layout, process = held("the database")
    slept = itertools.count()

    def sleep(seconds: float) -> None:
        if next(slept) == 2:
            process.kill()
            process.communicate()

    with Store(layout.store, layout.scratch, sleep=sleep) as store:
        assert store.state()["schema_version"] == str(schema.SCHEMA_VERSION)
