"""Who opens the writer's index: what is refused, what is told, and that there is one writer."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models import EPOCH, Warehouse, observation
from vapi_sessions import schema
from vapi_sessions.core.timestamps import to_datetime
from vapi_sessions.errors import WarehouseBusyError, WarehouseDamagedError, WarehouseError
from vapi_sessions.warehouse.index import LOCK_PATIENCE, Changes, Index, copy_alive
from vapi_sessions.warehouse.layout import Layout, writer_lock


def test_an_index_opens_again_as_it_was(tmp_path: Path) -> None:
    """Everything is on disk."""
    with Warehouse(tmp_path / "w") as warehouse:
        warehouse.merge(observation("a", 1), changes=Changes(state={"origin": "7"}))
        before = warehouse.contents()
    with Warehouse(tmp_path / "w") as warehouse:
        assert warehouse.contents() == before


@pytest.fixture
def of_another_version(tmp_path: Path) -> Layout:
    """A warehouse whose database another program wrote."""
    with Warehouse(tmp_path / "w") as warehouse:
        warehouse.index.record(Changes(state={"schema_version": "99"}))
        return warehouse.layout


def test_an_index_of_another_version_is_refused(of_another_version: Layout) -> None:
    """The message gives both versions and the way out."""
    own = f"has schema version 99, this program has {schema.SCHEMA_VERSION}"
    with pytest.raises(WarehouseError, match=own) as caught:
        Index(of_another_version.index, of_another_version.scratch)
    assert "rebuild" in caught.value.remedy


def test_an_index_that_is_refused_is_not_kept_open(of_another_version: Layout) -> None:
    """While the error is being handled, other processes can look into the file."""
    with pytest.raises(WarehouseError) as caught:
        Index(of_another_version.index, of_another_version.scratch)
    code = "import duckdb, sys; duckdb.connect(sys.argv[1])"
    other = subprocess.run(
        [sys.executable, "-c", code, str(of_another_version.index)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode == 0, (caught.value.fact, other.stderr[-300:])


@pytest.mark.parametrize("content", [b"not a database", b"x" * 100_000], ids=["short", "long"])
def test_a_file_that_is_no_database_is_told(tmp_path: Path, content: bytes) -> None:
    """With the way out."""
    layout = Layout(tmp_path / "w")
    layout.create()
    layout.index.write_bytes(content)
    with pytest.raises(WarehouseDamagedError, match=r"index\.duckdb is damaged") as caught:
        Index(layout.index, layout.scratch)
    assert "rebuild" in caught.value.remedy


def _many(warehouse: Warehouse, count: int) -> None:
    """One session, so many times."""
    warehouse.merge(observation("a", 1, messages=5))
    warehouse.index.run(
        "INSERT INTO sessions SELECT s.* REPLACE (uuid()::VARCHAR AS session_id) "
        f"FROM sessions AS s, range({count - 1})"
    )
    warehouse.index.checkpoint()


def test_damage_inside_the_file_is_told(tmp_path: Path) -> None:
    """A block that is not what was written is noticed when it is read."""
    with Warehouse(tmp_path / "w") as warehouse:
        _many(warehouse, 20_000)
        layout = warehouse.layout
    data = bytearray(layout.index.read_bytes())
    for position in range(12_288 + 5_000, len(data), 50_000):
        data[position : position + 64] = bytes(64)
    layout.index.write_bytes(data)

    def everything() -> object:
        with Index(layout.index, layout.scratch) as index:
            return index.table("FROM sessions"), index.rows("FROM sync.batches")

    with pytest.raises(WarehouseDamagedError):
        everything()


def test_what_is_only_read_is_not_written(tmp_path: Path) -> None:
    """Not even what a killed process left in its log, which is seen all the same."""
    root = tmp_path / "w"
    code = (
        "import os, sys; from pathlib import Path; from models import Warehouse, observation\n"
        "w = Warehouse(Path(sys.argv[1])); w.merge(observation('a', 1)); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(root)], check=False, cwd=Path(__file__).parents[1])
    layout = Layout(root)

    def files() -> dict[str, tuple[int, bytes]]:
        return {
            path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in root.glob("index.duckdb*")
        }

    before = files()
    assert before.keys() == {"index.duckdb", "index.duckdb.wal"}
    with Index(layout.index, layout.scratch, read_only=True) as index:
        assert index.rows("SELECT session_id FROM sessions") == [("a",)]
    assert files() == before


def test_the_index_is_the_owners_alone(tmp_path: Path) -> None:
    """The database and its log, even in a directory that others may enter."""
    with Warehouse(tmp_path / "w") as warehouse:
        warehouse.merge(observation("a", 1))
        root = warehouse.layout.root
        files = {path.name: path.stat().st_mode & 0o777 for path in root.iterdir() if path.is_file()}
    assert files == {"index.duckdb": 0o600, "index.duckdb.wal": 0o600}


def test_a_copy_has_no_byte_of_what_was_deleted(tmp_path: Path) -> None:
    """Deleted rows do not leave a file by themselves: what is alive is copied to another one."""
    with Warehouse(tmp_path / "w") as warehouse:
        _many(warehouse, 3_000)
        warehouse.merge(observation("to-be-forgotten-0123456789", 2), observation("to-stay-0123456789", 2))
        warehouse.index.checkpoint()
        warehouse.index.run("DELETE FROM sessions WHERE session_id LIKE 'to-be-forgotten%'")
        before = warehouse.contents()
        layout = warehouse.layout
    assert b"to-be-forgotten" in layout.index.read_bytes()
    draft = layout.scratch / "copied.duckdb"
    copy_alive(layout.index, draft)
    data = draft.read_bytes()
    assert b"to-stay" in data
    assert b"to-be-forgotten" not in data
    assert not draft.with_name("copied.duckdb.wal").exists()
    draft.rename(layout.index)
    with Warehouse(layout.root) as warehouse:
        assert warehouse.contents() == before


def test_moments_are_utc_wherever_the_machine_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Months and shown moments do not depend on the time zone of the process."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        with Warehouse(tmp_path / "w") as warehouse:
            warehouse.merge(observation("a", 1, created=EPOCH - 1))
            (part,) = warehouse.index.parts()
            assert (part.lower, part.upper) == (EPOCH - 28 * 86_400_000_000, EPOCH)
            assert f"{to_datetime(part.lower):%Y-%m-%d}" == "2026-02-01"
            assert warehouse.index.rows("SELECT created_at::VARCHAR FROM sessions") == [
                ("2026-02-28 23:59:59.999999+00",)
            ]
    finally:
        monkeypatch.undo()
        time.tzset()


# -- two writers -------------------------------------------------------------------------------------------------------

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


def test_a_second_writer_is_told_who_the_first_is(held: Held) -> None:
    """At once, and with its pid."""
    layout, process = held("our lock")
    with (
        pytest.raises(WarehouseBusyError, match=f"Another run \\(pid {process.pid}\\)"),
        writer_lock(layout),
    ):
        pass


def test_the_lock_goes_with_its_process(held: Held) -> None:
    """However that ends."""
    layout, process = held("our lock")
    process.kill()
    process.communicate()
    with writer_lock(layout):
        pass


def test_the_lock_excludes_within_one_process_too(tmp_path: Path) -> None:
    """And is free again afterwards."""
    layout = Layout(tmp_path)
    with (
        writer_lock(layout),
        pytest.raises(WarehouseBusyError, match="is writing to"),
        writer_lock(layout),
    ):
        pass
    with writer_lock(layout):
        assert (tmp_path / ".lock").stat().st_mode & 0o777 == 0o600


def test_somebody_who_opened_the_database_is_waited_for(held: Held) -> None:
    """Not for ever: then the message names who it is, and what to open instead."""
    layout, process = held("the database")
    slept: list[float] = []
    with pytest.raises(
        WarehouseBusyError, match=f"open in another process \\(pid {process.pid}\\)"
    ) as caught:
        Index(layout.index, layout.scratch, sleep=slept.append)
    assert sum(slept) == pytest.approx(LOCK_PATIENCE)
    assert "vapi.duckdb" in caught.value.remedy


def test_somebody_who_closes_the_database_in_time_does_no_harm(held: Held) -> None:
    """A glance into the database costs a run a second."""
    layout, process = held("the database")
    slept = itertools.count()

    def sleep(seconds: float) -> None:
        if next(slept) == 2:
            process.kill()
            process.communicate()

    with Index(layout.index, layout.scratch, sleep=sleep) as index:
        assert index.state()["schema_version"] == str(schema.SCHEMA_VERSION)
