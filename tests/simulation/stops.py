"""Stops of a run at named points of the engine: kills, interruptions and full disks.

A killed process does nothing more: after a kill every point raises again, so that no clean-up of the engine has an
effect. An interruption (Ctrl-C) lets the engine clean up. A full disk is an error that the engine must turn into its own.
"""

from __future__ import annotations

import contextlib
import errno
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final
from unittest import mock

import duckdb
import pyarrow.parquet as pq

from vapi_sessions.warehouse import raw, raw_merging, retention, snapshot_writer, snapshots, staging, views
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.staging import Staging


class Stopped(BaseException):
    """Not an Exception, so that the engine cannot handle it as an error."""


class Killed(Stopped):
    """The process was killed."""


class Interrupted(Stopped):
    """Somebody pressed Ctrl-C."""


#: Functions of the engine that change something, by the name of the point: the owner and the attribute to wrap.
POINTS: Final[dict[str, tuple[Any, str]]] = {
    "raw write": (raw, "write"),
    "raw rename": (raw, "sync_directory"),
    "staging": (Staging, "write"),
    "staging, file": (staging, "_write"),
    "staging, added": (Staging, "add"),  # the batch is committed
    "merge": (Index, "merge"),
    "merge, rows": (Index, "_insert"),
    "merge, progress": (Index, "_record"),
    "plan recorded": (Index, "record"),
    "run recorded": (Index, "put_run"),
    "checkpoint": (Index, "checkpoint"),
    "publication": (snapshots.Publisher, "publish"),
    "publication, part": (snapshot_writer, "write_part"),
    "publication, link": (snapshot_writer, "link_or_copy"),
    "publication, fsync": (views, "sync_file"),
    "publication, latest": (snapshots.Publisher, "_point_latest"),
    "publication, recorded": (Index, "record_publication"),
    "publication, views": (snapshots, "publish_views"),
    "publication, old snapshots": (snapshots, "remove_old_snapshots"),
}
#: The same where small raw files are merged.
MERGING: Final[dict[str, tuple[Any, str]]] = {
    "merging": (raw_merging, "merge"),
    "merging, swapped": (Index, "_take_batches"),
    "merging, removing": (raw_merging, "remove"),
    "merging, removed": (raw_merging, "sync_directory"),
}

#: Points that a run passes at most once.
ONCE: Final = frozenset(
    point
    for point in POINTS
    if point.startswith(("publication", "checkpoint", "run recorded", "plan recorded"))
)

#: Points at which the disk can be full, in addition to files of `raw/`.
ON_DISK: Final = frozenset({"staging, file", "publication, part"})


class Stops:
    """At most one stop per run, of a `kind`: when `point` has been passed `left` more times, before or behind it."""

    def __init__(self, fired: Counter[str]) -> None:
        self.fired = fired
        self.clear()

    def clear(self) -> None:
        """Plan no stop; a killed process is alive again."""
        self.point, self.kind, self.left, self.behind = "", "", 0, False
        self.dead = False
        self.happened = ""

    def plan(self, rng: random.Random, turn: int, requests: int, *, publishing: bool, merging: bool) -> None:
        """Choose a stop for the next run, which may not get to it. Each `turn` takes the next of the points."""
        points = [point for point in POINTS if publishing or not point.startswith("publication")]
        # Few runs get to the end, and few publications link a file, so these points have more turns.
        points += (*(point for point in POINTS if point in ONCE), *["publication, link"] * 4) * publishing
        self.kind = rng.choices(("kill", "interrupt", "disk full", "store full"), (6, 3, 2, 1))[0]
        if self.kind in ("kill", "interrupt"):
            frequent = [*MERGING] * 5 if merging else ["request", "merge, progress"] * 3
            self.point = (frequent + points)[turn % (len(frequent) + len(points))]
            self.behind = rng.random() < 0.4
            if self.point == "request":
                self.left = rng.randint(1, requests)
            elif self.point == "staging, file":
                self.left = rng.randint(1, 6)
            else:
                self.left = 1 if self.point in ONCE or self.point in MERGING else rng.choice((1, 1, 1, 2, 3))
        elif self.kind == "disk full":
            self.point, self.left = "disk", rng.choice((1, 1, 2, 3, 5))
        else:
            self.point, self.left = "merge, rows", rng.choice((1, 2))

    def passing(self, point: str, *, behind: bool = False) -> None:
        """The engine passes a point. Raises here if a stop is planned or the process is dead."""
        if self.dead:
            raise Killed
        if point != self.point or (behind != self.behind and point not in ("request", "disk")):
            return
        self.left -= 1
        if self.left:
            return
        self.happened = f"{self.kind} at {point}"
        self.fired[f"stop: {self.kind}"] += 1
        self.fired[f"stopped at {point}"] += 1
        if self.kind == "kill":
            self.dead = True
            raise Killed
        if self.kind == "interrupt":
            raise Interrupted
        if self.kind == "disk full":
            raise OSError(errno.ENOSPC, "No space left on device")
        raise duckdb.OutOfMemoryException("Out of Memory Error: could not allocate block")

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Wrap every point."""
        with contextlib.ExitStack() as stack:
            for name, (owner, attribute) in (POINTS | MERGING).items():
                stack.enter_context(
                    mock.patch.object(owner, attribute, self._wrapped(name, getattr(owner, attribute)))
                )
            stack.enter_context(mock.patch.object(pq, "write_table", self._on_disk(pq.write_table)))
            # Not a point to stop at, but a killed process does not remove what a failed publication began.
            for module in (snapshots, retention):
                stack.enter_context(
                    mock.patch.object(module, "discard", self._wrapped("discarding", module.discard))
                )
            yield

    def _wrapped(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def point(*given: Any, **named: Any) -> Any:
            if name in ON_DISK:
                self.passing("disk")
            self.passing(name)
            result = inner(*given, **named)
            self.passing(name, behind=True)
            return result

        return point

    def _on_disk(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def write_table(table: Any, where: Any, **named: Any) -> None:
            if self.point == "disk" and self.left == 1:
                where.write(b"PAR1 torn")  # written before the disk was full
            self.passing("disk")
            inner(table, where, **named)

        return write_table
