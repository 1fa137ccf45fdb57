"""A warehouse of version 0.1.0 is taken over by the next run: without a download, and nothing of it is lost.

`tests/operations/warehouses/make.py` says what is in it, and made it with that version's code.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest

from conftest import KEY, Clock, Notes, World
from forks import KILLED, Forks
from searching import found_in
from selection import first
from vapi_emulator.server import EmulatorServer
from vapi_emulator.stored import make_row
from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings
from vapi_sessions import schema
from vapi_sessions.core.timestamps import parse
from vapi_sessions.errors import WarehouseDamagedError, WarehouseError
from vapi_sessions.operations import sync as pipeline
from vapi_sessions.operations.forget import Whom, forget
from vapi_sessions.operations.preview import preview
from vapi_sessions.operations.status import status
from vapi_sessions.operations.verify import verify
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.suppression import Suppression

ARCHIVE: Final = Path(__file__).with_name("warehouses") / "0.1.0.tar.xz"
POLICY: Final = {"personal_data": "pseudonymise", "pseudonym_key": "a key of enough characters"}
#: What schema version 1 had not: an earlier state of 0.1.0, before it was released.
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
#: Where a take-over is stopped.
PLACES: Final = [
    "take_over.published",
    "merge.committed",
    "merge.noted:2",
    "index.drafted",
    "index.swapped",
    "publish.planned",
    "publish.file_written:4",
    "publish.snapshot_renamed",
    "publish.snapshot_noted",
    "publish.views_renamed",
    "publish.latest_swapped",
]


@dataclass
class Earlier:
    """The warehouse and its source. `lost`: sessions of which raw/ has nothing; `newer`: of which it lacks the newest version."""

    world: World
    lost: set[str]
    newer: set[str]
    forgotten: set[str]
    later: set[str]
    fetched: Path

    @property
    def store(self) -> Path:
        """That version's database."""
        return self.world.warehouse / "store.duckdb"

    def change(self, *statements: str) -> None:
        """Do this to that version's database."""
        with duckdb.connect(str(self.store)) as db:
            for statement in statements:
                db.execute(statement)

    def sync(self) -> tuple[pipeline.Summary, list[str]]:
        """One sync under its policy; with what a person was told."""
        notes = Notes()
        return self.world.sync(progress=notes, **POLICY), notes.said


