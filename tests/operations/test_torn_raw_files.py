"""Torn raw files are put aside, and the next sync reads their sessions again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damaging import GARBAGE, ROT, Damage, change, contents, damage, raw_files, three_months

from selection import first
from synced_worlds import synced_world
from vapi_emulator.stored import decode
from vapi_sessions.core.timestamps import DAY
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.operations import coordinator
from vapi_sessions.operations.rebuild import rebuild
from vapi_sessions.operations.reconcile import reconcile
from worlds import RecordedProgress, World

template, world = synced_world(three_months)

STRICTER: Final = {"message_text": "drop"}

OTHER_TABLE: Final = pa.table({"session_id": ["a"], "body": ["{}"]})
TEARS: Final = {
    "half of it": lambda path: damage(path, GARBAGE["half of it"]),
    "nothing": lambda path: damage(path, GARBAGE["nothing"]),
    "rot in the middle": lambda path: damage(path, ROT),
    "another table": lambda path: pq.write_table(OTHER_TABLE, path),
}


@pytest.mark.parametrize("tear", first(TEARS.values()), ids=TEARS)
def test_sessions_of_an_unmerged_torn_file_are_read_again(
    world: World, tear: Callable[[Path], object]
) -> None:
    """The file is put aside with a message. Nothing in it was claimed, so the same sync reads its sessions."""
    old = set(raw_files(world))
    change(world)
    kept = world.warehouse.with_name("index-before")
    shutil.copy2(world.warehouse / "index.duckdb", kept)
    world.sync()
    whole = contents(world)
    shutil.copy2(kept, world.warehouse / "index.duckdb")
    (file,) = set(raw_files(world)) - old
    tear(file)

    notes = RecordedProgress()
    summary = world.sync(progress=notes)

    assert [line for line in notes.said if "1 raw file is torn" in line and file.name in line]
    assert file.with_name(file.name + ".torn").exists()
    assert not file.exists() or file.stat().st_size > 0
    assert contents(world) == whole
    assert summary.counts.sessions_new == 5
    assert summary.watermark == summary.bound


@pytest.mark.parametrize(
    ("which", "tear"),
    first([(0, "rot in the middle"), (1, "half of it"), (2, "nothing")]),
)
def test_a_merged_torn_file_matters_to_a_rebuild_only(world: World, which: int, tear: str) -> None:
    """A sync does not need it. A rebuild puts it aside with a message, claims nothing after it, and the next sync reads its sessions."""
    whole, file = contents(world), raw_files(world)[which]
    TEARS[tear](file)
    world.sync()
    assert contents(world) == whole

    notes = RecordedProgress()
    files, sessions = rebuild(world.warehouse, environment=world.environment(), progress=notes)

    assert (files, sessions) == (2, 40)
    assert any("1 raw file is torn" in line for line in notes.said)
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


@pytest.mark.parametrize("how", first([GARBAGE["half of it"], ROT, GARBAGE["nothing"]]))
def test_a_stricter_policy_puts_a_torn_file_aside_and_its_sessions_are_read_again(
    world: World, how: Damage
) -> None:
    """As after a rebuild; only the time of these sessions is read again."""
    before, file = {row[0] for row in world.here()}, raw_files(world)[1]
    damage(file, how)
    notes = RecordedProgress()
    summary = world.sync(progress=notes, **STRICTER)
    assert [line for line in notes.said if "1 raw file is torn" in line and file.name in line]
    assert file.with_name(file.name + ".torn").read_bytes() == b""
    assert {row[0] for row in world.here()} == before
    assert world.rows("SELECT count(*) FROM messages WHERE content LIKE 'Hello%'") == [(0,)]
    assert summary.counts.sessions_new == 20
    assert summary.watermark == summary.bound
    whole = contents(world)
    world.rebuild()
    assert contents(world) == whole


def test_a_stricter_policy_is_refused_if_a_file_of_raw_is_missing(world: World) -> None:
    """Nothing is rewritten. With the file back, the next run rewrites everything."""
    whole, file = contents(world), raw_files(world)[1]
    content = file.read_bytes()
    file.unlink()
    before = world.files("raw", "parquet")
    with pytest.raises(WarehouseDamagedError, match="does not have 20 sessions") as told:
        world.sync(**STRICTER)
    assert "backup" in told.value.remedy
    assert world.files("raw", "parquet") == before
    assert contents(world) == whole
    file.write_bytes(content)
    world.sync(**STRICTER)
    assert len(world.here()) == 60


@pytest.mark.proof
@pytest.mark.parametrize("how", first([GARBAGE["half of it"], ROT]), ids=["half of it", "rot in the middle"])
@pytest.mark.parametrize("times", first([2, 1]))
def test_a_window_with_a_torn_file_is_not_claimed(
    world: World, monkeypatch: pytest.MonkeyPatch, times: int, how: Damage
) -> None:
    """One window in several files, the last of which claims it: without the second file the claim does not count, after one rebuild or two."""
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


@pytest.mark.proof
def test_a_window_with_a_torn_file_is_not_claimed_when_the_index_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No rebuild: the sync that merges the files reads the window again."""
    monkeypatch.setattr(coordinator, "BATCH_BYTES", 500)
    world.warehouse = world.warehouse.with_name("in-batches")
    world.sync(page_size=10, concurrency=1)
    whole = contents(world)
    damage(raw_files(world)[2], ROT)
    (world.warehouse / "index.duckdb").unlink()
    world.sync()
    assert contents(world) == whole


@pytest.mark.proof
def test_a_torn_file_does_not_move_the_origin_of_history(world: World) -> None:
    """Sessions older than the `--since` of the first sync are not fetched because of a torn file."""
    world.warehouse = world.warehouse.with_name("since")
    since = world.ago(days=45)
    for _ in range(2):
        world.sync(since=since)
        change(world)
        world.sync()
    whole = world.here()
    damage(raw_files(world)[0], GARBAGE["nothing"])
    world.rebuild()
    world.sync()
    assert world.here() == whole
    assert world.rows("SELECT value FROM sync.state WHERE key = 'origin'") == [(str(since // 1000 * 1000),)]


@pytest.mark.proof
def test_a_rebuild_restores_tombstones_in_any_order_of_file_names(world: World) -> None:
    """Sessions that were deleted, aged out, restored or changed silently."""
    store, org_id = world.server.store, world.server.org_id
    change(world)
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
