"""What people open: snapshots of Parquet files that are never touched again, and a small database of views over them."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

import vapi_sessions
from conftest import NEW_VIEWS, looking
from models import EPOCH, Warehouse, observation
from selection import first
from vapi_sessions import schema
from vapi_sessions.core import resources
from vapi_sessions.core.timestamps import DAY, HOUR, MINUTE, SECOND, to_datetime
from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError, WarehouseError
from vapi_sessions.transform.resolve import Observation
from vapi_sessions.warehouse import part_ranges, parts
from vapi_sessions.warehouse import snapshots as publication
from vapi_sessions.warehouse.snapshots import Publisher

JANUARY, FEBRUARY, MARCH = EPOCH - 45 * DAY, EPOCH - 15 * DAY, EPOCH + 5 * DAY
NAMES = [table.name for table in schema.TABLES]


class Published(Warehouse):
    """A warehouse that publishes at times of its own: a second passes each time."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.now = EPOCH + 100 * DAY

    def publish(self, *, force: bool = False, after: int = SECOND) -> bool:
        """Publish, later."""
        self.now += after
        publisher = Publisher(self.index, self.layout, self.staging, lambda: self.now)
        return publisher.publish(force=force)

    @property
    def snapshot(self) -> Path:
        """The newest snapshot."""
        return (self.layout.parquet / "latest").resolve()

    def snapshots(self) -> list[str]:
        """Names of all there are."""
        return sorted(p.name for p in self.layout.parquet.iterdir() if p.is_dir() and not p.is_symlink())

    def files(self) -> dict[str, int]:
        """The newest snapshot's files: path inside it to inode."""
        return {
            str(path.relative_to(self.snapshot)): path.stat().st_ino
            for path in self.snapshot.rglob("*.parquet")
        }

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """A reader's question."""
        with looking(self.layout.root) as db:
            return db.execute(sql).fetchall()


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Published]:
    """A warehouse with nothing in it."""
    with Published(tmp_path / "warehouse") as opened:
        yield opened


def full(
    session_id: str, seq: int, created: int, *, updated: int = 0, other: bool = False, **fields: Any
) -> Observation:
    """A session with a row in every table; `other`: with other ones."""
    return observation(
        session_id,
        seq,
        created=created,
        updated=created + updated,
        messages=[
            {"role": "user", "content": "Hello, others" if other else "Hello, «you»"},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}]},
        ],
        costs=[{"type": "session", "cost": 0.75 if other else 0.5}],
        artifact={"structuredOutputs": {"o": {"name": "CSAT", "result": {"score": 4 if other else 5}}}},
        metadata={"variableValues": {"a": 1}},
        **fields,
    )


@pytest.fixture
def three_months(warehouse: Published) -> Published:
    """One session in each of three months, published."""
    warehouse.merge(full("jan", 1, JANUARY), full("feb", 2, FEBRUARY), full("mar", 3, MARCH))
    warehouse.publish()
    return warehouse


# -- files -------------------------------------------------------------------------------------------------------------


def test_each_month_has_a_directory(three_months: Published) -> None:
    """Named by the month of createdAt, in every table."""
    months = ["created_month=2026-01", "created_month=2026-02", "created_month=2026-03"]
    for name in NAMES:
        assert sorted(path.name for path in (three_months.snapshot / name).iterdir()) == months


def test_a_publication_without_a_change_writes_no_file(three_months: Published) -> None:
    """No new snapshot either; the ledger is published anew."""
    before, inode = three_months.snapshots(), three_months.layout.published.stat().st_ino
    assert three_months.publish() is False
    assert three_months.snapshots() == before
    assert three_months.layout.published.stat().st_ino != inode


def test_unchanged_files_are_links_and_changed_ones_are_new(three_months: Published) -> None:
    """Cost follows change: only the month that changed is written again."""
    before = three_months.files()
    three_months.merge(full("feb", 9, FEBRUARY, updated=HOUR, other=True))
    assert three_months.publish() is True
    after = three_months.files()
    kept = {path for path in after if after[path] in before.values()}
    assert kept == {path for path in before if "created_month=2026-02" not in path}
    assert len(after) == len(before)
    assert {path: before[path] for path in kept} == {path: after[path] for path in kept}


