"""Named points at which tests kill a run, or simulate a full disk.

`VAPI_SESSIONS_FAULT_POINT=NAME` kills the process with SIGKILL when it reaches the point, `NAME:3` the third time. `NAME=full`
or `NAME:3=full` raises "no space left on device" there, from that time on. Without the variable, a point costs one lookup.
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

#: In the order in which a sync, a reconcile and a rebuild reach them.
POINTS: Final = (
    "page.fetched",
    "raw.written",  # under its temporary name
    "raw.renamed",
    "staging.written",  # the rows of a batch that is not committed yet
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
    "reconcile.compared",  # the missing sessions are known, no tombstone is written
    "reconcile.marked",
    "rebuild.derived",
    "rebuild.swapped",
    "forget.noted",  # the suppression list is durable, nothing is erased yet
    "erase.raw_written",  # one raw file is rewritten without the erased sessions
    "erase.index",  # the sessions are deleted, but their bytes are still in the file
    "index.drafted",  # the new index is complete, beside the current one
    "index.swapped",
    "erase.published",  # older snapshots still exist
    "erase.snapshot_removed",  # one of the older snapshots
    "maintain.raw_written",  # small raw files are merged into one that is durable; the ledger still names the small ones
    "maintain.swapped",  # the ledger names the new file; the small ones still exist
    "maintain.raw_removed",  # one of the small ones
    "maintain.by_product_removed",
    "tighten.raw_written",  # one raw file is rewritten under the stricter policy
    "tighten.published",
    "migrate.changed",  # the index is migrated to a newer form, but not committed
    "take_over.published",  # the database of an earlier version still exists
)
_KNOWN: Final = frozenset(POINTS)


@dataclass(slots=True)
class _Armed:
    name: str
    time: int
    full: bool
    count: itertools.count[int] = field(default_factory=lambda: itertools.count(1))  # thread-safe


def arm(text: str | None) -> None:
    """Set or clear the fault point, like `VAPI_SESSIONS_FAULT_POINT`. Raises ConfigurationError for an unknown name."""
    global _armed  # one fault point per process
    if not text:
        _armed = None
        return
    parts = re.fullmatch(r"([a-z._]+)(?::([1-9]\d*))?(=full)?", text)
    if parts is None or parts[1] not in _KNOWN:
        raise ConfigurationError(f"{VARIABLE} names no fault point: {text}.", "Unset it.")
    _armed = _Armed(parts[1], int(parts[2] or 1), parts[3] is not None)


def reach(name: str) -> None:
    """Called where the point is. Kills the process or raises OSError if the fault point is armed."""
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
