"""Starts and controls the process of the replay server."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from .dataset import Dataset
from .pages import END

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts of the server since it was last asked; see `server.Counts`."""

    requests: int
    bytes: int
    in_flight: int
    most_in_flight: int
    seconds_all_in_flight: float
    first_request: float | None
    last_answer: float | None

    @property
    def span(self) -> float:
        """Seconds from the first request to the last answer."""
        return (self.last_answer or 0.0) - (self.first_request or 0.0)


class ReplayServer:
    """A process that serves one data set. Use as a context manager."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.server", str(dataset.bodies), str(dataset.index)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        port = (self._process.stdout.readline() if self._process.stdout else "").strip()
        if not port:
            self.close()
            raise RuntimeError("the replay server did not start")
        self.url = f"http://127.0.0.1:{port}"

    def __enter__(self) -> ReplayServer:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def set(self, *, moment: int = END, latency: float = 0.0, slots: int = 6) -> None:
        """Show the state of `moment` (µs) from now on, and clear the counts."""
        control(self.url, moment=moment, latency=latency, slots=slots)

    def counted(self) -> Counted:
        """The counts since the last call or `set`."""
        return Counted(**control(self.url))

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(10)


def control(url: str, **given: float) -> dict[str, Any]:
    """Set what is given on a replay server; returns its counts so far."""
    answer = httpx.get(
        f"{url}/control", params={name: str(value) for name, value in given.items()}, timeout=30
    )
    counts: dict[str, Any] = answer.raise_for_status().json()
    return counts
