"""What a world is about. A quarter of the worlds is about nothing in particular; the others make one kind of trouble likely.

Some mistakes show only where several unlikely things meet: a 404 from a proxy, while a deletion is being confirmed. In
worlds of even chances they meet once in hundreds of seeds; where a world is about them, they meet in most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Theme:
    """Changes to a world that was drawn by chance."""

    #: Attributes of the world, and entries of its `knobs`.
    world: Mapping[str, Any] = field(default_factory=dict)
    knobs: Mapping[str, int] = field(default_factory=dict)
    #: How much likelier each kind of traffic is.
    traffic: Mapping[str, float] = field(default_factory=dict)


THEMES: Final[dict[str, Theme]] = {
    # Windows read side by side show the same session twice, and the older state may be merged last.
    "order": Theme(
        {
            "reordering": True,
            "busy": 2,
            "fault_rate": 0,
            "runs": 2,
            "reconciles": 0,
            "held_back": 0.8,
            "history": 20,
        },
        {"batch_bytes": 2_000, "pages_a_window": 1},
        {"bulk_update": 4, "restless": 3},
    ),
    # Sessions go, and something between us and the source says 404 on its own.
    "gone": Theme(
        {
            "leaning": "foreign 404",
            "fault_rate": 0,
            "fault_rate_by_id": 0.5,
            "busy": 0.8,
            "reconciles": 1,
            "stop_rate": 0,
            "runs": 2,
            "history": 30,
        },
        {"breaker_least": 20, "small": 2, "batch_bytes": 32 << 20},
        {
            "delete": 8,
            "recreate": 4,
            "bring_back": 0,
            "retention": 0,
            "bill_silently": 0,
            "expire_silently": 0,
        },
    ),
    # Sessions go and come back, and retention moves.
    "back": Theme(
        {"fault_rate": 0, "busy": 0.8, "reconciles": 1, "stop_rate": 0, "runs": 3},
        {"breaker_least": 20, "small": 2},
        {"delete": 8, "bring_back": 10, "retention": 6},
    ),
    # One interruption after another, in many small steps, with windows that end in any order.
    "stops": Theme(
        {"stop_rate": 1, "fault_rate": 0, "runs": 2, "history": 45, "reordering": True},
        {"batch_bytes": 2_000, "pages_a_window": 4},
    ),
    "stops in small windows": Theme(
        {"stop_rate": 1, "fault_rate": 0, "runs": 3, "history": 20, "reordering": True, "publishing": True},
        {"batch_bytes": 2_000, "pages_a_window": 1, "sessions_a_part": 12},
    ),
    # Snapshots while a run goes on, and older states that turn up after them.
    "on its way": Theme(
        {
            "publishing": True,
            "reordering": True,
            "busy": 3,
            "fault_rate": 0,
            "stop_rate": 0,
            "runs": 2,
            "reconciles": 0,
            "held_back": 0.8,
            "newest_first": True,
            "history": 20,
            "page": 3,
        },
        {"batch_bytes": 6_000, "pages_a_window": 1, "staged_most": 20_000},
        {"bulk_update": 8, "create": 0.3, "block": 0},
    ),
    # Rows twice on a page, in two states.
    "repeats": Theme(
        {"leaning": "repeated row", "fault_rate": 0.4, "busy": 0.8, "runs": 1, "stop_rate": 0},
        {"pages_a_window": 1},
        {"append": 2, "bulk_update": 2},
    ),
    # A count that is the page's own, which looks like an end where there is none.
    "counts": Theme(
        {"leaning": "count of this page", "fault_rate": 0.4, "runs": 1, "history": 30},
        {"pages_a_window": 20},
    ),
    # Lists that are empty now and then, as from a replica that is still being filled.
    "nothing": Theme(
        {
            "leaning": "empty list",
            "fault_rate": 0.3,
            "repeating": 1,
            "runs": 2,
            "reconciles": 0,
            "stop_rate": 0,
            "foreign": 0,
            "page": 4,
            "history": 30,
        },
        {"pages_a_window": 1},
    ),
    # Bodies that end too early, several in a row.
    "cut bodies": Theme(
        {
            "leaning": "body cut: between rows",
            "fault_rate": 0.3,
            "repeating": 0.8,
            "runs": 2,
            "reconciles": 0,
            "foreign": 0,
            "page": 4,
            "history": 30,
        },
        {"pages_a_window": 1},
    ),
    # More goes at once than is believed.
    "many gone": Theme(
        {"fault_rate": 0, "busy": 0.8, "reconciles": 1, "stop_rate": 0, "runs": 2, "history": 30},
        {"breaker_least": 3},
        {"delete": 20, "delete_many": 40},
    ),
    # Crowds in one instant, which move to another one together.
    "ties": Theme(
        {
            "reordering": False,
            "fault_rate": 0,
            "busy": 2,
            "stop_rate": 0,
            "runs": 2,
            "reconciles": 0,
            "history": 4,
        },
        {"pages_a_window": 20},
        {"block": 12, "append": 2},
    ),
    # Somebody else's key, or a new one without sessions.
    "keys": Theme({"foreign": 0.7, "busy": 0.8, "runs": 2}),
}

#: Not drawn: small raw files are merged, between stops. See `Parameters.merging`.
THEMES["merging"] = Theme(
    {"publishing": True, "stop_rate": 0.6, "fault_rate": 0, "runs": 4, "history": 20, "busy": 0.8},
    {"batch_bytes": 2_000, "pages_a_window": 2, "sessions_a_part": 12},
    {"delete": 3},
)


def drawn(chance: float) -> str:
    """The name for a number from 0 to 1: none below a quarter."""
    names = [name for name in THEMES if name != "merging"]
    return "" if chance < 0.25 else names[int((chance - 0.25) / 0.75 * len(names))]
