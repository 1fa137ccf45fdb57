"""What a disk, a careless hand or another process can do to a warehouse: it is recognised, told, and mended."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selection import first, some
from vapi_emulator.server import EmulatorServer
from vapi_emulator.stored import decode
from vapi_sessions.core import faultpoints
from vapi_sessions.core.timestamps import DAY, HOUR, SECOND
from vapi_sessions.errors import WarehouseBusyError, WarehouseDamagedError, WarehouseError
from vapi_sessions.operations import coordinator, sync
from vapi_sessions.operations import rebuild as rebuilding
from vapi_sessions.operations.coordinator import Counts
from vapi_sessions.operations.progress import Silent
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.status import status
from vapi_sessions.schema import TABLES
from vapi_sessions.warehouse.database import LOCK_PATIENCE

if TYPE_CHECKING:
    from conftest import World

Damage = Callable[[bytes], bytes]

#: What becomes of a file's bytes.
GARBAGE: Final[dict[str, Damage]] = {
    "garbage": lambda b: random.Random(1).randbytes(len(b)),
    "half of it": lambda b: b[: len(b) // 2],
    "its end": lambda b: b[len(b) // 2 :],
    "nothing": lambda b: b"",
    "zeros": lambda b: bytes(len(b)),
}
OTHER_HALF_ZEROS: Final[Damage] = lambda b: b[: len(b) // 2] + bytes(len(b) - len(b) // 2)  # noqa: E731
ROT: Final[Damage] = lambda b: b[:200] + bytes(300) + b[500:]  # noqa: E731
GARBAGE_AT_ITS_HEAD: Final[Damage] = lambda b: random.Random(1).randbytes(4096) + b[4096:]  # noqa: E731


def damage(path: Path, how: Damage) -> None:
    """Replace the file: one that is linked elsewhere stays whole there."""
    content = how(path.read_bytes())
    path.unlink()
    path.write_bytes(content)


class Noting(Silent):
    """Keeps what a person would have been told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def say(self, text: str) -> None:
        self.notes.append(text)


class Photographing(Silent):
    """Copies the warehouse right after a merge: what a disk would hold if the process were killed there."""

    def __init__(self, warehouse: Path, image: Path) -> None:
        self._warehouse, self._image = warehouse, image

    def merged(self, counts: Counts) -> None:
        shutil.copytree(self._warehouse, self._image, symlinks=True)


def _insert(world: World, beginnings: list[int]) -> None:
    for beginning in beginnings:
        world.insert(20, lambda n, at=beginning: (at + n * SECOND,) * 2)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, list[int]]]:
    """A warehouse of 60 sessions, read in three syncs a month apart, so that there are three raw files."""
    from conftest import Clock, World

    clock = Clock()
    with EmulatorServer(clock=clock) as server:
        world = World(server, tmp_path_factory.mktemp("template") / "warehouse", clock)
        beginnings = []
        for _ in range(3):
            clock.forward(days=30)
            beginnings.append(world.ago(hours=6))
            _insert(world, beginnings[-1:])
            world.sync()
        yield world, beginnings


@pytest.fixture
def world(template: tuple[World, list[int]], tmp_path: Path) -> Iterator[World]:
    """That source, a copy of that warehouse, and that moment, for one test."""
    from conftest import World

    whole, beginnings = template
    now = whole.clock.us()
    whole.server.reset()
    world = World(whole.server, tmp_path / "warehouse", whole.clock)
    _insert(world, beginnings)
    shutil.copytree(whole.warehouse, world.warehouse, symlinks=True)
    yield world
    whole.clock.forward(seconds=(now - whole.clock.us()) / SECOND)


