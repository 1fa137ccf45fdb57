"""Which snapshots are kept, and for how long. A publication removes the others, and what a killed publication left.

A reader opens the snapshot that `vapi.duckdb` shows, which may be days old where little changes. So the age of a snapshot does
not count, but the time since another one replaced it: the state has the time from which each was shown.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import duckdb
import msgspec

from vapi_sessions.core.files import remove_directory
from vapi_sessions.errors import WarehouseError
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout

#: The fact in the state with the time from which each snapshot was shown, µs.
_SHOWN: Final = "shown"


def remove_old_snapshots(index: Index, layout: Layout, current: str, now: int) -> None:
    """Remove snapshots that were replaced longer before `now` (µs) than `layout.keep` says, except the newest ones that it keeps."""
    present = snapshots(layout)
    before = _times_shown(index.state())
    shown = {current: now} | {s.name: before[s.name] for s in present if s.name in before}
    if shown != before:
        index.record(Changes(state={_SHOWN: msgspec.json.encode(shown).decode()}))
    # All snapshots before the newest of these were replaced at the latest when it was shown.
    newest = max(
        (generation(name) for name, since in shown.items() if since < now - layout.keep.span), default=0
    )
    for snapshot in present[: -layout.keep.snapshots]:
        if snapshot.name != current and generation(snapshot.name) < newest:
            discard(snapshot)


def remove_unfinished(index: Index, layout: Layout) -> None:
    """Remove what a killed publication left and never showed: drafts, and snapshots newer than the one in `vapi.duckdb`.

    The snapshot that the state names stays, shown or not. If `vapi.duckdb` cannot be read, all snapshots stay.
    """
    for draft in layout.parquet.glob(".*.tmp"):
        if draft.is_dir() and not draft.is_symlink():
            discard(draft)
    facts = index.state()
    newest = max(map(generation, _times_shown(facts)), default=0)
    newer = [s for s in snapshots(layout) if generation(s.name) > newest and s.name != facts.get("snapshot")]
    if newer and (shown := _shown(index, layout)):
        discard(*(snapshot for snapshot in newer if generation(snapshot.name) > generation(shown)))


def snapshots(layout: Layout) -> list[Path]:
    """The published snapshots, oldest first. Other directories that people put there do not count."""
    return sorted(
        p for p in layout.parquet.iterdir() if _is_ours(p.name) and p.is_dir() and not p.is_symlink()
    )


def generation(name: str) -> int:
    """The number in the name of a snapshot, which each publication increases."""
    number = name.partition("-")[2]
    return int(number) if number.isdecimal() else 0


def discard(*directories: Path) -> None:
    """Remove snapshots and drafts. Errors of the disk are ignored: the next publication tries again."""
    for directory in directories:
        if directory.name.startswith("."):
            shutil.rmtree(directory, ignore_errors=True)
        else:  # under its name it must be complete or gone
            with contextlib.suppress(OSError):
                remove_directory(directory)


def _times_shown(facts: Mapping[str, str]) -> dict[str, int]:
    """The time from which each snapshot was shown, µs."""
    return msgspec.json.decode(facts.get(_SHOWN, "{}"), type=dict[str, int])


def _shown(index: Index, layout: Layout) -> str | None:
    """The snapshot that `vapi.duckdb` shows; None if there is none or it cannot be read."""
    try:
        with index.attached(layout.published, read_only=True):
            return str(index.rows("SELECT value FROM sync.state WHERE key = 'snapshot'")[0][0])
    except (WarehouseError, duckdb.Error, IndexError):
        return None


def _is_ours(name: str) -> bool:
    """Whether a snapshot can have this name."""
    try:
        datetime.strptime(name.split("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True
