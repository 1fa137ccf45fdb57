"""A warehouse of each earlier form opens: `sync` converts it, and all commands work with it."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from clocks import Clock
from constants import KEY
from selection import first
from vapi_emulator.server import EmulatorServer
from vapi_emulator.stored import make_row
from vapi_emulator.switches import DEFAULT_ORG, EmulatorSettings
from vapi_sessions import schema
from vapi_sessions.core.timestamps import parse
from vapi_sessions.errors import WarehouseError
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.status import status
from vapi_sessions.operations.verify import verify
from vapi_sessions.warehouse import migrations
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.index_schema import INDEX, SYNC_TABLES
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.migrations import Migration
from worlds import World

#: Made by `warehouses/make_forms.py`. The form of version 0.1.0 is tested in `test_take_over.py`.
FORMS: Final = ("form-3", "form-1", "form-3-first")
#: What the tables of the archives have: five or more of everything, a deleted session, a grown one.
FACTS: Final = (
    "SELECT count(*), count(deleted_at), sum(message_count)::INTEGER FROM sessions",
    "SELECT count(*), count(DISTINCT first_seen_at) FROM messages",
    "SELECT count(*), count(result) FROM tool_calls",
    "SELECT count(*), sum(cost_usd)::DECIMAL(9, 2)::VARCHAR FROM costs",
    "SELECT list(result::VARCHAR ORDER BY session_id) FROM structured_outputs",
)
RUNS: Final = "SELECT run_id, command, started_at, outcome, requests, base_url FROM sync.runs ORDER BY ALL"


@pytest.fixture(params=first(FORMS))
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A warehouse of an earlier form, and its source, at the time when it was left."""
    with tarfile.open(Path(__file__).with_name("warehouses") / f"{request.param}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    told = json.loads((tmp_path / "source.json").read_text())
    clock = Clock()
    clock.forward(microseconds=told["now"] - clock.us())
    with EmulatorServer(EmulatorSettings(keys={KEY: DEFAULT_ORG}), clock=clock) as server:
        server.store.insert_many(
            make_row(s, parse(s["createdAt"]), parse(s["updatedAt"])) for s in told["sessions"]
        )
        yield World(server, tmp_path / "warehouse", clock)


def test_a_warehouse_of_an_earlier_form_is_converted_by_the_next_sync(earlier: World) -> None:
    """Rows, runs and the ledger stay, nothing is downloaded again, and the tables are those of a new index."""
    before, runs, claimed = earlier.answers(FACTS), earlier.rows(RUNS), earlier.ledger()
    assert before[0] == [(9 - 1, 1, 33)]
    if (earlier.warehouse / "store.duckdb").exists():
        with pytest.raises(WarehouseError, match="this program has") as told:
            status(earlier.warehouse, now=earlier.clock.us())
        assert "vapi-sessions sync" in told.value.remedy

    summary = earlier.sync()

    assert (summary.counts.sessions_new, summary.counts.sessions_changed) == (0, 0)
    assert [page for page in earlier.pages() if "updatedAtLt" in page] == []
    assert earlier.answers(FACTS) == before
    assert earlier.rows(RUNS)[: len(runs)] == runs
    assert {outcome for _, _, _, outcome, *_ in runs} == {"done", "failed"}
    assert earlier.ledger()[0][0] == claimed[0][0]
    assert len(earlier.ledger()) == 1
    found = status(earlier.warehouse, now=earlier.clock.us())
    assert (found.rows["sessions"], found.deleted_sessions) == (8, 1)
    assert not found.checks
    _has_the_tables_of_a_new_index(earlier)


@pytest.mark.proof
def test_a_converted_warehouse_is_like_any_other(earlier: World) -> None:
    """The next run converts nothing; changes, deletions and verification work."""
    earlier.sync()
    snapshot = status(earlier.warehouse, now=earlier.clock.us()).snapshot
    earlier.clock.forward(minutes=1)
    assert not earlier.sync().published
    gone, grown = earlier.server.store.ids(earlier.server.org_id)[3:5]
    earlier.server.store.delete(earlier.server.org_id, gone)
    earlier.server.store.update(earlier.server.org_id, grown, lambda s: s.update(name="Later"))
    earlier.clock.forward(minutes=1)
    assert earlier.sync().counts.sessions_changed == 1
    assert reconcile(earlier.settings(), environment=earlier.environment()).counts.deleted == 1
    assert status(earlier.warehouse, now=earlier.clock.us()).snapshot != snapshot
    assert verify(earlier.settings(), deep=True, environment=earlier.environment()).findings == ()


def _has_the_tables_of_a_new_index(world: World) -> None:
    """Whoever changes a table of the index has to add a migration."""
    layout = Layout(world.warehouse)
    with Index(layout.index, layout.scratch, read_only=True) as index:
        assert index.state()["schema_version"] == str(schema.SCHEMA_VERSION)
        for table, name in [(INDEX, "sessions"), *((t, f"sync.{t.name}") for t in SYNC_TABLES)]:
            there = {row[0]: row[1].removesuffix(" WITH TIME ZONE") for row in index.rows(f"DESCRIBE {name}")}
            declared = {c.name: c.storage_type.replace("TIMESTAMPTZ", "TIMESTAMP") for c in table.columns}
            assert there == declared


@pytest.mark.proof
def test_a_rebuild_keeps_the_history_of_an_earlier_form(earlier: World) -> None:
    """Runs, also the refused one; windows; the time zone; and with a damaged index, which leaves only `vapi.duckdb`."""
    if not (earlier.warehouse / "index.duckdb").exists():
        earlier.sync()
    runs = earlier.rows(RUNS)
    windows = earlier.rows("SELECT run_id, window_index, verdict FROM sync.windows ORDER BY ALL")
    zone = earlier.rows("SELECT value FROM sync.state WHERE key = 'time_zone'")
    (earlier.warehouse / "index.duckdb").write_bytes(b"damaged")
    earlier.rebuild()
    assert earlier.rows(RUNS) == runs
    assert earlier.rows("SELECT run_id, window_index, verdict FROM sync.windows ORDER BY ALL") == windows
    assert set(zone) <= set(earlier.rows("SELECT value FROM sync.state WHERE key = 'time_zone'"))


@pytest.mark.proof
def test_a_migration_that_derives_rows_again_rewrites_all_of_them(
    earlier: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a download, in one publication, even if the run that migrated is killed before it."""
    earlier.sync()
    tables = earlier.tables()
    files = set(earlier.files("parquet/latest/sessions", "parquet/latest/messages"))
    form = schema.SCHEMA_VERSION + 1
    monkeypatch.setattr(
        migrations, "MIGRATIONS", (*migrations.MIGRATIONS, Migration(form, derive_again=True))
    )
    monkeypatch.setattr(schema, "SCHEMA_VERSION", form)
    layout = Layout(earlier.warehouse)
    with Index(layout.index, layout.scratch) as index:
        assert index.migrated
    with pytest.raises(WarehouseError, match=f"schema version {form - 1}, this program has {form}"):
        status(earlier.warehouse, now=earlier.clock.us())
    earlier.forget_requests()

    assert earlier.sync().published

    assert earlier.tables() == tables
    assert files.isdisjoint(earlier.files("parquet/latest/sessions", "parquet/latest/messages"))
    assert [page for page in earlier.pages() if "updatedAtLt" in page] == []
    assert status(earlier.warehouse, now=earlier.clock.us()).rows["sessions"] == 8
    assert not earlier.sync().published
