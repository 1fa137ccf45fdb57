"""The progress that a batch makes in the ledger, as the footer of its raw file carries it: recovery reads it from there."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.records import Batch, window_of
from vapi_sessions.warehouse.index import Changes

_NO_BATCH: Final = Batch(0, "", "", 0, 0)


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


def join_progress(
    footers: Sequence[Mapping[str, Any]], still_open: Container[tuple[str, int]]
) -> dict[str, Any]:
    """What footers say together, as if their batches were merged one after the other: they come in the order of requests.

    `still_open`: run and position of the windows that are not finished. Only those stay: the record of a finished window is in
    the ledger, and what it claims is in `claims`.
    """
    claims, settled, unsettled = IntervalSet(), IntervalSet(), IntervalSet()
    windows: dict[tuple[str, int], Mapping[str, Any]] = {}
    state: dict[str, str] = {}
    org_id = None
    for footer in footers:
        changes = decode_progress({**footer, "windows": ()}, _NO_BATCH)
        claims |= changes.claims
        # One batch adds what is unsettled and then removes what is settled. This is the same for all of them together.
        unsettled = (unsettled | changes.unsettled) - changes.settled
        settled = (settled | changes.settled) - unsettled
        windows |= {(row["run_id"], row["window_index"]): row for row in footer.get("windows", ())}
        first = max(int(state.get("next_seq", "0")), int(changes.state.get("next_seq", "0")))
        state |= changes.state
        if first:
            state["next_seq"] = str(first)
        org_id = changes.org_id or org_id
    return {
        "org_id": org_id,
        "claims": list(claims),
        "settled": list(settled),
        "unsettled": list(unsettled),
        "windows": [row for key, row in windows.items() if key in still_open],
        "state": state,
    }
