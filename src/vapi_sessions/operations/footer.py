"""The progress that a batch makes in the ledger, as the footer of its raw file carries it: recovery reads it from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.records import Batch, window_of
from vapi_sessions.warehouse.index import Changes


def encode_progress(changes: Changes) -> dict[str, Any]:
    """The changes without their batch, as plain data."""
    return {
        "org_id": changes.org_id,
        "claims": list(changes.claims),
        "settled": list(changes.settled),
        "unsettled": list(changes.unsettled),
        "windows": list(changes.windows),
        "state": changes.state,
    }


def decode_progress(progress: Mapping[str, Any], batch: Batch) -> Changes:
    """The changes that a footer describes, for this batch. Raises msgspec.ValidationError for an invalid window."""
    return Changes(
        org_id=progress.get("org_id"),
        claims=IntervalSet((lower, upper) for lower, upper in progress.get("claims", ())),
        settled=IntervalSet((lower, upper) for lower, upper in progress.get("settled", ())),
        unsettled=IntervalSet((lower, upper) for lower, upper in progress.get("unsettled", ())),
        windows=[window_of(row) for row in progress.get("windows", ())],
        batch=batch,
        state=progress.get("state", {}),
    )
