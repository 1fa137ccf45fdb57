"""An export under a stricter policy is derived from `raw/` again: nothing that the policy removes is in any byte of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from exporting import exported, opened, rows_of
from searching import found_in
from selection import first
from transports import Edited
from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError
from vapi_sessions.operations.forget import Whom, forget
from vapi_sessions.operations.rebuild import rebuild
from vapi_sessions.operations.sync import sync
from vapi_sessions.source.environment import Environment
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.raw import files
from worlds import RecordedProgress, World, new_world

KEY: Final = "0123456789abcdef0123"
PSEUDONYMISE: Final = {"personal_data": "pseudonymise", "pseudonym_key": KEY}
DROP: Final = {"personal_data": "drop", "message_text": "drop"}
#: What a customer is known by, and what was said; also in digits only.
PERSONAL: Final = ("15550104477", "ann@mail", "Ann Lee", "crm-7788", "Ann")
SAID: Final = ("zebra", "quagga")
TABLES: Final = ("sessions", "messages", "tool_calls", "costs", "structured_outputs")
LEDGER: Final = ("sync.runs", "sync.windows", "sync.intervals")


def _spoil(session: dict[str, Any]) -> dict[str, Any]:
    """One session of each batch cannot be read, and has no id."""
    if session.get("name") != "Ann's broken one":
        return session
    return {name: value for name, value in session.items() if name not in ("id", "updatedAt")}


def _grow(world: World) -> Iterator[None]:
    """Two batches with sessions of two customers, versions that were replaced, tombstones, and unreadable sessions."""
    call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"who":"Ann Lee"}'}}
    for hours, number in ((30, "+15550104477"), (10, "+1 (555) 010-4477")):
        at, now = world.ago(hours=hours), world.ago(seconds=5)
        for count, name in ((6, "a zebra"), (1, "Ann's broken one")):
            world.insert(
                count,
                lambda n, at=at, now=now: (at + n, now + n),
                name=name,
                customer={"number": number, "email": "ann@mail.test", "name": "Ann Lee", "externalId": "crm-7788"},
                metadata={"note": "Ann Lee rides a quagga", "deep": {"phone": number}},
                messages=[
                    {"role": "user", "content": "I am Ann Lee and ride a quagga"},
                    {"role": "assistant", "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": "t1", "content": "ann@mail.test rides a zebra"},
                ],
                artifact={"structuredOutputs": {"o": {"name": "Who", "result": {"name": "Ann Lee"}}}},
                unheardOf={"Ann Lee": "zebra"},
            )  # fmt: skip
        yield
        world.clock.forward(minutes=5)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A warehouse of two batches that keeps everything."""
    with new_world(tmp_path_factory.mktemp("policy") / "warehouse") as made:
        for _ in _grow(made):
            environment = Environment(made.clock.us, made.clock.monotonic, made.clock.sleep, Edited(_spoil))
            sync(made.settings(), environment=environment)
        assert made.rows("SELECT count(*) FROM sync.unreadable") == [(2,)]
        yield made


@pytest.fixture
def kept(template: World, tmp_path: Path) -> World:
    """A copy of that warehouse."""
    shutil.copytree(template.warehouse, tmp_path / "warehouse", symlinks=True)
    return World(template.server, tmp_path / "warehouse", template.clock)


