"""Planted mistakes. Each is one a careful person could make; the simulation must stop each within a few dozen seeds.

planting   how one gets into the engine, and how one that fits no longer is noticed
reading    of a window
claiming   what has to be read, and what was
merging    which state of a session wins
storing    what is committed, in which order, with which numbers
publishing which rows a part has, and what becomes of snapshots
deleting   what counts as gone
"""

from __future__ import annotations

from typing import Final

from . import claiming, deleting, merging, publishing, reading, storing
from .planting import Mutant, Planting, fails_itself

MUTANTS: Final = tuple(
    one
    for module in (reading, claiming, merging, storing, publishing, deleting)
    for one in vars(module).values()
    if isinstance(one, Mutant)
)

__all__ = ["MUTANTS", "Mutant", "Planting", "fails_itself"]
