"""Whom `forget` finds: a customer in any spelling and by any identifier, and what it prints if it finds nobody."""

from __future__ import annotations

from typing import Any

import pytest

import command
from searching import found_in
from selection import first, some
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations.forget import Forgotten, Whom, forget
from vapi_sessions.warehouse import suppression
from worlds import World

BOB: dict[str, Any] = {
    "name": "Bob Roe",
    "email": "Bob@mail.test",
    "sipUri": "sip:bob@pbx.test:5060",
    "externalId": "crm-bob",
}
PSEUDONYMISE = {"personal_data": "pseudonymise", "pseudonym_key": "0123456789abcdef0123"}


@pytest.fixture(autouse=True)
def _a_quick_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppression, "COST", (2, 8, 1))


def arrive(world: World, customer: dict[str, Any], said: str = "hello", **fields: Any) -> str:
    at, now = world.ago(hours=5), world.ago(seconds=5)
    messages = [{"role": "user", "content": said}]
    (made,) = world.insert(1, lambda n: (at, now), customer=customer, messages=messages, **fields)
    return made


def erase(world: World, *customers: tuple[str, str], **given: Any) -> Forgotten:
    how = {name: given.pop(name) for name in ("dry_run",) if name in given}
    whom = Whom((), customers, given.pop("mentions", False))
    return forget(world.settings(**given), whom, environment=world.environment(), **how)


STORED = [
    "+14155550100", "14155550100", "0014155550100", "+1 (415) 555-0100", "\u202a+14155550100\u202c",
    "\uff0b\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff10\uff10", 14155550100, 14155550100.0,
]  # fmt: skip


@pytest.mark.parametrize("policy", some([{}, PSEUDONYMISE], {}))
def test_a_number_is_found_in_any_spelling(world: World, policy: dict[str, str]) -> None:
    """As stored and as given, JSON numbers too. A later session is kept out, however it spells the number."""
    held = [arrive(world, {"number": stored}) for stored in STORED[::2]]
    other = arrive(world, {"number": "+14155550101"})
    world.sync(**policy)
    for given in ("+14155550100", "14155550100", "0014155550100", "+1 415-555-0100", "\uff0b14155550100"):
        assert set(erase(world, ("number", given), dry_run=True, **policy).ids) >= set(held), given
    erase(world, ("number", "001 415 555 0100"), **policy)
    later = [arrive(world, {"number": stored}) for stored in STORED[1::2]]
    world.clock.forward(hours=1)
    world.sync(**policy)
    assert {row[0] for row in world.here()} - set(held) == {other}
    assert found_in(world.warehouse, *later) == {}


@pytest.mark.proof
def test_a_number_without_a_country_is_found_if_it_is_unambiguous(world: World) -> None:
    """By the setting, or because one customer has it; for customers of two countries forget asks which."""
    american = arrive(world, {"number": "+14505550100"})
    world.sync()
    for given, region in (("(450) 555-0100", "US"), ("450-555-0100", None)):
        assert erase(world, ("number", given), dry_run=True, phone_region=region).ids == (american,)
    arrive(world, {"number": "+494505550100"})
    world.clock.forward(hours=1)
    world.sync()
    with pytest.raises(ConfigurationError, match="2 customers of different countries"):
        erase(world, ("number", "450-555-0100"), dry_run=True)


@pytest.mark.parametrize(
    ("kind", "value"),
    first(
        [
            ("name", "BOB  roe"),
            ("sipUri", "SIP:BOB@pbx.test"),
            ("email", "<bob@MAIL.test>"),
            ("externalId", "crm-bob"),
        ]
    ),
)
@pytest.mark.parametrize("policy", some([{}, PSEUDONYMISE], {}))
def test_a_customer_is_found_by_name_sip_uri_email_or_external_id(
    world: World, kind: str, value: str, policy: dict[str, str]
) -> None:
    """In other spellings, and under pseudonyms."""
    bob = arrive(world, BOB)
    arrive(world, {"name": "Ann Lee"})
    world.sync(**policy)
    assert erase(world, (kind, value), dry_run=True, **policy).ids == (bob,)


