"""The promise under traffic, faults and stops; and that the simulation notices when it is broken."""

from __future__ import annotations

import os

import pytest

from .connectors import OTHERS, OURS, all_losses, losses
from .coverage import missing
from .mutants import MUTANTS
from .running import SEEDS_A_MUTANT, hunt, hunt_all, last_killers, many, pool
from .world import play

SEEDS = int(os.environ.get("SIMULATION_SEEDS", "500"))
#: One planted mistake in the reading, one in the claims and one in the merging.
PLANTED = (
    "page numbers instead of a keyset",
    "the newest value seen is the watermark",
    "merge without the de-duplication",
)


@pytest.mark.parametrize("seed", range(40))
def test_a_seed_keeps_the_promise(seed: int) -> None:
    """Nothing missed, nothing twice, deletions found, in a world with its own traffic, faults and stops."""
    play(seed)


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_mistake_is_caught(what: str) -> None:
    """A suite that cannot fail proves nothing."""
    number = [mutant.what for mutant in MUTANTS].index(what)
    assert hunt(number, last_killers()).failure is not None


def test_a_seed_is_the_same_every_time() -> None:
    """What failed can be replayed."""
    assert play(3) == play(3)


def test_the_rules_of_another_lose_changes_where_ours_do_not() -> None:
    """The simulator can tell them apart."""
    assert losses("by `createdAt` only", 0).changes > 0
    ours = losses(OURS, 0)
    assert (ours.sessions, ours.changes) == (0, 0)


# -- and many more of each


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_every_seed_keeps_the_promise_and_everything_that_can_go_wrong_did() -> None:
    """Nothing missed, nothing twice, deletions found; and each fault and each recovery fired somewhere."""
    outcome = many(range(SEEDS))
    assert not outcome.failures, "\n".join(map(str, outcome.failures))
    if SEEDS >= 500:
        assert not missing(outcome.fired)


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_every_planted_mistake_is_caught() -> None:
    """Each within a few seeds."""
    assert len(MUTANTS) >= 25
    survivors = [kill.what for kill in hunt_all(last_killers()) if kill.failure is None]
    assert not survivors, f"not caught within {SEEDS_A_MUTANT} seeds: {survivors}"


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_the_rules_of_others_lose_changes_where_ours_do_not() -> None:
    """Each of them."""
    with pool() as workers:
        for name in (*OTHERS, OURS):
            found = all_losses(name, range(12 if name == OURS else 30), workers)
            assert (found.sessions + found.changes == 0) == (name == OURS), name
