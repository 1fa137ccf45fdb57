"""Merges small raw files whose changes are published, so that their number stays small however often a warehouse is synced.

The steps can be interrupted anywhere. The new file is durable before the ledger names it, and the ledger names it before the
old files go. `recovery` completes what was interrupted before the second step, the next merge what was interrupted after it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Final

from vapi_sessions.core import faultpoints
from vapi_sessions.core.records import Batch
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.operations.footer import join_progress
from vapi_sessions.privacy.sanitizer import KEY_STATE, STATE
from vapi_sessions.warehouse import raw, raw_merging
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.raw_merging import SmallFile

#: The most files that a sync merges. After an upgrade there may be thousands.
A_SYNC: Final = 500


@dataclass(frozen=True, slots=True)
class MergedFiles:
    """The outcome: `files` became `into`. `removed`: files of an earlier merge that still existed."""

    files: int = 0
    into: int = 0
    removed: int = 0


def merge_small_files(
    index: Index, layout: Layout, *, warn: Callable[[str], None], most: int = sys.maxsize
) -> MergedFiles:
    """Merge small published files that are neighbours and were stored under the same policy; stops after `most` files.

    Only inside the writer's lock, after recovery. A damaged file is left alone, with a warning. Raises WarehouseError.
    """
    files = raw.files(layout.raw)
    removed = _remove_replaced(index, layout, files)
    published = index.published_batches()
    merged = into = 0
    groups = list(_groups(files, published, warn))
    shown = index.shown_files(layout.published) if groups else set()
    for group in groups:
        if not shown.issuperset(file.path.name for file in group):
            continue  # the last publication was killed before its end: the next one shows them
        if merged and merged + len(group) > most:
            break
        try:
            _merge(index, layout, group, published)
        except WarehouseDamagedError as error:
            warn(f"small raw files are not merged: {error.fact}")
            continue
        merged += len(group)
        into += 1
    return MergedFiles(merged, into, removed)


def _groups(
    paths: Sequence[Path], published: Mapping[str, Batch], warn: Callable[[str], None]
) -> Iterator[list[SmallFile]]:
    """The files to merge. Footers are read only where size and number allow a merge."""
    files = [(path, path.stat().st_size if path.name in published else 0) for path in paths]
    newest = max((path for path in paths if path.name in published), default=None)
    for mergeable, run in groupby(
        files, key=lambda one: one[0].name in published and one[1] < raw_merging.SMALL
    ):
        if not mergeable:
            continue
        candidates = [SmallFile(path, size, published[path.name].observations) for path, size in run]
        last = candidates[-1].path == newest
        if not any(True for _ in raw_merging.groups(candidates, last=last)):
            continue
        for whole, stretch in groupby((_described(one, warn) for one in candidates), key=bool):
            if whole:
                found = [one for one in stretch if one is not None]
                yield from raw_merging.groups(found, last=last and found[-1].path == newest)


def _described(file: SmallFile, warn: Callable[[str], None]) -> SmallFile | None:
    """With what the footer says; None if it is torn."""
    try:
        progress = raw.read_progress(file.path)
    except WarehouseDamagedError as error:
        warn(f"small raw files are not merged: {error.fact}")
        return None
    state = progress.get("state", {})
    kind = progress.get("org_id"), state.get(STATE), state.get(KEY_STATE)
    return replace(file, names=1 + len(progress.get(raw_merging.REPLACES, ())), kind=kind)


def _merge(index: Index, layout: Layout, group: Sequence[SmallFile], published: Mapping[str, Batch]) -> None:
    paths = [file.path for file in group]
    still_open = {(window.run_id, window.window_index) for window in index.open_windows()}
    progress = join_progress([raw.read_progress(path) for path in paths], still_open)
    merged, names = raw_merging.merge(layout.raw, paths, progress)
    batches = [published[path.name] for path in paths]
    batch = Batch(
        index.next_batch(),
        merged.name,
        batches[-1].run_id,
        sum(one.observations for one in batches),
        max(one.merged_at for one in batches),
        names,
        published=True,
    )
    index.record(Changes(batch=batch))
    faultpoints.reach("maintain.swapped")
    raw_merging.remove(layout.raw, [path.name for path in paths])


def _remove_replaced(index: Index, layout: Layout, files: Sequence[Path]) -> int:
    """Remove files that the ledger does not know because a merged one, which it knows and which is whole, has their rows."""
    merged = index.merged_files()
    unknown = {path.name for path in files} - merged
    if not unknown:
        return 0
    known = [path for path in files if path.name in merged]
    return raw_merging.remove(layout.raw, raw_merging.replaced(known, unknown))


def unmerged_files(directory: Path, merged: set[str]) -> int:
    """How many raw files a ledger, which names `merged`, does not have. Files that were made from those it names do not count."""
    files = raw.files(directory)
    unknown = {path.name: path for path in files if path.name not in merged}
    leftover = raw_merging.replaced(files, unknown) if unknown else {}
    return sum(
        name not in leftover and not (names and merged.intersection(names))
        for name, path in unknown.items()
        for names in [_names(path)]
    )


def _names(path: Path) -> tuple[str, ...]:
    try:
        return raw_merging.replaces(path)
    except WarehouseDamagedError:
        return ()
