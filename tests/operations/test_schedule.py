"""`schedule` without Prefect: deployment names, the lock, proxies, signals, and the start of a server."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from pathlib import Path

import pytest

from vapi_sessions.errors import WarehouseBusyError, WarehouseError
from vapi_sessions.operations import schedule
from vapi_sessions.warehouse.schedule_lock import deployment_name, scheduling

NOBODY = "http://127.0.0.1:9"


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
