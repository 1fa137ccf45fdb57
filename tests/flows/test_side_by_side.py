"""Two warehouses scheduled side by side on one Prefect server, while the source changes, runs overlap, and one is killed."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

import command
from constants import KEY
from serving import OTHER_KEY, OTHER_ORG, Schedules, asked, environment, runs, wait_until, words
from vapi_emulator.generate import History, fill
from vapi_emulator.live import LiveTraffic
from vapi_emulator.server import EmulatorServer
from vapi_emulator.stored import make_row
from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings, FaultSettings

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1200)]
#: What somebody says in a session, and nobody else.
SAID = "the canary sings at seven"


@pytest.fixture
def source() -> Iterator[tuple[EmulatorServer, list[LiveTraffic]]]:
    """Two organisations in which something happens all the time. An answer takes so long that a run can be killed amid it."""
    keys = {KEY: DEFAULT_ORG, OTHER_KEY: OTHER_ORG}
    settings = EmulatorSettings(keys=keys, faults=FaultSettings(latency_seconds=0.05))
    traffic = []
    with ExitStack() as stack:
        server = stack.enter_context(EmulatorServer(settings))
        now = server.store.now_us()
        for org_id in keys.values():
            fill(server.store, History(org_id=org_id, sessions=60, days=5, seed=3, until_us=now))
            traffic.append(stack.enter_context(LiveTraffic(server.store, org_id, rate=4, seed=5)))
        said = {
            "id": "5a1d0000-0000-4000-8000-000000000001",
            "orgId": DEFAULT_ORG,
            "messages": [{"role": "user", "content": SAID}],
        }
        server.store.insert_many([make_row(said, now, now)])
        yield server, traffic


def test_two_warehouses_equal_the_source_after_overlaps_and_a_killed_run(
    source: tuple[EmulatorServer, list[LiveTraffic]], prefect_server: dict[str, str], tmp_path: Path
) -> None:
    """Three runs each; one finds its warehouse locked; one is killed. Prefect has neither the key nor what was said."""
    api = prefect_server["PREFECT_API_URL"]
    server, traffic = source
    schedules = Schedules()
    east, west = tmp_path / "east", tmp_path / "west"
    slow = {"VAPI_PAGE_SIZE": "5", "VAPI_CONCURRENCY": "1"}
    given = {
        east: environment(server, **prefect_server, **slow),
        west: environment(server, **prefect_server, **slow, VAPI_API_KEY=OTHER_KEY),
    }

    def states(warehouse: Path) -> list[dict[str, Any]]:
        named = {"deployments": {"name": {"like_": f"{warehouse.name}-"}}}
        ended = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
        found = asked(api, "flow_runs", named | {"flow_runs": ended, "sort": "EXPECTED_START_TIME_DESC"})
        return [one["state"] for one in found]

    def killed_amid(warehouse: Path, schedule: psutil.Process) -> bool:
        """Kill a run while it holds the warehouse; whether Prefect shows that one was killed."""
        for one in [] if _free(warehouse) else schedule.children():
            if "spawn_main" in words(one):
                one.kill()
        return "CRASHED" in [one["type"] for one in states(warehouse)]

    try:
        served = {warehouse: schedules.start(warehouse, variables) for warehouse, variables in given.items()}

        wait_until(lambda: runs(east) >= 1)
        with (east / ".lock").open("a") as lock:  # as another command holds it
            wait_until(lambda: not _locked(lock))
            wait_until(lambda: any("is writing to" in (one["message"] or "") for one in states(east)))

        wait_until(lambda: killed_amid(west, served[west]))

        after = {warehouse: runs(warehouse) for warehouse in given}
        wait_until(lambda: all(runs(one) >= max(3, after[one] + 1) for one in given))
        assert all(one.poll() is None for one in served.values())
    finally:
        schedules.end()

    for one in traffic:
        one.stop()
    time.sleep(1)  # the clock of the answers has whole seconds, and the current one is not compared
    for warehouse, variables in given.items():
        wait_until(lambda warehouse=warehouse: _free(warehouse))
        for arguments in (["reconcile", "--accept-deletions"], ["sync"], ["verify", "--deep"]):
            ran = command.run(*arguments, "--warehouse", str(warehouse), environment=variables)
            assert ran.code == 0, ran.err

    files = [path for path in Path(prefect_server["PREFECT_HOME"]).rglob("*") if path.is_file()]
    stored = {path.name: path.read_bytes() for path in files}
    assert "prefect.db" in stored
    for secret in (KEY, OTHER_KEY, SAID):
        assert [name for name, content in stored.items() if secret.encode() in content] == []
    ran = command.run(
        "sql",
        f"SELECT count(*) AS n FROM messages WHERE content = '{SAID}'",
        "--format",
        "csv",
        "--warehouse",
        str(east),
        environment={},
    )
    assert ran.out.split() == ["n", "1"]


def _locked(lock: Any) -> bool:
    """Whether another process has the lock; if not, we have it now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _free(warehouse: Path) -> bool:
    """Whether nobody writes to the warehouse."""
    with (warehouse / ".lock").open("a") as lock:
        return not _locked(lock)
