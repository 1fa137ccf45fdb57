"""Schedules as processes, and questions to the Prefect server that they use."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil

import vapi_sessions
from constants import KEY
from vapi_emulator.server import EmulatorServer
from vapi_sessions.errors import VapiSessionsError

ROOT = Path(__file__).resolve().parents[1]
#: A second organisation beside the usual one.
OTHER_KEY, OTHER_ORG = "another-key-that-must-not-show", "0e111a70-0000-4000-8000-000000000002"


def wait_until(true: Callable[[], object]) -> None:
    """Wait without a limit; the test has a time-out."""
    while not true():
        time.sleep(0.2)


def environment(source: EmulatorServer, **more: str) -> dict[str, str]:
    """The environment without the developer's own settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("VAPI_", "PREFECT_"))}
    return own | {
        "VAPI_API_KEY": KEY,
        "VAPI_BASE_URL": source.url,
        "VAPI_SETTLE": "0s",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        **more,
    }


def runs(warehouse: Path) -> int:
    """How many runs of the flow the warehouse has recorded."""
    try:
        with vapi_sessions.connect(warehouse) as db:
            ((count,),) = db.execute("SELECT count(*) FROM sync.runs WHERE command = 'sync flow'").fetchall()
            return int(count)
    except VapiSessionsError:
        return 0


def asked(api: str, what: str, which: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Objects of one kind in Prefect's API."""
    # Without a proxy. On a busy machine the server answers late.
    with httpx.Client(trust_env=False, timeout=60) as client:
        found: list[dict[str, Any]] = client.post(f"{api}/{what}/filter", json=which).json()
    return found


def lives(process: psutil.Process) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def words(process: psutil.Process) -> str:
    """The command line; empty if the process has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def free_port() -> int:
    """A port that is free now; the usual one may be that of another test."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Schedules:
    """Starts `vapi-sessions schedule`, and ends all of them."""

    def __init__(self) -> None:
        self._started: list[psutil.Popen] = []

    def start(self, warehouse: Path, environment: Mapping[str, str]) -> psutil.Popen:
        command = [sys.executable, "-m", "vapi_sessions", "schedule", "--every", "3s"]
        if "PREFECT_API_URL" not in environment:
            command += ["--port", str(free_port())]
        with (warehouse.parent / f"{warehouse.name}.log").open("ab") as log:
            self._started.append(
                psutil.Popen(
                    [*command, "--warehouse", str(warehouse)],
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                )
            )
        return self._started[-1]

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()
