"""Each writer compares the warehouse with the suppression list, and erases forgotten sessions that it still holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from searching import found_in
from selection import some
from vapi_sessions.core import faultpoints
from vapi_sessions.errors import WarehouseError
from vapi_sessions.operations.forget import Forgotten, Whom, forget
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.verify import verify
from vapi_sessions.warehouse import raw, suppression
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.suppression import Suppression
from worlds import RecordedProgress, World

BOB = {"number": "+14155550109", "email": "bob@mail.test", "name": "Bob Roe"}
ANN = {"number": "+14155550111", "email": "ann@mail.test", "name": "Ann Lee"}
DROP = {"personal_data": "drop"}
NUMBER = Whom(customers=[("number", BOB["number"])])


@pytest.fixture(autouse=True)
def _a_quick_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow hash has tests elsewhere."""
    monkeypatch.setattr(suppression, "COST", (2, 8, 1))


def arrive(world: World, hours: float, **customer: object) -> str:
    """Insert a session of this customer; its text says whose it is."""
    at, now = world.ago(hours=hours), world.ago(seconds=5)
    said = f"{str(customer.get('name', 'nobody')).split()[0].lower()}-himself"
    fields = {"customer": customer} if customer else {}
    (made,) = world.insert(1, lambda n: (at, now), messages=[{"role": "user", "content": said}], **fields)
    return made


def erase(world: World, whom: Whom, *, dry_run: bool = False, **given: str) -> Forgotten:
    return forget(world.settings(**given), whom, dry_run=dry_run, environment=world.environment())


def findings(world: World, *, deep: bool = False, **given: str) -> list[str]:
    done = verify(world.settings(**given), deep=deep, environment=world.environment())
    return [finding.what for finding in done.findings]


@pytest.mark.proof
def test_a_customer_whose_identifiers_were_dropped_is_erased_by_a_full_sync(world: World) -> None:
    """From every file. forget says that nobody can be found, and a rebuild does not find them either."""
    bob, ann = arrive(world, 30, **BOB), arrive(world, 29, **ANN)
    world.sync(**DROP)
    done = erase(world, NUMBER, **DROP)
    assert (done.ids, done.dropped, done.customers[0].sessions) == ((), 1, 0)
    assert "of a customer who was forgotten" in findings(world, deep=True, **DROP)[0]
    notes = RecordedProgress()
    world.sync(full=True, progress=notes, **DROP)
    assert any("erased 1 session that was forgotten" in text for text in notes.said)
    assert found_in(world.warehouse, bob, "bob-himself") == {}
    assert findings(world, deep=True, **DROP) == []
    world.rebuild()
    assert {row[0] for row in world.here()} == {ann}


def test_a_session_whose_forgotten_customer_becomes_known_later_is_erased(world: World) -> None:
    """It was stored before its customer was known; it joins the list, and does not come back."""
    late, ann = arrive(world, 30), arrive(world, 29, **ANN)
    world.sync()
    erase(world, NUMBER)
    world.clock.forward(hours=1)
    world.server.store.update(world.server.org_id, late, lambda session: session.update(customer=BOB))
    world.clock.forward(hours=1)
    world.sync()
    assert found_in(world.warehouse, late, "nobody-himself", "Bob Roe") == {}
    assert Suppression.open(Layout(world.warehouse)).holds(late)
    world.sync(full=True)
    assert reconcile(world.settings(), environment=world.environment(), scrub=False).differing == 0
    assert {row[0] for row in world.here()} == {ann}
    assert findings(world, deep=True) == []


@pytest.mark.proof
def test_an_interrupted_erasure_of_a_sync_is_completed(world: World) -> None:
    """The list names the session, and its rows are still there: verify reports it, also by counts, and the next run erases it."""
    late = arrive(world, 30)
    world.sync()
    erase(world, NUMBER)
    world.clock.forward(hours=1)
    world.server.store.update(world.server.org_id, late, lambda session: session.update(customer=BOB))
    faultpoints.arm("erase.raw_written=full")
    try:
        with pytest.raises((WarehouseError, OSError)):
            world.sync()
    finally:
        faultpoints.arm(None)
    assert "1 session was forgotten and still held" in findings(world)
    world.sync()
    assert findings(world) == []
    assert found_in(world.warehouse, late) == {}


