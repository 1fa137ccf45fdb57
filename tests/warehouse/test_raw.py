"""raw/: one durable file a batch, with the progress that the batch meant; and what the disk may refuse."""

from __future__ import annotations

import errno
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import EPOCH, observation
from selection import examples
from vapi_sessions import schema
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.timestamps import MINUTE
from vapi_sessions.errors import VapiSessionsError, WarehouseDamagedError, WarehouseError
from vapi_sessions.privacy.redaction import content_hash
from vapi_sessions.transform.resolve import Observation
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.layout import Layout

BATCH = [
    observation("a", 1, messages=3, name='quotes " and é and \n'),
    observation("b", 1, updated=EPOCH + MINUTE + 123),
    observation("a", 2, kind="deleted"),
    observation("c", 3, kind="aged_out"),
]
PROGRESS = {
    "org_id": "org",
    "claims": [[EPOCH, EPOCH + MINUTE]],
    "windows": [{"left": None, "é": "\n"}],
    "state": {"next_seq": "17"},
}


def written(directory: Path, observations: list[Observation] | None = None, name: str = "1.parquet") -> Path:
    """A batch on disk."""
    return raw.write(directory, name, BATCH if observations is None else observations, PROGRESS)


def everything(path: Path) -> list[Observation]:
    """All observations of a file."""
    return [observation for part in raw.read(path) for observation in part]


def test_observations_come_back_as_they_were(tmp_path: Path) -> None:
    """Marks included; the content hash is derived from the body again."""
    assert everything(written(tmp_path)) == BATCH


def test_what_an_earlier_version_stored_comes_through_the_decoder(tmp_path: Path) -> None:
    """As well-formed JSON, with its hash; what is no JSON comes as it is."""
    odd = rb'{"name":"a","name":"\ud83d"}'
    path = written(tmp_path, [replace(BATCH[0], body=odd), replace(BATCH[1], body=b"{")])
    clean, other = everything(path)
    assert clean.body == b'{"name":"\xef\xbf\xbd","$normalised":{"lone_surrogates":1,"repeated_names":1}}'
    assert clean.content_hash == content_hash(clean.body)
    assert other.body == b"{"


def test_progress_comes_back_as_it_was(tmp_path: Path) -> None:
    """What the batch completed travels in the file's footer."""
    assert raw.read_progress(written(tmp_path)) == PROGRESS


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(st.characters(codec="utf-8")),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    )
)
@examples(30)
def test_any_json_is_progress(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    """The footer does not mind what it carries."""
    directory = tmp_path_factory.mktemp("raw")
    path = raw.write(directory, "1.parquet", BATCH[:1], {"value": value})
    assert raw.read_progress(path) == {"value": value}


def test_a_file_without_progress_has_none(tmp_path: Path) -> None:
    """A Parquet file that another program wrote again lost its footer, not its rows."""
    path = written(tmp_path)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    assert raw.read_progress(path) == {}
    assert everything(path) == BATCH


def test_an_empty_batch(tmp_path: Path) -> None:
    """Progress alone can be written."""
    path = written(tmp_path, [])
    assert (everything(path), raw.read_progress(path)) == ([], PROGRESS)


def test_large_files_are_read_in_parts(tmp_path: Path) -> None:
    """Memory does not depend on the size of a file."""
    many = [observation(f"s-{number:05d}", number) for number in range(4500)]
    parts = list(raw.read(written(tmp_path, many)))
    assert max(map(len, parts)) <= 2000
    assert [o for part in parts for o in part] == many


def test_the_schema_is_the_declared_one(tmp_path: Path) -> None:
    """Other programs can read raw/: names, types, moments in UTC, null for the body of a mark."""
    table = pq.read_table(written(tmp_path))
    assert table.schema.remove_metadata() == schema.RAW
    assert table["body"].null_count == 2


def test_files_come_in_the_order_they_were_written(tmp_path: Path) -> None:
    """Their names begin with the number of their first request; drafts and strangers do not count."""
    for name in ("000000000010-b.parquet", "000000000002-a.parquet", "000000000002-b.parquet"):
        written(tmp_path, name=name)
    (tmp_path / ".000000000001-x.parquet.tmp").touch()
    (tmp_path / ".hidden.parquet").touch()
    (tmp_path / "notes.txt").touch()
    assert [path.name for path in raw.files(tmp_path)] == [
        "000000000002-a.parquet",
        "000000000002-b.parquet",
        "000000000010-b.parquet",
    ]


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    """Conversations are nobody else's business, whatever the umask says."""
    before = os.umask(0)
    try:
        path = written(tmp_path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


# -- durability --------------------------------------------------------------------------------------------------------


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written and synced under another name, then renamed, then the directory is synced."""
    events: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def note_fsync(descriptor: int) -> None:
        events.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def note_rename(path: Path, target: Path) -> Path:
        events.append(f"rename {path.name} {Path(target).name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "rename", note_rename)
    written(tmp_path)
    assert events == ["fsync .1.parquet.tmp", "rename .1.parquet.tmp 1.parquet", f"fsync {tmp_path.name}"]


@pytest.mark.parametrize("when", ["fsync", "rename"])
def test_a_write_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Neither a torn file nor a draft, and a clear error."""

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr(*((os, "fsync") if when == "fsync" else (Path, "rename")), full)
    with pytest.raises(WarehouseError, match="The disk is full"):
        written(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_replaces_one_of_its_name(tmp_path: Path) -> None:
    """A batch that was written, not merged and fetched again is whole whichever is left."""
    written(tmp_path, BATCH[:1])
    assert everything(written(tmp_path)) == BATCH


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 1, 4, 100, -100, -8, -4, -1])
def test_a_torn_file_is_told(tmp_path: Path, keep: int) -> None:
    """Cut anywhere, it is damaged: the message names it and says what to do."""
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    for reader in (everything, raw.read_progress):
        with pytest.raises(WarehouseDamagedError, match=r"1\.parquet is not a whole") as caught:
            reader(path)
        assert "Move it out of raw/" in caught.value.remedy
        assert caught.value.exit_code == 5


def test_a_file_that_is_something_else_is_told(tmp_path: Path) -> None:
    """The same for a file that never was Parquet."""
    path = tmp_path / "1.parquet"
    path.write_text("session_id,body\n" * 100)
    with pytest.raises(WarehouseDamagedError):
        everything(path)


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"a": [1]}),
        pa.table({"session_id": ["a"], "body": ["{}"]}),
        pa.table({name: ["x"] for name in schema.RAW.names}),
    ],
    ids=["other columns", "too few", "other types"],
)
def test_a_parquet_file_of_another_kind_is_told(tmp_path: Path, table: pa.Table) -> None:
    """Somebody's own Parquet file in raw/ is named, and no bug of ours."""
    path = tmp_path / "1.parquet"
    pq.write_table(table, path)
    with pytest.raises(WarehouseDamagedError):
        everything(path)


