"""Each kind of difference is found, with its window, ids and remedy, and the remedy repairs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from selection import first
from synced_worlds import hourly, ids, synced_world
from vapi_emulator.stored import make_row
from vapi_sessions.core.timestamps import SECOND, show
from verifying import change_silently, created, falsify, heal, lose, only, plant, run, table_of
from worlds import World

template, world = synced_world(hourly(300, newest_hours=1))


NEW_ID = "ffffffff-0000-4000-8000-000000000000"


@pytest.mark.parametrize("deep", first([False, True]))
def test_a_lost_session_is_found(world: World, deep: bool) -> None:
    """By its window and its id, although all time is claimed; the remedy restores it."""
    lost = ids(world)[123]
    lose(world, [lost])
    finding = only(run(world, deep=deep))
    assert finding.ids == (lost,)
    assert "1 session at the source and not in the warehouse" in finding.what
    assert finding.window is not None
    assert created(world, lost) in finding.window
    heal(world, finding)
    assert run(world, deep=True).findings == ()
    assert world.here() == world.there()


@pytest.mark.proof
@pytest.mark.parametrize("deep", first([False, True]))
def test_a_session_that_only_the_warehouse_has_is_found(world: World, deep: bool) -> None:
    """The remedy requests it by id, and marks it."""
    model = ids(world)[77]
    statements = [
        f"INSERT INTO {table} SELECT * REPLACE ('{NEW_ID}' AS session_id) FROM {table} WHERE session_id = '{model}'"
        for table in ("sessions", "messages")
    ]
    plant(world, *statements, index=statements[:1])
    finding = only(run(world, deep=deep))
    assert finding.ids == (NEW_ID,)
    assert "in the warehouse and not at the source" in finding.what
    heal(world, finding)
    assert run(world, deep=True).findings == ()


@pytest.mark.parametrize("change", first([change_silently, falsify]))
def test_a_different_content_is_found_row_by_row(world: World, change: Callable[[World, str], None]) -> None:
    """Counts agree, content hashes differ; the remedy reads the session again."""
    changed = ids(world)[222]
    change(world, changed)
    assert run(world).findings == ()
    finding = only(run(world, deep=True))
    assert finding.ids == (changed,)
    assert "with another content at the source" in finding.what
    assert finding.remedy == f"vapi-sessions sync --since {show(created(world, changed) + SECOND)}"
    heal(world, finding)
    assert run(world, deep=True).findings == ()


FALSE_ROWS: Final = (
    "UPDATE sessions SET status = 'false', cost_usd = 99999",
    "UPDATE messages SET content = 'False'",
    "UPDATE costs SET cost_usd = 123",
    "DELETE FROM costs",
    "DELETE FROM structured_outputs",
    "UPDATE tool_calls SET arguments = NULL",
)


@pytest.mark.proof
def test_false_rows_under_a_right_content_hash_are_found_row_by_row(world: World) -> None:
    """In each table; the remedy derives them again."""
    world.generate(40, days=3)
    world.sync(full=True)
    world.clock.forward(minutes=5)
    falsified = set[str]()
    for statement in FALSE_ROWS:
        held = {row[0] for row in world.rows(f"SELECT session_id FROM {table_of(statement)}")} - falsified
        falsified.add(session_id := next(name for name in ids(world) if name in held))
        plant(world, f"{statement} WHERE session_id = '{session_id}'")
    finding = only(run(world, deep=True))
    assert set(finding.ids) == falsified
    assert "with other rows than their content gives" in finding.what
    heal(world, finding)
    assert run(world, deep=True).findings == ()


@pytest.mark.proof
@pytest.mark.parametrize("statement", FALSE_ROWS)
def test_false_rows_of_one_table_are_found_row_by_row(world: World, statement: str) -> None:
    """Under a right content hash; the remedy derives them again."""
    world.generate(40, days=3)
    world.sync(full=True)
    world.clock.forward(minutes=5)
    ((session_id,),) = world.rows(f"SELECT session_id FROM {table_of(statement)} ORDER BY session_id LIMIT 1")
    plant(world, f"{statement} WHERE session_id = '{session_id}'")
    finding = only(run(world, deep=True))
    assert finding.ids == (session_id,)
    assert "with other rows than their content gives" in finding.what
    heal(world, finding)
    assert run(world, deep=True).findings == ()


@pytest.mark.proof
def test_rot_in_a_published_text_is_found(world: World) -> None:
    """The page's checksum is wrong, so a verification by counts finds it too; the remedy derives the file again."""
    latest = (world.warehouse / "parquet" / "latest").resolve()
    file = max((latest / "messages").glob("*/*.parquet"), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes().replace(b"Hello", b"Jello"))
    finding, behind = run(world, deep=True).findings
    assert "with other rows than their content gives" in behind.what
    assert only(run(world)) == finding
    assert finding.what == "1 published file is missing or damaged"
    assert finding.ids == (f"parquet/{latest.name}/{file.relative_to(latest)}",)
    heal(world, finding)
    assert run(world, deep=True).findings == ()


