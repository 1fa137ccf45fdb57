"""The engine keeps its promise under traffic, faults and stops; and the simulation notices when it does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from vapi_sessions.source import pagination

from .connectors import OTHERS, OURS, all_losses, losses
from .coverage import missing
from .mutants import MUTANTS, Mutant, Planting
from .running import SEEDS_A_MUTANT, hunt, hunt_all, hunted, last_killers, many, pool
from .world import play

#: A twentieth of the worlds run the checks.
pytestmark = pytest.mark.checks

#: Everything that occurs in the first forty seeds occurs in these, which take a fifth less time.
SOME_SEEDS = [seed for seed in range(48) if seed not in (7, 9, 18, 24, 31, 40, 43, 46)]
SEEDS = int(os.environ.get("SIMULATION_SEEDS", "500"))
#: One planted mistake each in reading, claiming and merging.
PLANTED = (
    "page numbers instead of a keyset",
    "the newest value seen is the watermark",
    "merge without the de-duplication",
)


@pytest.mark.parametrize("seed", SOME_SEEDS)
def test_a_seed_keeps_the_promise(seed: int) -> None:
    """No session is missed or stored twice, and deletions are found."""
    play(seed)


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_mistake_is_caught(what: str) -> None:
    """A suite that cannot fail proves nothing."""
    number = [mutant.what for mutant in MUTANTS].index(what)
    kill = hunt(number, last_killers())
    assert kill.failure is not None, kill.why


def test_each_planted_mistake_wraps_functions_that_exist() -> None:
    """A mistake that wraps a renamed function fails here."""
    assert len({mutant.what for mutant in MUTANTS}) == len(MUTANTS) >= 65
    for mutant in MUTANTS:
        with mutant.planted() as planting:
            assert planting.changes == 0


def _wrapping_walk(wrapper: Callable[..., Any]) -> Mutant:
    def plant(planting: Planting) -> None:
        planting.around(pagination, "walk", wrapper)

    return Mutant("an attempt", plant, lambda world: True)


def test_a_planted_mistake_that_changes_nothing_is_reported() -> None:
    """Its wrapper is called, but makes no difference."""
    kill = hunted(_wrapping_walk(lambda inner, *given, **named: inner(*given, **named)), [0])
    assert kill.failure is None
    assert "does not fit" in kill.why


def test_a_planted_mistake_whose_own_code_fails_does_not_count_as_caught() -> None:
    """The wrapped function takes other arguments than the wrapper."""
    kill = hunted(_wrapping_walk(lambda inner, fetch: inner(fetch)), [0])
    assert kill.failure is None
    assert "does not fit" in kill.why


def test_a_seed_gives_the_same_world_every_time() -> None:
    """A failure can be replayed."""
    assert play(10) == play(10)


def test_another_connector_loses_changes_that_ours_does_not() -> None:
    """By `createdAt` only, in one seed."""
    assert losses("by `createdAt` only", 0).changes > 0
    ours = losses(OURS, 0)
    assert (ours.sessions, ours.changes) == (0, 0)


# -- the same with many seeds


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_every_seed_keeps_the_promise_and_every_fault_and_recovery_occurred() -> None:
    """500 seeds, or SIMULATION_SEEDS."""
    outcome = many(range(SEEDS))
    assert not outcome.failures, "\n".join(map(str, outcome.failures))
    if SEEDS >= 500:
        assert not missing(outcome.fired)


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_every_planted_mistake_is_caught() -> None:
    """Each within SEEDS_A_MUTANT seeds."""
    survivors = [f"{kill.what}: {kill.why}" for kill in hunt_all(last_killers()) if kill.failure is None]
    assert not survivors, f"not caught within {SEEDS_A_MUTANT} seeds:\n" + "\n".join(survivors)


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_all_other_connectors_lose_changes_and_ours_loses_none() -> None:
    """Each over 30 seeds."""
    with pool() as workers:
        for name in (*OTHERS, OURS):
            found = all_losses(name, range(12 if name == OURS else 30), workers)
            assert (found.sessions + found.changes == 0) == (name == OURS), name