def test_flipped_bits_are_no_bug_of_ours(tmp_path: Path) -> None:
    """Whatever a disk does to a file, what comes out is an error with a remedy, or observations."""
    rng = random.Random(1)
    whole = written(tmp_path, [observation(f"s{n}", n, messages=3) for n in range(50)]).read_bytes()
    path = tmp_path / "flipped.parquet"
    others: set[str] = set()
    for _ in range(400):
        flipped = bytearray(whole)
        flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        for reader in (everything, raw.read_progress):
            try:
                reader(path)
            except VapiSessionsError:
                pass
            except Exception as error:
                others.add(type(error).__name__)
    assert others == set()


# -- what the operating system says ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "fact", "remedy"),
    [
        (errno.ENOSPC, "The disk is full (/w/file).", "the next run continues"),
        (errno.EDQUOT, "The disk is full (/w/file).", "the next run continues"),
        (errno.EROFS, "/w/file cannot be written", "directory of your own"),
        (errno.EACCES, "/w/file cannot be read or written", "directory of your own"),
        (errno.EPERM, "/w/file cannot be read or written", "directory of your own"),
        (errno.ENOTDIR, "/w/file is below a file", "Give a directory"),
        (errno.EIO, "/w/file: Input/output error.", "Look at the disk"),
    ],
    ids=lambda value: errno.errorcode[value] if isinstance(value, int) else "",
)
def test_disk_errors(number: int, fact: str, remedy: str) -> None:
    """Each refusal becomes a fact and its remedy; the cause stays attached."""
    refusal = OSError(number, os.strerror(number), "/w/file")
    with pytest.raises(WarehouseError) as caught, disk_errors(Path("/w")):
        raise refusal
    assert caught.value.fact.startswith(fact)
    assert remedy in caught.value.remedy
    assert caught.value.__cause__ is refusal


def test_a_disk_error_without_a_name_names_the_place() -> None:
    """Some calls do not say which file."""
    with pytest.raises(WarehouseError, match=r"^The disk is full \(/w\)"), disk_errors(Path("/w")):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_our_own_errors_pass_through() -> None:
    """What is an error of the warehouse already stays what it is."""
    with pytest.raises(WarehouseDamagedError, match="mine"), disk_errors(Path("/w")):
        raise WarehouseDamagedError("mine")


def test_a_warehouse_that_is_a_file(tmp_path: Path) -> None:
    """And one below a file."""
    (tmp_path / "file").touch()
    with pytest.raises(WarehouseError, match="is a file, not a directory"):
        Layout(tmp_path / "file").create()
    with pytest.raises(WarehouseError, match="is below a file"):
        Layout(tmp_path / "file" / "warehouse").create()


def test_directories_are_for_the_owner_alone(tmp_path: Path) -> None:
    """All that a warehouse makes; made twice without harm."""
    layout = Layout(tmp_path / "warehouse")
    before = os.umask(0)
    try:
        layout.create()
        layout.create()
    finally:
        os.umask(before)
    made = [layout.root, *layout.root.iterdir()]
    assert len(made) == 5
    assert {path.stat().st_mode & 0o777 for path in made} == {0o700}
