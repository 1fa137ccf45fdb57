"""Replay one seed, run many, or print the tables.

python -m tests.simulation replay 17            one seed, with every request
python -m tests.simulation soak --seeds 20000   many seeds; --seconds 3600 for a given time
python -m tests.simulation compare              planted mistakes and other connectors, as Markdown
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
    """Returns 0 if everything held, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    replay = commands.add_parser("replay", help="play one seed and print every request")
    replay.add_argument("seed", type=int)
    replay.add_argument(
        "--mutant", type=int, help="plant this mistake, by its number in the table of `compare`"
    )
    soak = commands.add_parser("soak", help="play many seeds")
    soak.add_argument("--seeds", type=int, help="how many (20,000, or as many as --seconds allows)")
    soak.add_argument("--seconds", type=float, help="stop after this time")
    soak.add_argument("--first", type=int, default=0, help="the first seed (0)")
    compare = commands.add_parser(
        "compare", help="print the tables of planted mistakes and of other connectors"
    )
    compare.add_argument("--mutant", type=int, help="only the planted mistake of this number")
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
    print(
        f"{outcome.seeds:,} seed{'' if outcome.seeds == 1 else 's'} in {outcome.seconds:,.0f} s, "
        f"{len(outcome.failures)} failure{'' if len(outcome.failures) == 1 else 's'}"
    )
    for failure in sorted(outcome.failures, key=lambda f: f.seed):
        print(failure)
    absent = missing(outcome.fired) if outcome.seeds >= 500 else []
    for name in absent:
        print(f"never occurred: {name}")
    return 1 if outcome.failures or absent else 0


def _compare(only: int | None) -> int:
    print("| # | planted mistake | caught by seed | violated |\n|---|---|---|---|")
    survivors = 0
    kills: list[Kill] = []
    for number, kill in enumerate([hunt(only - 1)] if only else hunt_all(), only or 1):
        print(f"| {number} | {kill.what} | {_killer(kill)} |", flush=True)
        kills.append(kill)
        survivors += kill.failure is None
    if not only:
        keep_killers(kills)
        print(f"\n{comparison(range(200))}")
    return 1 if survivors else 0


def _killer(kill: Kill) -> str:
    return f"{kill.failure.seed} | {kill.failure.name}" if kill.failure else f"**none** | {kill.why}"


if __name__ == "__main__":
    raise SystemExit(main())
