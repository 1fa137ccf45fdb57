"""Progress of a run: its counts, what a display is told about it, and the display that shows nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from vapi_sessions.core.wording import counted
from vapi_sessions.errors import plain
from vapi_sessions.operations.waits import Waits


@dataclass(slots=True)
class Counts:
    """Changes that a run made to the warehouse. `drift`: rows by field without a column."""

    sessions_read: int = 0
    sessions_new: int = 0
    sessions_changed: int = 0
    messages_written: int = 0
    late_rows: int = 0
    silent_changes: int = 0
    deleted: int = 0
    aged_out: int = 0
    restored: int = 0
    drift: Counter[str] = field(default_factory=Counter)


class Progress(Protocol):
    """A display of a run's progress. Called from several threads."""

    def planned(self, windows: int, sessions: int) -> None:
        """The work ahead. `windows` is 0 if the run does not read in windows."""

    def read(self, sessions: int) -> None:
        """Sessions were read: this many more."""

    def window_done(self) -> None:
        """One more window was read completely."""

    def merged(self, counts: Counts) -> None:
        """A batch was merged; totals so far."""

    def waiting(self, seconds: float, reason: str) -> None:
        """The client waits before its next request."""

    def phase(self, name: str) -> None:
        """What the run does from now on: `planning`, `reading` or `publishing`."""

    def publishing(self, done: int, total: int) -> None:
        """A publication has written so many of its parts."""

    def say(self, text: str) -> None:
        """A message for the user, one line."""

    def warn(self, text: str) -> None:
        """A warning for the user, one line."""


class Silent:
    """Shows nothing. A context manager, as displays are."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def planned(self, windows: int, sessions: int) -> None:
        """Ignored."""

    def read(self, sessions: int) -> None:
        """Ignored."""

    def window_done(self) -> None:
        """Ignored."""

    def merged(self, counts: Counts) -> None:
        """Ignored."""

    def waiting(self, seconds: float, reason: str) -> None:
        """Ignored."""

    def phase(self, name: str) -> None:
        """Ignored."""

    def publishing(self, done: int, total: int) -> None:
        """Ignored."""

    def say(self, text: str) -> None:
        """Ignored."""

    def warn(self, text: str) -> None:
        """Ignored."""


class LogProgress(Silent):
    """Passes messages, plans and waits of a second or more to a log. `say` and `warn` take one line; without `warn`, warnings are
    messages that begin with `warning:`.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        warn: Callable[[str], None] | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._warn = warn
        self._waits = Waits(monotonic)

    def planned(self, windows: int, sessions: int) -> None:
        """Log the plan."""
        self._say(f"{counted(sessions, 'session')} to read in {counted(windows, 'window')}")

    def waiting(self, seconds: float, reason: str) -> None:
        """Log a wait that is long enough to be noticed, once for all requests that it affects."""
        self._waits.add(seconds, reason)
        if text := self._waits.news():
            self._say(plain(text))

    def say(self, text: str) -> None:
        """Log the message."""
        self._say(plain(text))

    def warn(self, text: str) -> None:
        """Log the warning."""
        if self._warn is not None:
            self._warn(plain(text))
        else:
            self._say(f"warning: {plain(text)}")
