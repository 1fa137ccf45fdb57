"""Syncs that cannot be the command itself: on a clock of their own, or with a look inside. Each in a process.

`python -m tests.benchmarks.inside hours URL WAREHOUSE FIRST STEP RUNS` syncs so often, at simulated moments a step
apart (µs), and prints the database's size after each. `… redaction URL WAREHOUSE timed|off|masked` syncs once and prints
how long that took, and how much of a processor's time went into the redaction, and with `masked` into a policy that masks.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vapi_sessions.operations import sync
from vapi_sessions.privacy import redaction as redact
from vapi_sessions.privacy.policy import Policy
from vapi_sessions.settings import load_settings
from vapi_sessions.warehouse.layout import Layout

from .replay import control


def hours(url: str, warehouse: Path, first: int, step: int, runs: int) -> dict[str, Any]:
    """Sync again and again; sizes of the database file in bytes, and seconds."""
    settings = load_settings(warehouse=warehouse, base_url=url)
    sizes, seconds = [], []
    for run in range(runs):
        moment = first + run * step
        control(url, moment=moment)
        began = time.monotonic()
        sync.sync(settings, environment=sync.Environment(now=_clock(moment, began)))
        seconds.append(time.monotonic() - began)
        sizes.append(Layout(warehouse).index.stat().st_size)
    return {"sizes": sizes, "seconds": seconds}


def _clock(moment: int, began: float) -> Any:
    return lambda: moment + int((time.monotonic() - began) * 1e6)


def redaction(url: str, warehouse: Path, mode: str) -> dict[str, Any]:
    """One full sync, with the redaction's own time taken, with a policy's as well, or without any redaction."""
    redact_page = redact.redact_page
    spent: list[float] = []

    def off(bodies: Sequence[bytes], *_: Any, **__: Any) -> list[bytes]:
        return list(bodies)

    def timed(bodies: Sequence[bytes], *more: Any, **named: Any) -> list[bytes]:
        began = (
            time.thread_time()
        )  # pages are treated side by side: what one waits for another is not its cost
        try:
            return redact_page(bodies, *more, **named)
        finally:
            spent.append(time.thread_time() - began)

    redact.redact_page = off if mode == "off" else timed
    text = "mask" if mode == "masked" else "keep"
    if mode == "masked":
        page = Policy.page

        def masked(policy: Policy, bodies: Sequence[bytes]) -> list[bytes]:
            began = time.thread_time()
            try:
                return page(policy, bodies)
            finally:
                spent.append(time.thread_time() - began)

        Policy.page = masked
    settings = load_settings(warehouse=warehouse, base_url=url, message_text=text)
    began = time.perf_counter()
    sync.sync(settings)
    return {"wall": time.perf_counter() - began, "redaction": sum(spent), "calls": len(spent)}


def main() -> None:
    """What the first argument says."""
    what, url, warehouse, *rest = sys.argv[1:]
    if what == "hours":
        print(json.dumps(hours(url, Path(warehouse), *map(int, rest))))
    else:
        print(json.dumps(redaction(url, Path(warehouse), rest[0])))


if __name__ == "__main__":
    main()
