"""A warehouse with its source, and the command line to run on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import command
from command import Ran
from constants import KEY
from published import looking, tables_of
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import FaultSettings

OURS: Final = "0e111a70-0000-4000-8000-000000000001"
THEIRS: Final = "0e111a70-0000-4000-8000-000000000002"
THEIR_KEY: Final = "another-key-that-must-not-show"


@dataclass
class Desk:
    """A warehouse, the source it was synced from, and the environment of its commands."""

    server: EmulatorServer
    warehouse: Path
    environment: dict[str, str] = field(default_factory=dict)
    #: Put before the command: a program that starts it.
    wrapper: list[str] = field(default_factory=list)
    #: The contents of the warehouse at the start.
    held: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("VAPI_")}
        self.environment = inherited | {
            "VAPI_API_KEY": KEY,
            "VAPI_BASE_URL": self.server.url,
            "VAPI_WAREHOUSE": str(self.warehouse),
            "VAPI_SETTLE": "0s",
        }

    def run(self, *arguments: str, stdin: str = "") -> Ran:
        """Run the command to its end, in this process."""
        return command.run(
            *arguments, environment=self.environment, directory=self.warehouse.parent, stdin=stdin
        )

    def start(self, *arguments: str) -> Ran:
        """Run the command to its end, in a process of its own."""
        return command.start(
            *arguments,
            environment=self.environment,
            directory=self.warehouse.parent,
            wrapper=self.wrapper,
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of a query on the published tables."""
        with looking(self.warehouse) as db:
            return db.execute(sql).fetchall()

    def contents(self) -> dict[str, Any]:
        """The contents of the warehouse that no error may lose."""
        return contents(self.warehouse)

    def files(self) -> dict[str, tuple[bytes, int]]:
        """Content and modification time of every file of the warehouse except the lock, which records its last holder."""
        return {
            str(path.relative_to(self.warehouse)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in self.warehouse.rglob("*")
            if path.is_file() and path.name != ".lock"
        }


def contents(warehouse: Path) -> dict[str, Any]:
    """The rows of the five tables, and the raw files."""
    raw = {path.name: path.read_bytes() for path in (warehouse / "raw").iterdir()}
    return tables_of(warehouse) | raw


def always(kind: str) -> Callable[[Desk], None]:
    """Make the source respond to every request with this fault."""
    return lambda desk: desk.server.configure(faults=FaultSettings(probabilities={kind: 1.0}))
