"""What was forgotten is in no byte of any file, comes back neither by rebuild nor by sync, and is no difference."""

from __future__ import annotations

import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import command
import conftest
from conftest import Clock, World
from searching import found_in
from selection import some
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings
from vapi_sessions.core import faultpoints
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import DAY
from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError
from vapi_sessions.operations import reconcile, verify
from vapi_sessions.operations.forget import Forgotten, Whom, forget
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.suppression import Suppression

KEY = "0123456789abcdef0123"
PSEUDONYMISE = {"personal_data": "pseudonymise", "pseudonym_key": KEY}
BOB = {"number": "+15550109999", "email": "bob@mail.test", "name": "Bob Roe", "externalId": "crm-bob"}
ANN = {"number": "+15550101111", "email": "ann@mail.test", "name": "Ann Lee", "externalId": "crm-ann"}


class Town:
    """A warehouse with sessions of two customers, many of each, in several raw files and snapshots."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.bob: list[str] = []
        self.ann: list[str] = []

    def arrive(self, hours: float, count: int = 3) -> None:
        for customer, ids in ((BOB, self.bob), (ANN, self.ann)):
            at, now = self.world.ago(hours=hours), self.world.ago(seconds=5)
            said = f"this was said by {customer['name'].split()[0].lower()}-himself"
            ids += self.world.insert(
                count,
                lambda n, at=at, now=now: (at + n * 1000, now + n * 1000),
                customer=customer,
                customerId=f"c-{customer['externalId']}",
                messages=[{"role": "user", "content": said}],
            )

    def grow(self, hours: float, count: int = 3, **policy: str) -> None:
        self.arrive(hours, count)
        self.world.sync(**policy)
        self.world.clock.forward(minutes=10)

    def forget(self, whom: Whom, *, dry_run: bool = False, **given: str) -> Forgotten:
        return forget(
            self.world.settings(**given), whom, dry_run=dry_run, environment=self.world.environment()
        )

    def traces(self) -> dict[str, list[str]]:
        return found_in(
            self.world.warehouse, *self.bob, "Bob Roe", "bob-himself", "5550109999", "crm-bob", "bob@mail"
        )


HOURS = (60, 30, 5)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three syncs, a rebuild, and a database that an earlier version put aside."""
    clock = Clock()
    with EmulatorServer(EmulatorSettings(keys={conftest.KEY: DEFAULT_ORG}), clock=clock) as server:
        made = Town(World(server, tmp_path_factory.mktemp("town") / "warehouse", clock))
        for hours in HOURS:
            made.grow(hours)
        made.world.rebuild()
        made.world.sync()
        made.world.put_aside()
        yield made.world


@pytest.fixture
def town(world: World, template: World) -> Town:
    """A copy of that warehouse, and its source."""
    made = Town(world)
    for hours in HOURS:
        made.arrive(hours)
        world.clock.forward(minutes=10)
    assert world.there() == template.there()
    assert world.clock.us() == template.clock.us()
    shutil.copytree(template.warehouse, world.warehouse, symlinks=True)
    return made


def test_a_customer_is_in_no_file_any_more_and_everybody_else_is(town: Town) -> None:
    """Bytes of files and pages of Parquet, by-products included; the others' rows are as they were."""
    others = sorted(row for row in town.world.here() if row[0] in town.ann)
    assert len(town.traces()) > 5
    done = town.forget(Whom(customers=[("number", "+1 555 010-9999")]))
    assert done.ids == tuple(sorted(town.bob))
    assert done.observations == 9
    assert any(name.endswith(".duckdb.old") for name in done.files)
    assert town.traces() == {}
    assert sorted(town.world.here()) == others
    assert town.world.rows("SELECT DISTINCT content FROM messages") == [("this was said by ann-himself",)]


@pytest.mark.parametrize(
    "customer",
    [
        ("email", "BOB@mail.test"),
        ("externalId", "crm-bob"),
        ("customerId", "c-crm-bob"),
        ("number", "+15550109999"),
    ],
)
def test_a_customer_can_be_named_in_four_ways(town: Town, customer: tuple[str, str]) -> None:
    """Number, e-mail, external id, id."""
    assert town.forget(Whom(customers=[customer]), dry_run=True).ids == tuple(sorted(town.bob))


def test_a_session_is_forgotten_by_its_id(town: Town) -> None:
    """That one and no other."""
    town.forget(Whom(sessions=[town.bob[0]]))
    assert found_in(town.world.warehouse, town.bob[0]) == {}
    assert {row[0] for row in town.world.here()} == {*town.bob[1:], *town.ann}


