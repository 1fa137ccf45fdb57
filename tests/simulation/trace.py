"""Plays one seed and prints each run and each request, to find out why the seed fails."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import httpx

from vapi_sessions.core.timestamps import show

from .mutants import Mutant
from .record import RunRecord
from .transport import Transport
from .world import World, scratch


class _TracedTransport(Transport):
    def respond(self, request: httpx.Request, record: RunRecord, before: int) -> httpx.Response:
        faulty, outcome = record.faulty, "nothing"
        try:
            response = super().respond(request, record, before)
            outcome = str(response.status_code)
            with contextlib.suppress(ValueError, KeyError, TypeError, httpx.ResponseNotRead):
                page = json.loads(response.content)
                ids = " ".join(row["id"][:8] for row in page["results"])
                outcome += f" {len(page['results'])} of {page['metadata']['totalItems']}: {ids}"
        finally:
            asked = request.url.query.decode() or request.url.path
            fault = " FAULT" if record.faulty > faulty else ""
            print(f"    {show(self._world.clock.true)} {asked}{fault} -> {outcome}")
        return response


class _TracedWorld(World):
    def __init__(self, seed: int, warehouse: Path) -> None:
        super().__init__(seed, warehouse)
        self.transport = _TracedTransport(self)

    def run(self, command: str, **options: Any) -> RunRecord:
        stop = f", {self.stops.kind} planned at {self.stops.point}" if self.stops.kind else ""
        print(f"{show(self.clock.true)} {command} {options or ''} with {self.key}{stop}")
        record = super().run(command, **options)
        print(f"{show(self.clock.true)} {record.error!r}" if record.error else f"    {record.result}")
        return record


def traced(seed: int, mutant: Mutant | None = None) -> None:
    """Play the seed, perhaps with a planted mistake, and print every request. Raises Violation."""
    with (
        tempfile.TemporaryDirectory(dir=scratch(), prefix="simulation-") as place,
        mutant.planted() if mutant else contextlib.nullcontext() as planting,
    ):
        world = _TracedWorld(seed, Path(place) / "warehouse")
        print(
            f"page {world.page}, settle {world.settle / 1e6:g} s, lookback {world.lookback / 1e6:g} s, lag {world.lag / 1e6:g} s"
        )
        print(f"{world.knobs} {world.model.shape}")
        try:
            world.play()
        finally:
            if world.invariants is not None:
                world.invariants.release()
            if planting is not None:
                times = "once" if planting.changes == 1 else f"{planting.changes} times"
                print(f"the planted mistake made a difference {times}")
