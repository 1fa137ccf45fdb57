"""Migrations of the index: each runs once, in one transaction; a newer form is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from batches import Warehouse, observation
from vapi_sessions import schema
from vapi_sessions.errors import WarehouseError
from vapi_sessions.warehouse import migrations
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.migrations import FIRST, MIGRATIONS, Migration

NEXT = schema.SCHEMA_VERSION + 1
#: The second statement would fail if it ran twice.
INVENTED = (
    Migration(NEXT, ["ALTER TABLE sync.batches ADD COLUMN place VARCHAR"]),
    Migration(NEXT + 1, ["UPDATE sync.batches SET place = 'here'"], derive_again=True),
)
IN_A_PROCESS = f"""
import sys
from pathlib import Path
from vapi_sessions import schema
from vapi_sessions.core import faultpoints
from vapi_sessions.warehouse import migrations
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout
migrations.MIGRATIONS = (migrations.Migration({NEXT}, ["ALTER TABLE sync.batches ADD COLUMN place VARCHAR"]),)
schema.SCHEMA_VERSION = {NEXT}
layout = Layout(Path(sys.argv[1]))
faultpoints.arm(sys.argv[2])
with Index(layout.index, layout.scratch) as index:
    print(index.migrated, index.rows("SELECT count(place) FROM sync.batches"))
"""


def test_there_is_a_migration_for_each_number() -> None:
    """Without a gap, up to the current form."""
    assert [step.to for step in MIGRATIONS] == list(range(FIRST + 1, schema.SCHEMA_VERSION + 1))


@pytest.fixture
def earlier(tmp_path: Path) -> Layout:
    """An index of the current form, with one session that counts as published."""
    with Warehouse(tmp_path / "w") as warehouse:
        warehouse.merge(observation("a", 1))
        warehouse.index.run("UPDATE sync.batches SET published = true")
        return warehouse.layout


@pytest.fixture
def later_program(earlier: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program as it may be two forms after the one that made `earlier`."""
    monkeypatch.setattr(migrations, "MIGRATIONS", (*MIGRATIONS, *INVENTED))
    monkeypatch.setattr(schema, "SCHEMA_VERSION", NEXT + 1)


@pytest.mark.usefixtures("later_program")
def test_opening_an_index_of_an_earlier_form_migrates_it_once(earlier: Layout) -> None:
    """All steps run. With `derive_again`, its rows count as unpublished and its parts as stale."""
    with Index(earlier.index, earlier.scratch) as index:
        assert index.migrated
        assert index.state()["schema_version"] == str(NEXT + 1)
        assert index.rows("SELECT place, published FROM sync.batches") == [("here", False)]
        assert index.rows("SELECT bool_and(dirty) FROM sync.parts") == [(True,)]
        index.run("UPDATE sync.batches SET published = true")
    with Index(earlier.index, earlier.scratch) as index:
        assert not index.migrated
        assert index.rows("SELECT place, published FROM sync.batches") == [("here", True)]


@pytest.mark.usefixtures("later_program")
def test_reading_an_index_of_an_earlier_form_does_not_migrate_it(earlier: Layout) -> None:
    """`plan` changes nothing."""
    before = earlier.index.read_bytes()
    with Index(earlier.index, earlier.scratch, read_only=True) as index:
        assert index.ledger().completed is not None
    assert earlier.index.read_bytes() == before


def test_a_migration_that_fails_changes_nothing(
    earlier: Layout, monkeypatch: pytest.MonkeyPatch, later_program: None
) -> None:
    """The first of its steps is rolled back, too."""
    monkeypatch.setattr(
        migrations, "MIGRATIONS", (INVENTED[0], Migration(NEXT + 1, ["ALTER TABLE nowhere DROP a"]))
    )
    with pytest.raises(Exception, match="nowhere"):
        Index(earlier.index, earlier.scratch)
    monkeypatch.undo()
    with Index(earlier.index, earlier.scratch) as index:
        assert not index.migrated
        assert "place" not in {name for name, *_ in index.rows("DESCRIBE sync.batches")}


@pytest.mark.parametrize("version", ["99", "", "abc"])
def test_an_index_of_a_newer_form_is_refused(earlier: Layout, version: str) -> None:
    """The error has both forms, the program that made it, and the remedy. Nothing is changed."""
    with Index(earlier.index, earlier.scratch) as index:
        index.record(Changes(state={"schema_version": version}))
        index.run(
            "INSERT INTO sync.runs (run_id, command, started_at, outcome, program_version) "
            "VALUES ('r', 'sync', TIMESTAMPTZ '2026-01-01 00:00Z', 'done', '7.8.9')"
        )
    own = f"schema version {version or 'unknown'}, this program has {schema.SCHEMA_VERSION}"
    for read_only in (False, True):
        with pytest.raises(WarehouseError, match=own) as told:
            Index(earlier.index, earlier.scratch, read_only=read_only)
        assert told.value.exit_code == 5
        assert "Use vapi-sessions 7.8.9 or a newer one" in told.value.remedy


@pytest.mark.proof
def test_a_process_that_is_killed_in_a_migration_leaves_the_earlier_form(earlier: Layout) -> None:
    """The next start migrates it, and the one after that has nothing to do."""

    def start(point: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", IN_A_PROCESS, str(earlier.root), point],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.strip()

    assert start("migrate.changed") == (-9, "")
    with Index(earlier.index, earlier.scratch) as index:
        assert index.state()["schema_version"] == str(schema.SCHEMA_VERSION)
    assert start("") == (0, "True [(0,)]")
    assert start("") == (0, "False [(0,)]")
