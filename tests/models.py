"""Names that tests import from here until their imports are rewritten."""

from __future__ import annotations

from batches import Warehouse, observation, seen_first
from clocks import FakeTime
from constants import EPOCH, ORG
from source_faults import (
    answer_to_another,
    empty_page,
    empty_source,
    high_total,
    ignored_created,
    ignored_order,
    ignored_updated,
    low_total,
    no_order,
    repeated_row,
    short_page,
    stale_page,
)
from source_model import (
    Answer,
    Fault,
    ModelSource,
    Session,
    SourceModel,
    block,
    busy,
    by_id,
    spread,
)

__all__ = [
    "EPOCH", "ORG", "Answer", "FakeTime", "Fault", "ModelSource", "Session", "SourceModel", "Warehouse",
    "answer_to_another", "block", "busy", "by_id", "empty_page", "empty_source", "high_total", "ignored_created",
    "ignored_order", "ignored_updated", "low_total", "no_order", "observation", "repeated_row", "seen_first", "short_page",
    "spread", "stale_page",
]  # fmt: skip
