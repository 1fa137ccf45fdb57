"""Planted mistakes that a careful person could make. The simulation must catch each within a few dozen seeds.

planting    how a mistake gets into the engine, and how one that no longer fits is noticed
reading     reading a window
claiming    what has to be read, and what counts as read
merging     which state of a session wins
merging_files    the merging of small raw files
storing     what is committed, in which order, with which numbers
publishing  which rows a part has, and which snapshots are kept
deleting    what counts as gone
"""

from __future__ import annotations

from typing import Final

from . import claiming, deleting, merging, merging_files, publishing, reading, storing
from .planting import Mutant, Planting, fails_itself

MUTANTS: Final = tuple(
    one
    for module in (reading, claiming, merging, merging_files, storing, publishing, deleting)
    for one in vars(module).values()
    if isinstance(one, Mutant)
)

__all__ = ["MUTANTS", "Mutant", "Planting", "fails_itself"]
