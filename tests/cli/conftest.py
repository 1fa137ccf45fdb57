"""A source, a warehouse, and broken streams for the tests of the command line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import vl_convert

from broken_streams import closed_pipe, full_device, not_for_writing
from constants import KEY
from desk import OURS, THEIR_KEY, THEIRS, Desk, contents
from selection import first
from shell import Shell
from vapi_emulator.generate import History, fill
from vapi_emulator.server import EmulatorServer
from vapi_emulator.switches import EmulatorSettings, FaultSettings
from vapi_sessions.operations import sync
from worlds import settings_for

BROKEN: Final = (closed_pipe, full_device, not_for_writing)


@pytest.fixture(autouse=True)
def _reports_without_vega(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short script in place of Vega, which takes seconds to bundle."""
    monkeypatch.setattr(vl_convert, "javascript_bundle", lambda snippet: snippet)


@pytest.fixture(scope="session")
def common_source() -> Iterator[EmulatorServer]:
    """Two organisations; ours has a history of 120 sessions."""
    with EmulatorServer(EmulatorSettings(keys={KEY: OURS, THEIR_KEY: THEIRS})) as server:
        now = server.store.now_us()
        for org_id, sessions in ((OURS, 120), (THEIRS, 10)):
            fill(server.store, History(org_id=org_id, sessions=sessions, days=5, seed=4, until_us=now))
        yield server


@pytest.fixture
def source(common_source: EmulatorServer) -> Iterator[EmulatorServer]:
    """The common source, without faults and requests of earlier tests."""
    common_source.clear_requests()
    yield common_source
    common_source.configure(faults=FaultSettings(), must_pay=frozenset())
    common_source.faults.forget_script()


@pytest.fixture(scope="session")
def synced(common_source: EmulatorServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse that tests get a copy of."""
    warehouse = tmp_path_factory.mktemp("cli") / "warehouse"
    sync.sync(settings_for(common_source, warehouse))
    return warehouse


@pytest.fixture(scope="session")
def held(synced: Path) -> dict[str, Any]:
    """The contents of that warehouse."""
    return contents(synced)


@pytest.fixture
def desk(source: EmulatorServer, synced: Path, held: dict[str, Any], tmp_path: Path) -> Desk:
    """A copy of the warehouse, and its source."""
    warehouse = tmp_path / "warehouse"
    shutil.copytree(synced, warehouse, symlinks=True)
    return Desk(source, warehouse, held=held)


@pytest.fixture
def shell(source: EmulatorServer, synced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Commands on a copy of the warehouse."""
    shutil.copytree(synced, tmp_path / "warehouse", symlinks=True)
    return Shell(source, tmp_path / "warehouse", monkeypatch)


@pytest.fixture(params=first(BROKEN), ids=[kind.__name__ for kind in BROKEN])
def broken(request: pytest.FixtureRequest) -> Iterator[int]:
    """A stream that cannot be written."""
    descriptor: int = request.param()
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def closed() -> Iterator[int]:
    """A pipe without a reader."""
    descriptor = closed_pipe()
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def full() -> Iterator[int]:
    """A full device."""
    descriptor = full_device()
    yield descriptor
    os.close(descriptor)


#: Runs its arguments without root's privilege to ignore permissions, which a sync does not need.
WITHOUT_PRIVILEGE: Final = """
import ctypes, os, sys
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
if ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) != 0:
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def read_only(desk: Desk) -> Iterator[Desk]:
    """A warehouse that nobody may write, not even root."""
    everything = [desk.warehouse, *desk.warehouse.rglob("*")]
    paths = {path: path.stat().st_mode for path in everything if not path.is_symlink()}
    for path, mode in paths.items():
        path.chmod(mode & ~0o222)
    if os.geteuid() == 0:
        desk.wrapper = [sys.executable, "-c", WITHOUT_PRIVILEGE]
        if subprocess.run([*desk.wrapper, shutil.which("true") or "true"], check=False).returncode == 77:
            pytest.skip("root cannot drop its privilege to ignore permissions here")
    yield desk
    for path, mode in paths.items():
        path.chmod(mode)
