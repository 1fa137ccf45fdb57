"""How a mistake gets into the running engine: a function is replaced by one that calls it and does something wrong.

Mistakes wrap functions with a clear meaning (which of two states is later, what a plan reads, what a transaction contains), so
they survive changes inside these functions. A mistake that no longer fits is noticed: the function does not exist, the code of
the mistake fails, or it never changes anything.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar
from unittest import mock

import vapi_sessions
from vapi_sessions.errors import VapiSessionsError

if TYPE_CHECKING:
    from ..world import World

T = TypeVar("T")
_MUTANTS: Final = str(Path(__file__).parent)
_OURS: Final = (str(Path(vapi_sessions.__file__).parent), str(Path(__file__).parents[1]))


class Planting:
    """One mistake in the engine. `changes`: how often the engine did something else because of it."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self.changes = 0

    def around(self, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
        """Replace `owner.name` by `wrapper(original, ...)`, also where it was imported by name."""
        original = inspect.getattr_static(owner, name)
        inner = original.__func__ if isinstance(original, classmethod | staticmethod) else original

        @functools.wraps(inner)
        def wrong(*given: Any, **named: Any) -> Any:
            return wrapper(inner, *given, **named)

        built = type(original)(wrong) if isinstance(original, classmethod | staticmethod) else wrong
        for place in {owner, *_importers(name, original)}:
            self.instead(place, name, built)

    def instead(self, owner: Any, name: str, value: object) -> None:
        """Replace `owner.name` by `value`."""
        self._stack.enter_context(mock.patch.object(owner, name, value))

    def changed(self, *, when: bool = True) -> None:
        """Count a difference that the mistake made."""
        self.changes += when

    def swap(self, right: T, wrong: T) -> T:
        """Return `wrong`, and count it if it differs from `right`."""
        self.changed(when=right != wrong)
        return wrong


def _importers(name: str, original: object) -> Iterator[ModuleType]:
    for imported, module in tuple(sys.modules.items()):
        if imported.startswith("vapi_sessions.") and vars(module).get(name) is original:
            yield module


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mistake: what it is, how it is planted, and in which worlds it can show; others are not played."""

    what: str
    plant: Callable[[Planting], None]
    shows: Callable[[World], bool]

    @contextlib.contextmanager
    def planted(self) -> Iterator[Planting]:
        """Plant the mistake. Raises AttributeError if a function that it wraps does not exist."""
        with contextlib.ExitStack() as stack:
            planting = Planting(stack)
            self.plant(planting)
            yield planting


def fails_itself(error: BaseException) -> bool:
    """Whether the code of the mistake failed instead of making the engine fail: it no longer fits.

    Errors of the engine's own classes do not count, because mistakes raise these on purpose.
    """
    causes: list[BaseException] = []
    while error.__cause__ is not None and error not in causes:
        causes.append(error)
        error = error.__cause__
    return any(
        _origin(one).startswith(_MUTANTS)
        for one in (*causes, error)
        if not isinstance(one, VapiSessionsError)
    )


def _origin(error: BaseException) -> str:
    """The file, of the simulation or the engine, that raised the error."""
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next((file for file in reversed(files) if file.startswith(_OURS)), "")


Shows: TypeAlias = Literal[
    "anywhere", "faults", "faults by id", "traffic", "reordered", "micro", "delay", "no lookback", "stops", "stops in batches",
    "published", "spoilt", "merging", "deletions",
]  # fmt: skip
_SHOWS: Final[dict[Shows, Callable[[World], bool]]] = {
    "anywhere": lambda world: True,
    "faults": lambda world: world.fault_rate > 0.1,
    "faults by id": lambda world: world.fault_rate_by_id > 0.1,
    "published": lambda world: world.publishing,
    "spoilt": lambda world: world.spoiling,
    "merging": lambda world: world.merging,
    "deletions": lambda world: world.reconciles == 1,
    "traffic": lambda world: world.busy > 0,
    "reordered": lambda world: world.busy > 0 and world.reordering and world.knobs["batch_bytes"] < 10_000,
    "micro": lambda world: world.model.shape.micro_shown,
    "delay": lambda world: world.busy > 0 and world.model.shape.delay > 0,
    "no lookback": lambda world: world.busy > 0 and world.lookback == 0,
    "stops": lambda world: world.stop_rate > 0,
    "stops in batches": lambda world: world.stop_rate > 0 and world.knobs["batch_bytes"] < 10_000,
}


def mutant(what: str, shows: Shows = "anywhere") -> Callable[[Callable[[Planting], None]], Mutant]:
    """The decorated function plants the mistake `what`."""
    return lambda plant: Mutant(what, plant, _SHOWS[shows])