def test_a_dry_run_erases_nothing(town: Town) -> None:
    """It names what would go."""
    files = town.world.files(".")
    done = town.forget(Whom(customers=[("number", BOB["number"])]), dry_run=True)
    assert (done.ids, done.observations, len(done.snapshots) > 1) == (tuple(sorted(town.bob)), 9, True)
    assert {
        name: stat for name, stat in town.world.files(".").items() if name.startswith(("raw", "parquet"))
    } == {name: stat for name, stat in files.items() if name.startswith(("raw", "parquet"))}
    assert len(town.world.here()) == 18


def test_neither_rebuild_nor_sync_brings_it_back(town: Town) -> None:
    """Not a full one either, and no later session of that customer."""
    town.forget(Whom(customers=[("number", BOB["number"])]))
    town.world.rebuild()
    town.world.sync(full=True)
    town.grow(0.5)
    town.world.sync(full=True)
    assert town.traces() == {}
    assert {row[0] for row in town.world.here()} == set(town.ann)


def test_a_raw_file_from_a_copy_does_not_bring_it_back(town: Town, tmp_path: Path) -> None:
    """Whoever restores an old file restores what was not forgotten."""
    copies = {path.name: path.read_bytes() for path in (town.world.warehouse / "raw").glob("*.parquet")}
    town.forget(Whom(customers=[("number", BOB["number"])]))
    for name, content in copies.items():
        (town.world.warehouse / "raw" / f"copy-{name}").write_bytes(content)
    town.world.rebuild()
    assert {row[0] for row in town.world.here()} == set(town.ann)


def test_what_was_forgotten_is_no_difference(town: Town) -> None:
    """`verify` agrees, by counts and row by row, and `reconcile` reads no window for it; deleted ones do not disturb."""
    town.forget(Whom(customers=[("number", BOB["number"])]))
    settings, environment = town.world.settings(), town.world.environment()
    town.world.sync()
    for deep in (False, True):
        assert verify.verify(settings, deep=deep, environment=environment).findings == ()
    done = reconcile.reconcile(settings, environment=environment, scrub=False)
    assert (done.differing, done.counts.sessions_new) == (0, 0)
    # A new session of the forgotten customer is dropped, and counted from then on.
    town.grow(0.2, count=1)
    town.world.clock.forward(minutes=10)
    assert reconcile.reconcile(settings, environment=environment, scrub=False).differing == 0
    # The source deletes one of them: noticed once, and never again.
    town.world.server.store.delete(town.world.server.org_id, town.bob[0])
    assert reconcile.reconcile(settings, environment=environment, scrub=False).differing == 1
    assert reconcile.reconcile(settings, environment=environment, scrub=False).differing == 0
    assert verify.verify(settings, environment=environment).findings == ()
    assert town.traces() == {}


def test_a_customer_is_found_under_pseudonyms_by_the_number_or_the_pseudonym(world: World) -> None:
    """With the key; without it, forget refuses rather than finding nobody."""
    town = Town(world)
    town.grow(50, **PSEUDONYMISE)
    town.grow(5, **PSEUDONYMISE)
    by_number = Whom(customers=[("number", BOB["number"])])
    with pytest.raises(ConfigurationError, match="holds pseudonyms"):
        town.forget(by_number)
    assert town.forget(by_number, dry_run=True, **PSEUDONYMISE).ids == tuple(sorted(town.bob))
    ((pseudonym,),) = world.rows(
        f"SELECT DISTINCT customer_number FROM sessions WHERE session_id = '{town.bob[0]}'"
    )
    town.forget(Whom(customers=[("number", pseudonym)]), **PSEUDONYMISE)
    town.grow(0.5, **PSEUDONYMISE)
    assert {row[0] for row in world.here()} == set(town.ann)
    assert found_in(world.warehouse, *town.bob, "bob-himself", pseudonym) == {}


PLACES = [
    "forget.noted",
    "erase.raw_written",
    "erase.raw_written:2",
    "erase.index",
    "index.drafted",
    "index.swapped",
    "publish.snapshot_drafted",
    "publish.views_renamed",
    "erase.published",
    "erase.snapshot_removed",
]


