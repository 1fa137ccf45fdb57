"""The policy is part of the warehouse: a stricter one goes over everything that is stored, a looser one says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from conftest import Notes, World, new_world
from searching import found_in
from selection import first
from vapi_sessions.core import faultpoints
from vapi_sessions.errors import ConfigurationError, WarehouseError
from vapi_sessions.privacy import redaction
from vapi_sessions.warehouse import raw

KEY = "0123456789abcdef0123"
PSEUDONYMISE = {"personal_data": "pseudonymise", "pseudonym_key": KEY}
DROP = {"personal_data": "drop", "message_text": "drop"}
PERSONAL = ("15550104477", "ann@mail", "Ann Lee", "crm-7788")


def _grow(world: World) -> Iterator[None]:
    """Three times some sessions of two customers, and time for each batch to be read."""
    for hours, number in ((50, "+15550104477"), (30, "+15550104488"), (10, "+15550104477")):
        customer = {"number": number, "email": "ann@mail.test", "name": "Ann Lee", "externalId": "crm-7788"}
        at, now = world.ago(hours=hours), world.ago(seconds=5)
        world.insert(
            4,
            lambda n, at=at, now=now: (at + n, now + n),
            customer=customer,
            messages=[{"role": "user", "content": "I am Ann Lee"}],
        )
        yield
        world.clock.forward(minutes=5)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A warehouse of three batches in which everything was kept."""
    with new_world(tmp_path_factory.mktemp("tighten") / "warehouse") as made:
        for _ in _grow(made):
            made.sync()
        assert len(found_in(made.warehouse, *PERSONAL)) > 3
        yield made


@pytest.fixture
def kept(world: World, template: World) -> World:
    """That source, and a copy of that warehouse."""
    for _ in _grow(world):
        pass
    world.adopt(template)
    return world


def facts(world: World) -> dict[str, Any]:
    """What a policy may not change."""
    return {
        "rows": sorted(world.here()),
        "ledger": world.ledger(),
        "runs": world.rows("SELECT count(*) FROM sync.runs WHERE outcome = 'done'"),
        "messages": world.rows("SELECT count(*), sum(length(content)) FROM messages"),
    }


def test_a_stricter_policy_goes_over_everything_that_is_stored(kept: World) -> None:
    """raw/, database, snapshots: no particular is in any byte, nothing is downloaded for it, and the ledger stays."""
    before = facts(kept)
    kept.rebuild()
    kept.put_aside()
    kept.sync(full=True)
    kept.forget_requests()
    notes = Notes()
    kept.sync(progress=notes, **DROP)
    assert any("became stricter" in text for text in notes.said)
    assert found_in(kept.warehouse, *PERSONAL) == {}
    after = facts(kept)
    assert {name: after[name] for name in ("rows", "messages")} == {
        name: before[name] for name in ("rows", "messages")
    }
    assert after["ledger"][0][0] == before["ledger"][0][0]
    assert len(kept.pages()) <= 2
    assert len(list((kept.warehouse / "parquet").glob("2*"))) == 1
    rows = kept.tables()
    kept.rebuild()
    assert kept.tables() == rows


def test_pseudonyms_join_as_the_numbers_did(kept: World) -> None:
    """Equal before, equal after; and what comes later joins what was there."""
    kept.sync(**PSEUDONYMISE)
    at = kept.ago(seconds=5)
    kept.insert(1, lambda n: (at, at), customer={"number": "+1 (555) 010-4477"})
    kept.clock.forward(hours=1)
    kept.sync(**PSEUDONYMISE)
    assert found_in(kept.warehouse, *PERSONAL[:2], PERSONAL[3], "010-4477") == {}
    counts = kept.rows("SELECT count(*) FROM sessions GROUP BY customer_number ORDER BY 1")
    assert counts == [(4,), (9,)]


def test_another_key_is_refused(kept: World) -> None:
    """Pseudonyms of two keys could not be joined; also after a time of another policy."""
    kept.sync(**PSEUDONYMISE)
    for given in ({}, PSEUDONYMISE):
        kept.sync(**given)
        with pytest.raises(ConfigurationError, match="another key"):
            kept.sync(**{**PSEUDONYMISE, "pseudonym_key": "another key of enough characters"})


def test_a_looser_policy_says_that_the_past_stays(kept: World) -> None:
    """What is gone is gone, unless it is read again; what comes is kept."""
    kept.sync(**DROP)
    notes = Notes()
    kept.clock.forward(hours=2)
    kept.sync(**DROP)  # from here on the lookback reaches none of them
    at = kept.ago(seconds=5)
    kept.insert(1, lambda n: (at, at), customer={"name": "Bob New"})
    kept.sync(progress=notes)
    assert any("looser" in text for text in notes.said)
    assert kept.rows("SELECT count(customer_name) FROM sessions") == [(1,)]


def test_the_same_policy_costs_nothing_again(kept: World) -> None:
    """Once done, no file is touched any more."""
    kept.sync(**DROP)
    files = kept.files("raw", "parquet")
    kept.sync(**DROP)
    assert kept.files("raw", "parquet") == files


def test_names_of_ones_own_go_over_the_past_as_well(kept: World) -> None:
    """A name added to the redaction is a stricter treatment."""
    kept.sync(redact_names="externalId")
    assert found_in(kept.warehouse, "crm-7788") == {}
    assert kept.rows("SELECT DISTINCT customer_external_id FROM sessions") == [("[redacted]",)]


def test_a_redactor_that_finds_more_goes_over_the_past_as_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What slipped through a version before is redacted by the next run."""
    at = world.ago(hours=10)
    world.insert(1, lambda n: (at, at), messages=[{"role": "tool", "content": "whsec_c4n4ry/c4n4ry+c4n4ry"}])
    with monkeypatch.context() as before:
        before.setattr(redaction, "REDACTOR_VERSION", redaction.REDACTOR_VERSION - 1)
        before.setattr(redaction, "_SCAN", "what no session holds")
        world.sync()
    assert found_in(world.warehouse, "c4n4ry")
    world.sync()
    assert found_in(world.warehouse, "c4n4ry") == {}


#: Where a rewriting is stopped.
PLACES = [
    "tighten.raw_written:2",
    "index.drafted",
    "index.swapped",
    "publish.snapshot_drafted",
    "tighten.published",
]


@pytest.mark.parametrize("point", first(PLACES))
def test_an_interrupted_rewriting_is_completed_by_the_next_run(
    kept: World, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it stopped."""
    faultpoints.arm(f"{point}=full")
    try:
        with pytest.raises((WarehouseError, OSError)):
            kept.sync(**DROP)
    finally:
        faultpoints.arm(None)
    kept.sync(**DROP)
    assert found_in(kept.warehouse, *PERSONAL) == {}
    assert len(kept.here()) == 12


def test_what_a_raw_file_went_through_is_in_its_footer(kept: World) -> None:
    """So a rebuild computes the hashes of then, whatever the policy is now."""
    kept.sync(**DROP)
    rows = kept.tables()["sessions"]
    stamps = {raw.read_progress(path)["state"]["treatment"] for path in raw.files(kept.warehouse / "raw")}
    assert len(stamps) == 1
    assert '"personal":"drop"' in stamps.pop()
    kept.rebuild()
    assert kept.tables()["sessions"] == rows
