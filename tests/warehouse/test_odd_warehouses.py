"""A warehouse can have every directory name that DuckDB can open: no character of a name is syntax."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Final

import duckdb
import pytest

import vapi_sessions
from vapi_sessions.core.paths import literal
from vapi_sessions.core.timestamps import SECOND
from vapi_sessions.operations.forget import Whom, forget
from vapi_sessions.operations.preview import preview
from vapi_sessions.operations.reconcile import reconcile
from vapi_sessions.operations.status import status
from vapi_sessions.operations.verify import verify
from vapi_sessions.warehouse import query
from vapi_sessions.warehouse.layout import Layout
from worlds import World

NAMES: Final = (
    "[prod]", "[a-z]", "[!a]", "[[]", "]", "data*", "**", "*", "{a,b}", "acme:prod", "md:x", "s3:", "file:x", "http:",
    ":memory:", "memory", "it's", 'say "hi"', "100%", "100%25", "%s", "$HOME", "${HOME}", "~", "~x", "with space", " lead",
    "trail ", "-rf", "--", "#frag", "a;b", "a&b", "a=b", "created_month=2026-03", "a,b", "a|b", "new\nline", "tab\t", "cr\r",
    "\x01", "\x1b[31m", "é", "e\u0301", "日本", "\u202e", "😀", ".hidden", "...", "x" * 250, "latest", "index.duckdb",
)  # fmt: skip
#: Characters of every kind of syntax.
ALL_AT_ONCE: Final = '[prod] *data* acme:it\'s "$HOME" {a,b} 100%25;--\n日本😀 a=b'


def everything(world: World) -> None:
    """Run all commands on a warehouse."""
    ids = world.insert(20, lambda n: (world.ago(days=2) + n * SECOND,) * 2)
    assert world.sync().counts.sessions_new == 20
    assert preview(world.settings(), environment=world.environment()).plan.windows
    world.insert(3, lambda n: (world.ago(minutes=5),) * 2)
    assert world.sync().counts.sessions_new == 3
    assert status(world.warehouse, now=world.clock.us()).rows["sessions"] == 23
    out = io.StringIO()
    query.run(world.warehouse, "SELECT count(*) AS n FROM session_summary", "csv", out)
    assert out.getvalue() == "n\n23\n"
    assert verify(world.settings(), deep=True, environment=world.environment()).findings == ()
    reconcile(world.settings(), environment=world.environment())
    before = world.tables()
    assert world.rebuild()[1] == 23
    assert world.tables() == before
    assert len(forget(world.settings(), Whom(ids[:1], []), environment=world.environment()).ids) == 1
    with duckdb.connect(world.warehouse / "vapi.duckdb", read_only=True) as db:
        assert db.execute("SELECT count(*) FROM session_summary").fetchall() == [(22,)]
    with vapi_sessions.connect(world.warehouse) as db:
        assert db.cursor().execute("SELECT count(*) FROM session_summary").fetchall() == [(22,)]
        db.execute(f"ATTACH {literal(world.warehouse / 'vapi.duckdb')} AS again (READ_ONLY)")
        assert db.execute("SELECT count(*) FROM again.session_summary").fetchall() == [(22,)]


@pytest.mark.proof
def test_a_name_with_all_kinds_of_syntax(world: World) -> None:
    """Every command and every way to read works."""
    world.warehouse = world.warehouse.with_name(ALL_AT_ONCE)
    everything(world)
    assert [path.name for path in world.warehouse.parent.iterdir()] == [ALL_AT_ONCE]


@pytest.mark.proof
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[1:20])
def test_an_odd_name(world: World, name: str) -> None:
    """Each name alone, and below a directory with that name."""
    world.warehouse = world.warehouse.with_name(name) / name
    everything(world)
    assert [path.name for path in world.warehouse.parent.parent.iterdir()] == [name]


@pytest.mark.proof
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[1:20])
def test_duckdb_spills_into_a_warehouse_with_an_odd_name(tmp_path: Path, name: str) -> None:
    """Its temporary files are in the warehouse's own directory."""
    layout = Layout(tmp_path / name)
    layout.create()
    config = {"temp_directory": str(layout.scratch), "memory_limit": "40MB", "threads": 1}
    with duckdb.connect(config=config) as db:
        db.execute("CREATE TABLE t AS SELECT repeat('x', 200) || i AS b FROM range(400_000) AS r(i)")
        assert list(layout.scratch.iterdir())


def test_a_copy_whose_name_matches_as_a_pattern_is_not_read(world: World) -> None:
    """The name `data*` as a pattern would match the copy too."""
    world.insert(10, lambda n: (world.ago(days=2) + n * SECOND,) * 2)
    world.warehouse = world.warehouse.with_name("data*")
    world.sync()
    shutil.copytree(world.warehouse, world.warehouse.with_name("data* copy"), symlinks=True)
    with duckdb.connect(world.warehouse / "vapi.duckdb", read_only=True) as db:
        assert db.execute("SELECT count(*) FROM sessions").fetchall() == [(10,)]
    assert world.rows("SELECT count(*) FROM sessions") == [(10,)]
