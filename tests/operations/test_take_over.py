"""The next run takes over a warehouse of version 0.1.0: it downloads nothing, and nothing is lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from earlier_warehouse import POLICY, Earlier, copy_of, unpack
from fault_cases import TAKE_OVER

from forks import KILLED, Forks
from searching import found_in
from selection import first
from vapi_sessions import schema
from vapi_sessions.errors import WarehouseDamagedError, WarehouseError
from vapi_sessions.operations.forget import Whom, forget
from vapi_sessions.operations.preview import preview
from vapi_sessions.operations.status import status
from vapi_sessions.operations.verify import verify
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.suppression import Suppression
from worlds import World

#: From schema version 2 to 1, an earlier state of 0.1.0 before its release.
SCHEMA_1: Final = (
    "ALTER TABLE costs DROP COLUMN billed_seconds",
    "ALTER TABLE costs DROP COLUMN usage_complete",
    "ALTER TABLE messages DROP COLUMN confidence",
    "ALTER TABLE sync.runs DROP COLUMN sessions_unreadable",
    "DROP TABLE sync.unreadable",
    "UPDATE sync.state SET value = '1' WHERE key = 'schema_version'",
)
LEDGER: Final = (
    "SELECT run_id, window_index, lower_bound, upper_bound, verdict, left_to_read FROM sync.windows ORDER BY ALL",
    "SELECT run_id, started_at, outcome FROM sync.runs ORDER BY ALL",
)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the archive."""
    place = tmp_path_factory.mktemp("0.1.0")
    unpack(place)
    return place


@pytest.fixture
def earlier(unpacked: Path, tmp_path: Path) -> Iterator[Earlier]:
    """A copy of the warehouse, and its source."""
    with copy_of(unpacked, tmp_path) as made:
        yield made