def test_a_mark_is_a_change_of_its_month(three_months: Published) -> None:
    """Readers see that a session is gone."""
    before = three_months.files()
    three_months.merge(observation("jan", 9, created=JANUARY, kind="deleted"))
    three_months.publish()
    after = three_months.files()
    assert {Path(path).parent for path in after if path not in before} == {
        Path("sessions/created_month=2026-01")
    }
    assert three_months.ask("SELECT session_id FROM sessions WHERE deleted_at IS NOT NULL") == [("jan",)]


def test_a_snapshot_is_never_touched_again(three_months: Published) -> None:
    """What a reader has resolved stays as it was, byte for byte."""
    old = three_months.snapshot
    before = {path: (path.stat().st_ino, path.read_bytes()) for path in old.rglob("*.parquet")}
    three_months.merge(full("feb", 9, FEBRUARY, updated=HOUR), full("apr", 9, EPOCH + 40 * DAY))
    three_months.publish()
    assert three_months.snapshot != old
    assert {path: (path.stat().st_ino, path.read_bytes()) for path in old.rglob("*.parquet")} == before


def test_snapshots_of_one_second_have_names_of_their_own(three_months: Published) -> None:
    """Runs may follow each other quickly."""
    for seq in range(10, 13):
        three_months.merge(full("mar", seq, MARCH, updated=seq))
        three_months.publish(after=0)
    assert len(three_months.snapshots()) == 4


def test_a_new_index_does_not_take_the_name_of_a_snapshot_in_use(three_months: Published) -> None:
    """A new database begins to count anew; what is published stays untouched."""
    old = three_months.snapshot
    before = {path: path.stat().st_ino for path in old.rglob("*.parquet")}
    three_months.index.__exit__()
    three_months.layout.index.unlink()
    with Published(three_months.layout.root) as again:
        again.merge(full("jan", 1, JANUARY))
        again.now = three_months.now
        again.publish(after=0)
        assert again.snapshot != old
    assert {path: path.stat().st_ino for path in old.rglob("*.parquet")} == before


