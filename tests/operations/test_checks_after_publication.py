"""The checks run on what a publication wrote; what fails is a warning, is kept by part, and is counted for readers."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from damaging import three_months

from selection import first
from synced_worlds import ids, synced_world
from transports import Edited
from vapi_sessions.errors import WarehouseDamagedError
from vapi_sessions.operations.forget import Whom, forget
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.status import Status, status
from vapi_sessions.operations.sync import sync
from vapi_sessions.source.environment import Environment
from vapi_sessions.warehouse import checks
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout, writer_lock
from verifying import plant, run
from worlds import RecordedProgress, World

pytestmark = pytest.mark.checks

#: Three parts, one a month, of 20 sessions each.
template, world = synced_world(three_months)
FAILING = {"messages_of_sessions": 1}


def falsify(world: World, session_id: str) -> None:
    """Give a published session a wrong count."""
    plant(world, f"UPDATE sessions SET user_message_count = 9 WHERE session_id = '{session_id}'")


def change(world: World, session_id: str) -> RecordedProgress:
    """Change a session at the source and sync, which writes its part again; returns what was said."""
    world.clock.forward(minutes=5)
    world.server.store.update(world.server.org_id, session_id, lambda s: s.update(name="Changed"))
    world.clock.forward(minutes=5)
    progress = RecordedProgress()
    world.sync(progress=progress)
    return progress


def shown(world: World) -> Status:
    """The status now."""
    return status(world.warehouse, now=world.clock.us())


def warnings(progress: RecordedProgress) -> list[str]:
    """The warnings among the messages."""
    return [text for text in progress.said if text.startswith("warning: ")]


def fails_with(error: type[Exception]) -> Callable[..., None]:
    """Stands for a function that raises a new error, which keeps nothing alive after the test."""

    def fail(*given: object) -> None:
        raise error("A file is damaged.")

    return fail


def test_checks_that_pass_are_quiet_and_recorded(world: World) -> None:
    """The published state says that none fails."""
    assert warnings(change(world, ids(world)[1])) == []
    assert (shown(world).checks, shown(world).unchecked_parts) == ({}, 0)
    assert world.rows("SELECT value FROM sync.state WHERE key = 'checks'") == [("{}",)]


def test_a_wrong_row_in_a_part_that_was_written_is_a_warning_and_counted(world: World) -> None:
    """The run succeeds, and the published state has the check with its rows."""
    falsify(world, ids(world)[0])
    world.clock.forward(minutes=5)
    world.server.store.update(world.server.org_id, ids(world)[1], lambda s: s.update(name="Changed"))
    world.clock.forward(minutes=5)
    progress = RecordedProgress()
    summary = world.sync(progress=progress)
    (warning,) = warnings(progress)
    assert "the check messages_of_sessions finds 1 row; see: " in warning
    assert summary.failing_checks == FAILING
    assert shown(world).checks == FAILING
    assert world.rows("SELECT value FROM sync.state WHERE key = 'checks'") == [
        ('{"messages_of_sessions":1}',)
    ]


def test_the_command_in_the_warning_shows_the_rows(world: World) -> None:
    """Its paths are absolute, and it names a file that exists wherever the package is installed."""
    falsify(world, ids(world)[0])
    (warning,) = warnings(change(world, ids(world)[1]))
    program, command, *options = shlex.split(warning.partition("see: ")[2])
    assert (Path(program).name, command) == ("vapi-sessions", "sql")
    assert options[:3] == ["--warehouse", str(world.warehouse), "--file"]
    ((session_id, problem, *_),) = world.rows(Path(options[3]).read_text("utf-8"))
    assert (session_id, problem) == (ids(world)[0], "user_message_count differs")


def test_only_what_was_written_is_checked_after_a_sync(world: World) -> None:
    """A wrong row in another part is found by `verify`."""
    falsify(world, ids(world)[0])
    assert warnings(change(world, ids(world)[-1])) == []
    assert shown(world).checks == {}
    (finding,) = run(world).findings
    assert finding.what.startswith("the check messages_of_sessions finds 1 row")
    assert finding.ids == (ids(world)[0],)


@pytest.mark.proof
def test_a_failing_check_stays_until_its_rows_are_written_again_and_pass(world: World) -> None:
    """Neither a sync without changes nor one of another part, which passes, ends it; each run names it."""
    falsify(world, ids(world)[0])
    change(world, ids(world)[1])
    unchanged = RecordedProgress()
    world.sync(progress=unchanged)
    assert len(warnings(unchanged)) == 1
    assert len(warnings(change(world, ids(world)[-1]))) == 1
    assert shown(world).checks == FAILING
    assert warnings(change(world, ids(world)[0])) == []
    assert shown(world).checks == {}


@pytest.mark.proof
def test_a_check_of_rows_that_were_not_written_is_left_out_and_keeps_its_result(world: World) -> None:
    """A new name writes only `sessions`."""
    plant(world, f"UPDATE messages SET tool_call_count = 1 WHERE session_id = '{ids(world)[0]}'")
    change(world, ids(world)[1])
    assert shown(world).checks == FAILING
    with writer_lock(layout := Layout(world.warehouse)), Index(layout.index, layout.scratch) as index:
        index.run("UPDATE sync.parts SET dirty = true WHERE table_name = 'tool_calls'")
    world.sync()
    both = FAILING | {"tool_calls_of_messages": 1}
    assert shown(world).checks == both
    change(world, ids(world)[1])
    assert shown(world).checks == both
    world.rebuild()
    assert shown(world).checks == {}


def test_a_sync_without_changes_runs_no_check(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result of the last run stays."""
    change(world, ids(world)[0])
    monkeypatch.setattr(checks, "check", None)
    world.clock.forward(minutes=5)
    assert not world.sync().published
    assert shown(world).checks == {}