def test_mentions_in_sessions_of_others_are_listed_and_erased_on_request(world: World) -> None:
    """By the given values and by those in the person's own sessions, in any spelling; not by a name of one word."""
    bob = arrive(world, {**BOB, "number": "+14155550100"})
    others = [
        arrive(world, {"name": "Ann Lee"}, "ask BOB ROE"),
        arrive(world, {"name": "Ann Lee"}, "call (415) 555-0100", metadata={"x": 1}),
        arrive(world, {"name": "Ann Lee"}, metadata={"callback": r'{"to":"bob\u0040mail.test"}'}),
    ]
    arrive(world, {"name": "Ann Lee"}, "somebody named Bob")
    world.sync()
    number = ("number", "+14155550100")
    for dry_run in (True, False):
        done = erase(world, number, dry_run=dry_run)
        assert (done.ids, done.mentions) == ((bob,), tuple(sorted(others)))
    done = erase(world, number, mentions=True)
    assert set(done.ids) <= set(done.mentions) < set(others)  # the other two were known by her sessions
    erase(world, number, ("name", "Bob Roe"), ("email", "bob@mail.test"), mentions=True)
    assert found_in(world.warehouse, *others) == {}
    assert len(world.here()) == 1


@pytest.mark.proof
def test_the_command_prints_who_was_found_and_who_is_only_kept_out(world: World) -> None:
    """For each of the given customers; exit code 0 in both cases."""
    arrive(world, {"number": "+14155550100"})
    arrive(world, {"number": "+14155550101"})
    world.sync()
    environment = {"VAPI_WAREHOUSE": str(world.warehouse)}
    ran = command.run(
        "forget", "--customer-number", "14155550100", "--customer-name", "Eve Poe", environment=environment
    )
    assert (ran.code, ran.err) == (0, "")
    assert "Erased 1 session " in ran.out
    number, name = [line for line in ran.out.splitlines() if "(entry " in line]
    assert number.endswith("1 session found")
    assert name.endswith("no session found")
    ran = command.run("forget", *(row[0] for row in world.here()), "no-such-id", environment=environment)
    assert "Given sessions that are not in the warehouse:\n  no-such-id" in ran.out
    ran = command.run("forget", "--customer-email", "eve@mail.test", environment=environment)
    assert ran.code == 0
    assert "No session in the warehouse matches: there was nothing to erase." in ran.out
    assert "The erased sessions" not in ran.out


def test_with_dropped_identifiers_the_command_prints_how_to_find_customers(world: World) -> None:
    """By the ids of their sessions, or with a full sync."""
    arrive(world, {"number": "+14155550100"})
    world.sync(personal_data="drop")
    environment = {"VAPI_WAREHOUSE": str(world.warehouse), "VAPI_PERSONAL_DATA": "drop"}
    ran = command.run("forget", "--customer-number", "+14155550100", environment=environment)
    assert ran.code == 0
    assert "removed customer identifiers from 1 raw file," in ran.err
    assert "Give the ids of their sessions, or run vapi-sessions sync --full" in ran.err


@pytest.mark.proof
def test_the_list_can_be_shown_and_an_entry_removed(world: World) -> None:
    """By its name, by the forgotten value in any spelling, or by a session's id; the next full sync brings the sessions back."""
    bob = [arrive(world, {"number": "+14155550100"}) for _ in range(2)]
    ann = arrive(world, {"number": "+14155550101"})
    world.sync()
    environment = {"VAPI_WAREHOUSE": str(world.warehouse)}
    assert "The suppression list is empty" in command.run("forget", "--list", environment=environment).out
    erase(world, ("number", "+14155550100"))
    forget(world.settings(), Whom([ann]), environment=world.environment())
    _, *entries, last = command.run("forget", "--list", environment=environment).out.splitlines()
    assert [line.split()[2:] for line in entries] == [["2", "number"], ["1", "session"]]
    assert "does not reveal" in last
    assert "5550100" not in "".join(entries)
    name = entries[0].split()[0]
    refused = command.run("forget", "--remove", bob[0], environment=environment)
    assert (refused.code, name in refused.err) == (2, True)
    for given in ("001 (415) 555-0100", ann):
        ran = command.run("forget", "--remove", given, environment=environment)
        assert (ran.code, "sync --full fetches these sessions again" in ran.out) == (0, True)
    assert command.run("forget", "--remove", name, environment=environment).code == 2
    assert command.run("forget", "--list", "--dry-run", environment=environment).code == 2
    world.sync(full=True)
    assert {row[0] for row in world.here()} == {*bob, ann}
