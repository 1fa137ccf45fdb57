"""Ctrl-C and SIGTERM: the first signal lets a command end in order, the second ends the process at once.

Ending at once is as safe as `kill -9`: the next run continues where this one stopped. `received` is the first signal,
for the exit code. `announce` shows a line at once; while a bar is shown, the bar does that.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

from vapi_sessions.core import interruption

STOPPING: Final = "stopping after what is being written; press again to stop now"

received: int | None = None


@contextlib.contextmanager
def listening(message: Callable[[bool], str]) -> Iterator[None]:
    """While this context is open, both signals raise KeyboardInterrupt in the main thread, or as soon as it need not be postponed.

    `message` gives the line to print at once, or ""; it is told whether the command goes on for a while. A signal that was ignored
    when the process started stays ignored, as `nohup` and background shells require.
    """
    global received
    received = None

    def interrupted(number: int, frame: FrameType | None) -> None:
        global received
        if received is not None:
            if sys.stderr is not None and sys.stderr.isatty():
                _write("\r\x1b[J\x1b[?25h")  # a progress bar hides the cursor
            os._exit(128 + number)
        received = number
        postponed = interruption.postpone()
        if text := message(postponed):
            announce(text)
        if not postponed:
            raise KeyboardInterrupt

    before = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None)
    }
    for number in before:
        signal.signal(number, interrupted)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def write_line(text: str) -> None:
    """Write a line to stderr."""
    _write(f"{text}\n")


announce: Callable[[str], None] = write_line


def _write(text: str) -> None:
    """Write to stderr without Python's buffers, which the interrupted code may be using."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), text.encode())
