"""Whether warehouse and source agree is said truly, with the window, the ids and the remedy, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

import command
from conftest import new_world
from selection import first
from vapi_emulator.stored import make_row
from vapi_sessions.core.timestamps import SECOND, parse, show
from vapi_sessions.errors import ConfigurationError
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.verify import Finding, Verified, verify
from vapi_sessions.schema import TABLES
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout, writer_lock

if TYPE_CHECKING:
    from conftest import World

NEW_ID = "ffffffff-0000-4000-8000-000000000000"


def _fill(world: World) -> None:
    world.insert(300, lambda n: (world.ago(hours=300 - n), world.ago(hours=300 - n) + SECOND))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """300 sessions over some twelve days, all of them read."""
    with new_world(tmp_path_factory.mktemp("verify") / "warehouse") as made:
        _fill(made)
        made.sync()
        made.clock.forward(minutes=5)
        yield made


@pytest.fixture
def world(world: World, template: World) -> World:
    """That source, and a copy of that warehouse."""
    _fill(world)
    world.adopt(template)
    return world


def run(world: World, *, deep: bool = False, **given: object) -> Verified:
    """One verification."""
    return verify(world.settings(**given), deep=deep, environment=world.environment())


def ids(world: World) -> list[str]:
    """All sessions at the source, oldest first."""
    return world.server.store.ids(world.server.org_id)


def plant(world: World, *statements: str, index: Sequence[str] = ()) -> None:
    """Falsify what is published, by statements of one table each, and the writer's index."""
    layout = Layout(world.warehouse)
    latest = (layout.parquet / "latest").resolve()
    for statement in statements:
        table = next(table for table in TABLES if table.name == _table_of(statement))
        for path in latest.glob(f"{table.name}/*/*.parquet"):
            with duckdb.connect() as db:
                db.execute(
                    f"CREATE TABLE {table.name} AS FROM read_parquet('{path}', hive_partitioning = false)"
                )
                db.execute(statement)
                rows = db.sql(f"FROM {table.name}").to_arrow_table().cast(table.arrow)
            path.unlink()  # elsewhere it may be the same file
            pq.write_table(rows, path, write_page_checksum=True)
    with writer_lock(layout), Index(layout.index, layout.scratch) as held:
        for statement in index:
            held.run(statement)


def _table_of(statement: str) -> str:
    return statement.split("FROM ")[-1].split()[0] if "FROM" in statement else statement.split()[1]


def lose(world: World, session_ids: list[str]) -> None:
    """Rows vanish from the warehouse, with everything that belongs to them."""
    listed = ", ".join(f"'{session_id}'" for session_id in session_ids)
    statements = [f"DELETE FROM {table} WHERE session_id IN ({listed})" for table in ("sessions", "messages")]
    plant(world, *statements, index=statements[:1])


def only(done: Verified) -> Finding:
    """The one finding there is."""
    (finding,) = done.findings
    return finding


def created(world: World, session_id: str) -> int:
    """When it was created, µs."""
    found = world.server.store.created_us(world.server.org_id, session_id)
    assert found is not None
    return found


def heal(world: World, finding: Finding) -> None:
    """Do what the finding says."""
    words = finding.remedy.split()
    assert words[0] == "vapi-sessions"
    if words[1:] == ["reconcile"]:
        reconcile(world.settings(), environment=world.environment())
    elif words[1:3] == ["sync", "--since"]:
        world.sync(since=parse(words[3]))
    else:
        {"rebuild": world.rebuild, "sync": world.sync}[" ".join(words[1:])]()


# -- agreement


def test_by_counts_agreement_costs_two_requests(world: World) -> None:
    """One for the oldest session, one for the count of them all."""
    done = run(world)
    assert (done.findings, done.sessions, done.requests) == ((), 300, 2)
    assert len(world.server.requests) == 2


