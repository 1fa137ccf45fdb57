"""What tests share: an emulator, a warehouse beside it, and a clock that both live by.

`world` is all three together, without real waiting: sleeping moves the clock. `demo_warehouse` is a warehouse of
generated conversations, for tests that only read.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import duckdb
import httpx
import pytest
from pydantic import SecretStr

from simulation.connections import made_once
from vapi_emulator.generate import History, fill
from vapi_emulator.live import LiveTraffic
from vapi_emulator.server import EmulatorServer
from vapi_emulator.stored import make_row
from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings
from vapi_sessions.core import child
from vapi_sessions.core.paths import literal, pattern
from vapi_sessions.core.timestamps import MILLISECOND, from_datetime, parse, to_datetime
from vapi_sessions.operations import rebuild as rebuilding
from vapi_sessions.operations import schedule
from vapi_sessions.operations import sync as pipeline
from vapi_sessions.operations.progress import Progress, Silent
from vapi_sessions.schema import TABLES
from vapi_sessions.settings import Settings, load_settings
from vapi_sessions.warehouse import views

NOW: Final = datetime(2026, 3, 4, 15, 30, 0, 500_000, tzinfo=UTC)
#: A key that cannot occur anywhere by chance.
KEY: Final = "a-key-that-must-not-show"

#: For plain HTTP on loopback: reading the certificate authorities of the machine costs more than most tests.
NO_CERTIFICATES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

#: As the program itself makes them, anew in each publication.
NEW_VIEWS: Final = views.new_views

#: Creation and last change, µs, of the n-th session.
Times = Callable[[int], tuple[int, int]]


@pytest.fixture(scope="session", autouse=True)
def _the_developers_own_settings_stay_out() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("VAPI_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _signals_are_heard() -> None:
    """A shell in the background ignores SIGINT, nohup SIGHUP, and so would all that the tests start."""
    for number, heard in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, heard)


@pytest.fixture(scope="session", autouse=True)
def _views_are_made_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "new_views", made_once(NEW_VIEWS))
        yield


class Clock:
    """Stands still until it is moved, or until somebody sleeps. Thread-safe."""

    def __init__(self, now: datetime = NOW) -> None:
        self._us = self._start = from_datetime(now)
        self._lock = threading.Lock()
        self.slept = 0.0

    def __call__(self) -> datetime:
        return to_datetime(self._us)

    def us(self) -> int:
        """Microseconds since 1970."""
        return self._us

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return (self._us - self._start) / 1e6

    def sleep(self, seconds: float) -> None:
        """Let so much time pass, at once."""
        with self._lock:
            self._us += max(1, round(seconds * 1e6))
            self.slept += seconds

    def forward(self, **span: float) -> None:
        """Let so much time pass, which is nobody's sleep."""
        with self._lock:
            self._us += timedelta(**span) // timedelta(microseconds=1)


class Notes(Silent):
    """Remembers what a person would have been told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """One more."""
        self.said.append(text)


class RealTransport(httpx.BaseTransport):
    """The real one, once for each thread: those of one pool may close each other's connections (see `Source`)."""

    def __init__(self) -> None:
        self._of_thread = threading.local()
        self._all: list[httpx.HTTPTransport] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if not hasattr(self._of_thread, "transport"):
            self._of_thread.transport = httpx.HTTPTransport(verify=NO_CERTIFICATES)
            self._all.append(self._of_thread.transport)
        transport: httpx.HTTPTransport = self._of_thread.transport
        return transport.handle_request(request)

    def close(self) -> None:
        for transport in self._all:
            transport.close()


class Watched(RealTransport):
    """With a look at each request before it goes out."""

    def __init__(self, before: Callable[[httpx.Request], None]) -> None:
        super().__init__()
        self._before = before

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._before(request)
        return super().handle_request(request)


class Edited(RealTransport):
    """The source, with each session changed on its way."""

    def __init__(self, change: Callable[[dict[str, Any]], Any]) -> None:
        super().__init__()
        self._change = change

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        answer.read()
        if answer.status_code != 200:
            return answer
        found = json.loads(answer.content)
        if "results" in found:
            found["results"] = [self._change(session) for session in found["results"]]
        else:
            found = self._change(found)
        headers = {name: answer.headers[name] for name in ("content-type", "date")}
        return httpx.Response(200, headers=headers, json=found)


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


@functools.cache
def _observer() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1, "enable_external_file_cache": "false"})


