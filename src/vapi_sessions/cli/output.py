"""How commands write counts, durations, moments and warnings for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from vapi_sessions.cli.invocation import as_called
from vapi_sessions.core.timestamps import show
from vapi_sessions.errors import plain


def duration(seconds: float) -> str:
    """`2.5 h`, `40 s`: one number, in the largest unit of which there are at least two."""
    if seconds < 1:
        return "under a second"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def upper_bound(moment: int | None) -> str:
    """The end of a window in ISO 8601; a window without an end reaches to now."""
    return show(moment) if moment is not None else "now"


def print_names(names: Iterable[str]) -> None:
    """One name a line, indented. Names come from the source, so control characters are escaped."""
    for name in names:
        print(plain(f"  {name}"))


def warn(text: str) -> None:
    """One line on stderr. A warning does not change the exit code."""
    print(f"warning: {as_called(plain(text))}", file=sys.stderr)
