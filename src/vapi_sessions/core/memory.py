"""Memory, as the process at large is asked to treat it: pages come and go in blocks of megabytes, rows by the hundred thousand."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
#: Bytes. Blocks from this size on are mapped, and unmapped when freed; of what smaller ones leave free at the end, so much is
#: kept. Smaller figures cost time, because fresh memory is filled with zeros page by page: a twelfth of a sync's processor time
#: with 2 MB, a sixth with 1 MB; and 8 MB instead of 3 cost 20 MB at the peak.
_MAPPED: Final = 3_000_000
_KEPT: Final = 32_000_000


def stay_flat() -> None:
    """For this process; before pyarrow is imported, whose pool would keep memory too. A third less at the peak.

    Only where the C library is glibc; elsewhere nothing happens. Environment variables of the user's own win.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    os.environ.setdefault(
        "OPENBLAS_NUM_THREADS", "1"
    )  # numpy's, which pyarrow imports: idle threads that spin
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _MAPPED)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_ARENA_MAX, 2)


def give_back() -> None:
    """Return what is free to the system, between two parts of a run that need memory of different shapes; glibc only.

    Pages leave holes among what stays, a third of all at the end, which a publication's rows do not fit into.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


#: What the collector takes for a threshold: a C int. Somebody who set a large one means to have next to no collections.
_MOST_OBJECTS: Final = 2**31 - 1

_lock: Final = threading.Lock()
_inside = 0
_usual: tuple[int, int, int] = gc.get_threshold()


@contextlib.contextmanager
def fewer_collections() -> Iterator[None]:
    """While somebody is inside, the cycle collector looks at new objects a hundredth as often.

    Decoding allocates many that live shortly and are in no cycle; looking at them would cost as much again.
    """
    global _inside, _usual
    with _lock:
        if _inside == 0:
            _usual = gc.get_threshold()
            gc.set_threshold(min(_usual[0] * 100, _MOST_OBJECTS), *_usual[1:])
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                gc.set_threshold(*_usual)
