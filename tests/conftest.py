"""Fixtures of all tests: a world, and a warehouse to read.

`world` is an emulator, a warehouse and the clock of both (see `worlds`). `demo_warehouse` is a warehouse of generated
conversations, for tests that only read.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from clocks import Clock
from constants import KEY
from instances import Instances
from published import NEW_VIEWS
from selection import THOROUGH
from simulation.connections import made_once
from sql_rows import Rows
from vapi_emulator.generate import History, fill
from vapi_emulator.live import LiveTraffic
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings
from vapi_sessions.core import child
from vapi_sessions.operations import schedule_server, sync
from vapi_sessions.warehouse import checks, views
from worlds import World, settings_for


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_developer() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("VAPI_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _default_signal_handlers() -> None:
    """Processes started in the background of a shell ignore SIGINT, and after nohup SIGHUP. Tests need both."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def _views_are_made_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "new_views", made_once(NEW_VIEWS))
        yield


@pytest.fixture(scope="session", autouse=True)
def _instances_of_duckdb_are_used_again() -> Iterator[None]:
    instances = Instances(duckdb.connect)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duckdb, "connect", instances.connect)
        yield
    instances.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """In `make test`, publications of a test run the checks only if it is marked `checks`: on few rows they take a quarter of a sync.

    Those of fixtures always do, because several tests share some of them.
    """
    _Checks.wanted = THOROUGH or item.get_closest_marker("checks") is not None
    try:
        return (yield)
    finally:
        _Checks.wanted = True


class _Checks:
    """The checks after a publication, which can be left out."""

    wanted = True

    def __init__(self, check: Callable[..., dict[str, str]]) -> None:
        self._check = check

    def __call__(self, *given: Any, **named: Any) -> dict[str, str]:
        return self._check(*given, **named) if self.wanted else {}


@pytest.fixture(scope="session", autouse=True)
def _checks_run_where_they_are_tested() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "check", _Checks(checks.check))
        yield


@pytest.fixture
def clock() -> Clock:
    """The clock of the test, at `NOW`."""
    return Clock()


@pytest.fixture
def emulator(clock: Clock) -> Iterator[EmulatorServer]:
    """An empty source that uses the clock of the test."""
    with EmulatorServer(EmulatorSettings(keys={KEY: DEFAULT_ORG}), clock=clock) as server:
        yield server


@pytest.fixture
def world(emulator: EmulatorServer, clock: Clock, tmp_path: Path) -> World:
    """An empty source, no warehouse yet, and their clock."""
    return World(emulator, tmp_path / "warehouse", clock)


@pytest.fixture(scope="session")
def demo_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A read-only warehouse of about 600 generated conversations over 20 days, with changes between two syncs."""
    warehouse = tmp_path_factory.mktemp("demo") / "warehouse"
    with EmulatorServer() as server:
        until = server.store.now_us()
        fill(server.store, History(org_id=server.org_id, sessions=600, days=20, until_us=until, seed=2))
        sync.sync(settings_for(server, warehouse))
        LiveTraffic(server.store, server.org_id, seed=2).steps(60)
        sync.sync(settings_for(server, warehouse))
    return warehouse


@pytest.fixture(scope="session")
def made_views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The views over hand-made rows, for `Rows`: creating them takes longer than most tests of them."""
    made = tmp_path_factory.mktemp("views") / "views.duckdb"
    rows = Rows()
    rows.create_views()
    rows.keep_views(made)
    rows.connection.close()
    return made


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment variables for a Prefect server that runs as long as the tests. Its start takes 10 to 20 s."""
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
        schedule_server.wait_until_up(environment["PREFECT_API_URL"], server)
        yield environment
    finally:
        child.stop(server)
