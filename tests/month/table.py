"""The table of a month, as Markdown."""

from __future__ import annotations

from typing import Final

from .life import Day

_COLUMNS: Final = (
    "day", "runs", "sessions", "data MB", "on disk MB", "on disk / data", "raw files", "raw MB", "index MB", "views MB",
    "snapshots", "batches", "ledger rows", "memory MB", "quiet run s",
)  # fmt: skip
HEADINGS: Final = f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}"


def line(day: Day) -> str:
    """One row of the table."""
    size = day.space
    cells = (
        f"{day.number}",
        f"{day.runs:,}",
        f"{day.sessions:,}",
        f"{size.data_bytes / 1e6:.1f}",
        f"{day.most_bytes / 1e6:.1f}",
        f"{day.most_bytes / size.data_bytes:.1f}",
        f"{size.raw_files}",
        f"{size.raw_bytes / 1e6:.1f}",
        f"{size.index_bytes / 1e6:.1f}",
        f"{size.views_bytes / 1e6:.1f}",
        f"{day.most_snapshots}",
        f"{day.batches}",
        f"{day.ledger_rows:,}",
        f"{day.memory_bytes / 1e6:.0f}",
        f"{day.quiet_seconds:.3f}",
    )
    return f"| {' | '.join(cells)} |"
