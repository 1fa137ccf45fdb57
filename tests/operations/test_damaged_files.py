"""The published files are the only copy of the rows: rot in them is found, noted, and mended by the next writer, from `raw/`."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from conftest import World, new_world
from vapi_sessions import schema
from vapi_sessions.core.timestamps import SECOND
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.operations.verify import Finding, verify
from vapi_sessions.warehouse import damage
from vapi_sessions.warehouse.layout import Layout

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
#: A row in every table.
SESSION: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [CALL]}],
    "costs": [{"type": "session", "cost": 0.5}],
    "artifact": {"structuredOutputs": {"o": {"name": "CSAT", "result": 5}}},
}
NAMES = [table.name for table in schema.TABLES]


def _fill(world: World) -> None:
    for day in (40, 2):  # in two months
        at = world.ago(days=day)
        world.insert(30, lambda n, at=at: (at + n * SECOND,) * 2, **SESSION)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Sessions of two months, all of them read."""
    with new_world(tmp_path_factory.mktemp("damaged") / "warehouse") as made:
        _fill(made)
        made.sync()
        made.clock.forward(minutes=30)
        yield made


@pytest.fixture
def world(world: World, template: World) -> World:
    """That source, and a copy of that warehouse."""
    _fill(world)
    world.adopt(template)
    return world


def published(world: World, table: str) -> list[Path]:
    """Its files in the newest snapshot, oldest month first."""
    return sorted((world.warehouse / "parquet" / "latest").resolve().glob(f"{table}/*/*.parquet"))


def rot(path: Path, column: str | None = None) -> None:
    """One byte of a page is not what was written; the file has its length, its end and its name."""
    group = pq.read_metadata(path).row_group(0)
    names = [group.column(n).path_in_schema for n in range(group.num_columns)]
    chunk = group.column(names.index(column) if column else 0)
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 0x01
    path.write_bytes(data)


def findings(world: World, *, deep: bool = False) -> list[Finding]:
    """Of a verification."""
    return list(verify(world.settings(), deep=deep, environment=world.environment()).findings)


def of_files(found: list[Finding]) -> Finding:
    """What it says of published files."""
    (finding,) = [one for one in found if "published files" in one.what]
    return finding


def noted(world: World) -> list[str]:
    """The names that were left for the next writer."""
    found: list[str] = json.loads((world.warehouse / "damaged.json").read_text())
    return found


def test_rot_is_found_noted_and_mended_by_the_next_sync(world: World) -> None:
    """That file alone is derived again, all others are linked, and the note goes."""
    expected = world.tables()
    _, victim = published(world, "messages")
    rot(victim)
    before = world.files("parquet")
    finding = of_files(findings(world))
    assert finding.what == "1 published files are missing or damaged"
    assert finding.ids == (str(victim.relative_to(world.warehouse.resolve())),)
    assert finding.remedy == "vapi-sessions sync"
    assert noted(world) == [victim.name]
    assert world.files("parquet") == before  # it changes nothing else
    world.sync()
    assert not (world.warehouse / "damaged.json").exists()
    inodes = {inode for inode, _, _ in before.values()}
    new = [path for name in NAMES for path in published(world, name) if path.stat().st_ino not in inodes]
    assert [path.parent for path in new] == [published(world, "messages")[1].parent]
    assert world.tables() == expected
    assert findings(world, deep=True) == []


@pytest.mark.parametrize("table", NAMES)
def test_a_page_of_any_table_is_looked_at(world: World, table: str) -> None:
    """By its checksum: that what is in it can be read proves nothing."""
    victim = published(world, table)[0]
    rot(victim, "session_id")
    assert of_files(findings(world)).ids == (str(victim.relative_to(world.warehouse.resolve())),)


def test_without_a_verification_rot_stays_until_the_file_is_written_again(world: World) -> None:
    """A sync does not read what it links; what it rewrites it does read, and does not believe."""
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


def test_a_note_of_a_file_that_is_sound_rewrites_nothing(world: World) -> None:
    """The writer looks for itself: somebody may have put it back from a copy. A note that cannot be read is none."""
    names = [path.name for path in published(world, "costs")]
    for text in (json.dumps([*names, "nobody.parquet"]), "{", '{"a": 1}', ""):
        (world.warehouse / "damaged.json").write_text(text)
        before = world.files("parquet")
        world.sync()
        assert world.files("parquet") == before
        assert not (world.warehouse / "damaged.json").exists()


def test_a_file_that_is_gone_is_told_too(world: World) -> None:
    """And made again by the next sync, note or not."""
    expected = world.tables()
    victim = published(world, "messages")[0]
    victim.unlink()
    layout = Layout(world.warehouse)
    assert not damage.is_sound(victim)
    damage.add(layout, [victim.name])
    world.sync()
    assert world.tables() == expected
    assert not layout.damaged.exists()


def test_notes_of_two_verifications_are_joined(world: World) -> None:
    """Of which the first found something else."""
    layout = Layout(world.warehouse)
    damage.add(layout, ["b", "a"])
    damage.add(layout, ["c", "a"])
    assert noted(world) == ["a", "b", "c"]
    assert damage.names(layout) == {"a", "b", "c"}
    assert layout.damaged.stat().st_mode & 0o777 == 0o600
    damage.clear(layout)
    damage.clear(layout)
    assert damage.names(layout) == frozenset()


def test_a_warehouse_that_is_only_to_be_read_is_verified_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The finding is told; it just cannot be noted."""

    def refused(path: object, *given: Any, **named: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    rot(published(world, "messages")[0])
    monkeypatch.setattr(damage, "replace_file", refused)
    assert of_files(findings(world))
    assert not (world.warehouse / "damaged.json").exists()


def test_what_raw_cannot_give_is_not_replaced(world: World) -> None:
    """The note stays, readers keep what they have, and the next sync that can mends it."""
    shown = (world.warehouse / "parquet" / "latest").readlink()
    rot(published(world, "costs")[0])
    assert of_files(findings(world))
    (raw,) = (world.warehouse / "raw").glob("*.parquet")
    kept = raw.rename(world.warehouse.with_name("raw elsewhere.parquet"))
    for _ in range(2):
        with pytest.raises(WarehouseDamagedError, match="raw/ cannot give 30 of them"):
            world.sync()
        assert (world.warehouse / "parquet" / "latest").readlink() == shown
        assert noted(world)
    kept.rename(raw)
    world.sync()
    assert not (world.warehouse / "damaged.json").exists()
    assert findings(world, deep=True) == []
