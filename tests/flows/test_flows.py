"""The Prefect flows, run as scripts. Few tests, because Prefect takes long to start."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import vapi_sessions
from searching import found_in
from servers import ScriptedServer, http_response, sends
from vapi_emulator.generate import History, generate
from vapi_emulator.planted import MARKER
from vapi_emulator.server import EmulatorServer
from vapi_emulator.stored import make_row
from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings
from vapi_sessions.core.timestamps import parse
from vapi_sessions.warehouse.schedule_lock import warehouse_name

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1200)]
ROOT = Path(__file__).resolve().parents[2]
KEY = "a-key-that-must-not-show"
#: Several runs of flows in one process: Prefect takes far longer to start than a run takes. Each has its arguments, what is odd about it,
#: and its exit code. A line in both streams separates their output.
RUNS = (
    (["flows/sync.py"], "since", 0),
    (["flows/backfill.py", "2020-01-01"], "", 0),
    (["flows/backfill.py", "2019-01-01", "2019-02-01"], "", 0),
    (["flows/sync.py"], "locked", 5),
    (["flows/sync.py"], "refused", 0),
    (["flows/reconcile.py"], "", 0),
)
SCRIPT = f"""
import fcntl, os, runpy, sys
for arguments, odd, code in {RUNS!r}:
    sys.argv = arguments
    if odd == "since":
        os.environ["VAPI_SINCE"] = "2020-01-01"
    if odd == "locked":
        lock = open(os.environ["VAPI_WAREHOUSE"] + "/.lock", "r+")
        fcntl.flock(lock, fcntl.LOCK_EX)
    if odd == "refused":
        from vapi_sessions.operations.schedule import load_flow
        artifacts = load_flow("artifacts")
        get_client = artifacts.get_client
        def refused(**given):
            client = get_client(**given)
            client._client.base_url = os.environ["REFUSES"]
            return client
        artifacts.get_client = refused
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        assert end.code == code, (arguments, end.code)
    os.environ.pop("VAPI_SINCE", None)
    if odd == "locked":
        lock.close()
    if odd == "refused":
        artifacts.get_client = get_client
    for stream in (sys.stdout, sys.stderr):
        print("=== that was", arguments[0], file=stream, flush=True)
"""


@dataclass(frozen=True)
class FlowRuns:
    """The directory of the warehouse, and what each run printed, then what the process printed at its end."""

    home: Path
    printed: list[str]


@pytest.fixture(scope="module")
def flow_run(tmp_path_factory: pytest.TempPathFactory, prefect_server: dict[str, str]) -> FlowRuns:
    """All of `RUNS`, one after the other."""
    home = tmp_path_factory.mktemp("flows")
    with (
        EmulatorServer(EmulatorSettings(keys={KEY: DEFAULT_ORG})) as server,
        ScriptedServer(sends(http_response(b"{}", status="403 Forbidden"))) as refusing,
    ):
        for batch in generate(
            History(org_id=DEFAULT_ORG, sessions=300, days=10, seed=3, until_us=server.store.now_us())
        ):
            server.store.insert_many(batch)
        # Older than anything that is asked for: without it, nothing could have changed in the gap that the second backfill leaves.
        old = {"id": "01d00000-0000-4000-8000-000000000001", "orgId": DEFAULT_ORG}
        server.store.insert_many([make_row(old, parse("2018-06-01"), parse("2018-06-01"))])
        environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("VAPI_", "PREFECT_"))
            },
            "VAPI_API_KEY": KEY,
            "VAPI_BASE_URL": server.url,
            "VAPI_WAREHOUSE": str(home / "warehouse"),
            **prefect_server,
            "PREFECT_LOGGING_LEVEL": "DEBUG",
            "VAPI_PAGE_SIZE": "50",
            "REFUSES": f"{refusing.url}/api",
        }

        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    printed = [re.split("=== that was .*\n", stream) for stream in (done.stdout, done.stderr)]
    return FlowRuns(home, ["".join(both) for both in zip(*printed, strict=True)])


def rows(prefect_server: dict[str, str], sql: str, *values: str) -> list[tuple[Any, ...]]:
    """Of Prefect's database."""
    with contextlib.closing(sqlite3.connect(Path(prefect_server["PREFECT_HOME"]) / "prefect.db")) as db:
        return db.execute(sql, values).fetchall()


def artifacts(flow_run: FlowRuns, prefect_server: dict[str, str], what: str) -> list[Any]:
    """The data of the artifacts of this warehouse whose keys end so, the oldest first."""
    name = f"vapi-sessions-{warehouse_name(flow_run.home / 'warehouse', DEFAULT_ORG)}"
    found = rows(prefect_server, "SELECT data FROM artifact WHERE key = ? ORDER BY created", f"{name}-{what}")
    return [json.loads(data) for (data,) in found]


