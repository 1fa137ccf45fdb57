"""A run that is writing now: it keeps `running.json` up to date, and other processes read that."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import msgspec

from vapi_sessions.core import files
from vapi_sessions.core.timestamps import SECOND, show
from vapi_sessions.core.wording import counted
from vapi_sessions.operations.progress import Counts, Progress
from vapi_sessions.operations.tally import Tally
from vapi_sessions.warehouse.layout import Layout, is_locked

#: µs between two writes, except at the beginning of a phase.
_WRITE_EVERY: Final = SECOND
#: Bytes of the file that are read at most; it has about 300.
_LARGEST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Running:
    """A run that is writing to the warehouse. Moments are ISO 8601 in UTC. `phase`: `starting`, `planning`, `reading` or
    `publishing`. `sessions_total`: sessions to read, by the source's counts; None if that is not known (yet).
    """

    command: str
    started_at: str
    updated_at: str
    phase: str
    sessions_read: int
    sessions_total: int | None
    windows_done: int
    windows_total: int

    @property
    def text(self) -> str:
        """`sync since 2026-01-01T00:00:00.000Z, reading: 1,000 of 5,000 sessions, 1 of 6 windows`."""
        done = []
        if self.sessions_total is not None:
            done.append(f"{self.sessions_read:,} of {counted(self.sessions_total, 'session')}")
        elif self.sessions_read:
            done.append(counted(self.sessions_read, "session"))
        if self.windows_total:
            done.append(f"{self.windows_done:,} of {counted(self.windows_total, 'window')}")
        so_far = f": {', '.join(done)}" if done else ""
        return f"{self.command} since {self.started_at}, {self.phase}{so_far}"


def running(layout: Layout) -> Running | None:
    """The run that is writing to the warehouse now, if it tells of itself. The file of a killed run is ignored."""
    try:
        with files.opened(layout.running) as descriptor:
            content = os.read(descriptor, _LARGEST)
        found = msgspec.json.decode(content, type=Running)
    except (OSError, msgspec.MsgspecError):
        return None
    return found if is_locked(layout) else None


class Reported(Tally):
    """Passes the progress of a run on to a display, and writes it to `running.json`. Use as a context manager, inside the writer's
    lock. An error of the disk never hurts the run: the file is then old or missing. `now` gives µs.
    """

    def __init__(self, display: Progress, layout: Layout, command: str, now: Callable[[], int]) -> None:
        super().__init__()
        self._display = display
        self._layout = layout
        self._command = command
        self._now = now
        self._started = self._written_at = now()

    def __enter__(self) -> Self:
        self._write()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.lock, contextlib.suppress(OSError):
            self._layout.running.unlink(missing_ok=True)

    def planned(self, windows: int, sessions: int) -> None:
        """Pass it on."""
        super().planned(windows, sessions)
        self._display.planned(windows, sessions)
        self._write_if_due()

    def read(self, sessions: int) -> None:
        """Pass it on."""
        super().read(sessions)
        self._display.read(sessions)
        self._write_if_due()

    def window_done(self) -> None:
        """Pass it on."""
        super().window_done()
        self._display.window_done()
        self._write_if_due()

    def merged(self, counts: Counts) -> None:
        """Pass it on."""
        self._display.merged(counts)

    def waiting(self, seconds: float, reason: str) -> None:
        """Pass it on."""
        self._display.waiting(seconds, reason)
        self._write_if_due()

    def phase(self, name: str) -> None:
        """Pass it on."""
        super().phase(name)
        self._display.phase(name)
        self._write()

    def publishing(self, done: int, total: int) -> None:
        """Pass it on."""
        self._display.publishing(done, total)
        self._write_if_due()

    def say(self, text: str) -> None:
        """Pass it on."""
        self._display.say(text)

    def warn(self, text: str) -> None:
        """Pass it on."""
        self._display.warn(text)

    def _write_if_due(self) -> None:
        if abs(self._now() - self._written_at) >= _WRITE_EVERY:  # the clock may be set back
            self._write()

    def _write(self) -> None:
        with self.lock, contextlib.suppress(OSError):
            self._written_at = self._now()
            content = msgspec.json.encode(
                Running(
                    self._command,
                    show(self._started),
                    show(self._written_at),
                    self.phase_name or "starting",
                    self.sessions_read,
                    self.sessions,
                    self.windows_done,
                    self.windows,
                )
            )
            draft = self._layout.scratch / self._layout.running.name
            with os.fdopen(files.new_file(draft), "wb") as file:
                file.write(content)
            files.replace_derived(draft, self._layout.running)