def decoded(tables: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """With JSON as what it says: the order of an object's members is nobody's promise."""
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


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive's content."""
    place = tmp_path_factory.mktemp("0.1.0")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(place, filter="data")
    return place


@pytest.fixture
def earlier(unpacked: Path, tmp_path: Path) -> Iterator[Earlier]:
    """A copy, its source, and the moment at which it was left."""
    told: dict[str, Any] = json.loads((unpacked / "source.json").read_text())
    clock = Clock()
    clock.forward(microseconds=told["now"] - clock.us())
    with EmulatorServer(EmulatorSettings(keys={KEY: DEFAULT_ORG}), clock=clock) as server:
        server.configure(retention_days=told["retention_days"])
        server.store.insert_many(
            make_row(session, parse(session["createdAt"]), parse(session["updatedAt"]))
            for session in told["sessions"]
        )
        world = World(server, tmp_path / "warehouse", clock)
        shutil.copytree(unpacked / "warehouse", world.warehouse, symlinks=True)
        (fetched,) = (unpacked / "later").iterdir()
        names = (set(told[name]) for name in ("lost", "newer", "forgotten", "later"))
        yield Earlier(world, *names, fetched)


def _numbers(path: Path) -> set[int]:
    return {o.seq for part in raw.read(path) for o in part}


@pytest.mark.parametrize("version", [2, 1])
def test_the_next_run_takes_it_over(earlier: Earlier, version: int) -> None:
    """The five tables are what that version published, and the ledger is its ledger; not one page is downloaded for it."""
    world = earlier.world
    before, ledger, claimed = decoded(world.tables()), world.answers(LEDGER), world.ledger()
    if version == 1:
        earlier.change(*SCHEMA_1)
    world.forget_requests()

    summary, said = earlier.sync()

    assert any("an earlier version made this warehouse" in line for line in said)
    assert decoded(world.tables()) == before
    for old, new in zip(ledger, world.answers(LEDGER), strict=True):
        assert set(old) <= set(new)
    assert world.ledger()[0][0] == claimed[0][0]
    assert len(world.ledger()) == 1
    assert not earlier.store.exists()
    assert (summary.counts.sessions_read, summary.counts.sessions_new) == (0, 0)
    assert [page for page in world.pages() if "updatedAtLt" in page] == []
    assert summary.requests <= 6


def test_what_is_deleted_aged_out_grown_or_forgotten_stays_so(earlier: Earlier) -> None:
    """It is in the fixture, and a verification finds nothing."""
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


def test_what_raw_cannot_give_is_named_and_stays_as_it_was(earlier: Earlier) -> None:
    """New sessions of a lost file, and newer states of others; also if that version's database alone knew of them."""
    world = earlier.world
    before = decoded(world.tables())
    held = {
        o.session_id for path in raw.files(world.warehouse / "raw") for part in raw.read(path) for o in part
    }
    assert earlier.newer <= held
    assert earlier.lost - held
    _, said = earlier.sync()
    (warning,) = [line for line in said if line.startswith("warning: raw/ lacks")]
    assert all(name in warning for name in earlier.newer | (earlier.lost - held))
    assert decoded(world.tables()) == before


def test_what_is_kept_aside_stays_aside(earlier: Earlier) -> None:
    """A session that cannot be read, whose raw file may be lost as well."""
    earlier.change(
        "INSERT INTO sync.unreadable VALUES ('odd', NULL, NULL, 'updatedAt is missing', TIMESTAMPTZ '2026-03-04 00:00Z', 3, 'x')"
    )
    earlier.sync()
    assert earlier.world.rows("SELECT session_id, problem FROM sync.unreadable") == [
        ("odd", "updatedAt is missing")
    ]


@pytest.mark.proof
def test_what_raw_cannot_give_goes_on_as_any_other_session(earlier: Earlier) -> None:
    """It changes with the source, beside others that do not; and if a published file of it is lost, this is an error that names it."""
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


def test_what_that_version_had_fetched_and_not_merged_is_merged(earlier: Earlier) -> None:
    """With its claims, and no request's number is given twice."""
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
@pytest.mark.parametrize("point", PLACES)
def test_killed_and_started_again_it_is_as_if_never_killed(
    earlier: Earlier, tmp_path: Path, point: str
) -> None:
    """That version's database stays until all is published, readers see what they saw, and the next run begins again."""
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


def test_a_plan_works_before(earlier: Earlier) -> None:
    """It reads that version's ledger, and touches nothing."""
    files = earlier.world.files(".")
    planned = preview(earlier.world.settings(), environment=earlier.world.environment())
    assert len(planned.plan.windows) <= 2
    assert planned.plan.sessions == 0
    assert earlier.world.files(".") == files


def test_who_only_reads_is_told_what_to_do(earlier: Earlier) -> None:
    """The published tables can be read as they are; `status` asks for a sync."""
    with pytest.raises(WarehouseError, match="has schema version 2, this program has 3") as told:
        status(earlier.world.warehouse, now=earlier.world.clock.us())
    assert "vapi-sessions sync" in told.value.remedy
    assert len(earlier.world.here()) > 30


@pytest.mark.parametrize("dry_run", first([False, True]))
def test_forget_takes_it_over_before_it_erases(earlier: Earlier, dry_run: bool) -> None:
    """What raw/ lacks is erased too, and is in no byte of what is left."""
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
def test_a_damaged_database_is_told_and_rebuilt(earlier: Earlier) -> None:
    """A rebuild needs it no more than any other; but it refuses to lose what raw/ lacks."""
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
