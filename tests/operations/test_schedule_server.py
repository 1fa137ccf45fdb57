"""Prefect's server for `schedule`: proxies, ports, and the start."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations import schedule_server

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _the_environment_is_given_back() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def health() -> Iterator[str]:
    """The address of a local server that answers health checks."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


@pytest.fixture
def process() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts Python processes, and kills them after the test."""
    started = []

    def start(code: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", code]))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.wait()


# -- proxies


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "corp.example, 10.0.0.1"}, "corp.example,10.0.0.1,127.0.0.1,localhost,::1"),
        ({"no_proxy": "a.example", "NO_PROXY": "b.example"}, "a.example,127.0.0.1,localhost,::1"),
        ({"no_proxy": "", "NO_PROXY": "b.example"}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "localhost,127.0.0.1"}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_this_machine_is_excluded_from_proxies(given: dict[str, str], expected: str) -> None:
    """In both spellings of the variable; the user's own exclusions stay."""
    schedule_server.never_by_proxy(given)
    assert given == {"no_proxy": expected, "NO_PROXY": expected}


def test_httpx_obeys_the_exclusion_from_proxies(monkeypatch: pytest.MonkeyPatch, health: str) -> None:
    """Prefect's clients use httpx, which reads the environment."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, NOBODY)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "corp.example")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{health}/health")
    schedule_server.never_by_proxy(os.environ)
    assert httpx.get(f"{health}/health").status_code == 200


def test_the_health_check_of_our_server_uses_no_proxy(
    health: str, process: Callable[[str], subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that does not answer does not make the server look down."""
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, NOBODY)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert urllib.request.getproxies()["http"] == NOBODY
    schedule_server.wait_until_up(health, process("import time; time.sleep(600)"))


# -- the server


def test_a_server_that_ends_is_reported_at_once(process: Callable[[str], subprocess.Popen[bytes]]) -> None:
    """Without waiting for the time limit."""
    server = process("pass")
    server.wait()
    with pytest.raises(ConfigurationError, match="Prefect's server does not start"):
        schedule_server.wait_until_up(NOBODY, server, patience=float("inf"))


@pytest.mark.parametrize(
    ("address", "shown", "reason"),
    [
        ("http://user:geheim@127.0.0.1:9/api?token=geheim", "http://127.0.0.1:9/api", "ConnectError"),
        ("nonsense", "nonsense", "UnsupportedProtocol"),
    ],
)
def test_a_configured_server_that_cannot_be_reached_is_reported(
    address: str, shown: str, reason: str
) -> None:
    """Exit code 2, with the address without its secrets, and the remedy."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with (
        temporary_settings({PREFECT_API_URL: address}),
        pytest.raises(ConfigurationError, match=rf"server at {shown} cannot be used: {reason}") as refused,
        schedule_server.server(pytest.fail),
    ):
        pass
    assert "geheim" not in str(refused.value)
    assert "PREFECT_API_URL" in refused.value.remedy


def test_a_configured_server_that_is_not_prefect_is_reported(health: str) -> None:
    """With the status of its response."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with (
        temporary_settings({PREFECT_API_URL: health}),
        pytest.raises(ConfigurationError, match="cannot be used: it answers 501"),
        schedule_server.server(pytest.fail),
    ):
        pass


# -- ports


@pytest.fixture
def _no_configured_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Prefect has no profile of the developer, and a home in which ports are reserved."""
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    with temporary_settings({PREFECT_HOME: tmp_path / "prefect"}, restore_defaults={PREFECT_API_URL}):
        yield


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which a program listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


@pytest.mark.usefixtures("_no_configured_server")
def test_a_taken_port_is_refused(taken: int) -> None:
    """With both remedies: another port, or the server that has it."""
    with pytest.raises(ConfigurationError, match=f"Port {taken} is taken") as refused:
        schedule_server.check_port(taken)
    assert f"PREFECT_API_URL=http://127.0.0.1:{taken}/api" in refused.value.remedy
    with pytest.raises(ConfigurationError, match="is taken"):
        schedule_server.reserved(taken).__enter__()


def test_a_port_beside_a_configured_server_is_refused() -> None:
    """It would have no effect."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with (
        temporary_settings({PREFECT_API_URL: NOBODY}),
        pytest.raises(ConfigurationError, match="PREFECT_API_URL names one"),
    ):
        schedule_server.check_port(4242)


@pytest.mark.usefixtures("_no_configured_server")
def test_the_usual_port_is_preferred(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """If it is taken, any other will do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = int(probe.getsockname()[1])
    monkeypatch.setattr(schedule_server, "USUAL_PORT", free)
    with schedule_server.reserved(None) as port:
        assert port == free
    monkeypatch.setattr(schedule_server, "USUAL_PORT", taken)
    with schedule_server.reserved(None) as port:
        assert port not in (taken, 0)


@pytest.mark.usefixtures("_no_configured_server")
def test_two_servers_that_start_at_the_same_time_get_two_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server uses its port only seconds after its start; until then the port looks free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = int(probe.getsockname()[1])
    monkeypatch.setattr(schedule_server, "USUAL_PORT", free)
    with schedule_server.reserved(None) as first, schedule_server.reserved(None) as second:
        assert first == free != second
        with pytest.raises(ConfigurationError, match=f"Port {free} is taken"):
            schedule_server.reserved(free).__enter__()
    with schedule_server.reserved(free) as again:
        assert again == free
