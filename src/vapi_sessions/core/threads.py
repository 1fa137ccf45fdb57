"""Parallel calls in threads that Ctrl-C can interrupt."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Final, TypeVar

#: Seconds. A signal may be delivered to a thread of a library; the main thread then notices it when it wakes up.
SIGNALS_EVERY: Final = 0.2
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def side_by_side(
    call: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    workers: int,
    name: str,
    stop: Callable[[], None],
) -> list[_Result]:
    """Call `call` for each item in threads. Returns the results in the order of the items.

    After the first failure, or Ctrl-C, calls `stop`, waits for the threads, and raises the error.
    """
    with ThreadPoolExecutor(workers, name) as pool:
        futures: list[Future[_Result]] = []
        try:
            # Inside the `try`, because Ctrl-C may come while they are being started.
            futures.extend(pool.submit(call, item) for item in items)
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=SIGNALS_EVERY, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
        except BaseException:
            stop()
            for future in futures:
                future.cancel()
            raise
        return [future.result() for future in futures]