def test_the_flow_syncs_all_sessions_in_mapped_tasks(flow_run: FlowRuns) -> None:
    """Each window is a task of its own, named by its number and its bounds."""
    with vapi_sessions.connect(flow_run.home / "warehouse") as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchall() == [(300,)]
        ((windows, first),) = db.execute(
            "SELECT count(*), min(lower_bound) FROM sync.windows JOIN sync.runs USING (run_id) WHERE command = 'sync flow'"
            " AND sessions_new > 0"
        ).fetchall()
    assert windows > 1
    synced = flow_run.printed[0]
    assert all(f"fetch window {n} of {windows} (2" in synced for n in range(1, windows + 1))
    assert f"'fetch window 1 of {windows} ({first:%Y-%m-%d %H:%M} → " in synced


def test_runs_end_in_states_that_say_what_happened(flow_run: FlowRuns) -> None:
    """With the figures, or the reason."""
    lines = [
        next(line for line in text.splitlines() if "Flow run" in line and "Finished in state" in line)
        for text in flow_run.printed[:-1]
    ]
    states = [line.partition("Finished in state ")[2] for line in lines]
    assert [state.partition("(")[0] for state in states] == [
        "CompletedWithWarnings",
        "Completed",
        "CompletedWithWarnings",
        "Skipped",
        "Completed",
        "Completed",
    ]
    assert "300 sessions read: 300 new, 0 changed" in states[0]
    assert "complete until 2" in states[0]
    assert "new fields without a column" in states[0]  # the generated history has some
    assert "2019-02-01 00:00 → 2020-01-01 00:00" in states[2]
    assert "is writing to" in states[3]


def test_no_run_prints_a_traceback(flow_run: FlowRuns) -> None:
    """Also the one that was skipped: it ends with our two lines."""
    assert "Traceback" not in "".join(flow_run.printed)
    assert "error: Another run (pid " in flow_run.printed[3]


def test_a_run_whose_artifacts_are_refused_completes(flow_run: FlowRuns) -> None:
    """With one warning in its log, and the gap of the backfill before closed."""
    warned = [line for line in flow_run.printed[4].splitlines() if "it answers 403" in line]
    assert len(warned) == 1
    with vapi_sessions.connect(flow_run.home / "warehouse") as db:
        assert db.execute("SELECT count(*) FROM sync.intervals").fetchall() == [(1,)]


def test_runs_are_named_by_their_windows(flow_run: FlowRuns, prefect_server: dict[str, str]) -> None:
    """In Prefect; a run that could not be renamed or did not plan has the time of its start."""
    name = f"vapi-sessions-{warehouse_name(flow_run.home / 'warehouse', DEFAULT_ORG)}-%"
    sql = "SELECT DISTINCT flow_run.name FROM flow_run JOIN artifact ON flow_run.id = flow_run_id WHERE key LIKE ?"
    names = {found for (found,) in rows(prefect_server, sql, name)}
    assert "backfill 2019-01-01 00:00 → 2019-02-01 00:00" in names
    assert sum(bool(re.match(r"sync 2\S+ \S+ → 2\S+ \S+$", found)) for found in names) == 1
    assert sum(bool(re.match(r"reconcile 2\S+ \S+$", found)) for found in names) == 1


def test_the_flows_leave_summaries_and_tables_of_windows(
    flow_run: FlowRuns, prefect_server: dict[str, str]
) -> None:
    """In Prefect's database, under keys with the warehouse's name. One run's were refused."""
    (summary,) = artifacts(flow_run, prefect_server, "sync-summary")
    assert "| sessions new | 300 |" in summary
    (table,) = artifacts(flow_run, prefect_server, "sync-windows")
    assert sum(row["sessions"] for row in json.loads(table)) == 300
    first, second = artifacts(flow_run, prefect_server, "backfill-summary")
    assert ("Warnings" in first, "Warnings" in second) == (False, True)
    (reconciled,) = artifacts(flow_run, prefect_server, "reconcile-summary")
    assert "| marked as deleted | 0 |" in reconciled


def test_a_backfill_of_read_sessions_changes_nothing(flow_run: FlowRuns) -> None:
    """It reads the whole range, and every row stays the same."""
    with vapi_sessions.connect(flow_run.home / "warehouse") as db:
        runs = db.execute(
            "SELECT sessions_read, sessions_new, sessions_changed FROM sync.runs WHERE command = 'backfill flow' "
            "ORDER BY started_at"
        ).fetchall()
    assert runs == [(300, 0, 0), (0, 0, 0)]


def test_prefect_neither_prints_nor_stores_the_key(
    flow_run: FlowRuns, prefect_server: dict[str, str]
) -> None:
    """Not in the debug log, not in Prefect's own files, not in the warehouse."""
    assert KEY not in "".join(flow_run.printed)
    places = (flow_run.home, Path(prefect_server["PREFECT_HOME"]))
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path.name for path in files if KEY.encode() in path.read_bytes()] == []


def test_prefect_neither_prints_nor_stores_a_planted_secret(
    flow_run: FlowRuns, prefect_server: dict[str, str]
) -> None:
    """Not in the debug log, not in Prefect's database with its states and artifacts, not in the warehouse."""
    assert MARKER not in "".join(flow_run.printed)
    assert found_in(flow_run.home, MARKER) == {}
    assert found_in(Path(prefect_server["PREFECT_HOME"]), MARKER) == {}
