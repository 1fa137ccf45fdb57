"""A stricter policy or redaction rewrites everything that is stored; a looser one leaves it, with a message."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fault_cases import TIGHTEN

from searching import found_in
from selection import first
from vapi_sessions.core import faultpoints
from vapi_sessions.errors import ConfigurationError, WarehouseError
from vapi_sessions.privacy import redaction
from vapi_sessions.warehouse import raw
from worlds import RecordedProgress, World, new_world

KEY = "0123456789abcdef0123"
PSEUDONYMISE = {"personal_data": "pseudonymise", "pseudonym_key": KEY}
DROP = {"personal_data": "drop", "message_text": "drop"}
PERSONAL = ("15550104477", "ann@mail", "Ann Lee", "crm-7788")


def _grow(world: World) -> Iterator[None]:
    """Inserts sessions of two customers three times, and yields after each."""
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
    """A warehouse of three batches, under a policy that keeps everything."""
    with new_world(tmp_path_factory.mktemp("tighten") / "warehouse") as made:
        for _ in _grow(made):
            made.sync()
        assert len(found_in(made.warehouse, *PERSONAL)) > 3
        yield made


@pytest.fixture
def kept(world: World, template: World) -> World:
    """A source like the template's, and a copy of its warehouse."""
    for _ in _grow(world):
        pass
    world.adopt(template)
    return world


def facts(world: World) -> dict[str, Any]:
    """Facts that a policy does not change."""
    return {
        "rows": sorted(world.here()),
        "ledger": world.ledger(),
        "runs": world.rows("SELECT count(*) FROM sync.runs WHERE outcome = 'done'"),
        "messages": world.rows("SELECT count(*), sum(length(content)) FROM messages"),
    }


def test_a_stricter_policy_rewrites_everything_that_is_stored(kept: World) -> None:
    """raw/, index and snapshots: no customer identifier is in any byte, nothing is downloaded, and the ledger stays."""
    before = facts(kept)
    kept.rebuild()
    kept.put_aside()
    kept.sync(full=True)
    kept.forget_requests()
    notes = RecordedProgress()
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


def test_equal_numbers_get_equal_pseudonyms(kept: World) -> None:
    """Also in sessions that arrive later, in another spelling."""
    kept.sync(**PSEUDONYMISE)
    at = kept.ago(seconds=5)
    kept.insert(1, lambda n: (at, at), customer={"number": "+1 (555) 010-4477"})
    kept.clock.forward(hours=1)
    kept.sync(**PSEUDONYMISE)
    assert found_in(kept.warehouse, *PERSONAL[:2], PERSONAL[3], "010-4477") == {}
    counts = kept.rows("SELECT count(*) FROM sessions GROUP BY customer_number ORDER BY 1")
    assert counts == [(4,), (9,)]


def test_another_pseudonym_key_is_refused_by_a_sync(kept: World) -> None:
    """Pseudonyms of two keys could not be joined. Also after a time under another policy."""
    kept.sync(**PSEUDONYMISE)
    for given in ({}, PSEUDONYMISE):
        kept.sync(**given)
        with pytest.raises(ConfigurationError, match="another key"):
            kept.sync(**{**PSEUDONYMISE, "pseudonym_key": "another key of enough characters"})


@pytest.mark.proof
def test_a_looser_policy_leaves_stored_sessions_with_a_message(kept: World) -> None:
    """Dropped values are gone until a session is read again; those of new sessions are kept."""
    kept.sync(**DROP)
    notes = RecordedProgress()
    kept.clock.forward(hours=2)
    kept.sync(**DROP)  # now the lookback reaches none of the sessions
    at = kept.ago(seconds=5)
    kept.insert(1, lambda n: (at, at), customer={"name": "Bob New"})
    kept.sync(progress=notes)
    assert any("looser" in text for text in notes.said)
    assert kept.rows("SELECT count(customer_name) FROM sessions") == [(1,)]


def test_an_unchanged_policy_rewrites_no_file(kept: World) -> None:
    """After the first run under it."""
    kept.sync(**DROP)
    files = kept.files("raw", "parquet")
    kept.sync(**DROP)
    assert kept.files("raw", "parquet") == files


@pytest.mark.proof
def test_a_new_name_to_redact_rewrites_everything_that_is_stored(kept: World) -> None:
    """It makes the redaction stricter."""
    kept.sync(redact_names="externalId")
    assert found_in(kept.warehouse, "crm-7788") == {}
    assert kept.rows("SELECT DISTINCT customer_external_id FROM sessions") == [("[redacted]",)]


@pytest.mark.proof
def test_a_newer_redactor_rewrites_everything_that_is_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that an earlier version did not find is redacted by the next run."""
    at = world.ago(hours=10)
    world.insert(1, lambda n: (at, at), messages=[{"role": "tool", "content": "whsec_c4n4ry/c4n4ry+c4n4ry"}])
    with monkeypatch.context() as before:
        before.setattr(redaction, "REDACTOR_VERSION", redaction.REDACTOR_VERSION - 1)
        before.setattr(redaction, "_SCAN", "what no session holds")
        world.sync()
    assert found_in(world.warehouse, "c4n4ry")
    world.sync()
    assert found_in(world.warehouse, "c4n4ry") == {}


@pytest.mark.parametrize("point", first(TIGHTEN))
def test_an_interrupted_rewrite_is_completed_by_the_next_run(kept: World, point: str) -> None:
    """At every point."""
    faultpoints.arm(f"{point}=full")
    try:
        with pytest.raises((WarehouseError, OSError)):
            kept.sync(**DROP)
    finally:
        faultpoints.arm(None)
    kept.sync(**DROP)
    assert found_in(kept.warehouse, *PERSONAL) == {}
    assert len(kept.here()) == 12


@pytest.mark.proof
def test_the_footer_of_a_raw_file_names_its_policy(kept: World) -> None:
    """So a rebuild computes the same hashes, whatever the policy is now."""
    kept.sync(**DROP)
    rows = kept.tables()["sessions"]
    stamps = {raw.read_progress(path)["state"]["treatment"] for path in raw.files(kept.warehouse / "raw")}
    assert len(stamps) == 1
    assert '"personal":"drop"' in stamps.pop()
    kept.rebuild()
    assert kept.tables()["sessions"] == rows
