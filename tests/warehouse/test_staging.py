"""`staging/`: a range of createdAt is one slice of a staged batch, and no run uses the files of another one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches import Warehouse, observation
from constants import EPOCH
from selection import examples
from vapi_sessions import schema
from vapi_sessions.core.timestamps import MINUTE, SECOND
from vapi_sessions.errors import WarehouseError
from vapi_sessions.transform.flatten import flatten
from vapi_sessions.transform.resolve import Observation
from vapi_sessions.warehouse import staging as staging_module
from vapi_sessions.warehouse.derive import in_order, version
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.staging import StagedBatch, Staging
from worlds import World


def session(number: int, created: int, children: int) -> Observation:
    """A session with this many rows in each child table."""
    calls = [{"id": f"c-{n}", "type": "function", "function": {"name": "f"}} for n in range(children)]
    talk: list[dict[str, Any]] = [{"role": "user", "content": f"{number}-{n}"} for n in range(children)]
    return observation(
        f"s-{number:04d}",
        number + 1,
        created=created,
        messages=[*talk, {"role": "assistant", "tool_calls": calls}] if children else [],
        costs=[{"type": "session", "cost": number + n} for n in range(children)],
        artifact={"structuredOutputs": {f"o-{n}": {"name": "n", "result": n} for n in range(children)}},
    )


def staged(staging: Staging, observations: Sequence[Observation]) -> tuple[StagedBatch, dict[str, pa.Table]]:
    """A staged batch of these observations, and the tables that it was made of."""
    versions = in_order(version(one) for one in observations)
    tables = flatten(versions).tables
    return staging.write("batch", tables, [one.created_at for one in versions]), tables


def read(staged_batch: StagedBatch, table: schema.Table, lower: int, upper: int) -> pa.Table:
    """The staged rows of a range."""
    return pa.Table.from_batches(staged_batch.rows(table, lower, upper), table.arrow)


def expected(tables: dict[str, pa.Table], table: schema.Table, lower: int, upper: int) -> pa.Table:
    """The same, by looking at each row."""
    created = tables[table.name].column(table.created_at).cast(pa.int64()).to_pylist()
    return tables[table.name].filter(pa.array([lower <= at < upper for at in created], pa.bool_()))


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), max_size=24),
    st.lists(st.tuples(st.integers(-1, 13), st.integers(0, 14)), min_size=1, max_size=6),
    st.sampled_from([1, 2, 3, 5, 256]),
)
@examples(60)
def test_a_range_has_the_rows_of_the_sessions_created_in_it(
    tmp_path_factory: pytest.TempPathFactory,
    sessions: list[tuple[int, int]],
    ranges: list[tuple[int, int]],
    at_once: int,
) -> None:
    """With all children and no others, over the edges of record batches and with equal createdAt."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging_module, "_AT_ONCE", at_once)
        staging = Staging.begin(tmp_path_factory.mktemp("s") / "staging")
        made = [session(n, EPOCH + at, children) for n, (at, children) in enumerate(sessions)]
        staged_batch, tables = staged(staging, made)
        for lower, length in ranges:
            bounds = EPOCH + lower, EPOCH + lower + length
            for table in schema.TABLES:
                assert read(staged_batch, table, *bounds).equals(expected(tables, table, *bounds))


def test_ranges_over_several_record_batches(tmp_path: Path) -> None:
    """The same with a thousand sessions and the real size of record batches."""
    rng = random.Random(1)
    staging = Staging.begin(tmp_path / "staging")
    made = [session(n, EPOCH + n * SECOND, rng.randrange(3)) for n in range(1_000)]
    staged_batch, tables = staged(staging, made)
    for first, last in ((0, 1_000), (0, 256), (255, 257), (256, 512), (500, 501), (300, 999), (999, 1_000)):
        bounds = EPOCH + first * SECOND, EPOCH + last * SECOND
        for table in schema.TABLES:
            assert read(staged_batch, table, *bounds).equals(expected(tables, table, *bounds))


def test_a_staged_table_without_rows_has_no_file(tmp_path: Path) -> None:
    """Reading it gives no rows."""
    staging = Staging.begin(tmp_path / "staging")
    staged_batch, _ = staged(staging, [observation("a", 1), observation("b", 1, messages=1)])
    assert staged_batch.files.keys() == {"sessions", "messages"}
    assert sorted(path.name for path in staging.directory.iterdir()) == [
        "batch.messages.arrow",
        "batch.sessions.arrow",
    ]
    assert read(staged_batch, schema.COSTS, EPOCH, EPOCH + 1).num_rows == 0
    assert read(staged_batch, schema.MESSAGES, EPOCH, EPOCH + 1).num_rows == 1


