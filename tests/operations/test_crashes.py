"""A process killed with SIGKILL at every step and started again does what a process that was never killed does.

The data at the source stand still, so both must end with the same warehouse. One process imports the program once and
forks for each case, so that each death is a real one and none waits for imports.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import httpx
import pyarrow.parquet as pq
import pytest
import test_forget
import test_take_over
import test_tighten

import vapi_sessions
from conftest import RealTransport, settings_for
from forks import KILLED, Forks
from selection import first, some
from vapi_emulator.generate import History, fill
from vapi_emulator.server import EmulatorServer
from vapi_sessions.core import faultpoints
from vapi_sessions.core.timestamps import HOUR, parse, show
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations import sync
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.schema import TABLES
from vapi_sessions.warehouse import raw

#: What may differ between two warehouses of the same data: when we read it.
OUR_TIMES: Final = {"synced_at", "first_synced_at"}
SYNC: Final = ("sync", "--settle", "0s", "--concurrency", "2", "--page-size", "8")
RECONCILE: Final = ("reconcile", "--settle", "0s", "--page-size", "8", "--accept-deletions")
REBUILD: Final = ("rebuild",)


class Listening(RealTransport):
    """The real transport, which remembers each session version that a page of rows brought."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: list[tuple[str, int]] = []
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if request.url.params.get("limit", "1") != "1":
            found = json.loads(response.read())["results"]
            with self._lock:
                self.versions += [(row["id"], parse(row["updatedAt"])) for row in found]
        return response


@dataclass
class Scene:
    """A source that stands still, and warehouses of it: `before`, and after each command that was never killed."""

    server: EmulatorServer
    root: Path
    forks: Forks
    before: dict[str, Path] = field(default_factory=dict)
    after: dict[str, dict[str, Any]] = field(default_factory=dict)
    index_after: dict[str, list[Any]] = field(default_factory=dict)

    def command(self, name: str, warehouse: Path) -> list[tuple[str, int]]:
        """Run sync or reconcile in this process; returns the versions that were downloaded."""
        listening = Listening()
        environment = sync.Environment(transport=listening)
        settings = settings_for(self.server, warehouse, concurrency=2, page_size=8)
        if name == "reconcile":
            reconcile(settings, accept_deletions=True, environment=environment)
        else:
            sync.sync(settings, environment=environment)
        return listening.versions


