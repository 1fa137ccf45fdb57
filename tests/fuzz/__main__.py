"""`python -m tests.fuzz`: many seeds for a minute, or one seed."""

from __future__ import annotations

import argparse

from .run import for_seconds, fuzz, world


def counted(count: int, noun: str) -> str:
    """`1 session`, `2 sessions`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
parser.add_argument("--seconds", type=float, default=60, help="play seeds for this time (60)")
parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
parser.add_argument("--seed", type=int, help="play only this seed")
given = parser.parse_args()
if given.seed is not None:
    print(f"{counted(world(given.seed), 'session')} stored")
else:
    worlds, sessions = fuzz(for_seconds(given.seconds, given.first))
    print(f"{counted(worlds, 'world')} of mutated pages, {counted(sessions, 'session')} stored, no failure")
