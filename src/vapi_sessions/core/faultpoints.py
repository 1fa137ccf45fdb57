"""Named places at which a run can be killed, or the disk be full, so that tests can prove that nothing depends on luck.

`VAPI_SESSIONS_FAULT_POINT=NAME` kills the process there with SIGKILL, `NAME:3` the third time it comes there;
`NAME=full` or `NAME:3=full` raises the operating system's "no space left" there, from that time on. Without the
variable a point costs one lookup.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import signal
from dataclasses import dataclass, field
from typing import Final

from vapi_sessions.errors import ConfigurationError

VARIABLE: Final = "VAPI_SESSIONS_FAULT_POINT"

#: In the order in which a sync, a reconcile and a rebuild come by.
POINTS: Final = (
    "page.fetched",
    "raw.written",  # under its temporary name
    "raw.renamed",
    "staging.written",  # the rows of a batch, which is not committed
    "merge.begun",
    "merge.deleted",
    "merge.inserted",
    "merge.noted",  # everything but the commit
    "merge.committed",
    "publish.begun",
    "publish.planned",
    "publish.file_written",
    "publish.snapshot_drafted",
    "publish.snapshot_renamed",
    "publish.snapshot_noted",
    "publish.views_built",
    "publish.views_renamed",
    "publish.old_removed",
    "publish.latest_swapped",
    "reconcile.compared",  # what is missing is known, nothing is marked
    "reconcile.marked",
    "rebuild.derived",
    "rebuild.swapped",
    "forget.noted",  # the suppression list is durable, nothing is erased
    "erase.raw_written",  # one raw file without what was to go
    "erase.index",  # the sessions are deleted, their bytes are still in the file
    "index.drafted",  # another index is complete, beside the one in force
    "index.swapped",
    "erase.published",  # older snapshots are still there
    "erase.snapshot_removed",  # one of them
    "tighten.raw_written",  # one raw file under the stricter policy
    "tighten.published",
    "take_over.published",  # the database of an earlier version is still there
)
_KNOWN: Final = frozenset(POINTS)


@dataclass(slots=True)
class _Armed:
    name: str
    time: int
    full: bool
    count: itertools.count[int] = field(default_factory=lambda: itertools.count(1))  # thread-safe


def arm(text: str | None) -> None:
    """Set or clear what `VAPI_SESSIONS_FAULT_POINT` would. Raises ConfigurationError for a name nobody declared."""
    global _armed  # one process, one death
    if not text:
        _armed = None
        return
    parts = re.fullmatch(r"([a-z._]+)(?::([1-9]\d*))?(=full)?", text)
    if parts is None or parts[1] not in _KNOWN:
        raise ConfigurationError(f"{VARIABLE} names no fault point: {text}.", "Unset it.")
    _armed = _Armed(parts[1], int(parts[2] or 1), parts[3] is not None)


def reach(name: str) -> None:
    """Say that this point is reached. Raises OSError if the disk is to be full here."""
    if name not in _KNOWN:
        raise ValueError(f"{name} is not declared in faultpoints.POINTS")
    armed = _armed
    if armed is None or armed.name != name:
        return
    time = next(armed.count)
    if armed.full and time >= armed.time:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if not armed.full and time == armed.time:
        os.kill(os.getpid(), signal.SIGKILL)


_armed: _Armed | None = None
arm(os.environ.get(VARIABLE))