def test_row_by_row_every_session_is_compared(world: World) -> None:
    """Which takes as many requests as reading them."""
    done = run(world, deep=True)
    assert (done.findings, done.sessions) == ((), 300)
    assert 4 <= done.requests <= 6


def test_a_verification_changes_nothing(world: World) -> None:
    """No file of the warehouse is touched, whatever is found."""
    lose(world, ids(world)[5:8])
    before = world.files(".")
    assert run(world, deep=True).findings
    assert world.files(".") == before


@pytest.mark.parametrize("deep", first([True, False]))
def test_what_happened_since_the_watermark_is_no_difference(world: World, deep: bool) -> None:
    """Changed and created sessions that no sync could have read yet are not held against the warehouse."""
    for session_id in ids(world)[::30]:
        world.server.store.update(world.server.org_id, session_id, lambda s: s.update(name="Changed"))
    world.insert(5, lambda n: (world.clock.us(),) * 2)
    world.clock.forward(minutes=1)
    assert run(world, deep=deep).findings == ()


@pytest.mark.parametrize("deep", first([True, False]))
def test_what_is_marked_is_no_difference(world: World, deep: bool) -> None:
    """Deleted and aged out sessions are not expected at the source."""
    for session_id in ids(world)[100:103]:
        world.server.store.delete(world.server.org_id, session_id)
    world.server.configure(retention_days=10, retention_style="400")
    reconcile(world.settings(), environment=world.environment())
    assert world.rows("SELECT count(deleted_at), count(aged_out_at) > 20 FROM sessions") == [(3, True)]
    assert run(world, deep=deep).findings == ()


@pytest.mark.parametrize("deep", first([True, False]))
def test_what_is_older_than_the_warehouse_is_no_difference(world: World, deep: bool) -> None:
    """A warehouse that begins with `--since` is held to account for that time only."""
    world.warehouse = world.warehouse.with_name("since")
    world.sync(since=world.ago(hours=100))
    assert run(world, deep=deep).findings == ()


# -- differences


@pytest.mark.parametrize("deep", [False, True])
def test_a_row_that_vanished_is_found(world: World, deep: bool) -> None:
    """By its window and its id, although all time is claimed; the remedy brings it back."""
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


@pytest.mark.parametrize("deep", first([False, True]))
def test_a_row_too_many_is_found(world: World, deep: bool) -> None:
    """It is in the warehouse only; the remedy asks for it, and marks it."""
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


def _falsified(world: World, session_id: str) -> None:
    which = f"WHERE session_id = '{session_id}'"
    plant(
        world,
        f"UPDATE sessions SET content_hash = 'x', name = 'False' {which}",
        index=[f"UPDATE sessions SET content_hash = 1 {which}"],
    )


def _changed_in_silence(world: World, session_id: str) -> None:
    world.server.store.update(world.server.org_id, session_id, lambda s: s.update(cost=9.0), touch=False)


@pytest.mark.parametrize("change", first([_changed_in_silence, _falsified]))
def test_another_content_is_found_row_by_row(world: World, change: Callable[[World, str], None]) -> None:
    """Counts agree and cannot see it; content hashes differ; the remedy reads it again."""
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


def test_rows_that_are_not_what_the_content_gives_are_found_row_by_row(world: World) -> None:
    """Behind a content hash that agrees, in each table; the remedy derives them again."""
    world.generate(40, days=3)
    world.sync(full=True)
    world.clock.forward(minutes=5)
    falsified = set[str]()
    for statement in FALSE_ROWS:
        held = {row[0] for row in world.rows(f"SELECT session_id FROM {_table_of(statement)}")} - falsified
        falsified.add(session_id := next(name for name in ids(world) if name in held))
        plant(world, f"{statement} WHERE session_id = '{session_id}'")
    finding = only(run(world, deep=True))
    assert set(finding.ids) == falsified
    assert "with other rows than their content gives" in finding.what
    heal(world, finding)
    assert run(world, deep=True).findings == ()


