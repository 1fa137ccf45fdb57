"""The progress of a run, on stderr: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from vapi_sessions.cli import log, signals, streams
from vapi_sessions.cli.invocation import as_called
from vapi_sessions.cli.json_lines import JsonLines, OnlyWarnings
from vapi_sessions.cli.output import duration
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import plain
from vapi_sessions.operations.tally import Tally

_LINE_EVERY: Final = 5.0  # seconds between plain lines
_REDRAWS: Final = 5  # per second
#: Columns left free, because a terminal shows the keys of Ctrl-C (`^C`) at the cursor: in the next line we would not find it.
_FREE: Final = 3
_SHORTEST_BAR: Final = 6  # columns
_LONGEST_BAR: Final = 40
#: Seconds after which a phase that counts nothing shows how long it has taken.
_LONG_PHASE: Final = 2.0
#: Values of TERM whose terminals cannot move the cursor.
_DUMB: Final = ("", "dumb", "unknown")


def display(title: str) -> Bars | Lines | JsonLines | OnlyWarnings:
    """The implementation of `progress.Progress` that suits stderr and the options; a context manager."""
    if log.style.as_json:
        return JsonLines()
    if log.style.quiet:
        return OnlyWarnings(title)
    moves = sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in _DUMB
    return Bars(title) if moves else Lines(title)


class Bars(Tally):
    """One live line with the phase, what is done of the known total, and the time left. Waits have a second one."""

    def __init__(self, title: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(monotonic=monotonic)
        self._title = title
        self._notice = ""
        self._spinner = Spinner("dots")
        # Not stderr=True: while a bar is shown, Rich replaces sys.stderr, and would then find only the stream that escapes.
        self._console = Console(file=streams.as_is(sys.stderr))
        self._live = Live(
            console=self._console,
            get_renderable=self._drawn,
            refresh_per_second=_REDRAWS,
            transient=True,
        )

    def __enter__(self) -> Self:
        signals.announce = self._announce
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signals.announce = signals.write_line
        self._live.stop()

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(as_called(plain(text)), markup=False, highlight=False)

    def warn(self, text: str) -> None:
        """Print a warning above the bar."""
        self.say(f"warning: {text}")

    def _announce(self, text: str) -> None:
        """Show a line below the bar. Takes no lock: it is called by the handler of a signal."""
        self._notice = text

    def _drawn(self) -> RenderableType:
        with self.lock:
            lines: list[RenderableType] = [self._bar()]
        wait, width = self.waits.text(), self._console.width - _FREE
        if wait:
            lines.append(Text(f"  {plain(wait, width - 2)}", no_wrap=True))
        if self._notice:
            lines.append(Text(self._notice))
        return Group(*lines)

    def _bar(self) -> RenderableType:
        width = self._console.width - _FREE
        found = facts(self, of="/")
        always = sum(len(fact) for priority, fact in found if not priority)
        name = f"{self._title} · {self.phase_name}" if self.phase_name else self._title
        names = (name, self.phase_name or self._title)
        left = next((fits for fits in names if len(fits) + always + 3 <= width), "")
        fraction = _fraction(self)
        room = width - len(left) - 3 - (0 if fraction is None else _SHORTEST_BAR + 1)
        shown = {0}
        room -= always
        for priority, fact in sorted(found):
            if priority and len(fact) + 3 <= room:
                shown.add(priority)
                room -= len(fact) + 3
        right = " · ".join(fact for priority, fact in found if priority in shown)
        cells: list[RenderableType] = [self._spinner, Text(left, style="bold", no_wrap=True)]
        if fraction is not None and room >= 0:
            length = min(_LONGEST_BAR, _SHORTEST_BAR + room)
            cells.append(ProgressBar(total=1.0, completed=min(1.0, fraction), width=length))
        line = Table.grid(padding=(0, 1))
        line.add_row(*cells, Text(right, no_wrap=True))
        return line


class Lines(Tally):
    """A plain line every few seconds, for log files: while it is open, a thread prints what is new."""

    def __init__(self, title: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(monotonic=monotonic)
        self._title = title
        self._last = monotonic()
        self._waited = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_telling, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def planned(self, windows: int, sessions: int) -> None:
        """Print the totals of a run that reads in windows. Others say nothing unless they take long."""
        super().planned(windows, sessions)
        if windows:
            self.say(f"{counted(sessions, 'session')} to read in {counted(windows, 'window')}")

    def read(self, sessions: int) -> None:
        """Count, and print if it is time."""
        super().read(sessions)
        self.tell()

    def tell(self) -> None:
        """Print what the run does, at most every few seconds. A wait without progress is told once."""
        with self.lock:
            if news := self.waits.news():
                self.say(news)
                self._last, self._waited = self.monotonic(), True
                return
            if self.monotonic() - self._last < _LINE_EVERY:
                return
            self._last = self.monotonic()
            waits = bool(self.waits.text())
            if waits and self._waited and not self.rate():
                return
            self._waited = waits
            parts = [fact for _, fact in facts(self, of=" of ")]
            phase = f"{self.phase_name}: " if self.phase_name else ""
            if parts:
                self.say(phase + ", ".join(parts))

    def say(self, text: str) -> None:
        """Print a line."""
        print(as_called(plain(f"{self._title}: {text}")), file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self.say(f"warning: {text}")

    def _keep_telling(self) -> None:
        while not self._ended.wait(1.0):
            self.tell()


def facts(tally: Tally, *, of: str) -> list[tuple[int, str]]:
    """What is done and left in the current phase, in the order in which it is shown. With each, a priority: what has 0 is always
    shown, and the others as far as there is room, the smallest first. `of` is between a number and its total.
    """
    found: list[tuple[int, str]] = []
    with tally.lock:
        if tally.phase_name == "publishing":
            if tally.parts:
                found.append((0, f"{tally.parts_written:,}{of}{counted(tally.parts, 'part')}"))
        elif tally.sessions:
            found.append((0, f"{tally.sessions_read:,}{of}{counted(tally.sessions, 'session')}"))
        elif tally.sessions_read:
            found.append((0, counted(tally.sessions_read, "session")))
        if tally.phase_name != "publishing" and tally.sessions_read:
            if tally.windows:
                found.append((3, f"{tally.windows_done:,}/{counted(tally.windows, 'window')}"))
            if tally.messages is not None:
                found.append((4, counted(tally.messages, "message")))
            found.append((2, f"{tally.rate():,.0f}/s"))
        left = tally.seconds_left()
        if (
            left is not None and found and (left or tally.phase_name != "publishing")
        ):  # views follow the parts
            found.append((1, f"{_short(left)} left"))
        elif (
            tally.phase_name
            and (taken := tally.phase_seconds) >= _LONG_PHASE
            and (tally.phase_name == "publishing" or not tally.sessions_read)
        ):
            found.append((1, _short(taken)))
    return found


def _fraction(tally: Tally) -> float | None:
    """How much of the current phase is done; None if that is unknown."""
    if tally.phase_name == "publishing":
        return tally.parts_written / tally.parts if tally.parts else None
    return tally.sessions_read / tally.sessions if tally.sessions else None


def _short(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else duration(seconds)
