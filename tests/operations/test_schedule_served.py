"""`schedule` and the flows with a real Prefect server: several schedules, failed runs, and killed processes."""

from __future__ import annotations

import fcntl
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from constants import KEY
from serving import (
    OTHER_KEY,
    OTHER_ORG,
    ROOT,
    Schedules,
    asked,
    environment,
    free_port,
    lives,
    runs,
    wait_until,
    words,
)
from vapi_emulator.generate import History, fill
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings, FaultSettings
from vapi_sessions.core import child
from vapi_sessions.operations import schedule_server

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def source() -> Iterator[EmulatorServer]:
    """Two organisations, one with sixty sessions."""
    keys = {KEY: DEFAULT_ORG, OTHER_KEY: OTHER_ORG}
    with EmulatorServer(EmulatorSettings(keys=keys)) as server:
        for org_id, sessions in ((DEFAULT_ORG, 60), (OTHER_ORG, 3)):
            until = server.store.now_us()
            fill(server.store, History(org_id=org_id, sessions=sessions, days=5, seed=3, until_us=until))
        yield server


@pytest.fixture
def schedules() -> Iterator[Schedules]:
    """Ended after the test."""
    made = Schedules()
    yield made
    made.end()


def test_two_schedules_on_one_server_are_independent(
    source: EmulatorServer, prefect_server: dict[str, str], tmp_path: Path, schedules: Schedules
) -> None:
    """Each warehouse gets its own runs. A second schedule of one is refused; stopping one pauses its deployments until it starts again."""
    given = environment(source, **prefect_server)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    here, there = tmp_path / "a" / "calls", tmp_path / "b" / "calls"
    first, other = schedules.start(here, given), schedules.start(there, given)
    wait_until(lambda: runs(here) >= 1 and runs(there) >= 1)

    assert schedules.start(here, given).wait() == 5
    assert f"Another schedule (pid {first.pid}) serves {here}." in (tmp_path / "a" / "calls.log").read_text()

    first.send_signal(signal.SIGTERM)
    assert first.wait() == 0
    found = [
        (d["name"], d["paused"])
        for d in asked(prefect_server["PREFECT_API_URL"], "deployments", {})
        if d["name"].startswith("calls-")
    ]
    assert len({name for name, _ in found}) == 2
    assert len(set(found)) == 2  # all of one are paused, none of the other
    assert {paused for _, paused in found} == {False, True}
    printed = (tmp_path / "a" / "calls.log").read_text()
    served = set(re.findall(r"^  vapi-sessions (\w+)/calls-\w{8}: ", printed, re.MULTILINE))
    assert served == {"sync", "reconcile", "maintain", "backfill"} & {
        path.stem for path in (ROOT / "flows").glob("*.py")
    }
    assert "prefect.runner" not in printed
    before = runs(there)
    wait_until(lambda: runs(there) > before)

    before = runs(here)
    schedules.start(here, given)
    wait_until(lambda: runs(here) > before)
    assert other.poll() is None