@pytest.mark.proof
def test_rebuild_repairs_and_clears(world: World) -> None:
    """It writes all rows again."""
    falsify(world, ids(world)[0])
    change(world, ids(world)[1])
    world.rebuild()
    assert shown(world).checks == {}
    assert run(world).findings == ()


@pytest.mark.parametrize(
    ("error", "reason"),
    first(
        [
            (WarehouseDamagedError, "A file is damaged."),
            (duckdb.ConversionException, "ConversionException"),
        ]
    ),
    ids=["damage", "a bug"],
)
def test_an_error_while_checking_is_a_warning_and_the_part_is_checked_with_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch, error: type[Exception], reason: str
) -> None:
    """The rows are published; the status counts the part until it is checked."""
    falsify(world, ids(world)[0])
    with monkeypatch.context() as patch:
        patch.setattr(checks, "_rows_found", fails_with(error))
        (warning,) = warnings(change(world, ids(world)[1]))
    assert warning == f"warning: the checks could not be run on 1 part: {reason}"
    assert (shown(world).checks, shown(world).unchecked_parts) == ({}, 1)
    assert world.here() == world.there()
    change(world, ids(world)[-1])
    assert (shown(world).checks, shown(world).unchecked_parts) == (FAILING, 0)


@pytest.mark.proof
def test_a_part_that_was_not_checked_is_checked_completely(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if only `sessions` is written the next time."""
    plant(world, f"UPDATE messages SET tool_call_count = 1 WHERE session_id = '{ids(world)[0]}'")
    with monkeypatch.context() as patch:
        patch.setattr(checks, "_rows_found", fails_with(WarehouseDamagedError))
        change(world, ids(world)[1])
    change(world, ids(world)[1])
    assert shown(world).checks == FAILING | {"tool_calls_of_messages": 1}


@pytest.mark.proof
def test_parts_of_a_version_without_checks_are_checked_with_the_first_that_is_written(world: World) -> None:
    """Until then, no check counts as passed."""
    falsify(world, ids(world)[0])
    layout = Layout(world.warehouse)
    with writer_lock(layout), Index(layout.index, layout.scratch) as index:
        index.run("DELETE FROM sync.state WHERE key LIKE 'checks%'")
    world.sync()
    assert shown(world).checks is None
    change(world, ids(world)[-1])
    assert shown(world).checks == FAILING


@pytest.mark.proof
def test_a_contradiction_between_two_parts_that_are_written_together_is_counted(world: World) -> None:
    """No part shows it alone."""
    plant(world, f"UPDATE sessions SET org_id = 'other' WHERE session_id < '{ids(world)[20]}'")
    with writer_lock(layout := Layout(world.warehouse)), Index(layout.index, layout.scratch) as index:
        index.run("UPDATE sync.parts SET dirty = true WHERE table_name = 'costs'")
    world.sync()
    assert shown(world).checks == {"one_organisation": 2}


def with_tombstone(world: World) -> None:
    """Delete a session at the source."""
    world.server.store.delete(world.server.org_id, ids(world)[3])
    reconcile(world.settings(), environment=world.environment())
    assert shown(world).deleted_sessions == 1


def with_unreadable(world: World) -> None:
    """A session that the warehouse holds loses its `updatedAt`, and its neighbour changes."""
    spoilt = ids(world)[3]
    world.server.store.update(world.server.org_id, ids(world)[4], lambda s: s.update(name="Changed"))
    world.clock.forward(minutes=5)
    clock = world.clock
    without = Edited(lambda s: {**s, "updatedAt": None} if s["id"] == spoilt else s)
    sync(world.settings(full=True), environment=Environment(clock.us, clock.monotonic, clock.sleep, without))
    assert len(shown(world).unreadable) == 1


def with_forgotten(world: World) -> None:
    """Forget a session."""
    done = forget(world.settings(), Whom(sessions=ids(world)[3:4]), environment=world.environment())
    assert len(done.ids) == 1


def with_nothing_personal(world: World) -> None:
    """Everything is rewritten under the strictest policy."""
    world.generate(60, days=5)
    world.sync(personal_data="drop", message_text="drop", full=True)
    kept = "SELECT count(*) > 100, count(*) FILTER (content LIKE '%Hello%') FROM messages"
    assert world.rows(kept) == [(True, 0)]


@pytest.mark.proof
@pytest.mark.parametrize(
    "happens", first([with_nothing_personal, with_tombstone, with_unreadable, with_forgotten])
)
def test_what_a_warehouse_may_go_through_fails_no_check(
    world: World, happens: Callable[[World], None]
) -> None:
    """Checks describe rows, not what happened to sessions."""
    happens(world)
    assert shown(world).checks == {}
