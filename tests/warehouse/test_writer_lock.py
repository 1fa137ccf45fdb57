"""There is one writer: the lock of the warehouse, and DuckDB's lock on the index."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batches import Warehouse
from vapi_sessions import schema
from vapi_sessions.errors import WarehouseBusyError
from vapi_sessions.warehouse.database import LOCK_PATIENCE
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout, writer_lock

HOLD = {
    "our lock": (
        "import sys; from pathlib import Path; from vapi_sessions.warehouse.layout import *\n"
        "with writer_lock(Layout(Path(sys.argv[1]))): print('ready', flush=True); sys.stdin.read()"
    ),
    "the database": (
        "import duckdb, sys; db = duckdb.connect(sys.argv[1] + '/index.duckdb')\n"
        "print('ready', flush=True); sys.stdin.read()"
    ),
}


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Callable[[str], tuple[Layout, subprocess.Popen[str]]]]:
    """Another process that holds a warehouse in one of two ways."""
    processes: list[subprocess.Popen[str]] = []
    layout = Layout(tmp_path / "warehouse")
    with Warehouse(layout.root):
        pass

    def hold(what: str) -> tuple[Layout, subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD[what], str(layout.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return layout, process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


Held = Callable[[str], tuple[Layout, "subprocess.Popen[str]"]]


def test_a_second_writer_is_refused_with_the_pid_of_the_first(held: Held) -> None:
    """It does not wait."""
    layout, process = held("our lock")
    with (
        pytest.raises(WarehouseBusyError, match=f"Another run \\(pid {process.pid}\\)"),
        writer_lock(layout),
    ):
        pass


def test_the_lock_is_released_when_its_process_is_killed(held: Held) -> None:
    """The kernel releases it."""
    layout, process = held("our lock")
    process.kill()
    process.communicate()
    with writer_lock(layout):
        pass


def test_the_lock_can_be_taken_once_in_one_process(tmp_path: Path) -> None:
    """It is free again afterwards."""
    layout = Layout(tmp_path)
    with (
        writer_lock(layout),
        pytest.raises(WarehouseBusyError, match="is writing to"),
        writer_lock(layout),
    ):
        pass
    with writer_lock(layout):
        assert (tmp_path / ".lock").stat().st_mode & 0o777 == 0o600


def test_opening_waits_for_a_process_that_has_the_index_open(held: Held) -> None:
    """After `LOCK_PATIENCE` the error names the process, and the file to open instead."""
    layout, process = held("the database")
    slept: list[float] = []
    with pytest.raises(
        WarehouseBusyError, match=f"open in another process \\(pid {process.pid}\\)"
    ) as caught:
        Index(layout.index, layout.scratch, sleep=slept.append)
    assert sum(slept) == pytest.approx(LOCK_PATIENCE)
    assert "vapi.duckdb" in caught.value.remedy


def test_opening_succeeds_when_the_other_process_closes_the_index(held: Held) -> None:
    """A short look into the database delays a run by a second."""
    layout, process = held("the database")
    slept = itertools.count()

    def sleep(seconds: float) -> None:
        if next(slept) == 2:
            process.kill()
            process.communicate()

    with Index(layout.index, layout.scratch, sleep=sleep) as index:
        assert index.state()["schema_version"] == str(schema.SCHEMA_VERSION)
