"""Events that must occur in some seed: a fault that never occurs proves nothing."""

from __future__ import annotations

from collections import Counter
from typing import Final

from .faults import BREAKAGES, LIES
from .stops import MERGING, POINTS

_TRAFFIC: Final = (
    "create", "create_in_the_past", "append", "shrink", "complete", "bill", "bill_silently", "expire_silently",
    "make_odd", "bulk_update", "delete", "delete_many", "recreate", "bring_back", "block", "touch_block", "retention",
    "commit_late", "restless", "spoil",
)  # fmt: skip
_RECOVERIES: Final = (
    "recovered raw files", "resumed windows", "empty organisation", "block of ties by pages", "block of ties proven",
    "circuit breaker", "kept aside", "late_rows", "silent_changes", "deleted", "aged_out", "restored",
)  # fmt: skip
_ENDS: Final = (
    "sync done", "reconcile done", "maintain done", "Killed", "Interrupted", "WarehouseError", "SourceUnavailableError",
    "SourceInconsistentError", "SourceRefusedError", "CircuitBreakerError", "ConfigurationError",
)  # fmt: skip

EXPECTED: Final = (
    *(f"traffic: {name}" for name in _TRAFFIC),
    *(f"fault: {name}" for name in (*LIES, *BREAKAGES, "cached page")),
    *(f"stop: {kind}" for kind in ("kill", "interrupt", "disk full", "store full")),
    *(f"stopped at {name}" for name in ("request", "disk", *POINTS, *MERGING)),
    *(f"recovery: {name}" for name in _RECOVERIES),
    *(f"ended: {name}" for name in _ENDS),
    *(f"ties of {size}" for size in ("few", "a page", "two pages")),
    "retention grows",
    "clock: ours jumps",
    "clock: the source's jumps",
    "stale with Age",
    "stale without Age",
    "second sync",
    "raw files merged",
    "raw files back from a backup",
    "pages in another order",
    "reader holds files",
    "published on its way",
    "budget: checked",
    "deletions: looked for",
)


def missing(fired: Counter[str]) -> list[str]:
    """The events that never occurred."""
    return [name for name in EXPECTED if not fired[name]]
