"""Syncs that the command cannot do: with a clock of their own, or with measurements inside. Each runs in a process.

`python -m tests.benchmarks.inside hours URL WAREHOUSE FIRST STEP RUNS` runs a number of syncs at simulated times, STEP µs
apart, and prints the size of the database after each. `… redaction URL WAREHOUSE timed|off|masked` syncs once and prints
the wall time and the processor time of redaction; with `masked` also of a policy that masks texts.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vapi_sessions.operations import sync
from vapi_sessions.privacy import redaction
from vapi_sessions.privacy.policy import Policy
from vapi_sessions.settings import load_settings
from vapi_sessions.source.environment import Environment
from vapi_sessions.warehouse.layout import Layout

from .replay import control


def hours(url: str, warehouse: Path, first: int, step: int, runs: int) -> dict[str, Any]:
    """Sync `runs` times; returns the size of the index after each, in bytes, and the seconds of each."""
    settings = load_settings(warehouse=warehouse, base_url=url)
    sizes, seconds = [], []
    for run in range(runs):
        moment = first + run * step
        control(url, moment=moment)
        began = time.monotonic()
        sync.sync(settings, environment=Environment(now=_clock(moment, began)))
        seconds.append(time.monotonic() - began)
        sizes.append(Layout(warehouse).index.stat().st_size)
    return {"sizes": sizes, "seconds": seconds}


def _clock(moment: int, began: float) -> Any:
    return lambda: moment + int((time.monotonic() - began) * 1e6)


def redacted(url: str, warehouse: Path, mode: str) -> dict[str, Any]:
    """One full sync: with the time of redaction (`timed`), of redaction and masking (`masked`), or without redaction (`off`)."""
    redact_page = redaction.redact_page
    spent: list[float] = []

    def off(bodies: Sequence[bytes], *_: Any, **__: Any) -> list[bytes]:
        return list(bodies)

    def timed(bodies: Sequence[bytes], *more: Any, **named: Any) -> list[bytes]:
        began = time.thread_time()  # threads redact pages side by side: waiting does not count
        try:
            return redact_page(bodies, *more, **named)
        finally:
            spent.append(time.thread_time() - began)

    redaction.redact_page = off if mode == "off" else timed
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
    """Run what the first argument says."""
    what, url, warehouse, *rest = sys.argv[1:]
    if what == "hours":
        print(json.dumps(hours(url, Path(warehouse), *map(int, rest))))
    else:
        print(json.dumps(redacted(url, Path(warehouse), rest[0])))


if __name__ == "__main__":
    main()
