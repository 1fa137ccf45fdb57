"""A run tells of itself in `running.json`, as long as it holds the writer's lock."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sync_sessions import spread

from vapi_sessions.core import files
from vapi_sessions.core.timestamps import SECOND, show
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations.preview import preview
from vapi_sessions.operations.progress import Silent
from vapi_sessions.operations.running import Reported, Running, running
from vapi_sessions.operations.status import status
from vapi_sessions.warehouse.layout import Layout, is_locked, writer_lock
from vapi_sessions.warehouse.reader import connect
from worlds import World


class Looking(Silent):
    """Looks at the warehouse in each phase of a run, and after each page."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.found: list[Running | None] = []
        self.statuses: list[Any] = []
        self.plans: list[int] = []

    def phase(self, name: str) -> None:
        self._look()

    def read(self, sessions: int) -> None:
        self._world.clock.forward(seconds=1)
        self._look()
        if not self.plans:
            self.statuses.append(status(self._world.warehouse, now=self._world.clock.us()))
            found = preview(self._world.settings(), environment=self._world.environment())
            self.plans.append(found.plan.sessions)
            assert found.running is not None

    def _look(self) -> None:
        self.found.append(running(Layout(self._world.warehouse)))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty warehouse."""
    made = Layout(tmp_path / "warehouse")
    made.create()
    return made


def test_a_run_tells_its_phase_and_its_progress(world: World) -> None:
    """Also before it has published anything; `status` shows it, and `plan` works meanwhile. Afterwards nothing runs."""
    spread(world, 250)
    started = show(world.clock.us())
    looking = Looking(world)
    world.sync(progress=looking, concurrency=1)
    # `phase` passes a phase on before it writes it.
    phases = [found.phase for found in looking.found if found is not None]
    assert list(dict.fromkeys(phases)) == ["starting", "planning", "reading"]
    last = looking.found[-1]
    assert last is not None
    assert (last.command, last.started_at) == ("sync", started)
    assert last.sessions_read >= 100
    assert last.sessions_total == 250
    assert last.windows_total >= 1
    (first,) = looking.statuses
    assert (first.first_sync, first.watermark, first.rows) == ("running", None, {})
    assert first.as_dict()["running"] == asdict(first.running)
    assert looking.plans == [250]
    assert running(Layout(world.warehouse)) is None
    assert not Layout(world.warehouse).running.exists()
    assert status(world.warehouse, now=world.clock.us()).running is None


def test_a_later_run_is_shown_with_what_is_published(world: World) -> None:
    """And the plan made meanwhile is that of the published ledger."""
    spread(world, 50)
    world.sync()
    world.insert(20, lambda n: (world.ago(minutes=1), world.ago(minutes=1)))
    looking = Looking(world)
    world.sync(progress=looking)
    (found,) = looking.statuses
    assert found.running.command == "sync"
    assert found.rows["sessions"] == 50
    assert found.first_sync is None


def test_the_file_of_a_killed_run_is_ignored_and_removed(layout: Layout) -> None:
    """Whoever holds the lock next removes it, whatever it does."""
    with writer_lock(layout):
        report = Reported(Silent(), layout, "sync", lambda: 0)
        report.phase("reading")
        assert running(layout) is not None
        assert layout.running.stat().st_mode & 0o777 == 0o600
    assert layout.running.exists()
    assert running(layout) is None
    with pytest.raises(ConfigurationError):
        status(layout.root, now=0)
    with writer_lock(layout):
        assert not layout.running.exists()
        assert running(layout) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"command": 1}'])
def test_a_file_that_cannot_be_understood_is_ignored(layout: Layout, content: str) -> None:
    """A newer program may write something else."""
    with writer_lock(layout):
        layout.running.write_text(content)
        assert running(layout) is None


def test_it_is_written_once_a_second_and_at_each_phase(layout: Layout) -> None:
    """A page each millisecond costs nothing."""
    clock = [1000 * SECOND]
    with writer_lock(layout), Reported(Silent(), layout, "sync", lambda: clock[0]) as report:
        report.phase("reading")
        written = set()
        for _ in range(3000):
            clock[0] += SECOND // 1000
            report.read(1)
            written.add(layout.running.stat().st_ino)
        assert len(written) <= 4
        found = running(layout)
        assert found is not None
        assert found.sessions_read == 3000


def test_a_full_disk_does_not_hurt_the_run(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file stays as it was; the display still gets everything."""

    def full(path: Path) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    shown: list[str] = []

    class Display(Silent):
        def phase(self, name: str) -> None:
            shown.append(name)

    with writer_lock(layout), Reported(Display(), layout, "sync", lambda: 0) as report:
        monkeypatch.setattr(files, "new_file", full)
        report.phase("publishing")
        found = running(layout)
        assert found is not None
        assert found.phase == "starting"
    assert shown == ["publishing"]


def test_looking_whether_a_run_is_writing_refuses_no_run(layout: Layout) -> None:
    """A look holds the lock for an instant; a run that begins then waits for it."""
    with writer_lock(layout):
        assert is_locked(layout)
    assert not is_locked(layout)
    looked = os.open(layout.lock, os.O_RDONLY)
    assert files.lock(looked, layout.root, shared=True)
    timer = threading.Timer(0.015, os.close, [looked])
    timer.start()
    with writer_lock(layout):
        pass
    timer.join()


def test_readers_of_an_unpublished_warehouse_are_told_of_the_run(layout: Layout) -> None:
    """Rather than to sync first."""
    with writer_lock(layout), pytest.raises(ConfigurationError, match="A run is writing to it"):
        connect(layout.root)
    with pytest.raises(ConfigurationError, match="Run vapi-sessions sync first"):
        connect(layout.root)
