"""How commands write counts, durations, moments and warnings for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vapi_sessions.cli import log
from vapi_sessions.core.timestamps import show
from vapi_sessions.errors import plain

#: Items of a list that are printed, unless all are asked for.
NAMED: Final = 20


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


def bounded(items: Iterable[str], *, everything: bool) -> list[str]:
    """The first items, and how many more `--all` shows; or all of them."""
    found = list(items)
    if everything or len(found) <= NAMED:
        return found
    return [*found[:NAMED], and_more(len(found) - NAMED)]


def and_more(number: int) -> str:
    """The last line of a list that was cut."""
    return f"and {number:,} more; --all shows {'it' if number == 1 else 'them'}"


def print_names(names: Iterable[str], *, everything: bool = True) -> None:
    """One name a line, indented. Names come from the source, so control characters are escaped."""
    for name in bounded(names, everything=everything):
        print(plain(f"  {name}"))


def warn(text: str) -> None:
    """One line on stderr. A warning does not change the exit code."""
    log.write("warning", "warning", text, text=f"warning: {plain(text)}")


def summary(*lines: str, **figures: object) -> None:
    """What a run has done: on stdout, unless --quiet is given. With JSON lines the figures are also a line on stderr."""
    if not log.style.quiet:
        print(*lines, sep="\n")
    log.write("info", "summary", " · ".join(lines), text="", **figures)
