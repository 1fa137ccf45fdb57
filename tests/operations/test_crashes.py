"""A run that is killed with SIGKILL at any step and started again ends with the same warehouse as a run that was not killed.

The data at the source do not change meanwhile. One process imports the program once and forks for each case, so that each
death is a real one and no case waits for imports.
"""

from __future__ import annotations

import json
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
from fault_cases import RUNS, SOME_RUNS

import vapi_sessions
from forks import KILLED, Forks
from selection import first, some
from transports import RealTransport
from vapi_emulator.generate import History, fill
from vapi_emulator.server import EmulatorServer
from vapi_sessions.core.timestamps import HOUR, parse, show
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.sync import sync
from vapi_sessions.schema import TABLES
from vapi_sessions.source.environment import Environment
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.layout import KEPT
from worlds import settings_for

#: Columns that may differ between two warehouses of the same data: when it was read.
OUR_TIMES: Final = {"synced_at", "first_synced_at"}
SYNC: Final = ("sync", "--settle", "0s", "--concurrency", "2", "--page-size", "8")
RECONCILE: Final = ("reconcile", "--settle", "0s", "--page-size", "8", "--accept-deletions")
REBUILD: Final = ("rebuild",)
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "first sync": SYNC,
    "sync": SYNC,
    "reconcile": RECONCILE,
    "rebuild": REBUILD,
}


class Listening(RealTransport):
    """The real transport. Remembers each session version that a page brought."""

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
    """A source that does not change, and warehouses of it: `before`, and after each command that was not killed."""

    server: EmulatorServer
    root: Path
    forks: Forks
    before: dict[str, Path] = field(default_factory=dict)
    after: dict[str, dict[str, Any]] = field(default_factory=dict)
    index_after: dict[str, list[Any]] = field(default_factory=dict)

    def command(self, name: str, warehouse: Path) -> list[tuple[str, int]]:
        """Run sync or reconcile in this process; returns the versions that were downloaded."""
        listening = Listening()
        environment = Environment(transport=listening)
        settings = settings_for(self.server, warehouse, concurrency=2, page_size=8)
        if name == "reconcile":
            reconcile(settings, accept_deletions=True, environment=environment)
        else:
            sync(settings, environment=environment)
        return listening.versions


def published(warehouse: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The five tables as readers see them; of a tombstone only whether it is there."""
    with vapi_sessions.connect(warehouse) as db:
        return _tables(lambda sql: db.execute(sql).fetchall())


def indexed(warehouse: Path) -> list[tuple[Any, ...]]:
    """The index's row of each session, without our own times and request numbers. Nothing may be left to publish."""
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
    """Each session version that is in a finished raw file, merged or not."""
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
        sync(settings_for(server, half, until=now - 12 * HOUR))
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


@pytest.mark.parametrize(
    ("name", "point"), some(RUNS, *SOME_RUNS), ids=[f"{name}, {point}" for name, point in RUNS]
)
def test_a_killed_run_that_is_started_again_ends_like_one_that_was_not_killed(
    scene: Scene, tmp_path: Path, name: str, point: str
) -> None:
    """All tables are the same, readers see a whole state meanwhile, and nothing is fetched twice."""
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
        assert len(again) <= 3, "each resumed window requests once more the session at which it stopped"
    _check_tidy(warehouse)


def _check_tidy(warehouse: Path) -> None:
    for directory in ("raw", "parquet", ".tmp", "staging"):
        assert list((warehouse / directory).glob(".*")) == []
    assert list((warehouse / "staging").iterdir()) == []
    assert [path for path in (warehouse / ".tmp").iterdir() if not path.name.startswith(KEPT)] == []
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


@pytest.mark.proof
def test_a_first_sync_that_is_killed_five_times_ends_well(scene: Scene, tmp_path: Path) -> None:
    """Five deaths in a row at different steps, and no page that is in raw/ is read a second time."""
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


@pytest.mark.proof
@pytest.mark.parametrize("point", first(["index.drafted", "index.swapped", "publish.snapshot_drafted"]))
def test_a_rebuild_that_is_killed_before_its_publication_costs_no_download(
    scene: Scene, tmp_path: Path, point: str
) -> None:
    """Readers see the earlier state, and the next sync continues with either index."""
    warehouse = tmp_path / "warehouse"
    shutil.copytree(scene.before["rebuild"], warehouse, symlinks=True)
    before = published(warehouse)
    assert scene.forks.run(REBUILD, warehouse, point) == KILLED
    assert published(warehouse) == before
    # A window whose end brought no row may be open in raw/. When it is resumed, it reads the row at its cursor once more.
    windows = [w for path in raw.files(warehouse / "raw") for w in raw.read_progress(path)["windows"]]
    at_cursors = {key for w in windows for *_, tied in json.loads(w["left_to_read"] or "[]") for key in tied}
    assert {session_id for session_id, _ in scene.command("sync", warehouse)} <= at_cursors
    assert published(warehouse) == scene.after["rebuild"]
    assert indexed(warehouse) == scene.index_after["rebuild"]


@pytest.mark.proof
def test_an_environment_variable_names_the_fault_point(scene: Scene, tmp_path: Path) -> None:
    """The installed command dies there."""
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
