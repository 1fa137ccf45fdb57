"""Starting, stopping and restarting the server; its log of requests."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from vapi_emulator import EmulatorError
from vapi_emulator.generate import History, fill
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import EmulatorSettings, FaultSettings

from .conftest import Client, connect


def test_the_server_listens_on_loopback_and_a_free_port() -> None:
    """These are the defaults."""
    with EmulatorServer() as one, EmulatorServer() as two:
        assert one.url.startswith("http://127.0.0.1:")
        assert one.port != two.port


def test_the_server_stops_at_once_with_open_connections() -> None:
    """Keep-alive connections and hanging requests do not delay it; no thread and no file remains."""
    before = set(threading.enumerate())
    server = EmulatorServer(EmulatorSettings(faults=FaultSettings(hang_seconds=86_400))).start()
    folder = server.store.path.parent
    server.faults.script("hang")
    errors: list[Exception] = []

    def wait() -> None:
        with connect(server) as client:
            errors.extend([] if client.get("/session").status_code == 504 else [AssertionError()])

    with connect(server) as idle:
        hanging = threading.Thread(target=wait)
        hanging.start()
        while server.faults.scripted:
            time.sleep(0.005)
        idle.get("/session")
        server.stop()
        hanging.join()
    server.stop()
    assert errors == []
    assert set(threading.enumerate()) == before
    assert not folder.exists()


@pytest.mark.proof
def test_the_server_stops_when_a_client_does_not_read_its_responses() -> None:
    """Responses that fill all buffers, and requests behind them, are aborted; the thread ends."""
    before = set(threading.enumerate())
    with EmulatorServer() as server:
        history = History(
            org_id=server.org_id, sessions=1_000, days=3, until_us=server.store.now_us(), seed=1
        )
        fill(server.store, history)
        page = f"GET /session?limit=1000 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n\r\n"
        with socket.create_connection((server.host, server.port)) as silent:
            silent.sendall(page.encode() * 3)
            while not server.requests:
                time.sleep(0.005)
            server.stop()
    assert set(threading.enumerate()) == before


def test_the_server_stops_when_the_test_fails() -> None:
    """An exception inside the `with` block stops the server too."""
    with pytest.raises(ZeroDivisionError), EmulatorServer() as server:
        raise ZeroDivisionError
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((server.host, server.port))


def test_a_restart_keeps_a_store_with_a_path(tmp_path: Path) -> None:
    """A store with a path outlives its server."""
    path = tmp_path / "sessions.sqlite"
    with EmulatorServer(store_path=path) as server, connect(server) as client:
        session = client.post("/session", json={"name": "kept"}).json()
    with EmulatorServer(store_path=path) as server, connect(server) as client:
        assert client.get(f"/session/{session['id']}").json() == session


def test_a_port_in_use_is_an_error() -> None:
    """The error names the address."""
    with EmulatorServer() as server:
        second = EmulatorServer(port=server.port)
        with pytest.raises(EmulatorError, match=f"Cannot listen on 127.0.0.1:{server.port}"):
            second.start()
        second.stop()


def test_requests_are_logged(client: Client) -> None:
    """The log has method, path, query with repeated parameters, status and user agent."""
    client.get("/session?phoneNumberIdAny=a&phoneNumberIdAny=b&createdAtGe=2026-01-01T00:00:00%2B00:00")
    client.delete("/session/x")
    first, second = client.server.requests
    assert (first.method, first.path, first.status, first.user_agent) == ("GET", "/session", 200, "tests")
    assert first.query[:2] == (("phoneNumberIdAny", "a"), ("phoneNumberIdAny", "b"))
    assert first.parameters["createdAtGe"] == "2026-01-01T00:00:00+00:00"
    assert (second.method, second.status) == ("DELETE", 400)
    client.server.clear_requests()
    assert client.server.requests == []


def test_parallel_requests_are_served(client: Client) -> None:
    """Readers and writers run in parallel; none is refused and nothing is lost."""

    def work() -> None:
        with connect(client.server) as mine:
            for _ in range(10):
                assert mine.post("/session", json={"name": "x"}).status_code == 201
                assert mine.get("/session?limit=1000").status_code == 200

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("/session").json()["metadata"]["totalItems"] == 60


def test_small_responses_are_not_delayed(client: Client) -> None:
    """Without TCP_NODELAY each would wait 40 ms for the client's acknowledgement."""
    client.get("/session")
    served_by = client.server._uvicorn
    assert served_by is not None
    sockets = [one.transport.get_extra_info("socket") for one in served_by.server_state.connections]
    assert sockets
    assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets)


def test_traffic_follows_the_settings(client: Client) -> None:
    """`server.traffic` changes the first organisation, with the `late_cost` switch of the server."""
    traffic = client.server.traffic(seed=2)
    traffic.steps(5)
    assert client.get("/session").json()["metadata"]["totalItems"] >= 1