def test_a_missing_published_file_is_found(world: World) -> None:
    """Readers would not miss it, because they read whatever files there are; the remedy publishes it again."""
    latest = (world.warehouse / "parquet" / "latest").resolve()
    files = sorted((latest / "messages").glob("*/*.parquet"))
    files[0].unlink()
    finding = next(f for f in run(world).findings if "published file" in f.what)
    assert finding.ids == (f"parquet/{latest.name}/{files[0].relative_to(latest)}",)
    heal(world, finding)
    assert run(world, deep=True).findings == ()


@pytest.mark.proof
def test_a_source_that_was_restored_from_a_backup_is_reported_as_such(world: World) -> None:
    """It shows an older state than the warehouse holds, which never overwrites the newer one."""
    org_id, back = world.server.org_id, ids(world)[40]
    ((older, moment),) = [
        (session, created(world, back))
        for session in world.server.store.sessions(org_id)
        if session["id"] == back
    ]
    world.server.store.update(org_id, back, lambda s: s.update(name="Changed"))
    world.clock.forward(minutes=5)
    world.sync()
    world.server.store.delete(org_id, back)
    world.server.store.insert_many([make_row(older, moment, moment + SECOND)])
    finding = only(run(world, deep=True))
    assert finding.ids == (back,)
    assert "in a newer state than at the source" in finding.what


@pytest.mark.proof
def test_a_deletion_at_the_source_is_found(world: World) -> None:
    """The remedy is the command that proves and marks it."""
    gone = ids(world)[150]
    world.server.store.delete(world.server.org_id, gone)
    finding = only(run(world))
    assert (finding.ids, finding.remedy) == ((gone,), "vapi-sessions reconcile")
    heal(world, finding)
    assert run(world).findings == ()


@pytest.mark.proof
def test_two_differences_with_equal_counts_are_found_row_by_row(world: World) -> None:
    """One session lost here, one deleted there: the totals agree, the rows do not."""
    lose(world, [ids(world)[20]])
    world.server.store.delete(world.server.org_id, ids(world)[250])
    assert run(world).findings == ()
    done = run(world, deep=True)
    assert len(done.findings) == 2
    for finding in sorted(done.findings, key=lambda finding: finding.remedy, reverse=True):
        heal(world, finding)
    assert run(world, deep=True).findings == ()


@pytest.mark.proof
def test_sessions_that_are_no_longer_listed_are_found(world: World) -> None:
    """They are older than the oldest session listed, where the source counts nothing."""
    world.server.configure(retention_days=10)
    finding = only(run(world))
    assert "no longer listed" in finding.what
    heal(world, finding)
    assert run(world).findings == ()


@pytest.mark.parametrize("deep", first([True, False]))
def test_findings_name_twenty_ids_and_count_all(world: World, deep: bool) -> None:
    """A longer list helps nobody."""
    lost = ids(world)[100:150]
    lose(world, lost)
    findings = run(world, deep=deep).findings
    assert all(len(finding.ids) <= 20 for finding in findings)
    assert {session_id for finding in findings for session_id in finding.ids} <= set(lost)
    assert sum(int(finding.what.split()[0]) for finding in findings) == 50


@pytest.mark.proof
def test_messages_without_their_session_are_found(world: World) -> None:
    """A check finds them, not a comparison with the source; the rebuild repairs it."""
    plant(world, f"DELETE FROM messages WHERE session_id = '{ids(world)[9]}'")
    findings = run(world).findings
    assert findings
    assert all(finding.window is None for finding in findings)
    assert {finding.remedy for finding in findings} == {"vapi-sessions rebuild"}
    heal(world, findings[0])
    assert run(world, deep=True).findings == ()
