"""A sync that is interrupted keeps what has arrived, and the next run continues from there."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sync_sessions import is_unclaimed, spread

from selection import first
from vapi_emulator.switches import FaultSettings
from vapi_sessions.core import threads
from vapi_sessions.operations.progress import Counts, Silent
from worlds import World


class _InterruptedAfter(Silent):
    """Presses Ctrl-C after this many pages."""

    def __init__(self, pages: int) -> None:
        self.left = pages

    def read(self, sessions: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("concurrency", first([4, 1]))
def test_an_interrupted_sync_keeps_what_arrived(world: World, concurrency: int) -> None:
    """Nothing is claimed that was not read, the run is recorded, and the next sync completes the warehouse."""
    spread(world, 120)
    with pytest.raises(KeyboardInterrupt):
        world.sync(page_size=10, concurrency=concurrency, progress=_InterruptedAfter(5))
    arrived = world.here()
    assert 0 < len(arrived) < 120
    assert is_unclaimed(world, world.there() - arrived)
    assert world.rows("SELECT outcome FROM sync.runs") == [("interrupted",)]
    world.sync(page_size=10)
    assert world.here() == world.there()


class _InterruptedStart(ThreadPoolExecutor):
    """Presses Ctrl-C while the last of several windows is being started."""

    def submit(self, work: Any, *given: Any, **named: Any) -> Any:
        if self._thread_name_prefix == "fetch" and given[0] == 2:
            raise KeyboardInterrupt
        return super().submit(work, *given, **named)


def test_an_interruption_while_windows_are_started_stops_the_running_ones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not read to their ends, which could take hours."""
    spread(world, 120)
    world.server.configure(faults=FaultSettings(latency_seconds=0.02))
    monkeypatch.setattr(threads, "ThreadPoolExecutor", _InterruptedStart)
    with pytest.raises(KeyboardInterrupt):
        world.sync(page_size=3, concurrency=4)
    assert len(world.here()) < 40


def test_an_unfinished_window_is_resumed_where_it_stopped(world: World) -> None:
    """The next run continues after the pages of the window that have been merged, and does not request them again."""
    spread(world, 240, days=5, until_hours=24)
    with pytest.raises(KeyboardInterrupt):
        world.sync(page_size=5, concurrency=1, progress=_InterruptedAfter(25))
    arrived = len(world.here())
    world.forget_requests()
    summary = world.sync(page_size=5, concurrency=1)
    assert world.here() == world.there()
    assert summary.counts.sessions_read == 240 - arrived
    assert any("createdAtGe" in page for page in world.pages()[:1])
    assert world.rows("SELECT count(*) FROM sync.windows WHERE verdict = 'open'") == [(0,)]


def test_a_raw_file_that_was_not_merged_is_merged_without_a_download(world: World) -> None:
    """The ledger does not know the file: its rows and its claim count, and nothing of it is requested again."""
    ids = spread(world, 100)
    world.sync()
    kept = world.warehouse.with_name("index-before")
    shutil.copy2(world.warehouse / "index.duckdb", kept)
    world.clock.forward(days=1)
    for session_id in ids[::10]:
        world.server.store.update(world.server.org_id, session_id, lambda s: s.update(name="Changed"))
    world.clock.forward(days=1)
    done = world.sync()
    rows, raw = world.tables(), world.files("raw")
    shutil.copy2(kept, world.warehouse / "index.duckdb")
    world.clock.forward(minutes=1)

    summary = world.sync()

    assert summary.recovered_files == 1
    assert summary.counts == Counts()
    assert summary.watermark is not None
    assert done.watermark is not None
    assert summary.watermark > done.watermark
    assert world.tables() == rows
    assert world.files("raw") == raw


def test_a_half_written_raw_file_of_a_dead_process_is_removed(world: World) -> None:
    """A file with a temporary name is ignored, and the next run removes it."""
    spread(world, 10)
    world.sync()
    half_written = world.warehouse / "raw" / ".000000000009-a-run-that-died.parquet.tmp"
    half_written.write_bytes(b"PAR1")
    world.sync()
    assert not half_written.exists()
    assert world.here() == world.there()