@pytest.mark.proof
@pytest.mark.parametrize("statement", FALSE_ROWS)
def test_rows_of_one_table_that_are_not_what_the_content_gives_are_found_row_by_row(
    world: World, statement: str
) -> None:
    """Behind a content hash that agrees; the remedy derives them again."""
    world.generate(40, days=3)
    world.sync(full=True)
    world.clock.forward(minutes=5)
    ((session_id,),) = world.rows(
        f"SELECT session_id FROM {_table_of(statement)} ORDER BY session_id LIMIT 1"
    )
    plant(world, f"{statement} WHERE session_id = '{session_id}'")
    finding = only(run(world, deep=True))
    assert finding.ids == (session_id,)
    assert "with other rows than their content gives" in finding.what
    heal(world, finding)
    assert run(world, deep=True).findings == ()


def test_a_published_text_that_rotted_is_found_by_counts_too(world: World) -> None:
    """Readers see it, and its page's checksum says so; the remedy derives that file again."""
    latest = (world.warehouse / "parquet" / "latest").resolve()
    file = max((latest / "messages").glob("*/*.parquet"), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes().replace(b"Hello", b"Jello"))
    finding, behind = run(world, deep=True).findings
    assert "with other rows than their content gives" in behind.what
    assert only(run(world)) == finding
    assert finding.what == "1 published files are missing or damaged"
    assert finding.ids == (f"parquet/{latest.name}/{file.relative_to(latest)}",)
    heal(world, finding)
    assert run(world, deep=True).findings == ()


def test_a_published_file_that_is_missing_is_found_by_counts_too(world: World) -> None:
    """A glob over the others does not miss it; the remedy publishes it again."""
    latest = (world.warehouse / "parquet" / "latest").resolve()
    files = sorted((latest / "messages").glob("*/*.parquet"))
    files[0].unlink()
    finding = next(f for f in run(world).findings if "published files" in f.what)
    assert finding.ids == (f"parquet/{latest.name}/{files[0].relative_to(latest)}",)
    heal(world, finding)
    assert run(world, deep=True).findings == ()


def test_a_source_that_went_back_is_told_as_such(world: World) -> None:
    """Restored from a copy, it shows an older state than the warehouse holds, which is never overwritten by it."""
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


def test_a_deletion_at_the_source_is_found(world: World) -> None:
    """The remedy is the command that proves and marks it."""
    gone = ids(world)[150]
    world.server.store.delete(world.server.org_id, gone)
    finding = only(run(world))
    assert (finding.ids, finding.remedy) == ((gone,), "vapi-sessions reconcile")
    heal(world, finding)
    assert run(world).findings == ()


def test_a_pair_that_hides_from_the_counts_is_found_row_by_row(world: World) -> None:
    """One row lost here, one deleted there: the totals agree, the rows do not."""
    lose(world, [ids(world)[20]])
    world.server.store.delete(world.server.org_id, ids(world)[250])
    assert run(world).findings == ()
    done = run(world, deep=True)
    assert len(done.findings) == 2
    for finding in sorted(done.findings, key=lambda finding: finding.remedy, reverse=True):
        heal(world, finding)
    assert run(world, deep=True).findings == ()


def test_what_is_no_longer_listed_is_found(world: World) -> None:
    """Before the oldest session that the source lists there is nothing to count, and still a difference."""
    world.server.configure(retention_days=10)
    finding = only(run(world))
    assert "no longer listed" in finding.what
    heal(world, finding)
    assert run(world).findings == ()


@pytest.mark.parametrize("deep", first([True, False]))
def test_twenty_ids_are_named_and_all_are_counted(world: World, deep: bool) -> None:
    """A long list helps nobody."""
    lost = ids(world)[100:150]
    lose(world, lost)
    findings = run(world, deep=deep).findings
    assert all(len(finding.ids) <= 20 for finding in findings)
    assert {session_id for finding in findings for session_id in finding.ids} <= set(lost)
    assert sum(int(finding.what.split()[0]) for finding in findings) == 50