@pytest.mark.parametrize(
    ("point", "by"),
    some(
        [
            *((point, "sync") for point in PLACES),
            *((point, by) for point in ("forget.noted", "erase.index") for by in ("forget", "rebuild")),
        ],
        ("erase.raw_written", "sync"),
        ("erase.index", "forget"),
    ),
)
def test_a_killed_forget_is_completed(town: Town, point: str, by: str) -> None:
    """By the next sync, by running it again, or by a rebuild."""
    environment = {"VAPI_WAREHOUSE": str(town.world.warehouse), faultpoints.VARIABLE: point}
    killed = command.start("forget", "--customer-number", BOB["number"], environment=environment)
    assert killed.code == -signal.SIGKILL
    if by == "sync":
        town.world.sync()
    elif by == "forget":
        town.forget(Whom(customers=[("number", BOB["number"])]))
    else:
        town.world.rebuild()
    assert town.traces() == {}
    assert {row[0] for row in town.world.here()} == set(town.ann)
    assert not Suppression.open(Layout(town.world.warehouse)).pending


def test_a_torn_file_and_a_window_left_in_the_middle_hold_nothing_either(town: Town) -> None:
    """Torn files are emptied and keep their names; what a window still lacked is read anew."""
    raw = town.world.warehouse / "raw"
    torn = raw / "000000000099-torn.parquet"
    torn.write_bytes(next(raw.glob("*.parquet")).read_bytes()[:-20] + b"Bob Roe")
    town.world.sync()
    town.forget(Whom(customers=[("number", BOB["number"])]))
    assert town.traces() == {}
    assert (raw / f"{torn.name}.torn").stat().st_size == 0


def test_everything_stays_the_owners_alone(town: Town) -> None:
    """Files 0600 and directories 0700, after sync, rebuild and forget; the list among them."""
    town.forget(Whom(sessions=[town.bob[0]]))
    modes = {
        str(path.relative_to(town.world.warehouse)): (path.is_dir(), stat.S_IMODE(path.lstat().st_mode))
        for path in town.world.warehouse.rglob("*")
        if not path.is_symlink()
    }
    assert "suppression.json" in modes
    assert {
        name: oct(mode) for name, (is_dir, mode) in modes.items() if mode != (0o700 if is_dir else 0o600)
    } == {}


def test_the_list_tells_nobody_who_was_forgotten(town: Town) -> None:
    """Hashes under a key of the warehouse's own; its repr hides that key."""
    town.forget(Whom(customers=[("email", BOB["email"])]))
    path = town.world.warehouse / "suppression.json"
    text = path.read_text()
    assert not any(word in text for word in (*town.bob, *BOB.values()))
    listed = Suppression.open(Layout(town.world.warehouse))
    assert text.split('"')[3] not in repr(listed)
    now = town.world.clock.us()
    assert listed.count(Window(now - 30 * DAY, now)) == 9
    path.write_text("{")
    with pytest.raises(WarehouseDamagedError, match="cannot be read"):
        town.world.sync()


def test_a_session_that_is_not_here_yet_is_kept_out(town: Town) -> None:
    """And counted from when it comes by."""
    at = town.world.ago(minutes=5)
    (later,) = town.world.insert(1, lambda n: (at, at))
    town.forget(Whom(sessions=[later]))
    town.world.clock.forward(hours=1)
    town.world.sync()
    assert found_in(town.world.warehouse, later) == {}
    environment = town.world.environment()
    assert verify.verify(town.world.settings(), environment=environment).findings == ()
    assert reconcile.reconcile(town.world.settings(), environment=environment, scrub=False).differing == 0


def test_whom_has_to_be_said_and_where(town: Town, tmp_path: Path) -> None:
    """Exit code 2, and what to do."""
    with pytest.raises(ConfigurationError, match="whom"):
        town.forget(Whom())
    town.world.warehouse = tmp_path / "none"
    with pytest.raises(ConfigurationError, match="is not a warehouse"):
        town.forget(Whom(sessions=["x"]))


def test_the_command_prints_what_it_erased(town: Town) -> None:
    """And needs no key of the source."""
    environment = {"VAPI_WAREHOUSE": str(town.world.warehouse)}
    ran = command.run("forget", town.bob[0], "--dry-run", environment=environment)
    assert (ran.code, ran.out.startswith("Would erase 1 session (1 observation in raw/)")) == (0, True)
    ran = command.run("forget", "--customer-email", BOB["email"], environment=environment)
    assert ran.code == 0, ran.err
    assert "Erased 9 sessions" in ran.out
    assert "\n".join(f"  {name}" for name in sorted(town.bob)) in ran.out


@pytest.mark.parametrize("whom", [Whom([""]), Whom([], [("number", " ")])])
def test_nobody_is_not_forgotten(town: Town, whom: Whom) -> None:
    """A variable that is not set must not pass for an erasure."""
    before = (town.world.warehouse / "suppression.json").read_bytes()
    with pytest.raises(ConfigurationError, match="is empty"):
        town.forget(whom)
    assert (town.world.warehouse / "suppression.json").read_bytes() == before
