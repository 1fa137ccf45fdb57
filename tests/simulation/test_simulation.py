"""The promise under traffic, faults and stops; and that the simulation notices when it is broken."""

from __future__ import annotations

import os

import pytest

from .connectors import OTHERS, OURS, all_losses
from .coverage import missing
from .mutants import MUTANTS
from .running import SEEDS_A_MUTANT, hunt_all, last_killers, many, pool
from .world import play

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "500"))


@pytest.mark.timeout(1200)
def test_every_seed_keeps_the_promise_and_everything_that_can_go_wrong_did() -> None:
    """Nothing missed, nothing twice, deletions found; and each fault and each recovery fired somewhere."""
    outcome = many(range(SEEDS))
    assert not outcome.failures, "\n".join(map(str, outcome.failures))
    if SEEDS >= 500:
        assert not missing(outcome.fired)


@pytest.mark.timeout(1200)
def test_every_planted_mistake_is_caught() -> None:
    """A suite that cannot fail proves nothing."""
    assert len(MUTANTS) >= 25
    survivors = [kill.what for kill in hunt_all(last_killers()) if kill.failure is None]
    assert not survivors, f"not caught within {SEEDS_A_MUTANT} seeds: {survivors}"


def test_a_seed_is_the_same_every_time() -> None:
    """What failed can be replayed."""
    assert play(3) == play(3)


def test_the_rules_of_others_lose_changes_where_ours_do_not() -> None:
    """The simulator can tell them apart."""
    with pool() as workers:
        for name in (*OTHERS, OURS):
            found = all_losses(name, range(12 if name == OURS else 30), workers)
            assert (found.sessions + found.changes == 0) == (name == OURS), name
