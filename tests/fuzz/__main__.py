"""`python -m tests.fuzz`: for a minute, or one seed that failed."""

from __future__ import annotations

import argparse

from .run import for_seconds, fuzz, world

parser = argparse.ArgumentParser(prog="tests.fuzz")
parser.add_argument("--seconds", type=float, default=60)
parser.add_argument("--first", type=int, default=0, help="the first seed")
parser.add_argument("--seed", type=int, help="this one only")
given = parser.parse_args()
if given.seed is not None:
    print(f"{world(given.seed):,} sessions got through")
else:
    worlds, sessions = fuzz(for_seconds(given.seconds, given.first))
    print(f"{worlds:,} worlds of mutated pages, {sessions:,} sessions got through, nothing fell over")
