"""Many seeds on all cores, and the hunt for a seed that catches each planted mistake."""

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

#: A mutant must be caught within this number of seeds.
SEEDS_A_MUTANT: Final = 200
#: Seeds that a process gets at a time.
_AT_ONCE: Final = 5
#: Mutant to the seed that caught it last.
KILLERS: Final = Path(__file__).with_name("killers.json")


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed and the invariant that did not hold in it."""

    seed: int
    name: str
    details: str

    @classmethod
    def of(cls, seed: int, error: Exception) -> Failure:
        """The failure for an error that ended the seed."""
        if isinstance(error, Violation):
            return cls(seed, error.name, str(error))
        return cls(seed, "the simulation itself", repr(error))

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.details}\n  replay: .venv/bin/python -m tests.simulation replay {self.seed}"


@dataclass(slots=True)
class Outcome:
    """The outcome of some seeds. `fired`: how often each fault, stop and recovery occurred."""

    seeds: int = 0
    seconds: float = 0.0
    fired: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Kill:
    """How the hunt for a mutant ended. `failure`: of the seed that caught it; None if none did, and `why`."""

    what: str
    failure: Failure | None
    why: str = ""


def run(seed: int, outcome: Outcome) -> None:
    """Play one seed and add it to `outcome`."""
    outcome.seeds += 1
    try:
        outcome.fired += play(seed)
    except Exception as error:
        outcome.failures.append(Failure.of(seed, error))


def play_all(seeds: Sequence[int]) -> Outcome:
    """Play some seeds in this process."""
    started = time.monotonic()
    outcome = Outcome()
    for seed in seeds:
        run(seed, outcome)
    outcome.seconds = time.monotonic() - started
    return outcome


def many(seeds: Iterable[int], *, seconds: float | None = None, stop_at_first: bool = False) -> Outcome:
    """Play seeds on all cores, until there are no more or the `seconds` are over."""
    started = time.monotonic()
    total = Outcome()
    remaining = iter(seeds)

    def wanted() -> bool:
        late = seconds is not None and time.monotonic() - started > seconds
        return not late and not (stop_at_first and total.failures)

    with pool() as workers:
        pending: set[Future[Outcome]] = set()
        while True:
            while wanted() and len(pending) < 2 * cores() and (part := list(islice(remaining, _AT_ONCE))):
                pending.add(workers.submit(play_all, part))
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
    """Play seeds against one mutant until one catches it. `hints`: mutant to the seed to try first."""
    mutant = MUTANTS[number]
    hint = hints.get(mutant.what)
    return hunted(mutant, [*([hint] if hint is not None else []), *range(SEEDS_A_MUTANT)])


def hunted(mutant: Mutant, seeds: Iterable[int]) -> Kill:
    """The first of the seeds that catches the mutant. Seeds in which the mutant changed nothing do not count."""
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
            return Kill(mutant.what, None, f"something else failed, because it changed nothing: {failure}")
    if not active:
        return Kill(
            mutant.what, None, f"it changed nothing in {_worlds(played)}, so it does not fit the engine"
        )
    return Kill(mutant.what, None, f"it survived {_worlds(active)} in which it changed something")


def _worlds(count: int) -> str:
    return "1 world" if count == 1 else f"{count} worlds"


def hunt_all(hints: Mapping[str, int] = MappingProxyType({})) -> Iterator[Kill]:
    """Hunt every mutant, in order."""
    with pool() as workers:
        yield from workers.map(functools.partial(hunt, hints=dict(hints)), range(len(MUTANTS)))


def last_killers() -> dict[str, int]:
    """Mutant to the seed that caught it when `make compare` ran last. These seeds are tried first; others follow."""
    return dict(msgspec.json.decode(KILLERS.read_bytes(), type=dict[str, int])) if KILLERS.exists() else {}


def keep_killers(kills: Iterable[Kill]) -> None:
    """Write the file that `last_killers` reads."""
    found = {kill.what: kill.failure.seed for kill in kills if kill.failure is not None}
    KILLERS.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")


def pool() -> ProcessPoolExecutor:
    """New processes: forked ones would share the threads of DuckDB."""
    return ProcessPoolExecutor(
        cores(), mp_context=multiprocessing.get_context("spawn"), initializer=_warnings_are_errors
    )


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _warnings_are_errors() -> None:
    warnings.simplefilter("error")
