"""`schedule` without Prefect: deployment names, the lock, proxies, signals, and the start of a server."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from vapi_sessions.errors import ConfigurationError, WarehouseBusyError, WarehouseError
from vapi_sessions.operations import schedule
from vapi_sessions.warehouse.schedule_lock import deployment_name, scheduling

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


# -- names


def test_each_warehouse_has_its_own_deployment_name(tmp_path: Path) -> None:
    """Two of the same name in two places, and a copy of one: three names, each beginning with the directory's."""
    names = set()
    for place in ("a", "b"):
        with scheduling(tmp_path / place / "sales") as name:
            names.add(name)
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    with scheduling(tmp_path / "c" / "sales") as name:
        names.add(name)
    assert len(names) == 3
    assert {name.rpartition("-")[0] for name in names} == {"sales"}


def test_the_deployment_name_does_not_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one start to the next, and however the directory is given."""
    (tmp_path / "link").symlink_to(tmp_path / "warehouse")
    monkeypatch.chdir(tmp_path)
    names = set()
    for given in ("warehouse", tmp_path / "warehouse", tmp_path / "link"):
        with scheduling(Path(given)) as name:
            names.add(name)
    assert len(names) == 1


def test_the_same_path_on_two_machines_gives_two_deployment_names() -> None:
    """For example in containers, which may share one Prefect server."""
    here, there = (deployment_name(Path("/warehouse"), identity) for identity in ("0" * 16, "1" * 16))
    assert here != there


@pytest.mark.parametrize(
    ("directory", "readable"),
    [("/data/acme/prod", "prod"), ("/data/50%/wh & co", "wh-co"), ("/", "warehouse"), ("/a/été", "été")],
)
def test_deployment_names_are_readable_and_valid_in_prefect(directory: str, readable: str) -> None:
    """They have none of the characters that Prefect refuses."""
    name = deployment_name(Path(directory), "0" * 16)
    assert name.rpartition("-")[0] == readable
    assert not set(name) & set("/%&><")


# -- the lock


def test_a_second_schedule_of_a_warehouse_is_refused(tmp_path: Path) -> None:
    """It would share the runs of the first, and pause them when it ends. Afterwards the warehouse is free again."""
    with scheduling(tmp_path / "warehouse") as name:
        with pytest.raises(WarehouseBusyError, match=rf"Another schedule \(pid {os.getpid()}\)") as refused:
            scheduling(tmp_path / "warehouse").__enter__()
        assert refused.value.exit_code == 5
    with scheduling(tmp_path / "warehouse") as again:
        assert again == name


def test_a_schedule_does_not_hold_the_writers_lock(tmp_path: Path) -> None:
    """It has a lock of its own."""
    with scheduling(tmp_path / "warehouse"), (tmp_path / "warehouse" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_schedule_of_a_file_is_refused(tmp_path: Path) -> None:
    """Exit code 5, as for any other command."""
    (tmp_path / "warehouse").touch()
    with pytest.raises(WarehouseError, match="is a file, not a directory"):
        scheduling(tmp_path / "warehouse").__enter__()


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
    schedule.never_by_proxy(given)
    assert given == {"no_proxy": expected, "NO_PROXY": expected}


def test_httpx_obeys_the_exclusion_from_proxies(monkeypatch: pytest.MonkeyPatch, health: str) -> None:
    """Prefect's clients use httpx, which reads the environment."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, NOBODY)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "corp.example")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{health}/health")
    schedule.never_by_proxy(os.environ)
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
    schedule.wait_until_up(health, process("import time; time.sleep(600)"))


# -- the server


def test_a_server_that_ends_is_reported_at_once(process: Callable[[str], subprocess.Popen[bytes]]) -> None:
    """Without waiting for the time limit."""
    server = process("pass")
    server.wait()
    with pytest.raises(ConfigurationError, match="Prefect's server does not start"):
        schedule.wait_until_up(NOBODY, server, patience=float("inf"))


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
        schedule._server(pytest.fail),
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
        schedule._server(pytest.fail),
    ):
        pass


# -- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_start_ends_the_process_with_a_clean_up(number: signal.Signals) -> None:
    """Afterwards the signals have their earlier handlers."""
    before = signal.getsignal(number)
    undone = []

    def start() -> None:
        with schedule._ending_on_signals():
            try:
                signal.raise_signal(number)
            finally:
                undone.append(number)

    with pytest.raises(SystemExit) as ended:
        start()
    assert (ended.value.code, undone) == (0, [number])
    assert signal.getsignal(number) == before


def test_an_ignored_signal_stays_ignored() -> None:
    """Under nohup a hang-up does not end the process."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with schedule._ending_on_signals():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
