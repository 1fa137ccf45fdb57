"""Small raw files that were merged: an index derived from the merged files equals one derived from the files that were merged."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vapi_sessions.operations.recovery import recover
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout

from .violation import Violation

if TYPE_CHECKING:
    from .world import World

#: What must be equal. Batches are not, and windows that are finished need not be in the footer of a merged file.
_QUERIES: Final = (
    "SELECT * EXCLUDE (batch) FROM sessions ORDER BY ALL",
    "SELECT * FROM sync.intervals ORDER BY ALL",
    "SELECT * FROM sync.unreadable ORDER BY ALL",
    "SELECT * FROM sync.state ORDER BY ALL",
)


class Merged:
    """Keeps a copy of each raw file that is merged."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.backup = world.warehouse.parent / "backup"

    def keep(self, paths: Iterable[Path]) -> None:
        """Copy files that will be merged."""
        self.backup.mkdir(exist_ok=True)
        for path in paths:
            shutil.copyfile(path, self.backup / path.name)

    def say_the_same(self) -> None:
        """Nothing in the rows and footers of the small files was lost."""
        if not self.backup.is_dir():
            return
        files = [*(self._world.warehouse / "raw").glob("[!.]*.parquet"), *self.backup.glob("*.parquet")]
        merged = self._derived("from merged files", files[: -len(list(self.backup.glob("*.parquet")))])
        original = self._derived("from small files", [f for f in files if "-merged-" not in f.name])
        for query, found, wanted in zip(_QUERIES, merged, original, strict=True):
            if found != wanted:
                differing = [row for row in (*found, *wanted) if (row in found) != (row in wanted)]
                raise Violation("merged raw files say what the small ones said", f"{query}: {differing[:4]}")

    def _derived(self, name: str, files: Iterable[Path]) -> list[Any]:
        layout = Layout(self._world.warehouse.parent / name)
        layout.create()
        for path in files:
            shutil.copyfile(path, layout.raw / path.name)
        with Index(layout.index, layout.scratch) as index:
            recover(index, layout, now=self._world.clock.ours)
            return [index.rows(query) for query in _QUERIES]
