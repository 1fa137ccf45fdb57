"""Many seeds on all cores; the soak, the mutants and the comparison, as the tests and the command line want them."""

from __future__ import annotations

import functools
import multiprocessing
import os
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from .mutants import MUTANTS, Mutant, fails_itself
from .violation import Violation
from .world import World, play

#: A mutant must be caught within so many seeds.
SEEDS_A_MUTANT: Final = 200
_AT_ONCE: Final = 5
KILLERS: Final = Path(__file__).with_name("killers.json")


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed and the invariant that did not hold in it."""

    seed: int
    name: str
    what: str

    @classmethod
    def of(cls, seed: int, error: Exception) -> Failure:
        """What ended the seed."""
        if isinstance(error, Violation):
            return cls(seed, error.name, str(error))
        return cls(seed, "the simulation", repr(error))  # it is itself at fault

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.what}\n  replay: .venv/bin/python -m tests.simulation replay {self.seed}"


@dataclass(slots=True)
class Outcome:
    """What some seeds came to."""

    seeds: int = 0
    seconds: float = 0.0
    fired: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Kill:
    """How a mutant ended: `failure` None if it was not stopped, and `why`."""

    what: str
    failure: Failure | None
    why: str = ""


def run(seed: int, outcome: Outcome) -> None:
    """One seed, added to `outcome`."""
    outcome.seeds += 1
    try:
        outcome.fired += play(seed)
    except Exception as error:
        outcome.failures.append(Failure.of(seed, error))


def batch(seeds: Sequence[int]) -> Outcome:
    """Some seeds in this process."""
    started = time.monotonic()
    outcome = Outcome()
    for seed in seeds:
        run(seed, outcome)
    outcome.seconds = time.monotonic() - started
    return outcome


def many(seeds: Iterable[int], *, seconds: float | None = None, stop_at_first: bool = False) -> Outcome:
    """Seeds on all cores, until they or the `seconds` are used up."""
    started = time.monotonic()
    total = Outcome()
    remaining = iter(seeds)

    def wanted() -> bool:
        over = seconds is not None and time.monotonic() - started > seconds
        return not over and not (stop_at_first and total.failures)

    with pool() as workers:
        pending: set[Future[Outcome]] = set()
        while True:
            while wanted() and len(pending) < 2 * cores() and (part := list(islice(remaining, _AT_ONCE))):
                pending.add(workers.submit(batch, part))
            if not pending:
                break
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                part_outcome = future.result()
                total.seeds += part_outcome.seeds
                total.fired += part_outcome.fired
                total.failures += part_outcome.failures
    total.seconds = time.monotonic() - started
    return total


def hunt(number: int, hints: Mapping[str, int] = MappingProxyType({})) -> Kill:
    """Seeds against one mutant, until one stops it. A hint says which stopped it the last time: it is tried first."""
    mutant = MUTANTS[number]
    hint = hints.get(mutant.what)
    return hunted(mutant, [*([hint] if hint is not None else []), *range(SEEDS_A_MUTANT)])


def hunted(mutant: Mutant, seeds: Iterable[int]) -> Kill:
    """The first of the seeds that stops the mutant. Only one in which it made a difference counts."""
    played = active = 0
    for seed in seeds:
        if not mutant.shows(World(seed, Path("unused"), check=False)):
            continue
        played += 1
        failure: Failure | None = None
        try:
            with mutant.planted() as planting:
                try:
                    play(seed)
                finally:
                    changes = planting.changes
        except Exception as error:
            if fails_itself(error):
                return Kill(mutant.what, None, f"it does not fit the engine: {error!r} in seed {seed}")
            failure = Failure.of(seed, error)
        active += changes > 0
        if failure is not None:
            if changes:
                return Kill(mutant.what, failure)
            return Kill(mutant.what, None, f"it was not what failed, because it changed nothing: {failure}")
    if not active:
        return Kill(
            mutant.what, None, f"it changed nothing in any of {played} worlds: it does not fit the engine"
        )
    return Kill(mutant.what, None, f"it survived {active} worlds in which it changed something")


def hunt_all(hints: Mapping[str, int] = MappingProxyType({})) -> Iterator[Kill]:
    """Every mutant, in order."""
    with pool() as workers:
        yield from workers.map(functools.partial(hunt, hints=dict(hints)), range(len(MUTANTS)))


def last_killers() -> dict[str, int]:
    """The seed that stopped each mutant when `make compare` ran last. Only a shorter way: what it misses is searched for."""
    return dict(msgspec.json.decode(KILLERS.read_bytes(), type=dict[str, int])) if KILLERS.exists() else {}


def keep_killers(kills: Iterable[Kill]) -> None:
    """For `last_killers`."""
    found = {kill.what: kill.failure.seed for kill in kills if kill.failure is not None}
    KILLERS.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")


def pool() -> ProcessPoolExecutor:
    """Fresh processes: a fork would share DuckDB's threads."""
    return ProcessPoolExecutor(
        cores(), mp_context=multiprocessing.get_context("spawn"), initializer=_warnings_are_errors
    )


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _warnings_are_errors() -> None:
    warnings.simplefilter("error")
