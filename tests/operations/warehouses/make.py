"""Makes `0.1.0.tar.xz`: a warehouse of version 0.1.0, the sessions of its source, and a later raw file.

Run it with the code of commit 657c4c5, the last one with a store of rows, from a checkout of that commit:

    PYTHONPATH=tests python …/tests/operations/warehouses/make.py …/0.1.0.tar.xz

The archive has `warehouse/`; `source.json` with the current time (µs), the retention (days) and the sessions; `later/`, with the raw
file of one more sync that was fetched and not merged. The warehouse is pseudonymised and has:

- generated conversations, in several windows, some of which grew or changed silently;
- a lost raw file: it held new sessions, and newer versions of two old ones;
- sessions that were deleted at the source, and others that aged out, one of them in the lost file;
- a forgotten session and a forgotten customer.
"""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from vapi_sessions.forget import Whom, forget
from vapi_sessions.reconcile import reconcile

from worlds import World, new_world

POLICY = {"personal_data": "pseudonymise", "pseudonym_key": "a key of enough characters"}
RETENTION = 32.0
NUMBERS = {
    name: f"+1415555010{n}"
    for n, name in enumerate(("Bob Roe", "Ann Lee", "Lost Lou", "Eve Ode", "Late Lea"))
}


def _insert(world: World, count: int, name: str, **fields: object) -> list[str]:
    at = world.ago(seconds=20)
    return world.insert(
        count,
        lambda n: (at + n * 1_000_000, at + n * 1_000_000 + 500_000),
        customer={"name": name, "number": NUMBERS[name]},
        messages=[{"role": "user", "content": f"I am {name}"}, {"role": "assistant", "content": "Hello"}],
        costs=[{"type": "model", "cost": 0.02}],
        artifact={"structuredOutputs": {f"{name}-1": {"name": "CSAT", "result": 5}}},
        **fields,
    )


def _grow(world: World, ids: list[str]) -> None:
    for session_id in ids:
        world.server.store.update(
            world.server.org_id,
            session_id,
            lambda s: s.setdefault("messages", []).append({"role": "user", "content": "And another thing"}),
        )


def _round(world: World) -> set[str]:
    """One sync, and some time; returns the raw files that it wrote."""
    before = set((world.warehouse / "raw").glob("*.parquet"))
    world.clock.forward(minutes=10)
    world.sync(page_size=20, **POLICY)
    world.clock.forward(hours=2)
    return {path.name for path in set((world.warehouse / "raw").glob("*.parquet")) - before}


def make(world: World) -> dict[str, object]:
    """Make the warehouse; returns the source."""
    store, org_id = world.server.store, world.server.org_id
    world.generate(36, days=40, seed=3, until=world.ago(hours=1))
    _round(world)
    old = store.ids(org_id)
    bob, ann = _insert(world, 3, "Bob Roe"), _insert(world, 3, "Ann Lee")
    _grow(world, old[14:18])
    _round(world)
    store.update(org_id, old[20], lambda s: s.update(name="In silence"), touch=False)
    world.sync(full=True, page_size=20, **POLICY)
    lost = _insert(world, 4, "Lost Lou")
    _grow(world, [old[16], old[26]])
    files = _round(world)
    _insert(world, 2, "Eve Ode")
    for session_id in (old[32], ann[0]):
        store.delete(org_id, session_id)
    store.delete(org_id, lost[3])
    world.server.configure(retention_days=RETENTION)
    world.clock.forward(minutes=10)
    reconcile(world.settings(**POLICY), environment=world.environment())
    _round(world)
    forget(
        world.settings(**POLICY),
        Whom(sessions=[ann[1]], customers=[("number", NUMBERS["Bob Roe"])]),
        environment=world.environment(),
    )
    assert not {row[0] for row in world.here()} & {*bob, ann[1]}, "they were forgotten"
    _round(world)
    (name,) = files
    (world.warehouse / "raw" / name).unlink()
    held = {row[0] for row in world.here()}
    assert {*lost} <= held
    counts = world.rows("SELECT count(deleted_at), count(aged_out_at) FROM sessions")[0]
    assert min(counts) > 0, counts
    return {
        "now": world.clock.us(),
        "retention_days": RETENTION,
        "lost": lost,
        "newer": [old[16], old[26]],
        "forgotten": [*bob, ann[1]],
        "sessions": store.sessions(org_id),
    }


def main(target: Path) -> None:
    """Make the archive."""
    with tempfile.TemporaryDirectory() as scratch, new_world(Path(scratch) / "warehouse") as world:
        source = make(world)
        kept = Path(scratch) / "kept"
        shutil.copytree(world.warehouse, kept, symlinks=True)
        source["later"] = _insert(world, 2, "Late Lea")
        (later,) = _round(world)
        (Path(scratch) / "source.json").write_text(json.dumps(source))
        with tarfile.open(target, "w:xz") as archive:
            archive.add(kept, "warehouse")
            archive.add(Path(scratch) / "source.json", "source.json")
            archive.add(world.warehouse / "raw" / later, f"later/{later}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