def test_a_process_that_died_before_the_index_knew_does_no_harm(
    three_months: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot that carries its name but was not noted is made again, in the same second too."""
    three_months.merge(full("mar", 9, MARCH, updated=HOUR, name="new"))
    with monkeypatch.context() as patch:
        patch.setattr(type(three_months.index), "record_publication", _die)
        with pytest.raises(KeyboardInterrupt):
            three_months.publish()
    assert three_months.ask("SELECT count(*) FROM sessions WHERE name = 'new'") == [(0,)]
    assert three_months.publish(after=0) is True
    assert three_months.ask("SELECT count(*) FROM sessions WHERE name = 'new'") == [(1,)]
    assert pl.read_parquet(three_months.snapshot / "sessions" / "*" / "*.parquet").height == 3


def _die(*args: object, **kwargs: object) -> None:
    raise KeyboardInterrupt


# -- parts -------------------------------------------------------------------------------------------------------------


def ranges(warehouse: Published) -> list[tuple[int, int, int]]:
    """Bounds and sessions of every range."""
    return [(part.lower, part.upper, part.sessions) for part in warehouse.index.parts()]


def small_parts(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """At most so many sessions in a part, old or new."""
    monkeypatch.setattr(part_ranges, "SESSIONS_A_PART", most)
    monkeypatch.setattr(part_ranges, "SESSIONS_A_NEW_PART", most)


@pytest.mark.parametrize("count", [1, 8, 9, 100])
def test_a_busy_month_is_split(warehouse: Published, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """No file holds more sessions than a part may have; together the ranges are the month."""
    small_parts(monkeypatch, 8)
    rng = random.Random(count)
    moments = rng.sample(range(EPOCH, EPOCH + 31 * DAY), count)
    warehouse.merge(*(full(f"s-{n}", 1, moment) for n, moment in enumerate(moments)))
    warehouse.publish()
    found = ranges(warehouse)
    assert max(sessions for *_, sessions in found) <= 8
    assert sum(sessions for *_, sessions in found) == count
    assert (found[0][0], found[-1][1]) == (EPOCH, EPOCH + 31 * DAY)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(found))
    for path in warehouse.snapshot.joinpath("sessions").rglob("*.parquet"):
        assert pq.read_metadata(path).num_rows <= 8
    assert warehouse.ask("SELECT count(*), count(DISTINCT session_id) FROM sessions") == [(count, count)]
    assert warehouse.ask("SELECT count(*) FROM messages") == [(2 * count,)]


def test_large_sessions_are_written_a_few_at_a_time(
    warehouse: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is never in memory as a whole: a row group ends after some megabytes, however many sessions that is."""
    small_parts(monkeypatch, 3_000)
    text = "".join(random.Random(1).choices("0123456789abcdef", k=16_500))
    for start in range(0, 2_200, 200):
        moments = [EPOCH + n * MINUTE for n in range(start, start + 200)]
        batch = [observation(f"s-{m}", 1, created=m, updated=m, artifact={"x": text}) for m in moments]
        warehouse.merge(*batch)
    warehouse.publish()
    (path,) = warehouse.snapshot.joinpath("sessions").rglob("*.parquet")
    file = pq.read_metadata(path)
    assert file.num_rows == 2_200
    sizes = [file.row_group(n).total_byte_size for n in range(file.num_row_groups)]
    assert len(sizes) >= 2
    assert max(sizes) <= 2 * parts._GROUP_BYTES


def test_a_change_in_a_busy_month_writes_one_part(
    warehouse: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others are links."""
    small_parts(monkeypatch, 8)
    moments = [EPOCH + n * HOUR for n in range(100)]
    warehouse.merge(*(full(f"s-{n}", 1, moment) for n, moment in enumerate(moments)))
    warehouse.publish()
    before = warehouse.files()
    warehouse.merge(full("s-50", 2, moments[50], updated=MINUTE, other=True))
    warehouse.publish()
    after = warehouse.files()
    new = {path for path, inode in after.items() if inode not in before.values()}
    assert len(new) == len(NAMES)
    assert len(after) == len(before)
    assert len({Path(path).name for path in new}) == 1


def test_a_part_that_grows_is_split_again(warehouse: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a month fills up."""
    small_parts(monkeypatch, 8)
    for day in range(5):
        moments = [EPOCH + day * DAY + n * HOUR for n in range(5)]
        warehouse.merge(*(full(f"s-{day}-{n}", day, at) for n, at in enumerate(moments)))
        warehouse.publish()
        assert max(sessions for *_, sessions in ranges(warehouse)) <= 8
        assert warehouse.ask("SELECT count(*) FROM sessions") == [(5 * (day + 1),)]


def test_sessions_of_one_instant_stay_in_one_part(
    warehouse: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cut can separate them, and none is lost."""
    small_parts(monkeypatch, 8)
    warehouse.merge(*(full(f"tie-{n}", 1, EPOCH + DAY) for n in range(30)))
    warehouse.merge(*(full(f"s-{n}", 1, EPOCH + n * HOUR) for n in range(48)))
    warehouse.publish()
    assert warehouse.ask("SELECT count(*), count(DISTINCT session_id) FROM sessions") == [(78, 78)]
    sizes = sorted(sessions for *_, sessions in ranges(warehouse))
    assert sizes[-1] >= 30
    assert sizes[-2] <= 8


def test_a_range_of_a_table_without_rows_has_no_file(warehouse: Published) -> None:
    """A month without costs has no file of costs; the table still has a schema."""
    warehouse.merge(observation("a", 1, created=JANUARY, messages=1), full("b", 1, MARCH))
    warehouse.publish()
    assert [path.parent.name for path in warehouse.snapshot.joinpath("costs").rglob("*.parquet")] == [
        "created_month=2026-03"
    ]


def test_a_table_that_gets_its_first_row_has_no_empty_file_left(warehouse: Published) -> None:
    """The placeholder goes with the snapshot it was for."""
    warehouse.merge(observation("a", 1, created=MARCH, messages=1))
    warehouse.publish()
    assert [path.name for path in warehouse.snapshot.joinpath("costs").rglob("*.parquet")] == [
        "empty.parquet"
    ]
    warehouse.merge(full("a", 2, MARCH, updated=HOUR))
    warehouse.publish()
    assert "empty.parquet" not in [path.name for path in warehouse.snapshot.rglob("*.parquet")]
    assert warehouse.ask("SELECT count(*) FROM costs") == [(1,)]


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def rich(warehouse: Published, monkeypatch: pytest.MonkeyPatch) -> Published:
    """A few hundred sessions over three months in many files, published twice."""
    small_parts(monkeypatch, 20)
    rng = random.Random(1)
    moments = [rng.randrange(JANUARY, MARCH) for _ in range(200)]
    warehouse.merge(*(full(f"s-{n:03d}", 1, at) for n, at in enumerate(moments)))
    warehouse.publish()
    warehouse.merge(*(full(f"s-{n:03d}", 2, moments[n], updated=HOUR) for n in range(0, 200, 17)))
    warehouse.publish()
    return warehouse


def test_a_glob_over_a_table_equals_its_view(rich: Published) -> None:
    """Polars and DuckDB on the plain files, and the published view, show the same rows and columns."""
    for table in schema.TABLES:
        glob = f"{rich.layout.parquet}/latest/{table.name}/*/*.parquet"
        order = ", ".join(table.key)
        plain = ", ".join(column.name for column in table.columns)
        as_text = ", ".join(
            f"{c.name}::VARCHAR AS {c.name}" if c.type == "JSON" else c.name for c in table.columns
        )
        by_polars = pl.read_parquet(glob, hive_partitioning=False).sort(table.key)
        with duckdb.connect() as db:
            db.execute("SET TimeZone = 'UTC'").fetchall()
            files = f"read_parquet('{glob}', hive_partitioning = false)"
            by_duckdb = db.sql(f"SELECT {plain} FROM {files} ORDER BY {order}").pl()
        with vapi_sessions.connect(rich.layout.root) as db:
            by_view = db.sql(f"SELECT {as_text} FROM {table.name} ORDER BY {order}").pl()
        assert by_polars.height >= 200
        assert by_polars.columns == [column.name for column in table.columns]
        assert by_duckdb.equals(by_polars)
        assert by_view.equals(by_polars)


def test_files_and_placeholders_have_one_schema(warehouse: Published) -> None:
    """A program that was written on an empty warehouse works on a full one: names and types are the declared ones."""
    warehouse.publish()
    empty = warehouse.snapshot
    warehouse.merge(full("a", 1, MARCH))
    warehouse.publish()
    for table in schema.TABLES:
        declared = [(column.name, column.arrow.type) for column in table.columns]
        for snapshot in (empty, warehouse.snapshot):
            (path,) = snapshot.joinpath(table.name).rglob("*.parquet")
            assert [(field.name, field.type) for field in pq.read_schema(path)] == declared


def test_latest_resolves_to_the_newest_snapshot(three_months: Published) -> None:
    """A relative link, so that a warehouse can be moved."""
    link = three_months.layout.parquet / "latest"
    first = link.readlink()
    assert not first.is_absolute()
    three_months.merge(full("mar", 9, MARCH, updated=HOUR))
    three_months.publish()
    assert link.readlink() != first
    assert (link / "sessions").is_dir()
    assert link.readlink().name == three_months.index.state()["snapshot"]


def test_an_empty_warehouse_publishes_and_all_its_views_answer(warehouse: Published) -> None:
    """Before the first session: no row, no error, in any table, view or glob."""
    assert warehouse.publish() is True
    for name in NAMES:
        assert warehouse.ask(f"FROM {name}") == []
        assert pl.read_parquet(warehouse.snapshot / name / "*" / "*.parquet").height == 0
    views = [path.stem for path in resources.sql_files("views")]
    assert views
    for view in views:
        assert warehouse.ask(f"FROM {view}") == []
    assert warehouse.ask("SELECT count(*) FROM sync.runs") == [(0,)]


def test_every_view_answers_on_rows(rich: Published) -> None:
    """The views of sql/ are in the published database."""
    with vapi_sessions.connect(rich.layout.root) as db:
        for path in resources.sql_files("views"):
            assert db.execute(f"SELECT count(*) >= 0 FROM {path.stem}").fetchall() == [(True,)]


def test_json_columns_are_json_in_the_views(three_months: Published) -> None:
    """So that people can reach into them."""
    assert three_months.ask("SELECT metadata->'variableValues'->>'a' FROM sessions LIMIT 1") == [("1",)]
    assert three_months.ask("SELECT result->>'score' FROM structured_outputs LIMIT 1") == [("5",)]


def test_a_reader_keeps_the_state_it_opened(three_months: Published) -> None:
    """It is never blocked, never blocks, and never sees half of a publication."""
    inode = three_months.layout.published.stat().st_ino
    with vapi_sessions.connect(three_months.layout.root) as reader:
        assert reader.execute("SELECT count(*) FROM sessions").fetchall() == [(3,)]
        three_months.merge(full("new", 9, MARCH))
        three_months.publish()
        assert reader.execute("SELECT count(*) FROM sessions").fetchall() == [(3,)]
        assert reader.execute("SELECT count(*) FROM messages").fetchall() == [(6,)]
        with vapi_sessions.connect(three_months.layout.root) as later:
            assert later.execute("SELECT count(*) FROM sessions").fetchall() == [(4,)]
    assert three_months.layout.published.stat().st_ino != inode


def test_the_database_of_views_opens_by_itself(three_months: Published, tmp_path: Path) -> None:
    """`duckdb vapi.duckdb` from any directory, in another process, while the writer has its own open."""
    code = "import duckdb, sys; print(duckdb.connect(sys.argv[1], read_only=True).execute(sys.argv[2]).fetchall())"
    query = "SELECT count(*) FROM sessions JOIN messages USING (session_id)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(three_months.layout.published), query],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.stdout == "[(6,)]\n", done.stderr


def test_a_warehouse_that_was_moved_still_answers(three_months: Published, tmp_path: Path) -> None:
    """The views find their files where the reader says they are; quotes in a path do no harm."""
    three_months.index.checkpoint()
    moved = tmp_path / "it's moved"
    three_months.layout.root.rename(moved)
    with vapi_sessions.connect(moved) as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchall() == [(3,)]
    moved.rename(three_months.layout.root)


def test_the_ledger_is_published(three_months: Published) -> None:
    """Every table of the machinery, with its rows; only since when this is shown cannot be in it."""
    for table in schema.SYNC_TABLES:
        columns = three_months.ask(f"SELECT column_name FROM (DESCRIBE sync.{table.name})")
        assert [name for (name,) in columns] == [column.name for column in table.columns]
    published = dict(three_months.ask("SELECT key, value FROM sync.state"))
    assert {"shown", *published} == three_months.index.state().keys()
    assert published.items() <= three_months.index.state().items()


def test_nothing_was_published_there(tmp_path: Path) -> None:
    """The message says what to do."""
    with pytest.raises(ConfigurationError, match="There is no published warehouse") as caught:
        vapi_sessions.connect(tmp_path)
    assert "sync" in caught.value.remedy


def test_a_damaged_database_of_views_is_told(three_months: Published) -> None:
    """And mended by the next publication."""
    three_months.layout.published.write_bytes(b"no database at all" * 1000)
    with pytest.raises(WarehouseDamagedError):
        vapi_sessions.connect(three_months.layout.root)
    three_months.publish()
    assert three_months.ask("SELECT count(*) FROM sessions") == [(3,)]


# -- mending -----------------------------------------------------------------------------------------------------------


def lose_file(warehouse: Published) -> None:
    """One file of the newest snapshot."""
    next(warehouse.snapshot.joinpath("messages").rglob("*.parquet")).unlink()


def lose_snapshot(warehouse: Published) -> None:
    """The newest snapshot."""
    for path in sorted(warehouse.snapshot.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    warehouse.snapshot.rmdir()


def lose_views(warehouse: Published) -> None:
    """The database of views."""
    warehouse.layout.published.unlink()


def lose_link(warehouse: Published) -> None:
    """The link to the newest snapshot."""
    (warehouse.layout.parquet / "latest").unlink()


def lose_everything(warehouse: Published) -> None:
    """All that was published."""
    lose_snapshot(warehouse)
    lose_link(warehouse)
    lose_views(warehouse)


@pytest.mark.parametrize(
    ("lose", "change"),
    first(
        [
            (lose_file, False),
            (lose_snapshot, True),
            (lose_file, True),
            (lose_snapshot, False),
            (lose_views, False),
            (lose_link, False),
            (lose_everything, False),
        ],
        2,
    ),
    ids=lambda value: value.__name__ if callable(value) else "and a change" if value else "",
)
def test_what_is_missing_is_written_again(
    three_months: Published, lose: Callable[[Published], None], change: bool
) -> None:
    """The next publication mends it, whether anything has changed or not."""
    lose(three_months)
    if change:
        three_months.merge(full("mar", 9, MARCH, updated=HOUR))
    three_months.publish()
    assert three_months.ask("SELECT count(*) FROM sessions") == [(3,)]
    assert three_months.ask("SELECT count(*) FROM messages") == [(6,)]
    assert len(three_months.files()) == 3 * len(NAMES)


def test_force_writes_everything_again(three_months: Published) -> None:
    """Which mends what rotted inside a file, too."""
    victim = next(three_months.snapshot.joinpath("messages").rglob("*.parquet"))
    before = three_months.files()
    data = bytearray(victim.read_bytes())
    data[10:60] = bytes(50)
    victim.write_bytes(data)
    assert three_months.publish(force=True) is True
    assert not set(three_months.files().values()) & set(before.values())
    assert three_months.ask("SELECT count(*), min(length(content)) FROM messages") == [(6, 12)]


def test_drafts_of_a_process_that_died_are_removed(three_months: Published) -> None:
    """A half-written snapshot, and a half-built database with its log."""
    layout = three_months.layout
    draft = layout.parquet / ".20260101T000000Z-000001.tmp"
    (draft / "sessions").mkdir(parents=True)
    (draft / "sessions" / "half.parquet").write_bytes(b"PAR1")
    code = (
        "import duckdb, os, sys; db = duckdb.connect(sys.argv[1])\n"
        "db.execute('CREATE SCHEMA sync').fetchall(); db.execute('CREATE TABLE sync.runs (a INT)').fetchall()\n"
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(layout.scratch / "vapi.duckdb")], check=False)
    assert (layout.scratch / "vapi.duckdb.wal").exists()
    three_months.publish()
    assert not draft.exists()
    assert list(layout.scratch.iterdir()) == []
    assert three_months.ask("SELECT count(*) FROM sync.runs") == [(0,)]


@pytest.mark.parametrize(
    "statement", first(["CREATE TABLE mine AS SELECT 1 AS a", "UPDATE sync.parts SET sessions = 999"])
)
def test_whoever_wrote_in_the_published_database_and_died_is_in_nobodys_way(
    three_months: Published, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """The log beside it, of a file that is no more, neither keeps others from reading the next one nor gets into it."""
    monkeypatch.setattr(publication, "_new_views", NEW_VIEWS)  # each with an identity of its own
    three_months.publish()
    before = three_months.ask("SELECT sum(sessions), count(*) FROM sync.parts")
    code = f"import duckdb, os, sys; db = duckdb.connect(sys.argv[1]); db.execute('{statement}').fetchall(); os._exit(9)"
    subprocess.run([sys.executable, "-c", code, str(three_months.layout.published)], check=False)
    log = three_months.layout.root / "vapi.duckdb.wal"
    assert log.exists()
    three_months.publish()
    assert not log.exists()
    assert three_months.ask("SELECT sum(sessions), count(*) FROM sync.parts") == before
    assert three_months.ask("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'mine'") == [(0,)]


def test_a_full_disk_leaves_the_published_state_as_it_was(
    three_months: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is clear, readers notice nothing, and the next publication succeeds."""
    three_months.merge(full("mar", 9, MARCH, updated=HOUR, name="new"))
    before = three_months.snapshots()
    with monkeypatch.context() as patch:
        patch.setattr(parts.pq.ParquetWriter, "write_table", _full)
        with pytest.raises(WarehouseError, match="The disk is full"):
            three_months.publish()
    assert three_months.ask("SELECT count(*) FROM sessions WHERE name = 'new'") == [(0,)]
    assert three_months.publish() is True
    assert three_months.ask("SELECT count(*) FROM sessions WHERE name = 'new'") == [(1,)]
    assert len(three_months.snapshots()) == len(before) + 1


def _full(*args: object, **kwargs: object) -> None:
    raise OSError(28, "No space left on device")


# -- old snapshots -----------------------------------------------------------------------------------------------------


def publish_times(warehouse: Published, times: int, every: int) -> list[str]:
    """Names of the snapshots left after so many publications, in their order."""
    for seq in range(times):
        warehouse.merge(full("a", seq, MARCH, updated=seq))
        warehouse.publish(after=every)
    return warehouse.snapshots()


def test_at_least_three_snapshots_are_kept(warehouse: Published) -> None:
    """However old they are."""
    left = publish_times(warehouse, 4, every=10 * DAY)
    assert len(left) == 3
    assert left[-1] == warehouse.index.state()["snapshot"]


def test_snapshots_are_kept_for_a_day(warehouse: Published) -> None:
    """However many there are: a notebook left open overnight still finds its files."""
    left = publish_times(warehouse, 7, every=6 * HOUR)
    horizon = f"{to_datetime(warehouse.now - DAY):%Y%m%dT%H%M%SZ}"
    assert len(left) == 6
    assert left[0] < horizon <= left[1]  # until the second one came, the first was opened


def test_a_snapshot_that_was_shown_for_long_is_kept_for_a_day_after_it(warehouse: Published) -> None:
    """Where little changes, somebody opens what is a week old just before three publications follow."""
    (opened,) = publish_times(warehouse, 1, every=HOUR)
    warehouse.now += 7 * DAY
    assert publish_times(warehouse, 4, every=5 * MINUTE)[0] == opened
    warehouse.now += 2 * DAY
    assert opened not in publish_times(warehouse, 1, every=0)


def test_a_snapshot_is_kept_that_a_killed_publication_left_in_use(
    warehouse: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one had its name already, and its views were not shown: for two days the one before was opened."""
    (opened,) = publish_times(warehouse, 1, every=HOUR)
    with monkeypatch.context() as killed:
        killed.setattr("vapi_sessions.warehouse.snapshots._publish_views", _full)
        with pytest.raises(WarehouseError):
            publish_times(warehouse, 1, every=HOUR)
    warehouse.now += 2 * DAY
    assert publish_times(warehouse, 3, every=5 * MINUTE)[0] == opened


def test_the_current_snapshot_is_kept_by_a_clock_that_jumped_back(warehouse: Published) -> None:
    """Names may then not be in the order of publication."""
    publish_times(warehouse, 4, every=HOUR)
    warehouse.now -= 300 * DAY
    publish_times(warehouse, 1, every=0)
    warehouse.now += 600 * DAY
    warehouse.publish(after=0)
    assert warehouse.ask("SELECT count(*) FROM sessions") == [(1,)]
    assert warehouse.index.state()["snapshot"] in warehouse.snapshots()


def test_directories_of_others_are_left_alone(warehouse: Published) -> None:
    """Only snapshots of ours are removed."""
    (warehouse.layout.parquet / "my own notes").mkdir()
    publish_times(warehouse, 4, every=10 * DAY)
    assert (warehouse.layout.parquet / "my own notes").is_dir()


# -- who may read ------------------------------------------------------------------------------------------------------


def modes(root: Path) -> dict[str, int]:
    """Permissions of everything that has some of its own."""
    return {
        str(path.relative_to(root)): path.stat().st_mode & 0o777
        for path in root.rglob("*")
        if not path.is_symlink() and not path.name.endswith(".wal")
    }


@pytest.mark.parametrize("links", [True, False], ids=["links", "a file system without links"])
def test_only_the_owner_can_read_what_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Files 0600 and directories 0700, whatever the umask says, linked or copied."""
    if not links:
        monkeypatch.setattr(os, "link", _no_links)
    before = os.umask(0)
    try:
        with Published(tmp_path / "warehouse") as warehouse:
            warehouse.merge(full("jan", 1, JANUARY), full("mar", 1, MARCH))
            warehouse.publish()
            warehouse.merge(full("mar", 2, MARCH, updated=HOUR))
            warehouse.publish()
            found = modes(warehouse.layout.root)
    finally:
        os.umask(before)
    files = {path: mode for path, mode in found.items() if path.endswith((".parquet", ".duckdb"))}
    directories = {path: mode for path, mode in found.items() if path not in files}
    assert len(files) > 2 * len(NAMES)
    assert {path: oct(mode) for path, mode in files.items() if mode != 0o600} == {}
    assert {path: oct(mode) for path, mode in directories.items() if mode != 0o700} == {}


def _no_links(*args: object, **kwargs: object) -> None:
    raise OSError(95, "Operation not supported")


def test_without_links_files_are_copied(three_months: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot is whole on every file system."""
    monkeypatch.setattr(os, "link", _no_links)
    three_months.merge(full("mar", 9, MARCH, updated=HOUR))
    three_months.publish()
    assert three_months.ask("SELECT count(*) FROM messages") == [(6,)]