@pytest.mark.parametrize(
    ("number", "requests"),
    [(signal.SIGKILL, 6), (signal.SIGTERM, 6), (signal.SIGKILL, 0), (signal.SIGTERM, 0)],
)
def test_a_schedule_that_ends_during_a_run_leaves_no_process(
    number: signal.Signals, requests: int, tmp_path: Path, schedules: Schedules
) -> None:
    """Neither its server nor the run, which would hold the warehouse, whatever proxy is set. The server has no key in its environment."""
    slow = EmulatorSettings(keys={KEY: DEFAULT_ORG}, faults=FaultSettings(latency_seconds=1.0))
    with EmulatorServer(slow) as source:
        until = source.store.now_us()
        fill(source.store, History(org_id=DEFAULT_ORG, sessions=100, days=5, seed=3, until_us=until))
        given = environment(
            source,
            PREFECT_HOME=str(tmp_path / "prefect"),
            HTTP_PROXY="http://127.0.0.1:9",
            http_proxy="http://127.0.0.1:9",
            VAPI_CONCURRENCY="1",
            VAPI_PAGE_SIZE="1",
        )
        served = schedules.start(tmp_path / "warehouse", given)

        def amid() -> bool:
            started = any("spawn_main" in words(one) for one in served.children())
            return (started and len(source.requests) >= requests) or served.poll() is not None

        wait_until(amid)
        family = served.children(recursive=True)
        assert len(family) >= 2, (tmp_path / "warehouse.log").read_text()
        servers = [one for one in family if "prefect server start" in words(one)]
        assert servers
        assert [one for one in servers if KEY in "".join(one.environ().values())] == []
        served.send_signal(number)
        assert served.wait() == (0 if number == signal.SIGTERM else -number)
        wait_until(lambda: not any(map(lives, family)))
        with (tmp_path / "warehouse" / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert "Process exited" not in (tmp_path / "warehouse.log").read_text()


def test_the_next_schedule_ends_the_runs_of_a_killed_one(
    prefect_server: dict[str, str], tmp_path: Path, schedules: Schedules
) -> None:
    """In Prefect they would run for ever, if their process could not tell how it ended."""
    api, warehouse = prefect_server["PREFECT_API_URL"], tmp_path / "killed"

    def states() -> dict[str, str]:
        named = {"deployments": {"name": {"like_": "killed-"}}}
        return {one["id"]: one["state"]["name"] for one in asked(api, "flow_runs", named)}

    slow = EmulatorSettings(keys={KEY: DEFAULT_ORG}, faults=FaultSettings(latency_seconds=0.5))
    with EmulatorServer(slow) as source:
        until = source.store.now_us()
        fill(source.store, History(org_id=DEFAULT_ORG, sessions=20, days=5, seed=3, until_us=until))
        given = environment(source, **prefect_server, VAPI_CONCURRENCY="1", VAPI_PAGE_SIZE="1")
        served = schedules.start(warehouse, given)
        wait_until(lambda: "Running" in states().values())
        (killed,) = [one for one, state in states().items() if state == "Running"]
        served.kill()
        served.wait()
        schedules.start(warehouse, given)
        wait_until(lambda: states()[killed] in ("Crashed", "Interrupted"))


def test_a_schedule_ends_with_its_server(
    source: EmulatorServer, tmp_path: Path, schedules: Schedules
) -> None:
    """One that it has started itself does not come back: the supervisor of the schedule starts both again."""
    given = environment(source, PREFECT_HOME=str(tmp_path / "prefect"))
    served = schedules.start(tmp_path / "warehouse", given)
    wait_until(lambda: "Served" in (tmp_path / "warehouse.log").read_text())
    for one in served.children(recursive=True):
        if "prefect server start" in words(one):
            one.kill()
    assert served.wait() == 2
    assert "error: Prefect's server has ended." in (tmp_path / "warehouse.log").read_text()


def test_a_schedule_waits_for_a_server_that_is_restarted(
    source: EmulatorServer, tmp_path: Path, schedules: Schedules
) -> None:
    """It says so, and goes on when the server is back. It can be stopped while it waits."""
    port = free_port()
    server = {"PREFECT_HOME": str(tmp_path / "prefect"), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    given = environment(source, **server, PREFECT_CLIENT_MAX_RETRIES="0")  # else it takes minutes

    def start() -> subprocess.Popen[bytes]:
        arguments = ("server", "start", "--host", "127.0.0.1", "--port", str(port))
        started = child.start("prefect", *arguments, environment=given)
        schedule_server.wait_until_up(server["PREFECT_API_URL"], started)
        return started

    def waits() -> int:
        return log.read_text().count("Trying again until it can be reached.")

    first = start()
    try:
        warehouse, log = tmp_path / "warehouse", tmp_path / "warehouse.log"
        served = schedules.start(warehouse, given)
        wait_until(lambda: runs(warehouse) > 0)
        waited = waits()
    finally:
        child.stop(first)
    wait_until(lambda: waits() > waited)
    before = runs(warehouse)
    second = start()
    try:
        wait_until(lambda: runs(warehouse) > before)
        assert served.poll() is None
        waited = waits()
    finally:
        child.stop(second)
    wait_until(lambda: waits() > waited)
    served.send_signal(signal.SIGTERM)  # while it waits
    assert served.wait() == 0


def test_a_flow_fails_with_the_message_and_exit_code_of_the_command(
    source: EmulatorServer, prefect_server: dict[str, str], tmp_path: Path
) -> None:
    """A key of another organisation: no traceback, and the run's state in Prefect has the message in one line."""
    given = environment(source, VAPI_WAREHOUSE=str(tmp_path / "warehouse"), **prefect_server)

    def run(*command: str, key: str = KEY) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env={**given, "VAPI_API_KEY": key},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr

    assert run("-m", "vapi_sessions", "sync")[0] == 0
    told, lines = run("-m", "vapi_sessions", "sync", key=OTHER_KEY)
    code, printed = run("flows/sync.py", key=OTHER_KEY)
    assert code == told == 2
    assert "Traceback" not in printed
    assert "NoneType" not in printed
    message = lines[lines.index("error: ") :]
    assert printed.endswith(message)
    failed = {"flow_runs": {"state": {"type": {"any_": ["FAILED"]}}}}
    states = [run["state"] for run in asked(prefect_server["PREFECT_API_URL"], "flow_runs", failed)]
    assert " ".join(message.removeprefix("error: ").splitlines()) in [state["message"] for state in states]
