"""Replay one seed, soak, or print the tables.

python -m tests.simulation replay 17            one seed, with every request
python -m tests.simulation soak --seeds 20000   many; --seconds 3600 for a given time
python -m tests.simulation compare              mutants and connectors, as Markdown
"""

from __future__ import annotations

import argparse
import sys
import traceback

from .connectors import comparison
from .coverage import missing
from .mutants import MUTANTS
from .running import Kill, hunt, hunt_all, keep_killers, many
from .trace import traced
from .violation import Violation


def main() -> int:
    """0: everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    replay = commands.add_parser("replay", help="one seed, with every request")
    replay.add_argument("seed", type=int)
    replay.add_argument("--mutant", type=int, help="number of a planted mistake, as `compare` lists them")
    soak = commands.add_parser("soak", help="many seeds")
    soak.add_argument("--seeds", type=int)
    soak.add_argument("--seconds", type=float)
    soak.add_argument("--first", type=int, default=0)
    compare = commands.add_parser("compare", help="the mutants and the connectors")
    compare.add_argument("--mutant", type=int, help="only this one")
    given = parser.parse_args()
    if given.command == "replay":
        return _replay(given.seed, given.mutant)
    if given.command == "soak":
        return _soak(given.first, given.seeds, given.seconds)
    return _compare(given.mutant)


def _replay(seed: int, mutant: int | None) -> int:
    try:
        traced(seed, MUTANTS[mutant - 1] if mutant else None)
    except Violation:
        traceback.print_exc()
        return 1
    return 0


def _soak(first: int, seeds: int | None, seconds: float | None) -> int:
    count = seeds or (20_000 if seconds is None else sys.maxsize // 2)
    outcome = many(range(first, first + count), seconds=seconds)
    for name, times in sorted(outcome.fired.items()):
        print(f"{times:9,}  {name}")
    print(f"{outcome.seeds:,} seeds in {outcome.seconds:,.0f} s, {len(outcome.failures)} failures")
    for failure in sorted(outcome.failures, key=lambda f: f.seed):
        print(failure)
    absent = missing(outcome.fired) if outcome.seeds >= 500 else []
    for name in absent:
        print(f"never happened: {name}")
    return 1 if outcome.failures or absent else 0


def _compare(only: int | None) -> int:
    print("| # | planted mistake | stopped by seed | because |\n|---|---|---|---|")
    alive = 0
    kills: list[Kill] = []
    for number, kill in enumerate([hunt(only - 1)] if only else hunt_all(), only or 1):
        print(f"| {number} | {kill.what} | {_killer(kill)} |", flush=True)
        kills.append(kill)
        alive += kill.failure is None
    if not only:
        keep_killers(kills)
        print(f"\n{comparison(range(200))}")
    return 1 if alive else 0


def _killer(kill: Kill) -> str:
    return f"{kill.failure.seed} | {kill.failure.name}" if kill.failure else f"**none** | {kill.why}"


if __name__ == "__main__":
    raise SystemExit(main())
