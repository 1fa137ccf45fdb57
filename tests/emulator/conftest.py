"""Servers, clocks and clients for the emulator's tests."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

import beside
from vapi_emulator.generate import History, fill
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import EmulatorSettings, FaultSettings
from vapi_emulator.times import to_us

#: For plain HTTP on loopback: reading the certificate authorities of the machine takes longer than most tests.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
NOW = datetime(2026, 3, 4, 15, 30, 0, 123_456, tzinfo=UTC)


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture(scope="session")
def shared_clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def running(shared_clock: FakeClock) -> Iterator[EmulatorServer]:
    """The server that most tests share."""
    with EmulatorServer(clock=shared_clock) as server:
        yield server


@pytest.fixture
def clock(shared_clock: FakeClock) -> FakeClock:
    """The clock of the shared server, set to `NOW`."""
    shared_clock.now = NOW
    return shared_clock


class Client(httpx.Client):
    """An HTTP client with its server."""

    server: EmulatorServer


Serve = Callable[..., Client]


@pytest.fixture
def serve(running: EmulatorServer, clock: FakeClock) -> Iterator[Serve]:
    """Reset the shared server with these switches; returns a client whose `server` it is."""
    opened: list[Client] = []

    def start(**switches: Any) -> Client:
        faults = {
            name: switches.pop(name) for name in list(switches) if name in FaultSettings.__dataclass_fields__
        }
        running.reset(EmulatorSettings(**switches, faults=FaultSettings(**faults)))
        opened.append(connect(running))
        return opened[-1]

    yield start
    for client in opened:
        client.close()


def connect(server: EmulatorServer, key: str | None = None) -> Client:
    headers = {"Authorization": f"Bearer {key or server.key}", "User-Agent": "tests"}
    client = Client(base_url=server.url, headers=headers, timeout=60, verify=NO_CERTIFICATES)
    client.server = server
    return client


@pytest.fixture
def client(serve: Serve) -> Client:
    return serve()


@pytest.fixture(scope="session")
def history() -> Iterator[Client]:
    """A client of a server with 400 generated sessions, for tests that only read."""
    with EmulatorServer(clock=FakeClock()) as server, connect(server) as client:
        fill(server.store, History(org_id=server.org_id, sessions=400, days=20, until_us=to_us(NOW), seed=5))
        yield client


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder next to the checkout with the contract and the corpus."""
    if not beside.FOLDER.is_dir():
        pytest.skip("no shared folder beside the checkout")
    return beside.FOLDER
