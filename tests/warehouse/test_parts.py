"""A published part: the rows it had, without the sessions that changed, and the winners' rows; and what it is never made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import EPOCH, Warehouse, observation, seen_first
from sample_observations import EDGES, OBSERVATIONS, cut, the_join
from selection import examples
from vapi_sessions import schema
from vapi_sessions.core.timestamps import DAY, HOUR, MINUTE
from vapi_sessions.errors import WarehouseError
from vapi_sessions.transform.flatten import flatten
from vapi_sessions.transform.resolve import Observation
from vapi_sessions.warehouse import parts as parts_module
from vapi_sessions.warehouse import snapshots as publication
from vapi_sessions.warehouse.derive import version

NAMES = [table.name for table in schema.TABLES]
Tables = dict[str, list[dict[str, Any]]]


class Published(Warehouse):
    """A warehouse, and what is published of it."""

    @property
    def snapshot(self) -> Path:
        """The newest snapshot."""
        return self.layout.parquet / str(self.index.state()["snapshot"])

    def files(self, table: str) -> list[Path]:
        """Those of a table."""
        return sorted(self.snapshot.glob(f"{table}/*/*.parquet"))

    def inodes(self) -> dict[str, set[int]]:
        """Of each table's files."""
        return {name: {path.stat().st_ino for path in self.files(name)} for name in NAMES}

    def rewritten(self, before: dict[str, set[int]]) -> set[str]:
        """The tables of which a file is not what it was."""
        after = self.inodes()
        return {name for name in NAMES if after[name] != before[name]}

    def tables(self) -> Tables:
        """Every row."""
        return {
            table.name: in_order(table, pa.concat_tables(map(pq.read_table, self.files(table.name))))
            for table in schema.TABLES
        }

    def everything(self) -> dict[str, Any]:
        """All that a publication may change: files by name and content, and the index."""
        found: dict[str, Any] = {
            str(path.relative_to(self.layout.root)): path.read_bytes()
            for path in (self.layout.published, *self.layout.parquet.rglob("*.parquet"))
        }
        return found | {"index": self.contents()}


def in_order(table: schema.Table, rows: pa.Table) -> list[dict[str, Any]]:
    """Rows in the order of the table's key."""
    return sorted(rows.to_pylist(), key=lambda row: [row[name] for name in table.key])


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Published]:
    """A warehouse with nothing in it."""
    with Published(tmp_path / "warehouse") as opened:
        yield opened


def full(session_id: str, seq: int, **fields: Any) -> Observation:
    """A session with a row in every table; `fields` replace some."""
    call = {"id": "c", "type": "function", "function": {"name": "f"}}
    given: dict[str, Any] = {
        "created": EPOCH,
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "tool_calls": [call]}],
        "costs": [{"type": "session", "cost": 0.5}],
        "artifact": {"structuredOutputs": {"o": {"name": "CSAT", "result": 5}}},
    }
    return observation(session_id, seq, **given | fields)


# -- the rows ----------------------------------------------------------------------------------------------------------


def as_defined(observations: Sequence[Observation]) -> Tables:
    """What has to be published, without any cleverness: the rows of each session's newest version, with what the join says."""
    marks: dict[str, Any] = {}
    steps: dict[str, Any] = {}
    first_synced: dict[str, int] = {}
    versions = []
    for session_id, (updated, _, first, growth, mark) in the_join(observations).items():
        seen = [
            o for o in observations if (o.session_id, o.updated_at, o.kind) == (session_id, updated, "seen")
        ]
        versions.append(version(max(seen, key=lambda o: o.seq)))
        steps[session_id], first_synced[session_id], marks[session_id] = growth, first, mark
    flat = flatten(versions).tables
    place = flat["sessions"].schema.get_field_index("first_synced_at")
    field = flat["sessions"].schema.field(place)
    at = [first_synced[v.session_id] for v in versions]
    flat["sessions"] = flat["sessions"].set_column(place, field, pa.array(at, field.type))
    flat["messages"] = seen_first(flat["messages"], steps)
    for kind, column in (("deleted", "deleted_at"), ("aged_out", "aged_out_at")):
        at = [m.requested_at if (m := marks[v.session_id]) and m.kind == kind else None for v in versions]
        place = flat["sessions"].schema.get_field_index(column)
        field = flat["sessions"].schema.field(column)
        flat["sessions"] = flat["sessions"].set_column(place, field, pa.array(at, field.type))
    return {table.name: in_order(table, flat[table.name]) for table in schema.TABLES}


