"""The Prefect flows, run as scripts. Few tests, because Prefect takes long to start."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vapi_sessions
from searching import found_in
from vapi_emulator.generate import History, generate
from vapi_emulator.planted import MARKER
from vapi_emulator.server import EmulatorServer

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1200)]
ROOT = Path(__file__).resolve().parents[2]
KEY = "a-key-that-must-not-show"
#: `python flows/sync.py`, then `python flows/backfill.py 2020-01-01`, in one process: Prefect takes far longer to start than both
#: take to run. A line in both streams separates their output.
BOTH = """
import runpy, sys
for arguments in (["flows/sync.py"], ["flows/backfill.py", "2020-01-01"]):
    sys.argv = arguments
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        assert end.code == 0, end.code
    for stream in (sys.stdout, sys.stderr):
        print("=== that was", arguments[0], file=stream, flush=True)
"""


@pytest.fixture(scope="module")
def flow_run(
    tmp_path_factory: pytest.TempPathFactory, prefect_server: dict[str, str]
) -> tuple[Path, str, str]:
    """One `python flows/sync.py`, then one backfill: their directory, and the output of each."""
    home = tmp_path_factory.mktemp("flows")
    from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings

    with EmulatorServer(EmulatorSettings(keys={KEY: DEFAULT_ORG})) as server:
        for batch in generate(
            History(org_id=DEFAULT_ORG, sessions=300, days=10, seed=3, until_us=server.store.now_us())
        ):
            server.store.insert_many(batch)
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
        }

        done = subprocess.run(
            [sys.executable, "-c", BOTH],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-2000:]
    printed = [re.split("=== that was .*\n", stream) for stream in (done.stdout, done.stderr)]
    synced, backfilled, at_the_end = map("".join, zip(*printed, strict=True))
    return home, synced, backfilled + at_the_end


def test_the_flow_syncs_all_sessions_in_mapped_tasks(flow_run: tuple[Path, str, str]) -> None:
    """Each window is a task of its own."""
    home, synced, _ = flow_run
    with vapi_sessions.connect(home / "warehouse") as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchall() == [(300,)]
        (windows,) = db.execute(
            "SELECT count(*) FROM sync.windows JOIN sync.runs USING (run_id) WHERE command = 'sync flow'"
        ).fetchall()[0]
    assert windows > 1
    assert all(f"fetch window {index}" in synced for index in range(windows))


def test_the_flow_leaves_a_table_artifact_of_the_run(
    flow_run: tuple[Path, str, str], prefect_server: dict[str, str]
) -> None:
    """In Prefect's database, with the counts."""
    import sqlite3

    home, _, _ = flow_run
    db = sqlite3.connect(Path(prefect_server["PREFECT_HOME"]) / "prefect.db")
    rows = db.execute("SELECT data FROM artifact WHERE key = 'vapi-sessions-run'").fetchall()
    db.close()
    with vapi_sessions.connect(home / "warehouse") as ours:
        ((run_id,),) = ours.execute("SELECT run_id FROM sync.runs WHERE command = 'sync flow'").fetchall()
    tables = [{row["fact"]: row["value"] for row in json.loads(json.loads(data))} for (data,) in rows]
    shown = [(facts["sessions new"], facts["failing checks"]) for facts in tables if facts["run"] == run_id]
    assert shown == [("300", "none")]


def test_a_backfill_of_read_sessions_changes_nothing(flow_run: tuple[Path, str, str]) -> None:
    """It reads the whole range, and every row stays the same."""
    home, _, _ = flow_run
    with vapi_sessions.connect(home / "warehouse") as db:
        runs = db.execute(
            "SELECT sessions_read, sessions_new, sessions_changed FROM sync.runs WHERE command = 'backfill flow'"
        ).fetchall()
    assert runs == [(300, 0, 0)]


def test_prefect_neither_prints_nor_stores_the_key(
    flow_run: tuple[Path, str, str], prefect_server: dict[str, str]
) -> None:
    """Not in the debug log, not in Prefect's own files, not in the warehouse."""
    home, synced, backfilled = flow_run
    assert KEY not in synced + backfilled
    places = (home, Path(prefect_server["PREFECT_HOME"]))
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path.name for path in files if KEY.encode() in path.read_bytes()] == []


def test_prefect_neither_prints_nor_stores_a_planted_secret(
    flow_run: tuple[Path, str, str], prefect_server: dict[str, str]
) -> None:
    """Not in the debug log, not in Prefect's database with its states and artifacts, not in the warehouse."""
    home, synced, backfilled = flow_run
    assert MARKER not in synced + backfilled
    assert found_in(home, MARKER) == {}
    assert found_in(Path(prefect_server["PREFECT_HOME"]), MARKER) == {}