def contents(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """The five tables without our own times."""
    columns = {t: [c.name for c in t.columns if not c.name.endswith("synced_at")] for t in TABLES}
    answers = world.answers(f"SELECT {', '.join(columns[t])} FROM {t.name} ORDER BY ALL" for t in TABLES)
    return dict(zip((table.name for table in TABLES), answers, strict=True))


def raw_files(world: World) -> list[Path]:
    """In the order in which they were written."""
    return sorted((world.warehouse / "raw").glob("*.parquet"))


def changed(world: World) -> None:
    """Something new at the source, and time for it to settle."""
    world.clock.forward(days=1)
    world.insert(5, lambda n: (world.ago(hours=6) + n * 1_000_000,) * 2)
    for session_id in world.server.store.ids(world.server.org_id)[:30:3]:
        world.server.store.update(
            world.server.org_id,
            session_id,
            lambda session: session.update(name="Changed"),
            at_us=world.ago(hours=5),
        )


# -- the writer's database


@pytest.mark.parametrize(
    "how",
    first([GARBAGE["half of it"], GARBAGE["nothing"], OTHER_HALF_ZEROS, GARBAGE_AT_ITS_HEAD]),
    ids=["half of it", "nothing", "second half zeros", "garbage at its head"],
)
def test_a_damaged_index_is_told_and_rebuilt(world: World, how: Damage) -> None:
    """A sync says that it is damaged and names the remedy, readers go on, and the remedy gives everything back."""
    before = contents(world)
    damage(world.warehouse / "index.duckdb", how)
    with pytest.raises(WarehouseDamagedError, match=r"index\.duckdb is damaged") as told:
        world.sync(full=True)
    assert told.value.exit_code == 5
    assert "vapi-sessions rebuild" in told.value.remedy
    assert contents(world) == before
    runs = world.rows("SELECT run_id, outcome FROM sync.runs ORDER BY ALL")
    world.rebuild()
    assert contents(world) == before
    assert world.rows("SELECT run_id, outcome FROM sync.runs ORDER BY ALL") == runs
    world.sync(full=True)
    assert contents(world) == before


@pytest.fixture
def image(world: World) -> World:
    """The same warehouse as a process killed after a merge left it: with a write-ahead log."""
    changed(world)
    place = world.warehouse.with_name("image")
    world.sync(progress=Photographing(world.warehouse, place))
    world.whole = contents(world)  # type: ignore[attr-defined]  # what a run never killed arrives at
    world.warehouse = place
    assert (place / "index.duckdb.wal").stat().st_size > 2_000
    return world


@pytest.mark.parametrize(
    "how",
    first(
        [
            *(lambda b, share=share: b[: int(len(b) * share)] for share in (0.2, 0.5, 0.99)),
            GARBAGE["garbage"],
            GARBAGE["zeros"],
        ]
    ),
    ids=["cut at 20 %", "at 50 %", "at 99 %", "garbage", "zeros"],
)
def test_whatever_a_cut_log_lost_is_in_raw(image: Any, how: Damage) -> None:
    """DuckDB opens what is consistent before the cut; the next sync merges the rest from raw/, and downloads none of it."""
    damage(image.warehouse / "index.duckdb.wal", how)
    image.forget_requests()
    summary = image.sync()
    assert summary.recovered_files == 1
    assert contents(image) == image.whole
    assert summary.counts.sessions_read == 0


def test_a_log_with_a_zeroed_tail_is_told_and_rebuilt(image: Any) -> None:
    """DuckDB refuses it; the error names the rebuild, which needs neither the log nor the database."""
    damage(image.warehouse / "index.duckdb.wal", OTHER_HALF_ZEROS)
    with pytest.raises(WarehouseDamagedError, match="Corrupt WAL") as told:
        image.sync()
    assert "vapi-sessions rebuild" in told.value.remedy
    files, _ = image.rebuild()
    assert files == 4
    assert not (image.warehouse / "index.duckdb.wal").exists()
    image.sync()
    assert contents(image) == image.whole


def test_an_index_that_is_gone_is_derived_again_by_the_next_sync(world: World) -> None:
    """From raw/, without a download."""
    before = contents(world)
    (world.warehouse / "index.duckdb").unlink()
    summary = world.sync()
    assert (summary.recovered_files, summary.counts.sessions_read) == (3, 0)
    assert contents(world) == before
    assert summary.watermark == summary.bound


# -- what was published


def snapshot(world: World) -> Path:
    """The current snapshot's directory."""
    latest = world.warehouse / "parquet" / "latest"
    return latest.parent / latest.readlink()


def data_file(world: World) -> Path:
    """A file in the middle of the current snapshot."""
    return sorted(snapshot(world).glob("messages/*/*.parquet"))[1]


UNPUBLISHED: Final[dict[str, Callable[[World], object]]] = {
    "vapi.duckdb is gone": lambda world: (world.warehouse / "vapi.duckdb").unlink(),
    "vapi.duckdb is garbage": lambda world: damage(world.warehouse / "vapi.duckdb", GARBAGE["garbage"]),
    "vapi.duckdb is cut": lambda world: damage(world.warehouse / "vapi.duckdb", GARBAGE["half of it"]),
    "all snapshots are gone": lambda world: shutil.rmtree(world.warehouse / "parquet"),
    "the snapshot is gone": lambda world: shutil.rmtree(snapshot(world)),
    "a table is gone": lambda world: shutil.rmtree(snapshot(world) / "messages"),
    "an empty table is gone": lambda world: shutil.rmtree(snapshot(world) / "costs"),
    "a file is gone": lambda world: data_file(world).unlink(),
    "a file is cut": lambda world: damage(data_file(world), lambda b: b[:-20]),
    "a file is empty": lambda world: damage(data_file(world), GARBAGE["nothing"]),
    "a file is garbage": lambda world: damage(data_file(world), GARBAGE["garbage"]),
    "latest is gone": lambda world: (world.warehouse / "parquet" / "latest").unlink(),
}
FEW: Final = ("vapi.duckdb is gone", "all snapshots are gone", "a file is gone", "a file is cut")


@pytest.mark.parametrize("harm", some(UNPUBLISHED.values(), *map(UNPUBLISHED.get, FEW)), ids=UNPUBLISHED)
def test_what_is_missing_or_torn_is_published_anew_by_the_next_sync(
    world: World, harm: Callable[[World], object]
) -> None:
    """Although nothing changed at the source: it is derived from raw/."""
    before = contents(world)
    harm(world)
    world.sync()
    assert contents(world) == before
    with duckdb.connect(world.warehouse / "vapi.duckdb", read_only=True) as db:
        assert db.execute("SELECT count(*) FROM messages").fetchall() == [(60,)]
    latest = world.warehouse / "parquet" / "latest"
    assert pq.read_table(latest / "sessions").num_rows == 60


def test_only_the_torn_range_is_written_again(world: World) -> None:
    """The other files of the new snapshot are the same files."""
    before = {path.name: path.stat().st_ino for path in snapshot(world).glob("sessions/*/*.parquet")}
    torn = sorted(snapshot(world).glob("sessions/*/*.parquet"))[0]
    damage(torn, GARBAGE["half of it"])
    world.sync()
    after = {path.name: path.stat().st_ino for path in snapshot(world).glob("sessions/*/*.parquet")}
    assert before.items() - after.items() == {(torn.name, before[torn.name])}
    assert len(after) == len(before)


def test_what_rotted_inside_a_published_file_is_mended_by_a_rebuild(world: World) -> None:
    """Its end is whole, so a sync does not see it; a rebuild writes every file again."""
    before = contents(world)
    file = data_file(world)
    damage(file, lambda b: b[:4] + bytes(len(b) // 3) + b[4 + len(b) // 3 :])
    with pytest.raises(duckdb.Error):
        contents(world)
    world.rebuild()
    assert contents(world) == before


def test_links_that_a_copy_turned_into_directories_do_no_harm(world: World) -> None:
    """A warehouse copied without its symbolic links is synced on where it lies."""
    copy = world.warehouse.with_name("copy")
    shutil.copytree(world.warehouse, copy)
    world.warehouse = copy
    changed(world)
    world.sync()
    assert (copy / "parquet" / "latest").is_symlink()
    assert world.here() == world.there()


# -- raw files

OTHER_TABLE: Final = pa.table({"session_id": ["a"], "body": ["{}"]})
TEARS: Final = {
    "half of it": lambda path: damage(path, GARBAGE["half of it"]),
    "nothing": lambda path: damage(path, GARBAGE["nothing"]),
    "rot in the middle": lambda path: damage(path, ROT),
    "another table": lambda path: pq.write_table(OTHER_TABLE, path),
}


@pytest.mark.parametrize("tear", first(TEARS.values()), ids=TEARS)
def test_a_torn_file_that_was_never_merged_is_read_from_the_source_again(
    world: World, tear: Callable[[Path], object]
) -> None:
    """It is put aside, this is said, and since nothing in it was claimed, the same sync brings what it held."""
    old = set(raw_files(world))
    changed(world)
    kept = world.warehouse.with_name("index-before")
    shutil.copy2(world.warehouse / "index.duckdb", kept)
    world.sync()
    whole = contents(world)
    shutil.copy2(kept, world.warehouse / "index.duckdb")
    (file,) = set(raw_files(world)) - old
    tear(file)

    noting = Noting()
    summary = world.sync(progress=noting)

    assert [note for note in noting.notes if "1 raw file(s) are torn" in note and file.name in note]
    assert file.with_name(file.name + ".torn").exists()
    assert not file.exists() or file.stat().st_size > 0
    assert contents(world) == whole
    assert summary.counts.sessions_new == 5
    assert summary.watermark == summary.bound


@pytest.mark.parametrize(
    ("which", "tear"),
    first([(0, "rot in the middle"), (1, "half of it"), (2, "nothing")]),
)
def test_a_torn_file_that_was_merged_is_missed_only_by_a_rebuild(world: World, which: int, tear: str) -> None:
    """A sync needs it no more; a rebuild puts it aside, says so, claims nothing after it, and the next sync fills in."""
    whole, file = contents(world), raw_files(world)[which]
    TEARS[tear](file)
    world.sync()
    assert contents(world) == whole

    noting = Noting()
    files, sessions = rebuilding.rebuild(world.warehouse, environment=world.environment(), progress=noting)

    assert (files, sessions) == (2, 40)
    assert any("1 raw file(s) are torn" in note for note in noting.notes)
    assert file.with_name(file.name + ".torn").exists()
    missing = {row[0] for row in whole["sessions"]} - {row[0] for row in contents(world)["sessions"]}
    assert len(missing) == 20
    claimed = world.ledger()
    assert not [
        session
        for session in world.there()
        if session[0] in missing and any(a <= session[1] * 1000 < b for a, b in claimed)
    ]
    summary = world.sync()
    assert contents(world) == whole
    assert summary.counts.sessions_new == 20
    assert summary.watermark == summary.bound


@pytest.mark.parametrize("how", first([GARBAGE["half of it"], ROT]), ids=["half of it", "rot in the middle"])
@pytest.mark.parametrize("times", first([2, 1]))
def test_what_rests_on_a_torn_file_is_not_claimed(
    world: World, monkeypatch: pytest.MonkeyPatch, times: int, how: Damage
) -> None:
    """One window in several files, the last of which claims it: without the second it does not count, however often rebuilt."""
    monkeypatch.setattr(coordinator, "BATCH_BYTES", 500)
    world.warehouse = world.warehouse.with_name("in-batches")
    world.sync(page_size=10, concurrency=1)
    whole, files = contents(world), raw_files(world)
    assert len(files) >= 5
    damage(files[1], how)
    for _ in range(times):
        world.rebuild()
    assert 0 < len(world.here()) < 60
    summary = world.sync()
    assert contents(world) == whole
    assert summary.watermark == summary.bound


def test_a_torn_file_among_several_unmerged_ones_is_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same without a rebuild, where the index is gone: the sync that merges the files reads what they rest on."""
    monkeypatch.setattr(coordinator, "BATCH_BYTES", 500)
    world.warehouse = world.warehouse.with_name("in-batches")
    world.sync(page_size=10, concurrency=1)
    whole = contents(world)
    damage(raw_files(world)[2], ROT)
    (world.warehouse / "index.duckdb").unlink()
    world.sync()
    assert contents(world) == whole


def test_history_keeps_its_origin_when_a_torn_file_resets_it(world: World) -> None:
    """What is older than the `--since` of the first sync is not fetched because of a torn file."""
    world.warehouse = world.warehouse.with_name("since")
    since = world.ago(days=45)
    for _ in range(2):
        world.sync(since=since)
        changed(world)
        world.sync()
    whole = world.here()
    damage(raw_files(world)[0], GARBAGE["nothing"])
    world.rebuild()
    world.sync()
    assert world.here() == whole
    assert world.rows("SELECT value FROM sync.state WHERE key = 'origin'") == [(str(since // 1000 * 1000),)]


def test_a_rebuild_brings_marks_back_whatever_the_files_are_called(world: World) -> None:
    """Deleted, aged out, resurrected, changed in silence: all of it is in raw/, in any order of names."""
    store, org_id = world.server.store, world.server.org_id
    changed(world)
    world.sync()
    gone = {session_id: store.delete(org_id, session_id) for session_id in store.ids(org_id)[30:34]}
    reconcile(world.settings(), environment=world.environment())
    world.clock.forward(hours=1)
    back = next(iter(gone.values()))
    assert back is not None
    store.add(decode(back))
    store.update(org_id, store.ids(org_id)[30], lambda s: s.update(cost=9.5), touch=False)
    world.server.configure(retention_days=59.5)
    reconcile(world.settings(), recheck=60 * DAY, environment=world.environment())
    whole = world.tables()
    marks = world.rows("SELECT count(deleted_at), count(aged_out_at) FROM sessions")
    assert marks == [(3, 20)]
    for seed in (1, 2):
        files = raw_files(world)
        random.Random(seed).shuffle(files)
        for n, path in enumerate(files):
            path.rename(path.with_name(f"{seed}-{n}.parquet"))
        world.rebuild()
        assert world.tables() == whole


# -- a full disk


@pytest.fixture
def no_fault_stays() -> Iterator[None]:
    """Whatever a test arms is disarmed after it."""
    yield
    faultpoints.arm(None)


@pytest.mark.usefixtures("no_fault_stays")
@pytest.mark.parametrize(
    "point",
    first(["raw.written", "publish.file_written:2", "publish.snapshot_renamed", "publish.views_built"]),
)
def test_a_full_disk_ends_the_run_and_the_next_one_continues(world: World, point: str) -> None:
    """Exit code 5, readers see what they saw before, and with room again nothing is missing."""
    before = contents(world)
    changed(world)
    faultpoints.arm(f"{point}=full")
    with pytest.raises(WarehouseError, match="disk is full") as told:
        world.sync()
    assert told.value.exit_code == 5
    assert "the next run continues" in told.value.remedy
    assert contents(world) == before
    faultpoints.arm(None)
    world.sync()
    assert world.here() == world.there()
    assert list((world.warehouse / "raw").glob(".*")) == []
    assert list((world.warehouse / "parquet").glob(".*")) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of its own, of a size that can be changed; only root can have one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("mounting needs root")

    def resize(size: str) -> Path:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)
        return place

    yield resize
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("room", first([256, 16, 2_048]))
def test_a_disk_that_is_really_full(world: World, small_disk: Callable[[str], Path], room: int) -> None:
    """With so many kB left, whatever fails first fails with exit code 5, and with room again the sync goes on."""
    world.warehouse = small_disk("64m") / "warehouse"
    world.sync()
    before = contents(world)
    changed(world)
    noise = random.Random(1)
    for session_id in world.server.store.ids(world.server.org_id):
        text = noise.randbytes(40_000).hex()
        world.server.store.update(
            world.server.org_id,
            session_id,
            lambda s, text=text: s.update(messages=[{"role": "user", "content": text}]),
            at_us=world.ago(hours=4),
        )
    used = sum(path.stat().st_blocks // 2 for path in world.warehouse.rglob("*"))
    small_disk(f"{used + room}k")
    with pytest.raises(WarehouseError, match=r"disk is full|ran out of room") as told:
        world.sync()
    assert told.value.exit_code == 5
    assert "the next run continues" in told.value.remedy
    assert contents(world) == before
    small_disk("64m")
    world.sync()
    assert world.here() == world.there()
    assert world.rows("SELECT count(*) FROM sessions")[0][0] == 65


# -- other processes

HOLDING: Final = """
import duckdb, sys
db = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(world: World) -> Iterator[subprocess.Popen[str]]:
    """Another process that has opened the writer's database."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(world.warehouse / "index.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


def test_a_lock_is_waited_for_and_then_reported(world: World, holder: subprocess.Popen[str]) -> None:
    """After ten seconds of patience the error names the process, and what to open instead."""
    slept = world.clock.slept
    with pytest.raises(WarehouseBusyError, match=f"pid {holder.pid}") as told:
        world.sync()
    assert told.value.exit_code == 5
    assert "open vapi.duckdb" in told.value.remedy
    assert world.clock.slept - slept == pytest.approx(LOCK_PATIENCE)
    holder.communicate()
    world.sync()


def test_a_lock_that_goes_away_costs_only_the_wait(world: World, holder: subprocess.Popen[str]) -> None:
    """As soon as the other process has closed the file, the sync goes on."""
    changed(world)

    def sleep(seconds: float) -> None:
        holder.communicate()
        world.clock.sleep(seconds)

    environment = sync.Environment(now=world.clock.us, monotonic=world.clock.monotonic, sleep=sleep)
    sync.sync(world.settings(), environment=environment)
    assert world.here() == world.there()


def test_of_two_syncs_the_second_says_so_and_leaves(world: World) -> None:
    """Without waiting, without a request, and the first one is not disturbed; so do reconcile and rebuild."""
    changed(world)
    refused: list[WarehouseBusyError] = []

    def second(request: httpx.Request) -> None:
        if refused:
            return
        asked = len(world.server.requests)
        others: list[Callable[[], object]] = [
            world.sync,
            world.rebuild,
            lambda: reconcile(world.settings(), environment=world.environment()),
        ]
        for other in others:
            with pytest.raises(WarehouseBusyError) as told:
                other()
            refused.append(told.value)
        assert len(world.server.requests) == asked

    world.sync(before=second)
    assert len(refused) == 3
    assert {error.exit_code for error in refused} == {5}
    assert all(f"pid {os.getpid()}" in error.fact for error in refused)
    assert world.here() == world.there()
    assert world.rows("SELECT count(*) FROM sync.runs WHERE outcome <> 'done'") == [(0,)]


# -- another version's schema


@pytest.mark.parametrize(("version", "remedy"), [("2", "sync"), ("99", "rebuild")])
def test_another_schema_is_told_with_the_remedy(world: World, version: str, remedy: str) -> None:
    """`status` and whoever cannot go on name it, and after it everything is there in this version's schema.

    An index of an earlier version there is not: what is published can be one's all the same, where a take-over was killed.
    """
    before = contents(world)
    for name in ("index.duckdb", "vapi.duckdb")[remedy == "sync" :]:
        with duckdb.connect(world.warehouse / name) as db:
            db.execute(f"UPDATE sync.state SET value = '{version}' WHERE key = 'schema_version'").fetchall()
    with pytest.raises(WarehouseError, match=f"schema version {version}, this program has") as told:
        status(world.warehouse, now=world.clock.us())
    assert told.value.exit_code == 5
    assert f"vapi-sessions {remedy}" in told.value.remedy
    if remedy == "rebuild":
        with pytest.raises(WarehouseError, match=f"schema version {version}, this program has") as told:
            world.sync()
        assert "vapi-sessions rebuild" in told.value.remedy
    world.rebuild() if remedy == "rebuild" else world.sync()
    assert contents(world) == before
    assert status(world.warehouse, now=world.clock.us() + HOUR).rows["sessions"] == 60