def published_in_batches(root: Path, batches: Sequence[Sequence[Observation]], every: int) -> None:
    """The same rows as from the definition, and as derived at once from raw."""
    expected = as_defined([one for batch in batches for one in batch])
    with Published(root) as warehouse:
        for number, batch in enumerate(batches):
            warehouse.merge(*batch)
            if number % every == 0:
                warehouse.publish()
        warehouse.publish()
        assert warehouse.tables() == expected
        warehouse.publish(force=True)
        assert warehouse.tables() == expected


@pytest.mark.proof
@given(OBSERVATIONS, EDGES, st.integers(1, 3))
@examples(60)
def test_what_is_published_is_what_was_observed(
    tmp_path_factory: pytest.TempPathFactory, observations: list[Observation], edges: list[int], every: int
) -> None:
    """Whatever batches it came in and was published in."""
    published_in_batches(tmp_path_factory.mktemp("w") / "w", cut(observations, edges), every)


def test_a_history_in_batches_is_published_as_it_was_observed(tmp_path: Path) -> None:
    """Versions in any order, children that come and go, marks that stand and are lifted, two months."""
    steps = [
        [full("a", 1), full("b", 1, created=EPOCH - DAY), full("c", 1)],
        [full("a", 2, updated=EPOCH + HOUR, messages=5), full("b", 2, created=EPOCH - DAY, costs=[])],
        [full("c", 3, kind="deleted"), full("a", 4, updated=EPOCH + MINUTE, messages=3)],
        [full("b", 5, created=EPOCH - DAY, kind="aged_out"), full("d", 5, artifact={})],
        [full("c", 6, updated=EPOCH + 1, messages=0), full("d", 7, messages=4)],
    ]
    published_in_batches(tmp_path / "w", steps, 2)


def test_unchanged_rows_stay_when_a_part_is_written_again(warehouse: Published) -> None:
    """They are in no staged file, and come from the old one."""
    warehouse.merge(*(full(f"s-{n}", 1, created=EPOCH + n) for n in range(10)))
    warehouse.publish()
    before = warehouse.tables()
    warehouse.merge(
        full("s-4", 2, created=EPOCH + 4, updated=EPOCH + HOUR, messages=3, costs=[], artifact={})
    )
    warehouse.publish()
    after = warehouse.tables()
    for name in NAMES:
        kept = [row for row in after[name] if row["session_id"] != "s-4"]
        assert kept == [row for row in before[name] if row["session_id"] != "s-4"]
    assert [len(after[name]) for name in NAMES] == [10, 18 + 3, 9, 9, 9]


@pytest.mark.parametrize("published", [True, False], ids=["published", "staged too"])
def test_a_staged_version_that_lost_is_not_published(warehouse: Published, published: bool) -> None:
    """Neither when the winner is in the old file nor when it is staged beside it."""
    winner = full("a", 5, updated=EPOCH + HOUR, name="new")
    warehouse.merge(winner)
    if published:
        warehouse.publish()
    warehouse.merge(full("a", 6, updated=EPOCH + MINUTE, name="old", messages=4, costs=[]), full("b", 6))
    warehouse.publish()
    found = warehouse.tables()
    assert [row["name"] for row in found["sessions"]] == ["new", None]
    assert [len(found[name]) for name in NAMES] == [2, 4, 2, 2, 2]
    assert warehouse.index.unpublished() == {}


