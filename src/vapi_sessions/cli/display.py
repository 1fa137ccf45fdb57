"""The progress of a run, on stderr: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from vapi_sessions.cli import streams
from vapi_sessions.cli.invocation import as_called
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import plain
from vapi_sessions.operations.progress import Counts

_NARROW: Final = 80  # columns; the whole bar does not fit into fewer
_LINE_EVERY: Final = 5.0  # seconds between plain lines


def display(title: str) -> Bars | Lines:
    """The implementation of `progress.Progress` that suits stderr; a context manager."""
    return Bars(title) if sys.stderr.isatty() else Lines(title)


class Bars:
    """A live bar: sessions out of the known total, windows, messages, rate and time left."""

    def __init__(self, title: str) -> None:
        # Not stderr=True: while a bar is shown, Rich replaces sys.stderr, and would then find only the stream that escapes.
        self._console = Console(file=streams.as_is(sys.stderr))
        columns: list[ProgressColumn] = [
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn(
                "sessions · {task.fields[windows]}{task.fields[messages]}{task.fields[rate]:,.0f}/s ·"
            ),
            TimeRemainingColumn(compact=True),
        ]
        if self._console.width < _NARROW:  # Rich would shrink every column to nothing
            columns = [*columns[:2], columns[3], columns[5]]
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._task = self._progress.add_task(title, total=None, windows="", messages="", rate=0.0)
        self._lock = threading.Lock()
        self._windows = 0
        self._done = 0
        self._read = 0
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def planned(self, windows: int, sessions: int) -> None:
        """Set the total."""
        self._windows, self._started = windows, time.monotonic()
        self._progress.update(
            self._task, total=sessions, windows=f"0/{windows} windows · " if windows else ""
        )

    def read(self, sessions: int) -> None:
        """Advance the bar."""
        with self._lock:
            self._read += sessions
            rate = self._read / max(time.monotonic() - self._started, 1e-3)
        self._progress.update(self._task, advance=sessions, rate=rate)

    def window_done(self) -> None:
        """Count a window."""
        with self._lock:
            self._done += 1
            text = f"{self._done}/{self._windows} windows · "
        self._progress.update(self._task, windows=text)

    def merged(self, counts: Counts) -> None:
        """Show the messages merged so far."""
        self._progress.update(self._task, messages=f"{counts.messages_written:,} messages · ")

    def waiting(self, seconds: float, reason: str) -> None:
        """Print the reason of a wait of a second or more."""
        if seconds >= 1:
            self._print(f"waiting {seconds:.0f} s: {reason}")

    def phase(self, name: str) -> None:
        """Not shown yet."""

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._print(text)

    def warn(self, text: str) -> None:
        """Print a warning above the bar."""
        self._print(f"warning: {text}")

    def _print(self, text: str) -> None:
        self._console.print(as_called(plain(text)), markup=False, highlight=False)


class Lines:
    """A plain line every few seconds, for log files."""

    def __init__(self, title: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._title = title
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._windows = self._done = self._read = self._total = 0
        self._messages = 0
        self._started = self._last = self._monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def planned(self, windows: int, sessions: int) -> None:
        """Print the totals."""
        self._windows, self._total, self._started = windows, sessions, self._monotonic()
        within = f" in {counted(windows, 'window')}" if windows else ""
        self._print(f"{counted(sessions, 'session')} to read{within}")

    def read(self, sessions: int) -> None:
        """Print the progress, at most every few seconds."""
        with self._lock:
            self._read += sessions
            now = self._monotonic()
            if now - self._last < _LINE_EVERY:
                return
            self._last = now
            rate = self._read / max(now - self._started, 1e-3)
            left = max(0, self._total - self._read) / rate if rate else 0
        of_total = f"{self._read:,} of {self._total:,} sessions"
        parts = [of_total if self._total else counted(self._read, "session")]
        if self._windows:
            parts += [f"{self._done}/{self._windows} windows", f"{counted(self._messages, 'message')}"]
        parts.append(f"{rate:,.0f}/s")
        if self._total:  # else the time left is unknown
            parts.append(f"{left:.0f} s left")
        self._print(", ".join(parts))

    def window_done(self) -> None:
        """Count a window."""
        with self._lock:
            self._done += 1

    def merged(self, counts: Counts) -> None:
        """Remember the messages merged so far."""
        self._messages = counts.messages_written

    def waiting(self, seconds: float, reason: str) -> None:
        """Print the reason of a wait of a second or more."""
        if seconds >= 1:
            self._print(f"waiting {seconds:.0f} s: {reason}")

    def phase(self, name: str) -> None:
        """Not shown yet."""

    def say(self, text: str) -> None:
        """Print a line."""
        self._print(text)

    def warn(self, text: str) -> None:
        """Print a warning."""
        self._print(f"warning: {text}")

    def _print(self, text: str) -> None:
        print(as_called(plain(f"{self._title}: {text}")), file=sys.stderr, flush=True)
