"""`raw/`: one durable file for each batch, with the batch's progress in its footer."""

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

from batches import observation
from constants import EPOCH
from selection import examples
from vapi_sessions import schema
from vapi_sessions.core.timestamps import MINUTE
from vapi_sessions.errors import VapiSessionsError, WarehouseDamagedError, WarehouseError
from vapi_sessions.privacy.redaction import content_hash
from vapi_sessions.transform.resolve import Observation
from vapi_sessions.warehouse import raw

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
    """Write a batch."""
    return raw.write(directory, name, BATCH if observations is None else observations, PROGRESS)


def everything(path: Path) -> list[Observation]:
    """All observations of a file."""
    return [observation for part in raw.read(path) for observation in part]


def test_observations_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Tombstones too. The content hash is computed again from the body."""
    assert everything(written(tmp_path)) == BATCH


def test_bodies_of_earlier_versions_are_normalised(tmp_path: Path) -> None:
    """They become well-formed JSON, with its hash. A body that is not JSON stays as it is."""
    odd = rb'{"name":"a","name":"\ud83d"}'
    path = written(tmp_path, [replace(BATCH[0], body=odd), replace(BATCH[1], body=b"{")])
    clean, other = everything(path)
    assert clean.body == b'{"name":"\xef\xbf\xbd","$normalised":{"lone_surrogates":1,"repeated_names":1}}'
    assert clean.content_hash == content_hash(clean.body)
    assert other.body == b"{"


def test_progress_is_read_as_it_was_written(tmp_path: Path) -> None:
    """It is in the footer of the file."""
    assert raw.read_progress(written(tmp_path)) == PROGRESS


def test_the_key_of_the_progress_never_changes(tmp_path: Path) -> None:
    """Existing files have it."""
    assert b"vapi_sessions.progress" in pq.read_schema(written(tmp_path)).metadata


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(st.characters(codec="utf-8")),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    )
)
@examples(30)
def test_any_json_can_be_progress(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    """The footer is opaque."""
    directory = tmp_path_factory.mktemp("raw")
    path = raw.write(directory, "1.parquet", BATCH[:1], {"value": value})
    assert raw.read_progress(path) == {"value": value}


def test_a_file_without_a_footer_of_ours_has_no_progress(tmp_path: Path) -> None:
    """Another program has written it again. Its rows are still there."""
    path = written(tmp_path)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    assert raw.read_progress(path) == {}
    assert everything(path) == BATCH


def test_a_batch_can_have_progress_and_no_observation(tmp_path: Path) -> None:
    """A window may be complete without a new session."""
    path = written(tmp_path, [])
    assert (everything(path), raw.read_progress(path)) == ([], PROGRESS)


def test_a_large_file_is_read_in_several_lists(tmp_path: Path) -> None:
    """Memory does not depend on the size of a file."""
    many = [observation(f"s-{number:05d}", number) for number in range(4500)]
    parts = list(raw.read(written(tmp_path, many)))
    assert max(map(len, parts)) <= 2000
    assert [o for part in parts for o in part] == many


def test_a_raw_file_has_the_declared_schema(tmp_path: Path) -> None:
    """Other programs can read raw/: names, types, times in UTC, and no body for a tombstone."""
    table = pq.read_table(written(tmp_path))
    assert table.schema.remove_metadata() == schema.RAW
    assert table["body"].null_count == 2


def test_files_are_sorted_by_name(tmp_path: Path) -> None:
    """Names begin with the number of the first request. Drafts and foreign files are left out."""
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


def test_only_the_owner_can_read_a_raw_file(tmp_path: Path) -> None:
    """For any umask."""
    before = os.umask(0)
    try:
        path = written(tmp_path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written and synced under another name, then renamed, and then the directory is synced."""
    events: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def record_fsync(descriptor: int) -> None:
        events.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def record_rename(path: Path, target: Path) -> Path:
        events.append(f"rename {path.name} {Path(target).name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "rename", record_rename)
    written(tmp_path)
    assert events == ["fsync .1.parquet.tmp", "rename .1.parquet.tmp 1.parquet", f"fsync {tmp_path.name}"]


@pytest.mark.parametrize("when", ["fsync", "rename"])
def test_a_write_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Neither a torn file nor a draft; the error is clear."""

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr(*((os, "fsync") if when == "fsync" else (Path, "rename")), full)
    with pytest.raises(WarehouseError, match="The disk is full"):
        written(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_replaces_one_with_its_name(tmp_path: Path) -> None:
    """A batch that was written, not merged and fetched again is complete with either file."""
    written(tmp_path, BATCH[:1])
    assert everything(written(tmp_path)) == BATCH


@pytest.mark.parametrize("keep", [0, 1, 4, 100, -100, -8, -4, -1])
def test_a_torn_file_is_an_error(tmp_path: Path, keep: int) -> None:
    """Wherever it is cut. The message names the file and the remedy."""
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    for reader in (everything, raw.read_progress):
        with pytest.raises(WarehouseDamagedError, match=r"1\.parquet is not a whole") as caught:
            reader(path)
        assert "vapi-sessions rebuild" in caught.value.remedy
        assert caught.value.exit_code == 5


def test_a_file_that_is_not_parquet_is_an_error(tmp_path: Path) -> None:
    """The same error."""
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
def test_a_parquet_file_with_other_columns_is_an_error(tmp_path: Path, table: pa.Table) -> None:
    """It may be a file of the user."""
    path = tmp_path / "1.parquet"
    pq.write_table(table, path)
    with pytest.raises(WarehouseDamagedError):
        everything(path)


def test_a_flipped_bit_gives_our_error_or_observations(tmp_path: Path) -> None:
    """Never another exception."""
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
