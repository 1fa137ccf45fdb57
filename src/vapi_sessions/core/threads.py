"""Calls in threads, and Ctrl-C noticed while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Final, TypeVar

#: Seconds. A signal may be delivered to a thread of a library; the main thread notices it only when it wakes up.
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
    """The results of several calls in threads, in the order of the items.

    The first failure, or Ctrl-C, which is noticed whatever the threads do, calls `stop` and is raised once they have ended.
    """
    with ThreadPoolExecutor(workers, name) as pool:
        futures: list[Future[_Result]] = []
        try:
            # In here, because Ctrl-C may come while they are being started.
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
