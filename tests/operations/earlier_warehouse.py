"""The warehouse of version 0.1.0 in `warehouses/`, and its source. `warehouses/make.py` says what is in it, and made it with that
version's code.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from clocks import Clock
from constants import KEY
from vapi_emulator.server import EmulatorServer
from vapi_emulator.stored import make_row
from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings
from vapi_sessions.core.timestamps import parse
from vapi_sessions.operations.sync import Summary
from worlds import RecordedProgress, World

ARCHIVE: Final = Path(__file__).with_name("warehouses") / "0.1.0.tar.xz"
POLICY: Final = {"personal_data": "pseudonymise", "pseudonym_key": "a key of enough characters"}


@dataclass
class Earlier:
    """The warehouse and its source. `lost`: sessions that raw/ does not have; `newer`: sessions whose newest version it does not have."""

    world: World
    lost: set[str]
    newer: set[str]
    forgotten: set[str]
    later: set[str]
    fetched: Path

    @property
    def store(self) -> Path:
        """That version's database."""
        return self.world.warehouse / "store.duckdb"

    def change(self, *statements: str) -> None:
        """Run statements on that version's database."""
        with duckdb.connect(str(self.store)) as db:
            for statement in statements:
                db.execute(statement)

    def sync(self) -> tuple[Summary, list[str]]:
        """One sync under its policy, and the messages."""
        notes = RecordedProgress()
        return self.world.sync(progress=notes, **POLICY), notes.said


def unpack(place: Path) -> None:
    """Unpack the archive there."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(place, filter="data")


@contextmanager
def copy_of(unpacked: Path, place: Path) -> Iterator[Earlier]:
    """A copy of the warehouse, its source, and the time at which it was left."""
    told: dict[str, Any] = json.loads((unpacked / "source.json").read_text())
    clock = Clock()
    clock.forward(microseconds=told["now"] - clock.us())
    with EmulatorServer(EmulatorSettings(keys={KEY: DEFAULT_ORG}), clock=clock) as server:
        server.configure(retention_days=told["retention_days"])
        server.store.insert_many(
            make_row(session, parse(session["createdAt"]), parse(session["updatedAt"]))
            for session in told["sessions"]
        )
        world = World(server, place / "warehouse", clock)
        shutil.copytree(unpacked / "warehouse", world.warehouse, symlinks=True)
        (fetched,) = (unpacked / "later").iterdir()
        names = (set(told[name]) for name in ("lost", "newer", "forgotten", "later"))
        yield Earlier(world, *names, fetched)
