"""The figures with their bounds, as a table and as a JSON file."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal, TypeAlias

Unit: TypeAlias = Literal["x", "MB", "s", "%", ""]
_MB: Final = 1e6


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, with at most one bound. A figure without a bound is for information."""

    scenario: str
    what: str
    value: float
    unit: Unit = ""
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the figure is within its bound."""
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def verdict(self) -> str:
        """ok, MISSED, or "" without a bound."""
        if self.at_most is None and self.at_least is None:
            return ""
        return "ok" if self.ok else "MISSED"

    @property
    def wanted(self) -> str:
        """The bound as text."""
        if self.at_most is not None:
            return f"≤ {_show(self.at_most, self.unit)}"
        return f"≥ {_show(self.at_least, self.unit)}" if self.at_least is not None else ""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one command: seconds, bytes, requests. `walls`: of each run, if the figures are medians.

    `answering`: the time without start-up, from the first request that the server received to the end of the process.
    """

    wall: float
    cpu: float
    memory: float
    answering: float
    requests: float
    bytes: float
    walls: tuple[float, ...] = ()

    @classmethod
    def median_of(cls, costs: Sequence[Cost]) -> Cost:
        """The median of each figure."""
        figures = {name: median(getattr(cost, name) for cost in costs) for name in list(cls.__slots__)[:-1]}
        return cls(**figures, walls=tuple(round(cost.wall, 3) for cost in costs))

    def __str__(self) -> str:
        return (
            f"{self.wall:.2f} s ({self.answering:.2f} s without start-up), CPU {self.cpu:.2f} s, "
            f"{self.memory / _MB:.0f} MB of memory, {self.requests:.0f} requests, {self.bytes / _MB:.0f} MB received"
        )


def memory_row(scenario: str, what: str, cost: Cost, at_most_mb: float, note: str = "") -> Row:
    """A row for the peak of memory."""
    return Row(scenario, what, cost.memory / _MB, "MB", at_most=at_most_mb, note=note)


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    lines = [("scenario", "what", "measured", "wanted", "")]
    lines += [(r.scenario, r.what, _show(r.value, r.unit), r.wanted, r.verdict) for r in rows]
    widths = [max(len(line[n]) for line in lines) for n in range(4)]
    shown = []
    for line, note in zip(lines, ("", *(r.note for r in rows)), strict=True):
        cells = [
            line[0].ljust(widths[0]),
            line[1].ljust(widths[1]),
            line[2].rjust(widths[2]),
            line[3].rjust(widths[3]),
        ]
        shown.append("  ".join((*cells, line[4].ljust(6), note)).rstrip())
    return "\n".join(shown)


def write(path: Path, rows: Sequence[Row], figures: dict[str, Any], settings: dict[str, Any]) -> None:
    """Write rows, figures and settings as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "settings": settings,
        "rows": [{**asdict(row), "verdict": row.verdict} for row in rows],
        "figures": figures,
    }
    path.write_text(json.dumps(document, indent=2, default=_plain) + "\n")


def _plain(value: Any) -> Any:
    return asdict(value) if isinstance(value, Cost) else str(value)


def _show(value: float, unit: Unit) -> str:
    if unit == "x":
        return f"{value:.2f}x"
    if unit == "%":
        return f"{value:.1f} %"
    if unit == "":
        return f"{value:,.0f}"
    return f"{value:.0f} {unit}" if unit == "MB" else f"{value:.2f} {unit}"
