"""Differences that a verification has found, each with its remedy."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from vapi_sessions.core.intervals import Window
from vapi_sessions.core.wording import counted

#: Ids or files that a finding names, at most.
IDS_NAMED: Final = 20
#: Remedies.
SYNC: Final = "vapi-sessions sync"
RECONCILE: Final = "vapi-sessions reconcile"
REBUILD: Final = "vapi-sessions rebuild"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `window` bounds createdAt (µs); None: the warehouse contradicts itself, and `what` says how."""

    window: Window | None
    what: str
    ids: tuple[str, ...]
    remedy: str


def sessions_finding(window: Window, what: str, ids: Collection[str], remedy: str) -> Finding:
    """A finding about sessions of a window: counts all of them and names the first."""
    return Finding(window, f"{counted(len(ids), 'session')} {what}", tuple(sorted(ids)[:IDS_NAMED]), remedy)