def published(warehouse: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The five tables as readers see them; of a mark only whether it is there."""
    with vapi_sessions.connect(warehouse) as db:
        return _tables(lambda sql: db.execute(sql).fetchall())


def indexed(warehouse: Path) -> list[tuple[Any, ...]]:
    """What the writer's index says of each session, but for what our own clock and the numbers of requests make of it.

    Nothing may be left to publish.
    """
    with duckdb.connect(warehouse / "index.duckdb", read_only=True) as db:
        db.execute("SET TimeZone = 'UTC'").fetchall()
        assert db.execute("SELECT count(*) FROM sync.batches WHERE NOT published").fetchall() == [(0,)]
        assert db.execute("SELECT count(*) FROM sync.parts WHERE dirty").fetchall() == [(0,)]
        return db.execute(
            "SELECT session_id, created_at::VARCHAR, updated_at::VARCHAR, message_count, content_hash, messages_hash, costs_hash, "
            "outputs_hash, growth, deleted_at IS NOT NULL, aged_out_at IS NOT NULL FROM sessions ORDER BY ALL"
        ).fetchall()


def _tables(rows: Callable[[str], list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    found = {}
    for table in TABLES:
        columns = [
            f"{column.name} IS NOT NULL"
            if column.name in ("deleted_at", "aged_out_at")
            else f"{column.name}::VARCHAR"
            for column in table.columns
            if column.name not in OUR_TIMES
        ]
        found[table.name] = rows(f"SELECT {', '.join(columns)} FROM {table.name} ORDER BY ALL")
    return found


def versions_in_raw(warehouse: Path) -> set[tuple[str, int]]:
    """Each session version that lies in a finished raw file, whether it has been merged or not."""
    found: set[tuple[str, int]] = set()
    for path in (warehouse / "raw").glob("[!.]*.parquet"):
        table = pq.read_table(path, columns=["session_id", "updated_at", "kind"])
        for session_id, updated, kind in zip(*(column.to_pylist() for column in table.columns), strict=True):
            if kind == "seen":
                found.add((session_id, parse(updated.isoformat())))
    return found


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """70 conversations up to yesterday; a sync until then; then changes, new ones and deletions, all hours ago."""
    root = tmp_path_factory.mktemp("crashes")
    with EmulatorServer() as server:
        store, org_id, now = server.store, server.org_id, server.store.now_us()
        fill(store, History(org_id=org_id, sessions=70, days=20, until_us=now - 24 * HOUR, seed=5))
        half = root / "half"
        sync.sync(settings_for(server, half, until=now - 12 * HOUR))
        ids = store.ids(org_id)
        for n, session_id in enumerate(ids[::4]):
            at = now - 6 * HOUR + n * 1_000_000
            store.update(org_id, session_id, lambda session: session.update(name="Changed"), at_us=at)
        fresh = [body for body in store.sessions(org_id) if body["id"] in set(ids[1:31:4])]
        for n, body in enumerate(fresh):
            new = {**body, "id": f"{n:08d}-0000-4000-8000-00000000cafe"}
            store.add(new, created_us=now - 5 * HOUR + n * 1_000_000, updated_us=now - 4 * HOUR)
        gone = ids[2:60:12]
        for session_id in gone:
            store.delete(org_id, session_id)
        forks = Forks(server, root / "said")
        scene = Scene(server, root, forks)
        full = root / "full"
        shutil.copytree(half, full, symlinks=True)
        assert forks.run(SYNC, full) == 0, forks.said()
        (root / "nothing").mkdir()
        scene.before = {"first sync": root / "nothing", "sync": half, "reconcile": full, "rebuild": full}
        for name, command in COMMANDS.items():
            reference = root / f"reference of {name}"
            shutil.copytree(scene.before[name], reference, symlinks=True)
            assert forks.run(command, reference) == 0, forks.said()
            scene.after[name], scene.index_after[name] = published(reference), indexed(reference)
        assert {row[-2] for row in scene.after["reconcile"]["sessions"]} == {True, False}  # deleted_at
        yield scene
        forks.end()


COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "first sync": SYNC,
    "sync": SYNC,
    "reconcile": RECONCILE,
    "rebuild": REBUILD,
}
_MERGE = ("merge.begun", "merge.deleted", "merge.inserted", "merge.noted", "merge.committed")
_PUBLISH = tuple(point for point in faultpoints.POINTS if point.startswith("publish."))
CASES: Final = [
    *(
        ("first sync", point)
        for point in ("page.fetched:5", "raw.written:3", "raw.renamed:3", "staging.written:3")
    ),
    *(("first sync", point) for point in ("merge.noted:3", "merge.committed:3")),
    *(("first sync", point) for point in ("publish.file_written:3", "publish.views_renamed")),
    *(("sync", point) for point in ("page.fetched:4", "raw.written", "raw.renamed", "staging.written")),
    *(("sync", point) for point in _MERGE),
    *(("sync", point) for point in _PUBLISH),
    *(("reconcile", point) for point in ("reconcile.compared", "raw.renamed", "reconcile.marked")),
    *(
        ("reconcile", point)
        for point in ("merge.committed", "publish.file_written", "publish.snapshot_noted")
    ),
    *(
        ("rebuild", point)
        for point in ("merge.committed:2", "rebuild.derived", "index.drafted", "index.swapped")
    ),
    *(("rebuild", point) for point in ("rebuild.swapped", *_PUBLISH)),
]


#: One death in each part of a run.
SOME: Final = (
    ("first sync", "raw.renamed:3"),
    ("sync", "publish.snapshot_renamed"),
    ("reconcile", "reconcile.marked"),
    ("rebuild", "rebuild.swapped"),
)


@pytest.mark.parametrize(
    ("name", "point"), some(CASES, *SOME), ids=[f"{name}, {point}" for name, point in CASES]
)
def test_killed_and_started_again_it_is_as_if_never_killed(
    scene: Scene, tmp_path: Path, name: str, point: str
) -> None:
    """All tables are those of the run never killed, readers saw a whole state meanwhile, and nothing was fetched twice."""
    warehouse = tmp_path / "warehouse"
    shutil.copytree(scene.before[name], warehouse, symlinks=True)
    had = versions_in_raw(warehouse)
    state_before = published(warehouse) if (warehouse / "vapi.duckdb").exists() else None

    assert scene.forks.run(COMMANDS[name], warehouse, point) == KILLED, scene.forks.said()

    if (warehouse / "vapi.duckdb").exists():
        assert published(warehouse) in (state_before, scene.after[name])
    kept = versions_in_raw(warehouse)
    downloaded = scene.command(name, warehouse)

    assert published(warehouse) == scene.after[name]
    assert indexed(warehouse) == scene.index_after[name]
    if name != "reconcile":  # which reads differing windows whole
        again = [version for version in downloaded if version in (kept if name == "rebuild" else kept - had)]
        assert len(again) <= 3, "each window that goes on asks once more for the session it stopped at"
    _nothing_is_left_lying_about(warehouse)


def _nothing_is_left_lying_about(warehouse: Path) -> None:
    for directory in ("raw", "parquet", ".tmp", "staging"):
        assert list((warehouse / directory).glob(".*")) == []
    assert list((warehouse / ".tmp").iterdir()) == list((warehouse / "staging").iterdir()) == []
    with vapi_sessions.connect(warehouse) as db:
        latest = (warehouse / "parquet" / "latest").readlink()
        assert db.execute("SELECT value FROM sync.state WHERE key = 'snapshot'").fetchall() == [
            (str(latest),)
        ]
        assert db.execute("SELECT count(*) FROM sync.runs WHERE outcome = 'running'").fetchall() == [(0,)]
        assert db.execute("SELECT count(*) FROM sync.windows WHERE verdict = 'open'").fetchall() == [(0,)]
        (watermark, bound) = db.execute(
            "SELECT arg_max(watermark, started_at), arg_max(bound, started_at) FROM sync.runs WHERE command = 'sync'"
        ).fetchall()[0]
        assert watermark == bound


def test_killed_again_and_again_it_still_gets_there(scene: Scene, tmp_path: Path) -> None:
    """Five deaths in a row at different steps of a first sync, and no page that is in raw/ is read a second time."""
    warehouse = tmp_path / "warehouse"
    for point in ("merge.noted:2", "raw.renamed", "page.fetched:3", "merge.committed"):
        before = versions_in_raw(warehouse) if warehouse.exists() else set()
        assert scene.forks.run(SYNC, warehouse, point) == KILLED, f"{point}: {scene.forks.said()}"
        assert before <= versions_in_raw(warehouse)
    assert scene.forks.run(SYNC, warehouse, "publish.snapshot_renamed") == KILLED, scene.forks.said()
    kept = versions_in_raw(warehouse)
    downloaded = scene.command("sync", warehouse)
    assert len([version for version in downloaded if version in kept]) <= 3
    assert published(warehouse) == scene.after["first sync"]


@pytest.mark.parametrize("point", first(["index.drafted", "index.swapped", "publish.snapshot_drafted"]))
def test_a_rebuild_killed_before_it_is_shown_costs_no_download(
    scene: Scene, tmp_path: Path, point: str
) -> None:
    """Old index or new one: readers see what they saw, and the next sync goes on from it."""
    warehouse = tmp_path / "warehouse"
    shutil.copytree(scene.before["rebuild"], warehouse, symlinks=True)
    before = published(warehouse)
    assert scene.forks.run(REBUILD, warehouse, point) == KILLED
    assert published(warehouse) == before
    # A window whose end brought no row may be left open in raw/; going on in it shows the row at its cursor once more.
    windows = [w for path in raw.files(warehouse / "raw") for w in raw.read_progress(path)["windows"]]
    at_cursors = {key for w in windows for *_, tied in json.loads(w["left_to_read"] or "[]") for key in tied}
    assert {session_id for session_id, _ in scene.command("sync", warehouse)} <= at_cursors
    assert published(warehouse) == scene.after["rebuild"]
    assert indexed(warehouse) == scene.index_after["rebuild"]


# -- the points themselves


def test_every_point_declared_is_reached_somewhere_and_the_reverse() -> None:
    """The names in the source are the names declared, so none is forgotten."""
    package = Path(vapi_sessions.__file__).parent
    used = [
        name
        for path in package.rglob("*.py")
        if path.name != "faultpoints.py"
        for name in re.findall(r'faultpoints\.reach\(\s*"([^"]*)"', path.read_text("utf-8"))
    ]
    assert sorted(used) == sorted(faultpoints.POINTS)
    calls = sum(path.read_text("utf-8").count("faultpoints.reach(") for path in package.rglob("*.py"))
    assert calls == len(used)


def test_there_is_a_death_for_every_point() -> None:
    """No point is declared that no case dies at, here or where people are forgotten, policies tightened and warehouses taken over."""
    cases = [
        *(point for _, point in CASES),
        *test_forget.PLACES,
        *test_tighten.PLACES,
        *test_take_over.PLACES,
    ]
    assert {point.partition(":")[0] for point in cases} == set(faultpoints.POINTS)


def test_a_point_that_nobody_declared_is_an_error() -> None:
    """A new call without its declaration fails in the first test that passes it."""
    with pytest.raises(ValueError, match=r"nowhere.at_all is not declared"):
        faultpoints.reach("nowhere.at_all")


@pytest.mark.parametrize("text", ["nowhere.at_all", "raw.written:0", "raw.written:x", "raw.written=gone"])
def test_a_wrong_name_is_refused(text: str) -> None:
    """A test that misspells its point must not pass because nothing happens."""
    with pytest.raises(ConfigurationError, match="names no fault point"):
        faultpoints.arm(text)


def test_the_environment_names_the_point(scene: Scene, tmp_path: Path) -> None:
    """The installed command itself dies where the variable says."""
    command = Path(sys.executable).with_name("vapi-sessions")
    environment = {
        "VAPI_API_KEY": scene.server.key,
        "VAPI_BASE_URL": scene.server.url,
        "VAPI_SESSIONS_FAULT_POINT": "raw.renamed",
    }
    since = show(scene.server.store.now_us() - timedelta(days=2) // timedelta(microseconds=1))
    ran = subprocess.run(
        [str(command), "sync", "--warehouse", str(tmp_path / "w"), "--since", since],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == KILLED, ran.stderr.decode()
    assert len(list((tmp_path / "w" / "raw").glob("*.parquet"))) == 1
