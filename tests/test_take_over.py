"""A warehouse of an earlier version is taken over by the next run: without a download, and nothing of it is lost."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from conftest import Notes, World
from selection import first
from vapi_sessions import faultpoints
from vapi_sessions.errors import WarehouseError
from vapi_sessions.forget import Whom, forget
from vapi_sessions.status import status
from vapi_sessions.verify import verify
from vapi_sessions.warehouse import raw
from vapi_sessions.warehouse.store import EarlierVersionError

LEDGER = (
    "SELECT run_id, window_index, lower_bound, upper_bound, verdict FROM sync.windows ORDER BY ALL",
    "SELECT file, observations FROM sync.batches ORDER BY ALL",
    "FROM sync.intervals ORDER BY ALL",
)


def _make_earlier(warehouse: Path) -> None:
    """What version 1 lacked is taken out of the writer's database."""
    with duckdb.connect(str(warehouse / "store.duckdb")) as db:
        for statement in (
            "ALTER TABLE costs DROP COLUMN billed_seconds",
            "ALTER TABLE costs DROP COLUMN usage_complete",
            "ALTER TABLE messages DROP COLUMN confidence",
            "ALTER TABLE sync.runs DROP COLUMN sessions_unreadable",
            "DROP TABLE sync.unreadable",
            "UPDATE sync.state SET value = '1' WHERE key = 'schema_version'",
        ):
            db.execute(statement)


@pytest.fixture
def earlier(world: World) -> World:
    """A history of two runs in several windows, one session gone from the source, and a database of version 1."""
    world.generate(120)
    world.sync()
    world.clock.forward(hours=2)
    world.insert(40, lambda n: (world.ago(minutes=60 - n), world.ago(minutes=60 - n)))
    world.sync()
    _make_earlier(world.warehouse)
    return world


def test_the_next_run_takes_it_over(earlier: World) -> None:
    """The same rows and the same ledger, nothing downloaded but what a second sync would download anyway."""
    before, ledger = earlier.tables(), earlier.answers(LEDGER)
    notes = Notes()
    summary = earlier.sync(progress=notes)
    assert summary.counts.sessions_new == summary.counts.sessions_changed == 0
    assert any("an earlier version made this warehouse" in line for line in notes.said)
    assert earlier.tables() == before
    after = earlier.answers(LEDGER)
    assert set(ledger[0]) <= set(after[0])
    assert ledger[1] == after[1]
    assert verify(earlier.settings(), deep=True, environment=earlier.environment()).findings == ()


def test_what_raw_cannot_give_stays_as_it_was_and_is_named(earlier: World) -> None:
    """A lost raw file costs no session."""
    before = earlier.here()
    last = raw.files(earlier.warehouse / "raw")[-1]
    lost = {o.session_id for part in raw.read(last) for o in part}
    last.unlink()
    notes = Notes()
    for name in lost:  # so that the source cannot give it back
        earlier.server.store.delete(earlier.server.org_id, name)
    earlier.sync(progress=notes)
    (warning,) = [line for line in notes.said if line.startswith("warning: raw/ lacks")]
    assert any(name in warning for name in lost)
    assert earlier.here() == before


@pytest.mark.parametrize("point", first(["derive.swapped", "derive.derived"]))
def test_a_take_over_that_fails_begins_again(earlier: World, point: str) -> None:
    """Nothing is half done. (That a process may also die there is in the crash matrix.)"""
    before = earlier.tables()
    faultpoints.arm(f"{point}=full")
    try:
        with pytest.raises(OSError, match="No space left"):
            earlier.sync()
    finally:
        faultpoints.arm(None)
    earlier.sync()
    assert earlier.tables() == before


def test_who_only_reads_or_erases_is_told_what_to_do(earlier: World) -> None:
    """With both versions."""
    with pytest.raises(EarlierVersionError, match="has schema version 1, this program has 2") as caught:
        forget(earlier.settings(), Whom(["x"]), environment=earlier.environment())
    assert "vapi-sessions sync" in caught.value.remedy
    with duckdb.connect(str(earlier.warehouse / "vapi.duckdb")) as db:
        db.execute("UPDATE sync.state SET value = '1' WHERE key = 'schema_version'")
    with pytest.raises(WarehouseError, match="has schema version 1, this program has 2"):
        status(earlier.warehouse, now=earlier.clock.us())
