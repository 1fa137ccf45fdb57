"""The fault points at which tests kill each command. Together they cover all of `faultpoints.POINTS`."""

from __future__ import annotations

from typing import Final

from vapi_sessions.core import faultpoints

_MERGE = ("merge.begun", "merge.deleted", "merge.inserted", "merge.noted", "merge.committed")
_PUBLISH = tuple(point for point in faultpoints.POINTS if point.startswith("publish."))
_RUNS: Final = {
    "first sync": (
        "page.fetched:5", "raw.written:3", "raw.renamed:3", "staging.written:3", "merge.noted:3", "merge.committed:3",
        "publish.file_written:3", "publish.views_renamed",
    ),
    "sync": ("page.fetched:4", "raw.written", "raw.renamed", "staging.written", *_MERGE, *_PUBLISH),
    "reconcile": (
        "reconcile.compared", "raw.renamed", "reconcile.marked", "merge.committed", "publish.file_written",
        "publish.snapshot_noted",
    ),
    "rebuild": (
        "merge.committed:2", "rebuild.derived", "index.drafted", "index.swapped", "rebuild.swapped", *_PUBLISH,
    ),
}  # fmt: skip
#: A command and a point, for sync, reconcile and rebuild.
RUNS: Final = [(name, point) for name, points in _RUNS.items() for point in points]
#: One death in each part of a run.
SOME_RUNS: Final = (
    ("first sync", "raw.renamed:3"),
    ("sync", "publish.snapshot_renamed"),
    ("reconcile", "reconcile.marked"),
    ("rebuild", "rebuild.swapped"),
)
FORGET: Final = [
    "forget.noted",
    "erase.raw_written",
    "erase.raw_written:2",
    "erase.index",
    "index.drafted",
    "index.swapped",
    "publish.snapshot_drafted",
    "publish.views_renamed",
    "erase.published",
    "erase.snapshot_removed",
]
#: While everything stored is rewritten under a stricter policy.
TIGHTEN: Final = [
    "tighten.raw_written:2",
    "index.drafted",
    "index.swapped",
    "publish.snapshot_drafted",
    "tighten.published",
]
#: In `tests/warehouse/test_migrations.py`.
MIGRATE: Final = ["migrate.changed"]
#: While small raw files are merged.
MAINTAIN: Final = [
    "raw.written",
    "raw.renamed",
    "maintain.raw_written",
    "maintain.swapped",
    "maintain.raw_removed",
    "maintain.raw_removed:3",
    "publish.views_renamed",
    "maintain.by_product_removed",
]
TAKE_OVER: Final = [
    "take_over.published",
    "merge.committed",
    "merge.noted:2",
    "index.drafted",
    "index.swapped",
    "publish.planned",
    "publish.file_written:4",
    "publish.snapshot_renamed",
    "publish.snapshot_noted",
    "publish.views_renamed",
    "publish.latest_swapped",
]
