"""What a sync reads and writes when little or nothing has changed."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from vapi_sessions.core.timestamps import MINUTE, SECOND, parse
from worlds import World


def test_without_a_change_only_the_lookback_is_read_and_nothing_is_written(world: World) -> None:
    """The second sync requests the lookback alone; no row, no raw file and no data file changes."""
    world.generate(150, until=world.ago(hours=1))
    world.insert(7, lambda n: (world.ago(minutes=10) + n * SECOND,) * 2)
    world.sync()
    frontier = world.sync().bound
    assert frontier is not None
    rows, files = world.tables(), world.files("raw", "parquet")
    latest = (world.warehouse / "parquet" / "latest").readlink()
    world.forget_requests()
    world.clock.forward(minutes=2)

    summary = world.sync()

    assert summary.counts.sessions_read == 7
    asked = [parse(page["updatedAtGe"]) for page in world.pages()]
    assert min(asked) >= frontier - 15 * MINUTE
    assert len(world.server.requests) <= 5
    assert (summary.counts.sessions_new, summary.counts.sessions_changed) == (0, 0)
    assert not summary.published
    assert world.tables() == rows
    assert world.files("raw", "parquet") == files
    assert (world.warehouse / "parquet" / "latest").readlink() == latest
    assert summary.watermark == summary.bound != frontier


def test_ten_changed_sessions_change_ten_rows(world: World) -> None:
    """Ten rows are replaced and ten observations stored; every other row stays the same."""
    world.generate(100, until=world.ago(hours=1))
    world.sync()
    before = {row[0]: row for row in world.rows("FROM sessions")}
    raw_before = world.files("raw")
    changed = world.server.store.ids(world.server.org_id)[::10]
    world.clock.forward(hours=3)
    for session_id in changed:
        world.server.store.update(
            world.server.org_id, session_id, lambda session: session.update(name="Changed")
        )
        world.clock.forward(seconds=1)
    world.clock.forward(hours=1)

    summary = world.sync()

    assert len(changed) == 10
    assert (summary.counts.sessions_new, summary.counts.sessions_changed) == (0, 10)
    assert summary.counts.sessions_read == 10
    after = {row[0]: row for row in world.rows("FROM sessions")}
    assert {session_id for session_id in after if after[session_id] != before[session_id]} == set(changed)
    new = world.files("raw").keys() - raw_before.keys()
    assert sum(pq.read_metadata(world.warehouse / name).num_rows for name in new) == 10


def test_files_without_a_changed_row_are_linked_not_rewritten(world: World) -> None:
    """One session of this month changes, and none of its messages: all other files are the same in the new snapshot."""
    world.insert(90, lambda n: (world.ago(days=n + 1),) * 2)
    world.sync()

    def published(table: str) -> dict[str, int]:
        """File name to inode, in the newest snapshot."""
        files = (world.warehouse / "parquet" / "latest" / table).rglob("*.parquet")
        return {path.name: path.stat().st_ino for path in files}

    sessions, messages = published("sessions"), published("messages")
    newest = world.server.store.ids(world.server.org_id)[-1]
    world.server.store.update(world.server.org_id, newest, lambda session: session.update(name="Changed"))
    world.clock.forward(minutes=5)
    world.sync()
    after = published("sessions")
    assert len(sessions) >= 4
    assert len(after.items() - sessions.items()) == 1
    assert len(after) == len(sessions)
    assert published("messages") == messages


@pytest.mark.proof
def test_a_full_sync_without_a_change_writes_nothing(world: World) -> None:
    """`--full` reads every session, and finds that none has changed."""
    world.generate(100)
    world.sync()
    rows, raw = world.tables(), world.files("raw")
    summary = world.sync(full=True)
    assert summary.counts.sessions_read >= 100
    assert world.tables() == rows
    assert world.files("raw") == raw