def test_a_warehouse_that_contradicts_itself_is_found(world: World) -> None:
    """Messages without their session: no window of the source says so, a check does, and the rebuild mends it."""
    plant(world, f"DELETE FROM messages WHERE session_id = '{ids(world)[9]}'")
    findings = run(world).findings
    assert findings
    assert all(finding.window is None for finding in findings)
    assert {finding.remedy for finding in findings} == {"vapi-sessions rebuild"}
    heal(world, findings[0])
    assert run(world, deep=True).findings == ()


def test_a_difference_costs_few_requests(world: World) -> None:
    """Found by halving, and only what is left is read."""
    lose(world, [ids(world)[123]])
    assert run(world).requests <= 6


def test_large_sessions_are_read_a_few_at_a_time(world: World) -> None:
    """A page of a thousand of them would be hundreds of megabytes, of which only the hashes are wanted."""
    artifact = {"transcript": "x" * 300_000}
    large = world.insert(60, lambda n: (world.ago(hours=200 + n), world.ago(seconds=n)), artifact=artifact)
    world.sync()
    world.clock.forward(minutes=5)
    changed = large[30]
    _changed_in_silence(world, changed)
    world.forget_requests()
    assert only(run(world, deep=True)).ids == (changed,)
    limits = [int(request["limit"]) for request in world.pages()]
    assert limits[0] == limits[-1] == 100  # small ones, before and behind
    assert min(limits) < 30


# -- what cannot be verified


def test_another_organisations_key_is_refused(world: World) -> None:
    """Nothing is said about a warehouse that is not this key's."""
    keys = {**world.server.settings.keys, "another": "0e111a70-0000-4000-8000-00000000000b"}
    world.server.configure(keys=keys)
    world.insert(3, lambda n: (world.ago(hours=9),) * 2, org_id=keys["another"])
    with pytest.raises(ConfigurationError, match="belongs to organisation"):
        run(world, api_key=SecretStr("another"))


def test_a_source_that_shows_nothing_verifies_nothing(world: World) -> None:
    """An empty answer is neither agreement nor difference."""
    world.server.store.clear()
    with pytest.raises(ConfigurationError, match="shows no session at all"):
        run(world)


def test_there_is_nothing_to_verify_before_the_first_sync(world: World) -> None:
    """It says what to do first."""
    world.warehouse = world.warehouse.with_name("new")
    with pytest.raises(ConfigurationError, match="no published warehouse") as told:
        run(world)
    assert "vapi-sessions sync" in told.value.remedy


# -- the command


@pytest.mark.parametrize("deep", [(), pytest.param(("--deep",), marks=pytest.mark.proof)])
def test_the_command_names_the_difference_and_exits_with_6(world: World, deep: tuple[str, ...]) -> None:
    """Window, ids and remedy on stdout, the sum on stderr; 0 where there is none."""
    environment = {
        "VAPI_API_KEY": world.server.key,
        "VAPI_BASE_URL": world.server.url,
        "VAPI_WAREHOUSE": str(world.warehouse),
    }
    ran = command.run("verify", *deep, environment=environment)
    assert (ran.code, "300 sessions agree with the source" in ran.out) == (0, True)
    lost = ids(world)[123]
    lose(world, [lost])
    ran = command.run("verify", *deep, environment=environment)
    assert ran.code == 6
    assert lost in ran.out
    assert "vapi-sessions sync --since" in ran.out
    assert "1 difference among" in ran.err


def test_findings_hold_no_content(world: World) -> None:
    """Ids and counts only, so that the output can be shown to anybody."""
    _falsified(world, ids(world)[3])
    lose(world, ids(world)[40:42])
    said: list[Any] = [run(world).findings, run(world, deep=True).findings]
    assert "Hello" not in repr(said)
    assert "False" not in repr(said).replace("deep=False", "")
