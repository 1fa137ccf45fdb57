"""One seed told step by step, for whoever has to find out why it fails."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

import httpx

from vapi_sessions.core.timestamps import show

from .mutants import Mutant
from .world import RunRecord, World, scratch


class _Told(World):
    def run(self, command: str, **options: Any) -> RunRecord:
        stop = f", {self.stops.kind} planned at {self.stops.point}" if self.stops.kind else ""
        print(f"{show(self.clock.true)} {command} {options or ''} with {self.key}{stop}")
        record = super().run(command, **options)
        print(f"{show(self.clock.true)} {record.error!r}" if record.error else f"    {record.result}")
        return record

    def _respond(self, request: httpx.Request, record: RunRecord, before: int) -> httpx.Response:
        faulty, told = record.faulty, "nothing"
        try:
            response = super()._respond(request, record, before)
            told = str(response.status_code)
            with contextlib.suppress(ValueError, KeyError, TypeError, httpx.ResponseNotRead):
                page = json.loads(response.content)
                ids = " ".join(row["id"][:8] for row in page["results"])
                told += f" {len(page['results'])} of {page['metadata']['totalItems']}: {ids}"
        finally:
            wanted = request.url.query.decode() or request.url.path
            print(
                f"    {show(self.clock.true)} {wanted}{' FAULT' if record.faulty > faulty else ''} -> {told}"
            )
        return response


def traced(seed: int, mutant: Mutant | None = None) -> None:
    """Play the seed and tell every request. Raises Violation."""
    with (
        tempfile.TemporaryDirectory(dir=scratch(), prefix="simulation-") as place,
        mutant.planted() if mutant else contextlib.nullcontext() as planting,
    ):
        world = _Told(seed, Path(place) / "warehouse")
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
                print(f"the planted mistake made a difference {planting.changes} time(s)")
