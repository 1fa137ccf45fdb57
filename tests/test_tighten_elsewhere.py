"""`rebuild` and `forget` open the warehouse for writing too: a stricter policy goes over what is stored by them as by a sync."""

from __future__ import annotations

from pathlib import Path

import pytest

import command
from conftest import World
from searching import found_in
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.forget import Whom, forget

ANN = {"number": "+14155550104", "name": "Ann Lee"}
TRACES = ("5550104", "Ann Lee")


@pytest.fixture
def kept(world: World) -> World:
    """Three sessions of one customer, kept as they were."""
    at = world.ago(hours=5)
    world.insert(3, lambda n: (at + n, at + n), customer=ANN)
    world.sync()
    assert found_in(world.warehouse, *TRACES)
    return world


def environment(warehouse: Path) -> dict[str, str]:
    return {"VAPI_WAREHOUSE": str(warehouse), "VAPI_PERSONAL_DATA": "drop"}


def test_rebuild_applies_a_stricter_policy(kept: World) -> None:
    """And says so; the old database, which holds everything, does not stay."""
    ran = command.run("rebuild", environment=environment(kept.warehouse))
    assert ran.code == 0, ran.err
    assert "became stricter" in ran.err
    assert "The old database is" not in ran.out
    assert found_in(kept.warehouse, *TRACES) == {}
    assert len(kept.here()) == 3
    again = command.run("rebuild", environment=environment(kept.warehouse))
    assert "became stricter" not in again.err


def test_forget_applies_a_stricter_policy_after_it_found_who_is_meant(kept: World) -> None:
    """By what the policy then drops; a dry run applies nothing."""
    at = kept.ago(seconds=5)
    (bob,) = kept.insert(1, lambda n: (at, at), customer={"number": "+14155550109"})
    kept.clock.forward(minutes=5)
    kept.sync()
    arguments = ("forget", "--customer-number", "+14155550109")
    ran = command.run(*arguments, "--dry-run", environment=environment(kept.warehouse))
    assert bob in ran.out
    assert found_in(kept.warehouse, *TRACES)
    ran = command.run(*arguments, environment=environment(kept.warehouse))
    assert ran.code == 0, ran.err
    assert "Erased 1 sessions" in ran.out
    assert "put through the stricter policy" in ran.out
    assert found_in(kept.warehouse, *TRACES, bob) == {}
    assert len(kept.here()) == 3


def test_another_pseudonym_key_is_refused_before_anything_is_changed(kept: World) -> None:
    """By both."""
    kept.sync(personal_data="pseudonymise", pseudonym_key="0123456789abcdef0123")
    other = {"personal_data": "pseudonymise", "pseudonym_key": "another key of enough characters"}
    before = kept.files("raw")
    with pytest.raises(ConfigurationError, match="another key"):
        forget(kept.settings(**other), Whom(["x"]), environment=kept.environment())
    variables = {f"VAPI_{name.upper()}": value for name, value in other.items()}
    ran = command.run("rebuild", environment={**environment(kept.warehouse), **variables})
    assert (ran.code, "another key" in ran.err) == (2, True)
    assert kept.files("raw") == before
