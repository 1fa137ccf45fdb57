"""`rebuild` and `forget` apply a stricter policy to everything that is stored, as a sync does."""

from __future__ import annotations

from pathlib import Path

import pytest

import command
from searching import found_in
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations.forget import Whom, forget
from vapi_sessions.warehouse import suppression
from worlds import World

ANN = {"number": "+14155550104", "name": "Ann Lee"}
TRACES = ("5550104", "Ann Lee")


@pytest.fixture(autouse=True)
def _a_quick_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppression, "COST", (2, 8, 1))


@pytest.fixture
def kept(world: World) -> World:
    """Three sessions of one customer and one of another, under a policy that keeps everything."""
    at = world.ago(hours=5)
    world.insert(3, lambda n: (at + n, at + n), customer=ANN)
    world.insert(1, lambda n: (at, at), customer={"number": "+14155550177"})
    world.sync()
    assert found_in(world.warehouse, *TRACES)
    return world


def environment(warehouse: Path) -> dict[str, str]:
    return {"VAPI_WAREHOUSE": str(warehouse), "VAPI_PERSONAL_DATA": "drop"}


def test_rebuild_applies_a_stricter_policy(kept: World) -> None:
    """With a message. The old database, which holds everything, is removed."""
    ran = command.run("rebuild", environment=environment(kept.warehouse))
    assert ran.code == 0, ran.err
    assert "became stricter" in ran.err
    assert "The old database is" not in ran.out
    assert found_in(kept.warehouse, *TRACES) == {}
    assert len(kept.here()) == 4


@pytest.mark.proof
def test_forget_applies_a_stricter_policy_after_the_search(kept: World) -> None:
    """It finds customers by identifiers that the policy then drops."""
    done = forget(
        kept.settings(personal_data="drop"),
        Whom(customers=[("name", "ann lee"), ("number", "+14155550109")]),
        environment=kept.environment(),
    )
    assert ([one.sessions for one in done.customers], done.tightened) == ([3, 0], True)
    assert found_in(kept.warehouse, *TRACES, "5550177") == {}
    assert len(kept.here()) == 1


@pytest.mark.proof
def test_a_dry_run_of_forget_applies_no_policy(kept: World) -> None:
    """It changes no file."""
    before = kept.files("raw", "parquet")
    whom = Whom(customers=[("name", "ann lee")])
    forget(kept.settings(personal_data="drop"), whom, dry_run=True, environment=kept.environment())
    assert kept.files("raw", "parquet") == before


@pytest.mark.proof
def test_another_pseudonym_key_is_refused_by_forget_and_rebuild(kept: World) -> None:
    """Before anything is changed."""
    kept.sync(personal_data="pseudonymise", pseudonym_key="0123456789abcdef0123")
    other = {"personal_data": "pseudonymise", "pseudonym_key": "another key of enough characters"}
    before = kept.files("raw")
    with pytest.raises(ConfigurationError, match="another key"):
        forget(kept.settings(**other), Whom(["x"]), environment=kept.environment())
    variables = {f"VAPI_{name.upper()}": value for name, value in other.items()}
    ran = command.run("rebuild", environment={**environment(kept.warehouse), **variables})
    assert (ran.code, "another key" in ran.err) == (2, True)
    assert kept.files("raw") == before
