"""Serves the Prefect deployments of a warehouse, or runs a flow once. Only `schedule*.py` uses Prefect and `flows/`."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING

from vapi_sessions.core import resources, telemetry
from vapi_sessions.core.timestamps import SECOND
from vapi_sessions.operations import schedule_server
from vapi_sessions.operations.schedule_timing import MAINTAIN_EVERY, Timing, due, duration, last_run, moment
from vapi_sessions.settings import Settings
from vapi_sessions.warehouse.schedule_lock import scheduling

if TYPE_CHECKING:
    from vapi_sessions.operations.schedule_runner import Deployment


def serve(settings: Settings, timing: Timing, *, port: int | None, say: Callable[[str], None]) -> None:
    """Serve the sync, reconcile, maintenance and backfill of a warehouse until stopped.

    SIGTERM and SIGHUP stop it like Ctrl-C, at any moment. The flows read their settings from the environment, so that the key never
    becomes a parameter. `port` is that of a Prefect server that is started. Raises ConfigurationError, and WarehouseBusyError if
    this warehouse is scheduled already.
    """
    settings.key()  # a missing key is an error now, not at the first run
    telemetry.off()  # before the first import of Prefect
    timing.check()
    schedule_server.check_port(port)
    with scheduling(settings.warehouse) as name, _ending_on_signals():
        os.environ["VAPI_WAREHOUSE"] = str(settings.warehouse)
        os.environ["VAPI_BASE_URL"] = settings.base_url
        with schedule_server.server(say, port) as ended:
            from vapi_sessions.operations import schedule_runner

            schedule_runner.run(name, _deployments(settings.warehouse, timing), say, ended)


def run_now(settings: Settings, flow: Callable[[], object]) -> None:
    """Run a flow once in this process, on the configured Prefect server or on a temporary one.

    Raises the errors of the flow, and ConfigurationError before the server starts if there is no key.
    """
    settings.key()
    with schedule_server.server(lambda text: print(text, file=sys.stderr), port=0):
        flow()


def _deployments(warehouse: Path, timing: Timing) -> list[Deployment]:
    """What is served: the sync first and at once, so that a new schedule need not wait, and the others when they are due."""
    from vapi_sessions.operations.schedule_runner import Deployment

    now = time.time_ns() // 1_000
    sync, backfill = load_flow("sync").sync_flow, load_flow("backfill").backfill_flow
    if timing.cron is not None:
        told = f"now, then on '{timing.cron}' ({timing.zone})"
        found = [Deployment(sync, told, cron=timing.cron, zone=timing.zone, now=True)]
    else:
        told = f"now, then every {duration(timing.every or SECOND)}"
        found = [Deployment(sync, told, interval=timing.every, anchor=now, now=True)]
    repeated = [("reconcile", timing.reconcile_every), ("maintain", MAINTAIN_EVERY)]
    for command, interval in repeated:
        if (resources.directory("flows") / f"{command}.py").is_file():
            flow = getattr(load_flow(command), f"{command}_flow")
            when = due(last_run(warehouse, command), interval, now)
            told = f"every {duration(interval)}, {'now' if when.now else f'next {moment(when.anchor + interval)}'}"
            found.append(Deployment(flow, told, interval=interval, anchor=when.anchor, now=when.now))
    return [*found, Deployment(backfill, "on demand")]


@contextlib.contextmanager
def _ending_on_signals() -> Iterator[None]:
    """SIGTERM ends the process with a clean-up, and SIGHUP does the same as SIGTERM. Ignored signals stay ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    def hang_up(number: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGTERM)  # the runner may have replaced its handler

    handlers = {signal.SIGTERM: end, signal.SIGHUP: hang_up}
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        if before[number] != signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def load_flow(name: str) -> ModuleType:
    """Import `flows/<name>.py` from the wheel or, with an editable installation, from the checkout.

    It gets a name that the process of a scheduled run can import too, because that process gets the flow by reference.
    """
    package = "vapi_sessions._flows" if resources.directory("flows").name == "_flows" else "flows"
    return importlib.import_module(f"{package}.{name}")
