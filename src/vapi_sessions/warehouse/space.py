"""How much space a warehouse takes, how fast its data grow, and what earlier runs left over."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from vapi_sessions.core.timestamps import DAY, from_datetime, show, to_datetime
from vapi_sessions.warehouse import erase, raw
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.retention import snapshots

#: The fact in `sync.state` with the size of the data on the last days: date to bytes.
_SIZES: Final = "sizes"
#: Days that it has.
_DAYS: Final = 8
#: How long finished windows and runs stay in the ledger, µs, and how many runs stay in any case.
KEEP_WINDOWS: Final = 30 * DAY
KEEP_RUNS: Final = 90 * DAY
LEAST_RUNS: Final = 1_000


@dataclass(frozen=True, slots=True)
class LeftOver:
    """A by-product of an earlier run that takes space. `modified_at`: ISO 8601 in UTC."""

    name: str
    bytes: int
    modified_at: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Space:
    """Sizes in bytes; a file that is linked into several snapshots counts once. `data_bytes`: raw files, the newest snapshot and
    both databases, without older snapshots. `growth_bytes_a_day`: of these, over the last days; None before there are two days.
    """

    snapshots: int
    snapshot_bytes: int
    raw_files: int
    raw_bytes: int
    index_bytes: int
    views_bytes: int
    staging_bytes: int
    total_bytes: int
    data_bytes: int
    growth_bytes_a_day: int | None = None
    left_over: list[LeftOver] = field(default_factory=list)


def space(layout: Layout, facts: Mapping[str, str]) -> Space:
    """The space that a warehouse takes. `facts`: of `sync.state`. Takes no lock; files may go meanwhile."""
    sizes = {path.name: _size(path) for path in layout.root.iterdir()}
    current = _size(layout.parquet / facts["snapshot"]) if "snapshot" in facts else 0
    main = [sizes.get(path.name, 0) for path in (layout.raw, layout.index, layout.published)]
    return Space(
        snapshots=len(snapshots(layout)) if layout.parquet.is_dir() else 0,
        snapshot_bytes=sizes.get(layout.parquet.name, 0),
        raw_files=len(raw.files(layout.raw)),
        raw_bytes=main[0],
        index_bytes=main[1],
        views_bytes=main[2],
        staging_bytes=sizes.get(layout.staging.name, 0),
        total_bytes=sum(sizes.values()),
        data_bytes=sum(main) + current,
        growth_bytes_a_day=_growth(facts),
        left_over=_left_over(layout),
    )


def note_size(index: Index, layout: Layout, now: int) -> None:
    """Once a day: record the size of the data, and remove old rows from the record of windows and runs. `now`: µs."""
    facts = index.state()
    sizes = _sizes(facts)
    today = f"{to_datetime(now):%Y-%m-%d}"
    if today in sizes:
        return
    current = layout.parquet / facts["snapshot"] if "snapshot" in facts else None
    sizes[today] = _data(layout, current)
    kept = {day: sizes[day] for day in sorted(sizes)[-_DAYS:]}
    index.record(Changes(state={_SIZES: msgspec.json.encode(kept).decode()}))
    index.prune_history(windows_before=now - KEEP_WINDOWS, runs_before=now - KEEP_RUNS, runs_kept=LEAST_RUNS)


def _sizes(facts: Mapping[str, str]) -> dict[str, int]:
    return msgspec.json.decode(facts.get(_SIZES, "{}"), type=dict[str, int])


def _growth(facts: Mapping[str, str]) -> int | None:
    sizes = sorted(_sizes(facts).items())
    if len(sizes) < 2:
        return None
    (first, before), (last, after) = sizes[0], sizes[-1]
    days = (datetime.fromisoformat(last) - datetime.fromisoformat(first)).days
    return round((after - before) / days)


def _data(layout: Layout, snapshot: Path | None) -> int:
    """Bytes without older snapshots."""
    files = (layout.raw, layout.index, layout.published, *([snapshot] if snapshot is not None else []))
    return sum(_size(path) for path in files)


def _left_over(layout: Layout) -> list[LeftOver]:
    found = []
    for remedy, paths in (
        ("vapi-sessions maintain removes it", erase.put_aside(layout)),
        ("a torn file, whose sessions were read again; it can be removed", raw.torn(layout.raw)),
    ):
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                modified = show(from_datetime(datetime.fromtimestamp(status.st_mtime, UTC)))
                found.append(LeftOver(str(path.relative_to(layout.root)), status.st_size, modified, remedy))
    return found


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a directory, each counted once."""
    seen: dict[tuple[int, int], int] = {}
    with contextlib.suppress(FileNotFoundError):
        if not path.is_dir():
            return path.stat().st_size
        for directory, _, names in os.walk(path):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # a run may remove files meanwhile
                    status = Path(directory, name).lstat()
                    seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())
