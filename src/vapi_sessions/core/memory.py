"""glibc and garbage-collector tuning, for pages of megabytes and rows by the hundred thousand."""

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
#: Bytes. Larger blocks are mapped, and unmapped when they are freed. Of the free memory at the end of the heap, `_KEPT` is kept.
#: A lower threshold costs time, because new memory is filled with zeros: a twelfth of a sync's processor time with 2 MB, a sixth
#: with 1 MB. A threshold of 8 MB costs 20 MB at the peak.
_MAPPED: Final = 3_000_000
_KEPT: Final = 32_000_000


def stay_flat() -> None:
    """Let this process return memory to the system early, which lowers the peak by a third. glibc only.

    Call it before pyarrow is imported, whose memory pool would keep memory, too. The user's environment variables take precedence.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    # For numpy, which pyarrow imports: otherwise idle threads spin.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _MAPPED)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_ARENA_MAX, 2)


def give_back() -> None:
    """Return free memory to the system, between reading and publishing. glibc only.

    After reading, a third of the memory is free in gaps too small for the rows of a publication.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


#: The largest threshold that the collector accepts, a C int. A user may have set a high one to avoid collections.
_MOST_OBJECTS: Final = 2**31 - 1

_lock: Final = threading.Lock()
_inside = 0
_usual: tuple[int, int, int] = gc.get_threshold()


@contextlib.contextmanager
def fewer_collections() -> Iterator[None]:
    """Inside this context, the cycle collector runs a hundredth as often.

    Decoding allocates many short-lived objects without cycles; collections would take as long as the decoding.
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