def test_staged_rows_that_are_published_already_are_not_added_again(
    warehouse: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose views could not be written tries again when it ends, and still has them staged."""
    warehouse.merge(full("a", 1))
    with monkeypatch.context() as patch:
        patch.setattr(publication, "_publish_views", _full_disk)
        with pytest.raises(WarehouseError):
            warehouse.publish()
    assert (warehouse.index.unpublished(), warehouse.staging.batches.keys()) == ({}, {1})
    warehouse.merge(full("b", 2))
    warehouse.publish()
    assert [len(rows) for rows in warehouse.tables().values()] == [2, 4, 2, 2, 2]


def _full_disk(*given: object) -> None:
    raise OSError(28, "No space left on device")


# -- which files are written -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "tables"),
    [
        (full("a", 2, costs=[{"type": "session", "cost": 0.75}]), {"sessions", "costs"}),
        (full("a", 2, kind="deleted"), {"sessions"}),
        (full("a", 2, updated=EPOCH + HOUR, status="completed"), {"sessions"}),
        (full("a", 2, updated=EPOCH - HOUR), {"messages"}),
        (full("a", 2, updated=EPOCH - HOUR, messages=1), {"messages"}),
        (full("a", 2, artifact={}), {"sessions", "structured_outputs"}),
        (full("a", 2, messages=1), {"sessions", "messages", "tool_calls"}),
        (full("a", 1), set()),
    ],
    ids=[
        "late costs",
        "mark",
        "status",
        "growth",
        "growth of an older one",
        "outputs",
        "messages",
        "nothing",
    ],
)
def test_a_table_that_did_not_change_is_linked(
    warehouse: Published, change: Observation, tables: set[str]
) -> None:
    """Late costs rewrite no messages, a mark rewrites only sessions, growth alone only messages."""
    warehouse.merge(full("a", 1), full("b", 1))
    warehouse.publish()
    inodes = warehouse.inodes()
    snapshot = warehouse.snapshot
    warehouse.merge(change)
    assert warehouse.publish() is bool(tables)
    assert warehouse.rewritten(inodes) == tables
    assert (warehouse.snapshot != snapshot) is bool(tables)
    assert warehouse.index.unpublished() == {}
    published = warehouse.tables()
    warehouse.publish(force=True)
    assert warehouse.tables() == published


def test_a_table_that_loses_its_last_row_loses_its_file(warehouse: Published) -> None:
    """And has one that says nothing but its columns."""
    warehouse.merge(full("a", 1))
    warehouse.publish()
    warehouse.merge(full("a", 2, costs=[]))
    warehouse.publish()
    assert [path.name for path in warehouse.files("costs")] == ["empty.parquet"]
    assert warehouse.index.parts()[0].files.keys() == {*NAMES} - {"costs"}


# -- when a message was first seen -------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 2, 3, 5, 1_000])
def test_first_seen_is_right_however_a_session_is_split(
    warehouse: Published, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Its rows may be read in pieces, from several row groups, among others'."""
    monkeypatch.setattr(parts_module, "_ROWS_AT_ONCE", at_once)
    monkeypatch.setattr(parts_module, "_GROUP_BYTES", 1)
    seen: dict[str, list[tuple[int, int]]] = {
        "once": [(0, 7)],
        "grew": [(0, 2), (MINUTE, 5), (HOUR, 11)],
        "shrank": [(0, 6), (HOUR, 4)],
        "back": [(HOUR, 9), (MINUTE, 3), (2 * MINUTE, 3), (2 * HOUR, 9)],
    }
    requests = iter(range(1, 100))
    for step in range(4):
        batch = [
            observation(name, next(requests), updated=EPOCH + steps[step][0], messages=steps[step][1])
            for name, steps in seen.items()
            if step < len(steps)
        ]
        warehouse.merge(*batch)
        warehouse.publish()
    if at_once < 10:
        assert all(pq.read_metadata(path).num_row_groups > 1 for path in warehouse.files("messages"))
    found: dict[str, list[int]] = {}
    for row in warehouse.tables()["messages"]:
        found.setdefault(row["session_id"], []).append(round(row["first_seen_at"].timestamp() * 1e6) - EPOCH)
    assert found == {
        name: [min(at for at, count in steps if count > place) for place in range(max(steps)[1])]
        for name, steps in seen.items()
    }
