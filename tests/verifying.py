"""What the tests of `verify` share: one verification, and ways to make the warehouse differ from the source."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow.parquet as pq

from desk import Desk
from vapi_sessions.core.timestamps import parse
from vapi_sessions.operations.findings import Finding
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.verify import Verified, verify
from vapi_sessions.schema import TABLES
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Layout, writer_lock
from worlds import World


def run(world: World, *, deep: bool = False, **given: object) -> Verified:
    """One verification."""
    return verify(world.settings(**given), deep=deep, environment=world.environment())


def plant(world: World | Desk, *statements: str, index: Sequence[str] = ()) -> None:
    """Falsify published rows, with statements of one table each, and the writer's index."""
    layout = Layout(world.warehouse)
    latest = (layout.parquet / "latest").resolve()
    for statement in statements:
        table = next(table for table in TABLES if table.name == table_of(statement))
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


def table_of(statement: str) -> str:
    """The table that a statement changes."""
    return statement.split()[1] if statement.startswith("UPDATE") else statement.split("FROM ")[-1].split()[0]


def lose(world: World, session_ids: list[str]) -> None:
    """Remove sessions from the warehouse, with everything that belongs to them."""
    listed = ", ".join(f"'{session_id}'" for session_id in session_ids)
    statements = [f"DELETE FROM {table} WHERE session_id IN ({listed})" for table in ("sessions", "messages")]
    plant(world, *statements, index=statements[:1])


def only(done: Verified) -> Finding:
    """The only finding."""
    (finding,) = done.findings
    return finding


def created(world: World, session_id: str) -> int:
    """When the session was created, µs."""
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


def falsify(world: World, session_id: str) -> None:
    """Change a session's row and its content hash, in what is published and in the index."""
    which = f"WHERE session_id = '{session_id}'"
    plant(
        world,
        f"UPDATE sessions SET content_hash = 'x', name = 'False' {which}",
        index=[f"UPDATE sessions SET content_hash = 1 {which}"],
    )


def change_silently(world: World, session_id: str) -> None:
    """Change a session at the source without moving `updatedAt`."""
    world.server.store.update(world.server.org_id, session_id, lambda s: s.update(cost=9.0), touch=False)
