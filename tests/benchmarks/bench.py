"""Sizes, data sets, warehouses and measured commands, which the scenarios share."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from . import measure
from .dataset import Dataset
from .outcome import Cost
from .pages import END
from .replay import ROOT, Counted, ReplayServer

_DLT: Final = ROOT / ".venv-bench" / "bin" / "python"
_KEY: Final = "a-key-for-the-benchmark"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of the scenarios: numbers of sessions, runs, and syncs in a row. All follow from `sessions`."""

    sessions: int = 50_000
    runs: int = 3
    syncs: int = 72
    dlt: bool = True

    @property
    def big(self) -> int:
        """Sessions in a large warehouse."""
        return self.sessions * 4

    @property
    def small(self) -> int:
        """Sessions in a small warehouse."""
        return self.sessions * 2 // 5

    @property
    def changes(self) -> int:
        """Changed sessions: 1 % of the large warehouse."""
        return max(1, self.big // 100)

    @property
    def deletions(self) -> int:
        """Deleted sessions: 0.05 % of the large warehouse."""
        return max(1, self.big // 2_000)


@dataclass(slots=True)
class Bench:
    """One run of the benchmark, with a directory for data sets and warehouses."""

    sizes: Sizes
    directory: Path
    say: Callable[[str], None] = print
    figures: dict[str, Any] = field(default_factory=dict)
    _datasets: dict[str, Dataset] = field(default_factory=dict)

    def dataset(self, name: str, build: Callable[[Path], Dataset]) -> Dataset:
        """A data set, made once per run of the benchmark."""
        if name not in self._datasets:
            self.say(f"  making {name}")
            self._datasets[name] = build(self.directory / f"{name}.bodies")
        return self._datasets[name]

    def forget(self, name: str) -> None:
        """Remove a data set."""
        if name in self._datasets:
            self._datasets.pop(name).remove()

    def serve(self, dataset: Dataset) -> AbstractContextManager[ReplayServer]:
        """A server of a data set."""
        return ReplayServer(dataset)

    # -- what is measured --------------------------------------------------------------------------------------

    def download(self, server: ReplayServer) -> Cost:
        """Download all pages and do nothing else."""
        command = [
            sys.executable,
            "-m",
            "tests.benchmarks.download",
            server.url,
            str(server.dataset.sessions),
        ]
        server.set()
        cost, _, _ = self._run(server, command)
        if cost.bytes < server.dataset.size:
            raise RuntimeError(f"{cost.bytes} of {server.dataset.size} bytes were downloaded")
        return cost

    def sync(
        self,
        server: ReplayServer,
        warehouse: Path,
        *options: str,
        moment: int = END,
        latency: float = 0.0,
    ) -> tuple[Cost, Counted]:
        """`vapi-sessions sync` into a warehouse. The server shows its state of `moment`, µs."""
        server.set(moment=moment, latency=latency)
        command = [Path(sys.executable).with_name("vapi-sessions"), "sync"]
        where = ("--warehouse", warehouse, "--base-url", server.url)
        cost, counted, _ = self._run(server, [*command, *where, *options])
        return cost, counted

    def full_sync(self, server: ReplayServer, *options: str, latency: float = 0.0) -> tuple[Cost, Counted]:
        """A sync into a new warehouse, which is checked and removed."""
        warehouse = self.fresh("warehouse")
        result = self.sync(server, warehouse, *options, latency=latency)
        self.check(warehouse, server.dataset.sessions)
        shutil.rmtree(warehouse)
        return result

    def dlt(self, server: ReplayServer, **settings: str) -> Cost:
        """Load everything with dlt in its best configuration, except for these settings."""
        if not _DLT.exists():
            raise RuntimeError(
                "dlt's environment .venv-bench does not exist: run make bench, or give --no-dlt"
            )
        directory = self.fresh("dlt")
        directory.mkdir()
        server.set()
        cost, _, output = self._run(
            server, [_DLT, Path(__file__).with_name("dlt_run.py"), server.url, directory], **settings
        )
        loaded = json.loads(output.strip().splitlines()[-1])["sessions"]
        shutil.rmtree(directory)
        if loaded != server.dataset.sessions:
            raise RuntimeError(f"dlt loaded {loaded} of {server.dataset.sessions} sessions")
        return cost

    def parts(self, server: ReplayServer) -> dict[str, float]:
        """Processor seconds of each part of the least work, see `parts`."""
        directory = self.fresh("parts")
        directory.mkdir()
        server.set()
        command = [sys.executable, "-m", "tests.benchmarks.parts"]
        _, _, output = self._run(server, [*command, server.url, server.dataset.sessions, directory])
        shutil.rmtree(directory)
        result = json.loads(output)
        if result["rows"]["sessions"] != server.dataset.sessions:
            raise RuntimeError(
                f"the parts loaded {result['rows']['sessions']} of {server.dataset.sessions} sessions"
            )
        seconds: dict[str, float] = result["seconds"]
        return seconds

    def inside(self, server: ReplayServer, what: str, warehouse: Path, *arguments: object) -> dict[str, Any]:
        """One of the syncs of `inside`; returns what it printed."""
        command = [sys.executable, "-m", "tests.benchmarks.inside", what, server.url, warehouse]
        _, _, output = self._run(server, [*command, *arguments])
        result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return result

    # -- helpers ----------------------------------------------------------------------------------------------

    def fresh(self, name: str) -> Path:
        """An unused path in the directory; what was there is removed."""
        path = self.directory / name
        shutil.rmtree(path, ignore_errors=True)
        return path

    def check(self, warehouse: Path, sessions: int) -> None:
        """Raises RuntimeError if the warehouse does not hold this number of sessions."""
        import vapi_sessions

        with vapi_sessions.connect(warehouse) as db:
            found = db.execute("SELECT count(*) FROM sessions").fetchall()[0][0]
        if found != sessions:
            raise RuntimeError(f"{found} sessions in the warehouse, {sessions} at the source")

    def median(self, scenario: str, name: str, costs: Sequence[Cost]) -> Cost:
        """The medians of all costs; reported and kept."""
        cost = Cost.median_of(costs)
        self.figures.setdefault(scenario, {})[name] = cost
        self.say(f"  {name}: {cost}")
        return cost

    def _run(self, server: ReplayServer, command: Sequence[object], **more: str) -> tuple[Cost, Counted, str]:
        measured = measure.run(command, env={**environment(), **more}, cwd=ROOT)
        counted = server.counted()
        answering = (
            measured.ended - counted.first_request if counted.first_request is not None else measured.wall
        )
        cost = Cost(
            wall=measured.wall,
            cpu=measured.cpu,
            memory=measured.memory,
            answering=answering,
            requests=counted.requests,
            bytes=counted.bytes,
        )
        return cost, counted, measured.output


def environment() -> dict[str, str]:
    """The environment of the caller, without settings of the caller's own warehouse."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VAPI_")}
    return {**kept, "VAPI_API_KEY": _KEY}
