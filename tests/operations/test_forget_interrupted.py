"""A `forget` that is killed at any point is completed by the next run."""

from __future__ import annotations

import signal

import pytest
from fault_cases import FORGET
from town import BOB, Town, town_fixtures

import command
from selection import some
from vapi_sessions.core import faultpoints
from vapi_sessions.operations.forget import Whom
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.suppression import Suppression

template, town = town_fixtures()


@pytest.mark.proof
@pytest.mark.parametrize(
    ("point", "by"),
    some(
        [
            *((point, "sync") for point in FORGET),
            *((point, by) for point in ("forget.noted", "erase.index") for by in ("forget", "rebuild")),
        ],
        ("erase.raw_written", "sync"),
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