def test_a_batch_without_versions_can_be_staged(tmp_path: Path) -> None:
    """It has only tombstones."""
    staging = Staging.begin(tmp_path / "staging")
    staged_batch, _ = staged(staging, [])
    assert (staged_batch.files, staged_batch.size, list(staged_batch.created)) == ({}, 0, [])
    assert read(staged_batch, schema.SESSIONS, 0, 2**62).num_rows == 0


def test_dropping_a_batch_removes_its_files(tmp_path: Path) -> None:
    """The size is the number of bytes on disk, which decides when a long run publishes."""
    staging = Staging.begin(tmp_path / "staging")
    for batch in (1, 2):
        versions = [version(session(batch, EPOCH, 2))]
        staged_batch = staging.write(f"b-{batch}", flatten(versions).tables, [EPOCH])
        staging.add(batch, staged_batch)
    on_disk = sum(path.stat().st_size for path in staging.directory.iterdir())
    assert staging.size == on_disk > 0
    staging.drop([1, 3])
    assert staging.batches.keys() == {2}
    assert all(path.name.startswith("b-2.") for path in staging.directory.iterdir())
    assert 0 < staging.size < on_disk
    staging.drop([2])
    assert (staging.size, list(staging.directory.iterdir())) == (0, [])


def test_only_the_owner_can_read_staged_files(tmp_path: Path) -> None:
    """They hold conversations."""
    staging = Staging.begin(tmp_path / "staging")
    staged(staging, [session(1, EPOCH, 1)])
    assert staging.directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in staging.directory.iterdir()} == {0o600}


@pytest.mark.parametrize("harm", ["gone", "cut short", "emptied"])
def test_a_staged_file_that_cannot_be_read_is_an_error(tmp_path: Path, harm: str) -> None:
    """It has a remedy. A mapped file would give a signal instead."""
    staging = Staging.begin(tmp_path / "staging")
    staged_batch, _ = staged(staging, [session(n, EPOCH, 2) for n in range(300)])
    path = staged_batch.files["messages"]
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 5_000 if harm == "cut short" else 0])
    with pytest.raises(WarehouseError):
        read(staged_batch, schema.MESSAGES, EPOCH, EPOCH + 1)


# -- files of another run ---------------------------------------------------------------------------------------------


def test_files_of_another_run_are_removed(tmp_path: Path) -> None:
    """Any kind of file."""
    directory = tmp_path / "staging"
    staged(Staging.begin(directory), [session(1, EPOCH, 1)])
    (directory / "half").write_bytes(b"ARROW1")
    (directory / "a directory").mkdir()
    (directory / "a directory" / "file").touch()
    again = Staging.begin(directory)
    assert (list(directory.iterdir()), again.batches, again.size) == ([], {}, 0)


def test_rows_of_a_killed_run_come_from_raw(tmp_path: Path) -> None:
    """Its staged files are not used, even if they are there."""
    talk = [{"role": "user", "content": "as it was said"}]
    with Warehouse(tmp_path / "w") as killed:
        killed.merge(observation("a", 1, messages=talk))
        (staged_batch,) = killed.staging.batches[1]
        lie = [version(observation("a", 1, messages=[{"role": "user", "content": "never said"}]))]
        forged = Staging(tmp_path / "forged")
        forged.directory.mkdir()
        for table, path in forged.write("lie", flatten(lie).tables, [EPOCH]).files.items():
            path.rename(staged_batch.files[table])
    with Warehouse(tmp_path / "w") as next_run:
        assert list(next_run.layout.staging.iterdir()) == []
        next_run.publish()
        snapshot = next_run.layout.parquet / str(next_run.index.state()["snapshot"])
        (path,) = snapshot.glob("messages/*/*.parquet")
        assert pa.parquet.read_table(path).column("content").to_pylist() == ["as it was said"]
        assert list(next_run.layout.staging.iterdir()) == []


def test_a_sync_leaves_nothing_staged(world: World) -> None:
    """The next one ignores files that are not its own."""
    world.insert(20, lambda n: (world.ago(hours=5) + n * MINUTE,) * 2)
    world.sync()
    staging = Layout(world.warehouse).staging
    assert list(staging.iterdir()) == []
    (staging / "000000000001-run.sessions.arrow").write_bytes(b"not Arrow at all")
    world.insert(1, lambda n: (world.ago(minutes=5),) * 2)
    world.clock.forward(minutes=10)
    world.sync()
    assert list(staging.iterdir()) == []
    assert world.here() == world.there()