def decoded(tables: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """The tables with normalised JSON: the order of an object's members does not count."""
    return {
        table.name: sorted(
            (
                tuple(
                    json.dumps(json.loads(value), sort_keys=True)
                    if column.type == "JSON" and value
                    else value
                    for column, value in zip(table.columns, row, strict=True)
                )
                for row in tables[table.name]
            ),
            key=repr,
        )
        for table in schema.TABLES
    }


def _numbers(path: Path) -> set[int]:
    return {o.seq for part in raw.read(path) for o in part}


@pytest.mark.parametrize("version", first([2, 1]))
def test_the_next_run_takes_over_a_warehouse_of_version_0_1_0(earlier: Earlier, version: int) -> None:
    """The five tables and the ledger are the same as before; no page is downloaded."""
    world = earlier.world
    before, ledger, claimed = decoded(world.tables()), world.answers(LEDGER), world.ledger()
    if version == 1:
        earlier.change(*SCHEMA_1)
    world.forget_requests()

    summary, said = earlier.sync()

    assert any("version 0.1.0 made this warehouse" in line for line in said)
    assert decoded(world.tables()) == before
    for old, new in zip(ledger, world.answers(LEDGER), strict=True):
        assert set(old) <= set(new)
    assert world.ledger()[0][0] == claimed[0][0]
    assert len(world.ledger()) == 1
    assert not earlier.store.exists()
    assert (summary.counts.sessions_read, summary.counts.sessions_new) == (0, 0)
    assert [page for page in world.pages() if "updatedAtLt" in page] == []
    assert summary.requests <= 6


def test_a_take_over_keeps_tombstones_growth_and_the_suppression_list(earlier: Earlier) -> None:
    """The archive has all of these, and a verification finds nothing."""
    world = earlier.world
    assert min(world.rows("SELECT count(deleted_at), count(aged_out_at) FROM sessions")[0]) > 0
    assert world.rows(
        "SELECT count(*) FROM messages JOIN sessions USING (session_id) WHERE first_seen_at < updated_at"
    ) > [(0,)]
    earlier.sync()
    assert {row[0] for row in world.here()}.isdisjoint(earlier.forgotten)
    assert found_in(world.warehouse, *earlier.forgotten, "Bob Roe", "4155550100") == {}
    assert not Suppression.open(Layout(world.warehouse)).empty
    done = verify(world.settings(**POLICY), deep=True, environment=world.environment())
    assert done.findings == ()


@pytest.mark.proof
def test_a_take_over_names_sessions_that_raw_does_not_have_and_keeps_their_rows(earlier: Earlier) -> None:
    """New sessions of a lost file, and newer versions of others."""
    world = earlier.world
    before = decoded(world.tables())
    held = {
        o.session_id for path in raw.files(world.warehouse / "raw") for part in raw.read(path) for o in part
    }
    assert earlier.newer <= held
    assert earlier.lost - held
    _, said = earlier.sync()
    (warning,) = [line for line in said if line.startswith("warning: raw/ does not have")]
    assert all(name in warning for name in earlier.newer | (earlier.lost - held))
    assert decoded(world.tables()) == before


@pytest.mark.proof
def test_a_stricter_policy_never_drops_rows_that_raw_does_not_have(earlier: Earlier) -> None:
    """It is refused, and names the sessions. As the error says, a rebuild without vapi.duckdb goes on, and a sync reads them again."""
    world = earlier.world
    earlier.sync()
    before = world.here()
    with pytest.raises(WarehouseDamagedError, match="raw does not have 6 sessions") as told:
        world.sync(**POLICY, message_text="drop")
    assert all(name in told.value.fact for name in earlier.newer)
    assert "move vapi.duckdb away" in told.value.remedy
    assert world.here() == before
    (world.warehouse / "vapi.duckdb").unlink()
    world.rebuild()
    world.sync(**POLICY, message_text="drop")
    assert world.here() >= before & world.there()


@pytest.mark.proof
def test_a_take_over_keeps_unreadable_sessions_aside(earlier: Earlier) -> None:
    """The raw file of such a session may be lost as well."""
    earlier.change(
        "INSERT INTO sync.unreadable VALUES ('odd', NULL, NULL, 'updatedAt is missing', TIMESTAMPTZ '2026-03-04 00:00Z', 3, 'x')"
    )
    earlier.sync()
    assert earlier.world.rows("SELECT session_id, problem FROM sync.unreadable") == [
        ("odd", "updatedAt is missing")
    ]


@pytest.mark.proof
def test_a_session_that_raw_does_not_have_changes_like_any_other(earlier: Earlier) -> None:
    """The source changes it and not others. If its published file is lost, the error names it."""
    world = earlier.world
    earlier.sync()
    one, other = sorted(earlier.newer)
    world.server.store.update(world.server.org_id, one, lambda s: s.update(status="changed"))
    world.clock.forward(minutes=5)
    before = {row[0]: row for row in world.rows("FROM sessions")}
    world.sync(**POLICY)
    after = {row[0]: row for row in world.rows("FROM sessions")}
    assert {name for name in after if after[name] != before[name]} == {one}
    assert world.rows(f"SELECT status FROM sessions WHERE session_id = '{one}'") == [("changed",)]

    for path in (world.warehouse / "parquet" / "latest").resolve().glob("messages/*/*.parquet"):
        path.unlink()
    with pytest.raises(WarehouseDamagedError, match="raw/ cannot give") as told:
        world.sync(**POLICY)
    assert other in told.value.fact
    assert told.value.exit_code == 5


@pytest.mark.proof
def test_a_take_over_merges_raw_files_that_were_not_merged(earlier: Earlier) -> None:
    """With their claims. No request number is given twice."""
    world = earlier.world
    before = world.here()
    shutil.copy2(earlier.fetched, world.warehouse / "raw")
    (later,) = raw.read_progress(earlier.fetched)["claims"][-1:]
    summary, _ = earlier.sync()
    assert {row[0] for row in world.here() - before} == earlier.later
    assert world.ledger()[-1][1] >= later[1]
    assert summary.counts.sessions_read == 0
    files = raw.files(world.warehouse / "raw")
    world.server.store.update(world.server.org_id, min(earlier.newer), lambda s: s.update(status="changed"))
    world.clock.forward(minutes=5)
    world.sync(**POLICY)
    (newest,) = set(raw.files(world.warehouse / "raw")) - set(files)
    assert min(_numbers(newest)) > max(max(_numbers(path)) for path in files)


@pytest.mark.proof
@pytest.mark.parametrize("point", TAKE_OVER)
def test_a_killed_take_over_that_is_started_again_ends_like_one_that_was_not_killed(
    earlier: Earlier, tmp_path: Path, point: str
) -> None:
    """That version's database stays until everything is published, readers see the earlier state, and the next run starts over."""
    world = earlier.world
    shutil.copy2(earlier.fetched, world.warehouse / "raw")
    before = decoded(world.tables())
    reference = Earlier(
        World(world.server, tmp_path / "reference", world.clock), *[set()] * 4, earlier.fetched
    )
    shutil.copytree(world.warehouse, reference.world.warehouse, symlinks=True)
    reference.sync()
    whole = decoded(reference.world.tables())
    assert whole != before

    forks = Forks(
        world.server, tmp_path / "said", {f"VAPI_{name.upper()}": value for name, value in POLICY.items()}
    )
    try:
        assert forks.run(("sync", "--settle", "0s"), world.warehouse, point) == KILLED, forks.said()
    finally:
        forks.end()

    assert earlier.store.exists()
    if not point.startswith(("publish.views_renamed", "publish.latest", "take_over")):
        assert decoded(world.tables()) == before
    summary, _ = earlier.sync()
    assert summary.counts.sessions_read == 0
    assert decoded(world.tables()) == whole
    assert not earlier.store.exists()


def test_a_plan_before_the_take_over_changes_nothing(earlier: Earlier) -> None:
    """It reads that version's ledger."""
    files = earlier.world.files(".")
    planned = preview(earlier.world.settings(), environment=earlier.world.environment())
    assert len(planned.plan.windows) <= 2
    assert planned.plan.sessions == 0
    assert earlier.world.files(".") == files


def test_status_before_the_take_over_asks_for_a_sync(earlier: Earlier) -> None:
    """The published tables can still be read."""
    with pytest.raises(WarehouseError, match="has schema version 2, this program has 3") as told:
        status(earlier.world.warehouse, now=earlier.world.clock.us())
    assert "vapi-sessions sync" in told.value.remedy
    assert len(earlier.world.here()) > 30


@pytest.mark.proof
@pytest.mark.parametrize("dry_run", first([False, True]))
def test_forget_takes_over_an_earlier_warehouse_before_it_erases(earlier: Earlier, dry_run: bool) -> None:
    """A session that raw/ does not have is erased too, and is in no byte of any file."""
    world = earlier.world
    gone = sorted(earlier.lost)[0]
    before = world.here()
    done = forget(world.settings(**POLICY), Whom([gone]), dry_run=dry_run, environment=world.environment())
    assert done.ids == (gone,)
    assert not earlier.store.exists()
    assert {row[0] for row in before} - {row[0] for row in world.here()} == (set() if dry_run else {gone})
    if not dry_run:
        assert found_in(world.warehouse, gone) == {}


@pytest.mark.proof
def test_a_damaged_database_of_version_0_1_0_is_reported_and_rebuilt(earlier: Earlier) -> None:
    """A rebuild does not need it, but refuses to lose sessions that raw/ does not have."""
    content = earlier.store.read_bytes()
    earlier.store.write_bytes(content[: len(content) // 2])
    with pytest.raises(WarehouseDamagedError, match=r"store\.duckdb is damaged") as told:
        earlier.sync()
    assert "vapi-sessions rebuild" in told.value.remedy
    with pytest.raises(WarehouseDamagedError, match="files of it are missing"):
        earlier.world.rebuild()
    assert earlier.store.exists()
    shutil.copy2(earlier.world.warehouse / "vapi.duckdb", earlier.world.warehouse / "aside.duckdb")
    (earlier.world.warehouse / "vapi.duckdb").unlink()
    earlier.world.rebuild()
    assert not earlier.store.exists()
    assert earlier.world.here()
