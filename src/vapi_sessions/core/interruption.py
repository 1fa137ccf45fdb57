"""Work that Ctrl-C does not cut short, because doing it again would take longer than finishing it.

The handler of the signal calls `postpone`. Without a handler that does so, KeyboardInterrupt is raised at once as always.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

_depth = 0
_due = False


def postpone() -> bool:
    """Whether the main thread does such work now. Then KeyboardInterrupt is raised when it is done."""
    global _due
    _due = _due or bool(_depth)
    return bool(_depth)


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Do not interrupt what is inside. Has no effect in other threads, which no signal interrupts."""
    global _depth, _due
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        due, _due = _due and not _depth, _due and bool(_depth)
    if due:
        raise KeyboardInterrupt
