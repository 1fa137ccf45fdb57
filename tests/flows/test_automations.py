"""Prefect automations as code, on a real server: created once, updated after that, and fired by real runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from vapi_emulator.server import EmulatorServer

pytestmark = [pytest.mark.proof, pytest.mark.timeout(600)]
ROOT: Final = Path(__file__).resolve().parents[2]
#: A flow of the same name, which ends as a sync with a failing check does.
WITH_WARNINGS: Final = """
from prefect import flow
from prefect.states import Completed
@flow(name="vapi-sessions sync")
def sync():
    return Completed(name="CompletedWithWarnings", message="a check fails")
sync()
"""


@pytest.fixture
def environment(prefect_server: dict[str, str]) -> dict[str, str]:
    """For processes that use the server."""
    others = {n: v for n, v in os.environ.items() if not n.startswith(("VAPI_", "PREFECT_"))}
    return {**others, **prefect_server}


@pytest.fixture
def client(prefect_server: dict[str, str]) -> Iterator[httpx.Client]:
    """For requests to the server."""
    with httpx.Client(base_url=prefect_server["PREFECT_API_URL"], trust_env=False, timeout=60) as opened:
        yield opened


def _run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )


def _automations(client: httpx.Client) -> dict[str, Any]:
    found = client.post("/automations/filter", json={"limit": 200}).raise_for_status().json()
    return {one["name"]: one for one in found if one["name"].startswith("vapi-sessions:")}


def _fired(client: httpx.Client, name: str) -> bool:
    wanted = {"event": {"name": ["prefect.automation.triggered"]}}
    found = client.post("/events/filter", json={"filter": wanted}).raise_for_status().json()["events"]
    return any(event["resource"].get("prefect.resource.name") == name for event in found)


def _fires(client: httpx.Client, name: str) -> bool:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if _fired(client, name):
            return True
        time.sleep(0.5)
    return False


def test_automations_are_created_once_and_then_updated(
    environment: dict[str, str], client: httpx.Client
) -> None:
    """A second call changes the times and adds nothing."""
    first = _run(environment, "flows/automations.py", "--freshness", "6h")
    assert first.returncode == 0, first.stderr
    before = _automations(client)
    assert set(before) == {"vapi-sessions: stale", "vapi-sessions: warnings", "vapi-sessions: key refused"}
    second = _run(environment, "flows/automations.py", "--freshness", "12s")
    assert second.stdout.count("updated: ") == 3, second.stdout + second.stderr
    after = _automations(client)
    assert {name: one["id"] for name, one in after.items()} == {
        name: one["id"] for name, one in before.items()
    }
    assert [one["vapi-sessions: stale"]["trigger"]["within"] for one in (before, after)] == [21600.0, 12.0]


def test_a_refused_key_warnings_and_silence_fire(
    environment: dict[str, str], client: httpx.Client, tmp_path: Path
) -> None:
    """The first by the flow of the sync, with a key that the source refuses; the last because no run follows."""
    assert _run(environment, "flows/automations.py", "--freshness", "12s").returncode == 0
    with EmulatorServer() as server:
        source = {
            "VAPI_BASE_URL": server.url,
            "VAPI_API_KEY": "refused",
            "VAPI_WAREHOUSE": str(tmp_path / "w"),
        }
        assert _run({**environment, **source}, "flows/sync.py").returncode == 3
    assert _fires(client, "vapi-sessions: key refused")
    assert _run(environment, "-c", WITH_WARNINGS).returncode == 0
    assert _fires(client, "vapi-sessions: warnings")
    assert _fires(client, "vapi-sessions: stale")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--freshness", "soon"], "--freshness: "),
        (["--freshness", "1s"], "ten seconds"),
        (["--notify", "slack-webhook/none"], "has no block"),
    ],
)
def test_wrong_arguments_exit_with_2(environment: dict[str, str], arguments: list[str], said: str) -> None:
    """One line with the value, one with the remedy; no traceback."""
    ran = _run(environment, "flows/automations.py", *arguments)
    assert ran.returncode == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_without_a_server_nothing_is_created(environment: dict[str, str]) -> None:
    """A temporary server would forget the automations."""
    ran = _run({n: v for n, v in environment.items() if n != "PREFECT_API_URL"}, "flows/automations.py")
    assert ran.returncode == 2
    assert "PREFECT_API_URL is not set" in json.dumps(ran.stderr)
