"""`schedule` and the flows with a real Prefect server: several schedules, failed runs, and killed processes."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

import vapi_sessions
from constants import KEY
from vapi_emulator.generate import History, fill
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings, FaultSettings
from vapi_sessions.errors import VapiSessionsError

pytestmark = pytest.mark.proof
ROOT = Path(__file__).resolve().parents[2]
OTHER_KEY, OTHER_ORG = "another-key-that-must-not-show", "0e111a70-0000-4000-8000-000000000002"


def wait_until(true: Callable[[], object]) -> None:
    """Wait without a limit; the test has a time-out."""
    while not true():
        time.sleep(0.2)


@pytest.fixture(scope="module")
def source() -> Iterator[EmulatorServer]:
    """Two organisations, one with sixty sessions."""
    keys = {KEY: DEFAULT_ORG, OTHER_KEY: OTHER_ORG}
    with EmulatorServer(EmulatorSettings(keys=keys)) as server:
        for org_id, sessions in ((DEFAULT_ORG, 60), (OTHER_ORG, 3)):
            until = server.store.now_us()
            fill(server.store, History(org_id=org_id, sessions=sessions, days=5, seed=3, until_us=until))
        yield server


def environment(source: EmulatorServer, **more: str) -> dict[str, str]:
    """The environment without the developer's own settings."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("VAPI_", "PREFECT_"))}
    return own | {
        "VAPI_API_KEY": KEY,
        "VAPI_BASE_URL": source.url,
        "VAPI_SETTLE": "0s",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        **more,
    }


def runs(warehouse: Path) -> int:
    """How many runs of the flow the warehouse has recorded."""
    try:
        with vapi_sessions.connect(warehouse) as db:
            ((count,),) = db.execute("SELECT count(*) FROM sync.runs WHERE command = 'sync flow'").fetchall()
            return int(count)
    except VapiSessionsError:
        return 0


def asked(api: str, what: str, which: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Objects of one kind in Prefect's API."""
    with httpx.Client(trust_env=False) as client:  # no proxy
        found: list[dict[str, Any]] = client.post(f"{api}/{what}/filter", json=which).json()
    return found


def lives(process: psutil.Process) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def words(process: psutil.Process) -> str:
    """The command line; empty if the process has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def free_port() -> int:
    """A port that is free now; the usual one may be that of another test."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Schedules:
    """Starts `vapi-sessions schedule`, and ends all of them."""

    def __init__(self) -> None:
        self._started: list[psutil.Popen] = []

    def start(self, warehouse: Path, environment: Mapping[str, str]) -> psutil.Popen:
        command = [sys.executable, "-m", "vapi_sessions", "schedule", "--every", "3s"]
        if "PREFECT_API_URL" not in environment:
            command += ["--port", str(free_port())]
        with (warehouse.parent / f"{warehouse.name}.log").open("ab") as log:
            self._started.append(
                psutil.Popen(
                    [*command, "--warehouse", str(warehouse)],
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                )
            )
        return self._started[-1]

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()


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
    assert served == {path.stem for path in (ROOT / "flows").glob("*.py")}
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


def test_the_next_schedule_ends_the_runs_of_a_killed_one(
    source: EmulatorServer, prefect_server: dict[str, str], tmp_path: Path, schedules: Schedules
) -> None:
    """In Prefect they would run for ever. The new schedule syncs at once."""
    api, warehouse = prefect_server["PREFECT_API_URL"], tmp_path / "killed"
    given = environment(source, **prefect_server)

    def states() -> dict[str, str]:
        (deployment,) = asked(
            api,
            "deployments",
            {
                "deployments": {"name": {"like_": "killed-"}},
                "flows": {"name": {"any_": ["vapi-sessions sync"]}},
            },
        )
        which = {"flow_runs": {"deployment_id": {"any_": [deployment["id"]]}}}
        return {one["id"]: one["state"]["name"] for one in asked(api, "flow_runs", which)}

    served = schedules.start(warehouse, given)
    wait_until(lambda: "Served" in (tmp_path / "killed.log").read_text())
    wait_until(lambda: "Running" in states().values())
    served.kill()
    served.wait()
    killed = {one for one, state in states().items() if state in ("Running", "Pending")}
    before = runs(warehouse)
    schedules.start(warehouse, given)
    wait_until(lambda: {states()[one] for one in killed} <= {"Crashed", "Completed"})
    wait_until(lambda: runs(warehouse) > before)


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
