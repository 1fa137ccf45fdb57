"""Ctrl-C and SIGTERM: the first lets a command end in order, and says so at once; the second ends the process.

Ending at once is as safe as `kill -9`, after which the next run goes on where this one was. `received` is the first
signal, for the exit code.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType

received: int | None = None


@contextlib.contextmanager
def listening(first_word: Callable[[], str]) -> Iterator[None]:
    """Inside, both signals raise KeyboardInterrupt in the main thread. `first_word` is said then, unless it is empty.

    A signal that whoever started us ignores, `nohup` or a shell in the background, stays ignored.
    """
    global received
    received = None

    def interrupted(number: int, frame: FrameType | None) -> None:
        global received
        if received is not None:
            _say(
                "\x1b[?25h" if sys.stderr is not None and sys.stderr.isatty() else ""
            )  # a progress bar hides the cursor
            os._exit(128 + number)
        received = number
        _say(f"{word}\n" if (word := first_word()) else "")
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


def _say(text: str) -> None:
    """Past Python's own buffers, which may be in use at this very moment."""
    if text and sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), text.encode())
