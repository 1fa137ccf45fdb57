"""Rot in published files is found and recorded by `verify`, and repaired from `raw/` by the next writer."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from selection import some
from synced_worlds import synced_world
from vapi_sessions import schema
from vapi_sessions.core.timestamps import SECOND
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.operations.findings import Finding
from vapi_sessions.operations.verify import verify
from vapi_sessions.warehouse import damage
from vapi_sessions.warehouse.layout import Layout
from worlds import World

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
#: A row in every table.
SESSION: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [CALL]}],
    "costs": [{"type": "session", "cost": 0.5}],
    "artifact": {"structuredOutputs": {"o": {"name": "CSAT", "result": 5}}},
}
NAMES = [table.name for table in schema.TABLES]


def two_months(world: World) -> Iterator[None]:
    """60 sessions in two months, with rows in every table; one sync, and half an hour."""
    for day in (40, 2):
        at = world.ago(days=day)
        world.insert(30, lambda n, at=at: (at + n * SECOND,) * 2, **SESSION)
    yield
    world.clock.forward(minutes=30)


template, world = synced_world(two_months)


def published(world: World, table: str) -> list[Path]:
    """Files of a table in the newest snapshot, oldest month first."""
    return sorted((world.warehouse / "parquet" / "latest").resolve().glob(f"{table}/*/*.parquet"))


def rot(path: Path, column: str | None = None) -> None:
    """Change one byte of a page; the length, the end and the name of the file stay."""
    group = pq.read_metadata(path).row_group(0)
    names = [group.column(n).path_in_schema for n in range(group.num_columns)]
    chunk = group.column(names.index(column) if column else 0)
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 0x01
    path.write_bytes(data)


def findings(world: World, *, deep: bool = False) -> list[Finding]:
    """The findings of a verification."""
    return list(verify(world.settings(), deep=deep, environment=world.environment()).findings)


def of_files(found: list[Finding]) -> Finding:
    """The only finding about published files."""
    (finding,) = [one for one in found if "published file" in one.what]
    return finding


def recorded(world: World) -> list[str]:
    """The names of files that are recorded for the next writer."""
    found: list[str] = json.loads((world.warehouse / "damaged.json").read_text())
    return found


def test_rot_is_found_recorded_and_repaired_by_the_next_sync(world: World) -> None:
    """The sync derives that file alone, links all others, and removes the record."""
    expected = world.tables()
    _, victim = published(world, "messages")
    rot(victim)
    before = world.files("parquet")
    finding = of_files(findings(world))
    assert finding.what == "1 published file is missing or damaged"
    assert finding.ids == (str(victim.relative_to(world.warehouse.resolve())),)
    assert finding.remedy == "vapi-sessions sync"
    assert recorded(world) == [victim.name]
    assert world.files("parquet") == before  # it changes nothing else
    world.sync()
    assert not (world.warehouse / "damaged.json").exists()
    inodes = {inode for inode, _, _ in before.values()}
    new = [path for name in NAMES for path in published(world, name) if path.stat().st_ino not in inodes]
    assert [path.parent for path in new] == [published(world, "messages")[1].parent]
    assert world.tables() == expected
    assert findings(world, deep=True) == []


@pytest.mark.parametrize("table", some(NAMES, "messages"))
def test_rot_is_found_in_a_page_of_any_table(world: World, table: str) -> None:
    """By the page's checksum: a page that can be read may still be wrong."""
    victim = published(world, table)[0]
    rot(victim, "session_id")
    assert of_files(findings(world)).ids == (str(victim.relative_to(world.warehouse.resolve())),)


@pytest.mark.proof
def test_without_a_verification_rot_stays_until_the_file_is_rewritten(world: World) -> None:
    """A sync does not read the files that it links. It reads those it rewrites, and does not trust a rotten one."""
    expected = world.tables()
    old, new = published(world, "sessions")
    for path in (old, new):
        rot(path)
    world.insert(1, lambda n: (world.ago(minutes=5),) * 2, **SESSION)
    world.sync()
    assert published(world, "sessions")[0].stat().st_ino == old.stat().st_ino
    assert damage.is_sound(published(world, "sessions")[1])
    assert of_files(findings(world)).ids[0].endswith(str(Path(old.parent.name, old.name)))
    world.sync()
    assert [row for row in world.tables()["sessions"] if row in expected["sessions"]] == expected["sessions"]
    assert findings(world, deep=True) == []


@pytest.mark.proof
def test_a_record_of_a_sound_file_rewrites_nothing(world: World) -> None:
    """The writer checks the file, which may have been restored. A record that cannot be read counts as none."""
    names = [path.name for path in published(world, "costs")]
    for text in (json.dumps([*names, "nobody.parquet"]), "{", '{"a": 1}', ""):
        (world.warehouse / "damaged.json").write_text(text)
        before = world.files("parquet")
        world.sync()
        assert world.files("parquet") == before
        assert not (world.warehouse / "damaged.json").exists()


def test_a_recorded_file_that_is_gone_is_made_again(world: World) -> None:
    """By the next sync."""
    expected = world.tables()
    victim = published(world, "messages")[0]
    victim.unlink()
    layout = Layout(world.warehouse)
    assert not damage.is_sound(victim)
    damage.add(layout, [victim.name])
    world.sync()
    assert world.tables() == expected
    assert not layout.damaged.exists()


def test_records_of_two_verifications_are_joined(world: World) -> None:
    """The second does not replace the first."""
    layout = Layout(world.warehouse)
    damage.add(layout, ["b", "a"])
    damage.add(layout, ["c", "a"])
    assert recorded(world) == ["a", "b", "c"]
    assert damage.names(layout) == {"a", "b", "c"}
    assert layout.damaged.stat().st_mode & 0o777 == 0o600
    damage.clear(layout)
    damage.clear(layout)
    assert damage.names(layout) == frozenset()


def test_a_read_only_warehouse_can_be_verified(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The finding is reported; it only cannot be recorded."""

    def refused(path: object, *given: Any, **named: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    rot(published(world, "messages")[0])
    monkeypatch.setattr(damage, "replace_file", refused)
    assert of_files(findings(world))
    assert not (world.warehouse / "damaged.json").exists()


@pytest.mark.proof
def test_a_rotten_file_without_its_raw_file_is_not_replaced(world: World) -> None:
    """The record and the published state stay, and the next sync repairs it once the raw file is back."""
    shown = (world.warehouse / "parquet" / "latest").readlink()
    rot(published(world, "costs")[0])
    assert of_files(findings(world))
    (raw,) = (world.warehouse / "raw").glob("*.parquet")
    kept = raw.rename(world.warehouse.with_name("raw elsewhere.parquet"))
    for _ in range(2):
        with pytest.raises(WarehouseDamagedError, match="raw/ cannot give 30 of them"):
            world.sync()
        assert (world.warehouse / "parquet" / "latest").readlink() == shown
        assert recorded(world)
    kept.rename(raw)
    world.sync()
    assert not (world.warehouse / "damaged.json").exists()
    assert findings(world, deep=True) == []
