"""A copy of the published state under a stricter sanitizer, derived from `raw/` in another directory. The warehouse is only read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.memory import fewer_collections
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.operations.recovery import recover
from vapi_sessions.privacy.sanitizer import Sanitizer
from vapi_sessions.source.environment import Clocks
from vapi_sessions.warehouse import adopt, erase, raw_merging
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.staging import Staging
from vapi_sessions.warehouse.suppression import Suppression

#: The raw files whose rows are published, and the number of sessions.
_FILES: Final = "SELECT file FROM sync.batches WHERE published AND file <> '' ORDER BY file"
_SESSIONS: Final = "SELECT coalesce(sum(sessions), 0) FROM sync.parts WHERE table_name = 'sessions'"


def stricter_copy(layout: Layout, directory: Path, sanitizer: Sanitizer, clocks: Clocks) -> Layout:
    """Make a warehouse in `directory` whose rows are those that are published in `layout`, sanitized again from `raw/`.

    Runs and claims are taken over. No lock is needed: raw files are complete under their names, and `vapi.duckdb` is copied first.
    Raises WarehouseDamagedError if `raw/` does not have every published session, WarehouseError.
    """
    copy = Layout(directory)
    copy.create()
    published = copy.scratch / "published.duckdb"
    with disk_errors(published):
        shutil.copyfile(layout.published, published)
    forgotten = Suppression.open(layout).holds
    with fewer_collections(), Index(copy.index, copy.scratch, sleep=clocks.sleep) as index:
        with index.attached(published, read_only=True):
            names = [name for (name,) in index.rows(_FILES)]
            ((expected,),) = index.rows(_SESSIONS)
        # Files may have been merged since, or are while they are copied. What is copied twice counts once.
        files = raw_merging.holding(layout.raw, names)
        erase.sanitized_copies(files, copy.raw, sanitizer, forgotten)
        later = [path for path in raw_merging.holding(layout.raw, names) if path not in files]
        erase.sanitized_copies(later, copy.raw, sanitizer, forgotten)
        recover(index, copy, now=clocks.now)
        adopt.adopt_ledger(index, published)
        _check(layout, index.count(), int(expected))
        at = int(index.state()["published_at"])  # the copy is of that time
        index.record(Changes(state=sanitizer.state))
        Publisher(index, copy, Staging.begin(copy.staging), lambda: at).publish(force=True)
    return copy


def _check(layout: Layout, found: int, expected: int) -> None:
    if found != expected:
        raise WarehouseDamagedError(
            f"{layout.raw} has {found:,} of {counted(expected, 'published session')}, and only from there can they be sanitized.",
            "Run again if a sync or a forget was running. Otherwise restore the missing files of raw/ from a backup.",
        )