@pytest.fixture
def backup(world: World, tmp_path: Path) -> Path:
    """A backup of a warehouse with sessions of two customers, from before one of them was forgotten."""
    for customer in (ANN, BOB):
        arrive(world, 30, **customer)
    world.sync()
    world.clock.forward(hours=1)
    copy = tmp_path / "backup"
    shutil.copytree(world.warehouse, copy, symlinks=True)
    erase(world, NUMBER)
    return copy


#: The parts of a backup that are restored.
PARTS = {
    "all": ("raw", "parquet", "index.duckdb", "vapi.duckdb"),
    "raw": ("raw",),
    "snapshots": ("parquet",),
    "the writer's database": ("index.duckdb",),
}


@pytest.mark.parametrize(
    ("parts", "by"),
    some(
        [(parts, by) for parts in PARTS for by in ("sync", "reconcile", "rebuild", "forget")],
        ("all", "sync"),
    ),
)
def test_the_next_writer_erases_forgotten_sessions_of_a_restored_backup(
    world: World, backup: Path, parts: str, by: str
) -> None:
    """The list is today's. verify finds the sessions in raw/ or in published files."""
    for part in PARTS[parts]:
        if (backup / part).is_dir():
            shutil.rmtree(world.warehouse / part)
            shutil.copytree(backup / part, world.warehouse / part, symlinks=True)
        else:
            shutil.copy(backup / part, world.warehouse / part)
    if "raw" in PARTS[parts]:
        assert any("forgotten and still held" in what for what in findings(world))
    if by == "sync":
        world.sync()
    elif by == "reconcile":
        reconcile(world.settings(), environment=world.environment())
    elif by == "rebuild":
        world.rebuild()
        world.sync()
    else:
        erase(world, Whom(["somebody else"]))
    assert found_in(world.warehouse, "bob-himself", "Bob Roe", "5550109") == {}
    assert len(world.here()) == 1
    world.sync()
    assert findings(world, deep=True) == []


@pytest.mark.proof
def test_a_restored_backup_is_searched_for_customers_without_listed_sessions(
    world: World, tmp_path: Path
) -> None:
    """The backup is older than the policy that dropped the identifiers, so the list has only the customer."""
    bob = arrive(world, 30, **BOB)
    world.sync()
    copy = tmp_path / "backup"
    shutil.copytree(world.warehouse, copy, symlinks=True)
    world.sync(**DROP)
    erase(world, NUMBER, **DROP)
    shutil.copy(world.warehouse / "suppression.json", copy)
    world.warehouse = copy
    world.sync()
    assert found_in(world.warehouse, bob, "bob-himself") == {}


@pytest.mark.proof
def test_an_unchanged_warehouse_is_not_compared_again(
    world: World, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by runs that find nothing nor by those that store something, even a session of the forgotten customer."""
    assert backup.exists()

    def compared(*given: object) -> set[str]:
        raise AssertionError

    monkeypatch.setattr(raw, "session_ids", compared)
    world.sync()
    for customer in (ANN, BOB):
        arrive(world, 0.5, **customer)
    world.clock.forward(hours=1)
    assert world.sync().counts.sessions_new == 1
    world.sync()


@pytest.mark.proof
def test_sessions_found_while_raw_files_are_merged_stay_on_the_list(world: World, backup: Path) -> None:
    """A raw file that was not merged holds a new session of the forgotten customer; the run's own changes to the list keep it."""
    assert backup.exists()
    bob = arrive(world, 3, **BOB)
    erased = Suppression.open(Layout(world.warehouse))
    other = World(world.server, backup, world.clock)  # the backup, where nobody was forgotten
    other.sync()
    (new,) = set(raw.files(backup / "raw")) - {
        backup / "raw" / p.name for p in raw.files(world.warehouse / "raw")
    }
    shutil.copy(new, world.warehouse / "raw")
    assert not erased.holds(bob)
    arrive(world, 0.5, **BOB)
    world.clock.forward(hours=1)
    world.sync()
    assert Suppression.open(Layout(world.warehouse)).holds(bob)
    assert found_in(world.warehouse, bob, "bob-himself") == {}