@contextlib.contextmanager
def looking(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """What is published, in UTC, for a moment. One connection serves all looks: to open one takes longer than most tests ask
    for. `vapi_sessions.connect` has tests of its own.
    """
    db = _observer()
    db.execute("SET TimeZone = 'UTC'")
    db.execute(f"SET VARIABLE {views.ROOT_VARIABLE} = ?", [pattern(warehouse.resolve())])
    db.execute(f"ATTACH {literal(warehouse.resolve() / 'vapi.duckdb')} AS looked_at (READ_ONLY)")
    db.execute("USE looked_at")
    try:
        yield db
    finally:
        db.execute("USE memory")
        db.execute("DETACH looked_at")


def tables_of(warehouse: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of the five tables, as published."""
    with looking(warehouse) as db:
        return {table.name: db.execute(f"FROM {table.name} ORDER BY ALL").fetchall() for table in TABLES}


class World:
    """A source, a warehouse and their clock."""

    def __init__(self, server: EmulatorServer, warehouse: Path, clock: Clock) -> None:
        self.server = server
        self.warehouse = warehouse
        self.clock = clock
        self._made = 0

    def adopt(self, template: World) -> None:
        """Take a copy of another one's warehouse, and its present, where the sources hold the same already."""
        assert self.there() == template.there()
        shutil.copytree(template.warehouse, self.warehouse, symlinks=True)
        self.clock.forward(microseconds=template.clock.us() - self.clock.us())
        self.forget_requests()

    # -- the source

    def insert(self, count: int, times: Times, *, org_id: str | None = None, **fields: object) -> list[str]:
        """Put small sessions into the source; returns their ids."""
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
        """The moment so long before now, µs."""
        return from_datetime(self.clock() - timedelta(**span))

    def generate(self, sessions: int, *, days: float = 10, seed: int = 1, until: int | None = None) -> None:
        """Fill the source with conversations that ended before `until` (µs; now)."""
        until = self.clock.us() if until is None else until
        history = History(org_id=self.server.org_id, sessions=sessions, days=days, seed=seed, until_us=until)
        fill(self.server.store, history)

    def there(self, org_id: str | None = None) -> set[tuple[str, int, int]]:
        """What the source holds: id, `updatedAt` in ms, number of messages."""
        return {
            (s["id"], parse(s["updatedAt"]) // MILLISECOND, len(s.get("messages") or ()))
            for s in self.server.store.sessions(org_id or self.server.org_id)
        }

    # -- the warehouse

    def settings(self, **given: object) -> Settings:
        """Settings of a run; small enough for the tests' small histories to need several windows and pages."""
        return settings_for(self.server, self.warehouse, **{"concurrency": 2, "page_size": 100, **given})

    def environment(self, before: Callable[[httpx.Request], None] | None = None) -> pipeline.Environment:
        """Our clock; `before` sees each request before it goes out."""
        return pipeline.Environment(
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
    ) -> pipeline.Summary:
        """One sync."""
        return pipeline.sync(self.settings(**given), environment=self.environment(before), progress=progress)

    def rebuild(self) -> tuple[int, int]:
        """One rebuild: files merged, sessions."""
        return rebuilding.rebuild(self.warehouse, environment=self.environment())

    def put_aside(self) -> None:
        """Leave a database as version 0.1.0 kept one when it rebuilt: it holds the sessions too."""
        shutil.copy2(
            self.warehouse / "index.duckdb", self.warehouse / "store.20260301T000000000000.duckdb.old"
        )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """All rows of one query on what is published."""
        return self.answers([sql])[0]

    def answers(self, queries: Iterable[str]) -> list[list[tuple[Any, ...]]]:
        """All rows of several queries on one published state; connecting costs more than asking."""
        with looking(self.warehouse) as db:
            return [db.execute(sql).fetchall() for sql in queries]

    def here(self) -> set[tuple[str, int, int]]:
        """What the warehouse holds, as `there` says it."""
        return set(self.rows("SELECT session_id, epoch_ms(updated_at), message_count FROM sessions"))

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of the five tables."""
        return tables_of(self.warehouse)

    def ledger(self) -> list[tuple[int, int]]:
        """The stretches claimed, µs."""
        return self.rows(
            "SELECT epoch_us(lower_bound), epoch_us(upper_bound) FROM sync.intervals ORDER BY ALL"
        )

    def files(self, *directories: str) -> Mapping[str, tuple[int, int, int]]:
        """Inode, size and time of change of each file below these directories of the warehouse."""
        return {
            str(path.relative_to(self.warehouse)): (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            for directory in directories
            for path in sorted((self.warehouse / directory).rglob("*"))
            if path.is_file()
            for stat in [path.lstat()]
        }

    # -- what was asked for

    def pages(self) -> list[Mapping[str, str]]:
        """The parameters of the requests for rows since `forget_requests`; counts are requests for a single row."""
        return [r.parameters for r in self.server.requests if int(r.parameters.get("limit", "0")) > 1]

    def forget_requests(self) -> None:
        """Begin to count anew."""
        self.server.clear_requests()


@pytest.fixture
def clock() -> Clock:
    """The test's own clock, at `NOW`."""
    return Clock()


@pytest.fixture
def emulator(clock: Clock) -> Iterator[EmulatorServer]:
    """An empty source that lives by the test's clock."""
    with EmulatorServer(EmulatorSettings(keys={KEY: DEFAULT_ORG}), clock=clock) as server:
        yield server


@contextmanager
def new_world(warehouse: Path) -> Iterator[World]:
    """What the fixture `world` gives, for templates that a module makes once: to sync takes longer than to copy."""
    clock = Clock()
    with EmulatorServer(EmulatorSettings(keys={KEY: DEFAULT_ORG}), clock=clock) as server:
        yield World(server, warehouse, clock)


@pytest.fixture
def world(emulator: EmulatorServer, clock: Clock, tmp_path: Path) -> World:
    """An empty source, no warehouse yet, and their clock."""
    return World(emulator, tmp_path / "warehouse", clock)


@pytest.fixture(scope="session")
def demo_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of some 600 generated conversations over 20 days, with changes between two syncs. Only to be read."""
    warehouse = tmp_path_factory.mktemp("demo") / "warehouse"
    with EmulatorServer() as server:
        until = server.store.now_us()
        fill(server.store, History(org_id=server.org_id, sessions=600, days=20, until_us=until, seed=2))
        pipeline.sync(settings_for(server, warehouse))
        LiveTraffic(server.store, server.org_id, seed=2).steps(60)
        pipeline.sync(settings_for(server, warehouse))
    return warehouse


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server of Prefect's for as long as the tests run: what of the environment leads to it. Its start takes 10 to 20 s."""
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    server = child.start(
        "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port),
        environment={**os.environ, **environment},
    )  # fmt: skip
    try:
        schedule.wait_until_up(environment["PREFECT_API_URL"], server)
        yield environment
    finally:
        child.stop(server)
