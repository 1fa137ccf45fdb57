"""Differences that a verification has found, each with its remedy."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from vapi_sessions.core.intervals import Window
from vapi_sessions.core.wording import counted

#: Ids or files that a finding names, unless all are asked for.
IDS_NAMED: Final = 20
#: Remedies.
SYNC: Final = "vapi-sessions sync"
RECONCILE: Final = "vapi-sessions reconcile"
REBUILD: Final = "vapi-sessions rebuild"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `window` bounds createdAt (µs); None: the warehouse contradicts itself, and `what` says how.

    `ids`: those that are named, of `number`.
    """

    window: Window | None
    what: str
    ids: tuple[str, ...]
    remedy: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class Findings:
    """Makes findings that name the first ids, or with `everything` all of them, so that memory stays bounded."""

    everything: bool = False

    def sessions(self, window: Window, what: str, ids: Collection[str], remedy: str) -> Finding:
        """A finding about sessions of a window: counts all of them and names the first."""
        return self.about(window, f"{counted(len(ids), 'session')} {what}", sorted(ids), remedy)

    def about(self, window: Window | None, what: str, names: Iterable[str], remedy: str) -> Finding:
        """A finding about these ids or files."""
        every = list(names)
        named = tuple(every if self.everything else every[:IDS_NAMED])
        return Finding(window, what, named, remedy, len(every))