def bytes_of(warehouse: Path) -> dict[str, bytes]:
    """Every file of a warehouse."""
    return {
        str(path.relative_to(warehouse)): path.read_bytes() for path in warehouse.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(("output", "name"), first([("duckdb", "x.duckdb"), ("csv", "x"), ("parquet", "x")]))
def test_nothing_that_is_dropped_is_in_any_byte(
    template: World, tmp_path: Path, output: str, name: str
) -> None:
    """Numbers, addresses, names, texts, also of unreadable sessions; every byte of the warehouse stays."""
    assert len(found_in(template.warehouse, *PERSONAL, *SAID)) > 3
    before = bytes_of(template.warehouse)
    names = [] if output == "duckdb" else [*TABLES, "sync.unreadable", "transcript"]
    path = exported(template.warehouse, tmp_path / name, *names, output=output, **DROP)
    assert found_in(tmp_path, *PERSONAL, *SAID) == {}
    assert bytes_of(template.warehouse) == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.proof  # of the test above
def test_found_in_would_find_it_in_an_export(template: World, tmp_path: Path) -> None:
    """An export under the stored policy has all of it."""
    exported(template.warehouse, tmp_path / "x.duckdb")
    assert {*found_in(tmp_path, *PERSONAL[:4], *SAID)["x.duckdb"]} == {*PERSONAL[:4], *SAID}


@pytest.mark.proof
@pytest.mark.parametrize(
    "policy", first([DROP, {"message_text": "mask"}, PSEUDONYMISE, {"personal_data": "drop"}])
)
def test_the_rows_are_those_of_a_warehouse_under_that_policy(
    kept: World, tmp_path: Path, policy: dict[str, str]
) -> None:
    """As if the policy had been applied to the warehouse. Runs, claims and the time of the publication are the stored ones."""
    state = dict(kept.rows("FROM sync.state"))
    with opened(exported(kept.warehouse, tmp_path / "x.duckdb", **policy)) as db:
        found = rows_of(db, [*TABLES, "sync.unreadable", *LEDGER])
        facts = dict(db.execute("FROM sync.state").fetchall())
    ledger = {name: sorted(kept.rows(f"FROM {name}"), key=repr) for name in LEDGER}
    assert {name: found[name] for name in LEDGER} == ledger
    assert facts["published_at"] == state["published_at"]
    assert facts["treatment"] != state["treatment"]
    sanitizer = kept.settings(**policy).sanitizer()
    rebuild(kept.warehouse, sanitizer=sanitizer, environment=kept.environment())
    expected = {name: sorted(kept.rows(f"FROM {name}"), key=repr) for name in (*TABLES, "sync.unreadable")}
    assert {name: found[name] for name in expected} == expected


def test_a_looser_policy_is_refused(world: World, tmp_path: Path) -> None:
    """What was removed cannot come back. A looser setting that was not asked for counts as the stored one."""
    for _ in _grow(world):
        world.sync(**DROP)
    for asked in ({"personal_data": "keep"}, {"message_text": "mask"}, PSEUDONYMISE):
        with pytest.raises(ConfigurationError, match="looser than what is stored") as told:
            exported(world.warehouse, tmp_path / "x.duckdb", **asked)
        assert told.value.exit_code == 2
    assert list(tmp_path.glob("x*")) == []
    notes = RecordedProgress()
    with opened(exported(world.warehouse, tmp_path / "x.duckdb", progress=notes)) as db:
        assert db.execute("SELECT count(*), count(customer_name) FROM sessions").fetchall() == [(14, 0)]
    assert notes.said == []


@pytest.mark.proof
def test_a_stored_level_stays_if_the_other_one_becomes_stricter(world: World, tmp_path: Path) -> None:
    """Pseudonyms need their key, and another one is refused."""
    for _ in _grow(world):
        world.sync(**PSEUDONYMISE)
    with pytest.raises(ConfigurationError, match="Pseudonyms need a key"):
        exported(world.warehouse, tmp_path / "x.duckdb", message_text="drop")
    given = {"message_text": "drop", "pseudonym_key": KEY}
    with opened(exported(world.warehouse, tmp_path / "x.duckdb", **given)) as db:
        ((number, text),) = db.execute(
            "SELECT DISTINCT customer_number, content FROM messages JOIN sessions USING (session_id) WHERE role = 'user'"
        ).fetchall()
    assert number.startswith("psn_")
    assert set(text) <= {"x", " "}
    with pytest.raises(ConfigurationError, match="another key"):
        exported(
            world.warehouse,
            tmp_path / "y.duckdb",
            **{**given, "pseudonym_key": "another key of enough characters"},
        )
    assert list(tmp_path.glob("*y*")) == []


@pytest.mark.proof
def test_forgotten_sessions_do_not_come_back_from_raw(kept: World, tmp_path: Path) -> None:
    """Not even if a file of raw/ was restored from a backup."""
    backup = {path: path.read_bytes() for path in files(Layout(kept.warehouse).raw)}
    ((gone,),) = kept.rows("SELECT min(session_id) FROM sessions")
    forget(kept.settings(), Whom(sessions=(gone,)), environment=kept.environment())
    for path, content in backup.items():
        path.write_bytes(content)
    with opened(exported(kept.warehouse, tmp_path / "x.duckdb", **DROP)) as db:
        ids = {name for (name,) in db.execute("SELECT session_id FROM sessions").fetchall()}
    assert ids == {name for (name,) in kept.rows("SELECT session_id FROM sessions")}
    assert gone not in ids


@pytest.mark.proof
def test_raw_files_that_are_not_published_are_left_out(kept: World, tmp_path: Path) -> None:
    """A sync that is running may have written them."""
    raw = files(Layout(kept.warehouse).raw)
    (raw[0].with_name("999999999999-other.parquet")).write_bytes(b"half of a")
    with opened(exported(kept.warehouse, tmp_path / "x.duckdb", **DROP)) as db:
        assert db.execute("SELECT count(*) FROM sync.batches").fetchall() == [(len(raw),)]
        assert db.execute("SELECT count(*) FROM sessions").fetchall() == [(12,)]


def test_a_missing_raw_file_is_an_error(kept: World, tmp_path: Path) -> None:
    """Published rows are not exported as they are, and none is left out silently."""
    files(Layout(kept.warehouse).raw)[0].unlink()
    with pytest.raises(WarehouseDamagedError, match="6 of 12 published sessions"):
        exported(kept.warehouse, tmp_path / "x.duckdb", **DROP)
    assert list(tmp_path.glob("*x*")) == []
