"""`forget` erases sessions and customers from every file; they do not come back, and are no difference."""

from __future__ import annotations

from pathlib import Path

import pytest
from town import BOB, Town, town_fixtures

from searching import found_in
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations.forget import Whom
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.verify import verify
from worlds import World

template, town = town_fixtures()


PSEUDONYMISE = {"personal_data": "pseudonymise", "pseudonym_key": "0123456789abcdef0123"}


def test_a_forgotten_customer_is_in_no_file_and_all_others_are(town: Town) -> None:
    """In no byte of a file and no page of Parquet, by-products included. The rows of others are the same."""
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
def test_a_customer_is_found_by_number_email_external_id_or_id(town: Town, customer: tuple[str, str]) -> None:
    """The e-mail address in any case."""
    assert town.forget(Whom(customers=[customer]), dry_run=True).ids == tuple(sorted(town.bob))


def test_a_session_is_forgotten_by_its_id(town: Town) -> None:
    """That session and no other."""
    town.forget(Whom(sessions=[town.bob[0]]))
    assert found_in(town.world.warehouse, town.bob[0]) == {}
    assert {row[0] for row in town.world.here()} == {*town.bob[1:], *town.ann}


def test_a_dry_run_of_forget_erases_nothing(town: Town) -> None:
    """It lists what would be erased."""
    files = town.world.files(".")
    done = town.forget(Whom(customers=[("number", BOB["number"])]), dry_run=True)
    assert (done.ids, done.observations, len(done.snapshots) > 1) == (tuple(sorted(town.bob)), 9, True)
    assert {
        name: stat for name, stat in town.world.files(".").items() if name.startswith(("raw", "parquet"))
    } == {name: stat for name, stat in files.items() if name.startswith(("raw", "parquet"))}
    assert len(town.world.here()) == 18


@pytest.mark.proof
def test_neither_rebuild_nor_sync_brings_a_forgotten_customer_back(town: Town) -> None:
    """Not even a full sync, and no later session of that customer."""
    town.forget(Whom(customers=[("number", BOB["number"])]))
    town.world.rebuild()
    town.world.sync(full=True)
    town.grow(0.5)
    town.world.sync(full=True)
    assert town.traces() == {}
    assert {row[0] for row in town.world.here()} == set(town.ann)


@pytest.mark.proof
def test_a_restored_raw_file_does_not_bring_a_forgotten_customer_back(town: Town, tmp_path: Path) -> None:
    """A rebuild skips the forgotten sessions of the file."""
    copies = {path.name: path.read_bytes() for path in (town.world.warehouse / "raw").glob("*.parquet")}
    town.forget(Whom(customers=[("number", BOB["number"])]))
    for name, content in copies.items():
        (town.world.warehouse / "raw" / f"copy-{name}").write_bytes(content)
    town.world.rebuild()
    assert {row[0] for row in town.world.here()} == set(town.ann)


@pytest.mark.proof
def test_forgotten_sessions_are_no_difference(town: Town) -> None:
    """`verify` agrees, by counts and row by row, and `reconcile` reads no window for them, also after some are deleted at the source."""
    town.forget(Whom(customers=[("number", BOB["number"])]))
    settings, environment = town.world.settings(), town.world.environment()
    town.world.sync()
    for deep in (False, True):
        assert verify(settings, deep=deep, environment=environment).findings == ()
    done = reconcile(settings, environment=environment, scrub=False)
    assert (done.differing, done.counts.sessions_new) == (0, 0)
    # A new session of the forgotten customer is dropped, and counted from then on.
    town.grow(0.2, count=1)
    town.world.clock.forward(minutes=10)
    assert reconcile(settings, environment=environment, scrub=False).differing == 0
    # The source deletes one of them: noticed once, and never again.
    town.world.server.store.delete(town.world.server.org_id, town.bob[0])
    assert reconcile(settings, environment=environment, scrub=False).differing == 1
    assert reconcile(settings, environment=environment, scrub=False).differing == 0
    assert verify(settings, environment=environment).findings == ()
    assert town.traces() == {}


def test_a_customer_is_found_under_pseudonyms_by_number_or_pseudonym(world: World) -> None:
    """With the key. Without it forget refuses, instead of finding nobody."""
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


@pytest.mark.proof
def test_forget_empties_torn_files(town: Town) -> None:
    """They keep their names."""
    raw = town.world.warehouse / "raw"
    torn = raw / "000000000099-torn.parquet"
    torn.write_bytes(next(raw.glob("*.parquet")).read_bytes()[:-20] + b"Bob Roe")
    town.world.sync()
    town.forget(Whom(customers=[("number", BOB["number"])]))
    assert town.traces() == {}
    assert (raw / f"{torn.name}.torn").stat().st_size == 0


@pytest.mark.proof
def test_a_session_that_is_forgotten_before_it_arrives_is_kept_out(town: Town) -> None:
    """It is counted from its arrival on."""
    at = town.world.ago(minutes=5)
    (later,) = town.world.insert(1, lambda n: (at, at))
    town.forget(Whom(sessions=[later]))
    town.world.clock.forward(hours=1)
    town.world.sync()
    assert found_in(town.world.warehouse, later) == {}
    environment = town.world.environment()
    assert verify(town.world.settings(), environment=environment).findings == ()
    assert reconcile(town.world.settings(), environment=environment, scrub=False).differing == 0
