"""A world: an emulator, a warehouse, and the clock of both. Sleeping moves the clock, so nothing waits."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from pydantic import SecretStr

from clocks import Clock
from constants import KEY
from published import looking, tables_of
from transports import Watched
from vapi_emulator.generate import History, fill
from vapi_emulator.server import EmulatorServer
from vapi_emulator.stored import make_row
from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings
from vapi_sessions.core.timestamps import MILLISECOND, from_datetime, parse
from vapi_sessions.operations import rebuild, sync
from vapi_sessions.operations.progress import Progress, Silent
from vapi_sessions.operations.sync import Summary
from vapi_sessions.settings import Settings, load_settings
from vapi_sessions.source.environment import Environment

#: Creation and last change of the n-th session, µs.
Times = Callable[[int], tuple[int, int]]


class RecordedProgress(Silent):
    """Keeps the messages of a run."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """Keep one message."""
        self.said.append(text)

    def warn(self, text: str) -> None:
        """Keep one warning."""
        self.said.append(f"warning: {text}")


def settings_for(server: EmulatorServer, warehouse: Path, **given: object) -> Settings:
    """Settings of a run against this server, without a settling delay unless one is given."""
    return load_settings(
        **{
            "warehouse": warehouse,
            "base_url": server.url,
            "api_key": SecretStr(server.key),
            "settle": "0s",
            **given,
        }
    )


class World:
    """A source, a warehouse and their clock."""

    def __init__(self, server: EmulatorServer, warehouse: Path, clock: Clock) -> None:
        self.server = server
        self.warehouse = warehouse
        self.clock = clock
        self._made = 0

    def adopt(self, template: World) -> None:
        """Copy the warehouse and the time of a world whose source has the same sessions."""
        assert self.there() == template.there()
        shutil.copytree(template.warehouse, self.warehouse, symlinks=True)
        self.clock.forward(microseconds=template.clock.us() - self.clock.us())
        self.forget_requests()

    # -- the source

    def insert(self, count: int, times: Times, *, org_id: str | None = None, **fields: object) -> list[str]:
        """Add small sessions to the source; returns their ids."""
        rows = []
        for n in range(count):
            self._made += 1
            session = {
                "id": str(UUID(int=self._made, version=4)),
                "orgId": org_id or self.server.org_id,
                "status": "completed",
                "cost": 0.01,
                "messages": [{"role": "user", "content": f"Hello {self._made}"}],
                **fields,
            }
            rows.append(make_row(session, *times(n)))
        self.server.store.insert_many(rows)
        return [row.id for row in rows]

    def ago(self, **span: float) -> int:
        """The time a `timedelta` before now, µs."""
        return from_datetime(self.clock() - timedelta(**span))

    def generate(self, sessions: int, *, days: float = 10, seed: int = 1, until: int | None = None) -> None:
        """Fill the source with conversations that ended before `until` (µs; default: now)."""
        until = self.clock.us() if until is None else until
        history = History(org_id=self.server.org_id, sessions=sessions, days=days, seed=seed, until_us=until)
        fill(self.server.store, history)

    def there(self, org_id: str | None = None) -> set[tuple[str, int, int]]:
        """The sessions of the source: id, `updatedAt` in ms, number of messages."""
        return {
            (s["id"], parse(s["updatedAt"]) // MILLISECOND, len(s.get("messages") or ()))
            for s in self.server.store.sessions(org_id or self.server.org_id)
        }

    # -- the warehouse

    def settings(self, **given: object) -> Settings:
        """Settings of a run. Pages are small, so that small histories need several windows and pages."""
        return settings_for(self.server, self.warehouse, **{"concurrency": 2, "page_size": 100, **given})

    def environment(self, before: Callable[[httpx.Request], None] | None = None) -> Environment:
        """The clock of this world; `before` gets each request before it is sent."""
        return Environment(
            now=self.clock.us,
            monotonic=self.clock.monotonic,
            sleep=self.clock.sleep,
            transport=Watched(before) if before is not None else None,
        )

    def sync(
        self,
        *,
        before: Callable[[httpx.Request], None] | None = None,
        progress: Progress | None = None,
        **given: object,
    ) -> Summary:
        """One sync."""
        return sync.sync(self.settings(**given), environment=self.environment(before), progress=progress)

    def rebuild(self) -> tuple[int, int]:
        """One rebuild; returns the numbers of files merged and of sessions."""
        return rebuild.rebuild(self.warehouse, environment=self.environment())

    def put_aside(self) -> None:
        """Leave an old database with sessions in the warehouse, as a rebuild of version 0.1.0 did."""
        shutil.copy2(
            self.warehouse / "index.duckdb", self.warehouse / "store.20260301T000000000000.duckdb.old"
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of one query on the published tables."""
        return self.answers([sql])[0]

    def answers(self, queries: Iterable[str]) -> list[list[tuple[Any, ...]]]:
        """All rows of several queries on one snapshot; connecting takes longer than a query."""
        with looking(self.warehouse) as db:
            return [db.execute(sql).fetchall() for sql in queries]

    def here(self) -> set[tuple[str, int, int]]:
        """The published sessions, in the form of `there`."""
        return set(self.rows("SELECT session_id, epoch_ms(updated_at), message_count FROM sessions"))

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """All published rows of the five tables, by table."""
        return tables_of(self.warehouse)

    def ledger(self) -> list[tuple[int, int]]:
        """The claimed intervals, µs."""
        return self.rows(
            "SELECT epoch_us(lower_bound), epoch_us(upper_bound) FROM sync.intervals ORDER BY ALL"
        )

    def files(self, *directories: str) -> Mapping[str, tuple[int, int, int]]:
        """Inode, size and modification time of each file in these directories of the warehouse."""
        return {
            str(path.relative_to(self.warehouse)): (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            for directory in directories
            for path in sorted((self.warehouse / directory).rglob("*"))
            if path.is_file()
            for stat in [path.lstat()]
        }

    # -- requests

    def pages(self) -> list[Mapping[str, str]]:
        """Parameters of the requests for rows since `forget_requests`; requests for a single row are counts."""
        return [r.parameters for r in self.server.requests if int(r.parameters.get("limit", "0")) > 1]

    def forget_requests(self) -> None:
        """Clear the list of requests."""
        self.server.clear_requests()


@contextmanager
def new_world(warehouse: Path) -> Iterator[World]:
    """An empty world. For templates that a module makes once: copying one is faster than a sync."""
    clock = Clock()
    with EmulatorServer(EmulatorSettings(keys={KEY: DEFAULT_ORG}), clock=clock) as server:
        yield World(server, warehouse, clock)
