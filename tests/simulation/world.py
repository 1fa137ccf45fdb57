"""One seed: a model with its traffic, a warehouse, and the runs of the engine between them."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from vapi_sessions.core.timestamps import DAY, HOUR, MILLISECOND, MINUTE, SECOND
from vapi_sessions.errors import VapiSessionsError, WarehouseBusyError
from vapi_sessions.operations import maintain, reconcile, sync
from vapi_sessions.settings import Settings
from vapi_sessions.source.environment import Environment

from . import engine
from .clock import Clock
from .invariants import Invariants
from .model import EMPTY_KEY, KEY, OTHER_KEY, Model
from .parameters import Parameters
from .record import Recoveries, RunRecord
from .stops import Stopped, Stops
from .themes import THEMES, Theme
from .traffic import Traffic
from .transport import Transport
from .violation import Violation

#: Changes that happen during one run at most. Changes cause requests, and more changes happen between requests.
CHANGES_A_RUN: Final = 40


class World(Parameters):
    """The simulated surroundings of a warehouse. Everything follows from `seed`."""

    def __init__(self, seed: int, warehouse: Path, *, check: bool = True) -> None:
        super().__init__(seed)
        self.warehouse = warehouse
        #: How often each fault, stop, recovery and kind of traffic occurred.
        self.fired: Counter[str] = Counter()
        self.clock = Clock()
        self.clock.source_off, self.clock.ours_off = self.source_off, self.ours_off
        self.clock.on_sleep = self.happen
        self.model = Model(self.clock, random.Random(self.model_seed), self.shape)
        self.traffic = Traffic(
            self.model, random.Random(self.traffic_seed), page=self.page, fired=self.fired, late=self.late
        )
        self.transport = Transport(self)
        self.stops = Stops(self.fired)
        self.invariants = Invariants(self) if check else None
        self.run_record: RunRecord | None = None
        #: The key in use.
        self.key = KEY
        #: Whether a sync has seen its organisation: before that, the warehouse belongs to nobody.
        self.owned = False
        #: The fault that every request of this run gets.
        self.persistent = ""
        #: Whether traffic and faults are over.
        self.healthy = False
        #: Whether this is the last run of a world in which nothing was published before.
        self.concluding = False
        #: Pages that arrive later, see `engine.reordered`.
        self.delayed: list[tuple[Any, ...]] = []
        self._stops_planned = 0
        self._changes_left = CHANGES_A_RUN
        #: Events that may happen during this run, besides traffic.
        self._events: list[Callable[[], None]] = []
        if self.theme:
            self._apply(THEMES[self.theme])
        if check and self.spoiling:
            self.traffic.weights[self.traffic.spoil] = 2.0

    def _apply(self, theme: Theme) -> None:
        for name, value in theme.world.items():
            setattr(self, name, value)
        self.knobs.update(theme.knobs)
        for action in self.traffic.weights:
            self.traffic.weights[action] *= theme.traffic.get(action.__name__, 1)

    # -- a seed from beginning to end ----------------------------------------------------------------------------

    def play(self) -> None:
        """History; some runs under traffic, faults and stops; then peace, after which everything must be equal."""
        rng = self.rng
        order = engine.reordered(self) if self.reordering else contextlib.nullcontext()
        with engine.scaled_down(self), self.stops.watching(), engine.watched(self), order:
            self.traffic.history(self.history)
            for number in range(self.runs):
                command = "reconcile" if number and rng.random() < self.reconciles else "sync"
                self.disturbed_run(command)
                self.idle()
                if self.merging:
                    self.disturbed_run("maintain")
                    self.restore_some()
            self.peace()

    def disturbed_run(self, command: str) -> None:
        """One run, with whatever goes wrong this time."""
        rng = self.rng
        self.persistent = ""
        if self.fault_rate and rng.random() < 0.08:
            self.persistent = rng.choice(
                ("ignored filter", "ignored sort", "wrong totalItems", "5xx", "429 without a header")
            )
        if rng.random() < self.stop_rate:
            turn = self.seed + 5 * self._stops_planned
            self.stops.plan(rng, turn, requests=20, publishing=self.publishing, merging=self.merging)
            self._stops_planned += 1
        self._events = []
        if rng.random() < 0.15:
            self._events.append(self.second_sync)
        if rng.random() < 0.3 and self.invariants is not None:
            self._events.append(self.invariants.open_reader)
        if rng.random() < 0.08:
            self._events.append(self.our_clock_jumps)
        if rng.random() < self.foreign and self.owned and command != "maintain":
            self.key = rng.choice((OTHER_KEY, EMPTY_KEY))
        self.run(command)
        self.key, self.persistent = KEY, ""

    def peace(self) -> None:
        """Traffic and faults end, and every change becomes visible. One more sync and reconcile must make all equal.

        In worlds about deletions a reconcile before them must find all it can.
        """
        versions = [version for session in self.model.sessions.values() for version in session.versions]
        self.healthy = True
        self.busy = 0
        self.fault_rate = self.fault_rate_by_id = 0
        self.clock.source_off = self.clock.ours_off = 0
        visible = max(version.visible_at for version in versions)
        stamped = max(version.updated_at for version in versions)
        self.clock.true = max(visible, stamped, self.clock.true) + self.settle + self.lag + MINUTE
        self.lift_secret_cap()
        if self.reconciles == 1:  # a world about deletions: no sync reads first what is new
            self.run("reconcile", accept_deletions=True)
            self.clock.pass_(MINUTE)
        self.run("sync")
        self.clock.pass_(MINUTE)
        silent = any(version.silent for version in versions)
        hidden = silent or any(s.returned_at for s in self.model.sessions.values()) or self.traffic.late
        self.concluding, self.publishing = not self.publishing, True
        self.run("reconcile", recheck=400 * DAY if hidden else 0, accept_deletions=True)
        if self.invariants is not None:
            self.invariants.equal()

    def restore_some(self) -> None:
        """Some of the files that were merged come back from a backup."""
        backup = self.invariants.merged_files.backup if self.invariants is not None else None
        for path in sorted(backup.iterdir()) if backup is not None and backup.is_dir() else ():
            target = self.warehouse / "raw" / path.name
            if self.rng.random() < 0.2 and not target.exists():
                shutil.copyfile(path, target)
                self.fired["raw files back from a backup"] += 1

    def lift_secret_cap(self) -> None:
        """Remove a page cap that the source does not admit: in a block of ties it looks like a contradiction."""
        if not self.model.shape.cap_admitted:
            self.model.shape = replace(self.model.shape, page_cap=None)

    def idle(self) -> None:
        """Time between two runs."""
        rng = self.rng
        until = self.clock.true + int(rng.choice((MINUTE, 20 * MINUTE, 3 * HOUR, 2 * DAY)) * rng.random())
        for _ in range(rng.choice((0, 2, 6, 15))):
            self.clock.pass_(max(0, until - self.clock.true) // 8)
            if self.busy:
                self.traffic.happen()
        self.clock.true = max(self.clock.true, until)
        self._changes_left = CHANGES_A_RUN
        if rng.random() < 0.1:
            self.clock.source_off += rng.randint(-20, 20) * SECOND
            self.fired["clock: the source's jumps"] += 1

    # -- a run ---------------------------------------------------------------------------------------------------

    def settings(self) -> Settings:
        """One thread, small pages."""
        return Settings(
            warehouse=self.warehouse,
            base_url="https://source.simulated",
            api_key=SecretStr(self.key),
            concurrency=1,
            page_size=self.page,
            settle=self.settle,
            lookback=self.lookback,
        )

    def environment(self) -> Environment:
        """Our clocks and this world's transport."""
        return Environment(
            now=self.clock.ours,
            monotonic=self.clock.monotonic,
            sleep=self.clock.sleep,
            transport=self.transport,
        )

    def run(self, command: str, **options: Any) -> RunRecord:
        """One command, then everything that must hold after it."""
        record = self.run_record = RunRecord(command, self.clock.true)
        self.delayed.clear()  # pages that had not arrived when the last run died are lost
        record.listed = {session.session_id for session, _ in self.model.listed(self.clock.true - self.lag)}
        start = {"sync": sync.sync, "reconcile": reconcile.reconcile, "maintain": maintain.maintain}[command]
        try:
            record.result = start(
                self.settings(),
                environment=self.environment(),
                progress=Recoveries(self.fired),
                **options,
            )
        except (VapiSessionsError, Stopped) as error:
            record.error = error
            self.fired[f"ended: {type(error).__name__}"] += 1
        except Violation:
            raise
        except Exception as error:
            raise Violation("every stop is a success or a typed error", repr(error)[:200]) from error
        else:
            self.fired[f"ended: {command} done"] += 1
            self.owned = self.owned or (command != "maintain" and record.result.org_id is not None)
        record.ended = self.clock.true
        happened = self.stops.happened
        self.stops.clear()
        self._events = []
        self.run_record = None
        if self.invariants is not None:
            self.invariants.after(record, happened)
        return record

    # -- between two requests ------------------------------------------------------------------------------------

    def happen(self) -> None:
        """Time passes: traffic, and at times one of this run's events."""
        busy = self.busy
        while busy > 0 and self.rng.random() < busy and self._changes_left:
            self.clock.pass_(self.rng.randrange(300 * MILLISECOND))
            self.traffic.happen()
            self._changes_left -= 1
            busy -= 1
        if self._events and self.rng.random() < 0.2:
            self._events.pop()()

    def second_sync(self) -> None:
        """A sync starts while another one runs: it must fail with WarehouseBusyError."""
        quiet = replace(self.environment(), sleep=self.clock.pass_)
        try:
            sync.sync(self.settings(), environment=quiet)
        except WarehouseBusyError:
            self.fired["second sync"] += 1
        else:
            raise Violation("two syncs ran at once")

    def our_clock_jumps(self) -> None:
        """Our clock is set back or forward."""
        self.clock.ours_off += self.rng.choice((-600, -30, -5, 5, 30)) * SECOND
        self.fired["clock: ours jumps"] += 1


def play(seed: int, directory: Path | None = None) -> Counter[str]:
    """Simulate one seed in a directory of its own; returns how often each thing occurred. Raises Violation."""
    with tempfile.TemporaryDirectory(dir=directory or scratch(), prefix="simulation-") as place:
        world = World(seed, Path(place) / "warehouse")
        try:
            world.play()
        finally:
            if world.invariants is not None:
                world.invariants.release()
        return world.fired


def scratch() -> Path | None:
    """A directory in memory, if there is one: the simulation then waits for no disk."""
    memory = Path("/dev/shm")  # noqa: S108  # each seed makes a directory of its own in it
    return memory if memory.is_dir() else None
