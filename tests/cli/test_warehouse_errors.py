"""Warehouses that are read-only, locked, damaged, or not a directory."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path

import pytest

from desk import Desk
from selection import first


@pytest.mark.parametrize("command", first(["sync", "rebuild"]))
def test_a_read_only_warehouse_is_an_error(read_only: Desk, command: str) -> None:
    """Exit code 5 with the path; nothing is lost."""
    before = read_only.contents()
    ran = read_only.start(command)
    assert (ran.code, ran.out) == (5, "")
    assert str(read_only.warehouse) in ran.message[0]
    assert "cannot be read or written" in ran.message[0]
    assert "--warehouse" in ran.message[1]
    assert len(ran.message) == 2
    assert read_only.contents() == before


@pytest.mark.proof
def test_a_read_only_warehouse_can_be_queried(read_only: Desk) -> None:
    ran = read_only.start("sql", "--format", "json", "SELECT count(*) AS n FROM sessions")
    assert (ran.code, json.loads(ran.out)) == (0, [{"n": 120}])


def test_a_concurrent_sync_names_the_running_process(desk: Desk) -> None:
    """It exits with code 5 at once; a later sync works."""
    with (desk.warehouse / ".lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write("4711\n")
        lock.flush()
        ran = desk.run("sync")
    assert (ran.code, ran.out) == (5, "")
    assert "Another run (pid 4711) is writing" in ran.message[0]
    assert desk.run("sync").code == 0


def test_rebuild_repairs_a_damaged_database(desk: Desk) -> None:
    """Everything is there again, and the next sync works."""
    before = desk.contents()
    (desk.warehouse / "index.duckdb").write_bytes(b"x" * 20_000)
    assert desk.run("sync").code == 5
    ran = desk.run("rebuild")
    assert (ran.code, ran.err) == (0, "")
    assert "Rebuilt 120 sessions" in ran.out
    assert desk.contents() == before
    assert desk.run("sync").code == 0
    assert desk.contents() == before


@pytest.mark.parametrize("damage", first(["a file cut off", "no files"]))
@pytest.mark.parametrize(
    "asked",
    [
        ("sql", "FROM sessions"),
        *(pytest.param((name,), marks=pytest.mark.proof) for name in ("status", "verify")),
    ],
    ids=lambda c: c[0],
)
def test_rebuild_repairs_damaged_data_files(
    desk: Desk,
    asked: tuple[str, ...],
    damage: str,
) -> None:
    """With damaged or missing Parquet files, reading exits with code 5 and names the rebuild."""
    before = desk.contents()
    latest = (desk.warehouse / "parquet" / "latest").resolve()
    if damage == "no files":
        shutil.rmtree(latest)
    else:
        for path in latest.rglob("*.parquet"):
            path.write_bytes(path.read_bytes()[:100])
    ran = desk.run(*asked)
    assert (ran.code, ran.out) == (5, ""), ran.err
    assert len(ran.message) <= 2
    assert "vapi-sessions rebuild" in ran.message[-1]
    assert desk.run("rebuild").code == 0
    assert desk.contents() == before


@pytest.mark.parametrize("command", ["status", "verify", "sql", "rebuild", "forget", "sync"])
def test_a_file_is_not_a_warehouse(desk: Desk, tmp_path: Path, command: str) -> None:
    """Every command refuses it."""
    file = tmp_path / "a file"
    file.write_text("")
    given = {"sql": ["SELECT 1"], "forget": ["x"]}.get(command, [])
    ran = desk.run(command, *given, "--warehouse", str(file))
    assert (ran.code, "is a file, not a directory" in ran.err) == (5, True)
