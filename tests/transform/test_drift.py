"""The view `drift` counts the rows of the warehouse with a field without a column, however often they were read."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import vapi_sessions
from constants import ORG
from transports import Edited
from vapi_sessions.cli.commands.status_command import print_status
from vapi_sessions.operations import sync
from vapi_sessions.operations.status import status
from vapi_sessions.transform.flatten import Version, flatten
from worlds import World

#: Sessions with fields without a column, and with values that their column cannot hold.
SESSIONS: list[dict[str, Any]] = [
    {"channel": "sms", "lastMessage": None, "we$ird": 1, "no name": 2},
    {"channel": "web", "cost": "free", "expirationSeconds": 1.5, "status": ["active"]},
    {"customer": {"number": 17, "extension": "12", "a b": 1}},
    {"customer": "Ann"},
    {"messages": [{"role": "owl", "content": 5}, {"role": "user", "content": "x", "mood": 1, "time": "now"}]},
    {"messages": [{"role": "user", "content": {"a": 1}}, "hello", {"role": "user", "confidence": "high"}]},
    {
        "messages": [
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": 1, "function": {"name": "f", "arguments": {"a": 1}, "strict": True}},
                    {"id": "2", "index": 0, "function": "g"},
                ],
            },
            {"role": "tool_call_result", "toolCallId": "2", "result": "done"},
        ]
    },
    {"costs": [{"type": "transport", "minutes": 3, "model": {"provider": "p", "temperature": 1}}, 5]},
    {"costs": [{"type": "model", "cost": 2**60, "usageComplete": 1}]},
    {"artifact": {}, "metadata": {"any": 1}, "assistant": {"any": 1}},
    {"$normalised": {"lone_surrogates": 2, "repeated_names": 1}},
    {"$normalised": {"made up": 1}, "a$json": 1},
]


def _fields(world: World) -> dict[str, int]:
    return dict(world.rows("FROM drift"))


def _of_bodies(world: World) -> dict[str, int]:
    """The drift of flattening the same sessions. The view has one name for all reasons."""
    found: Counter[str] = Counter()
    for session_id, created, updated, body in world.rows(
        f"SELECT session_id, epoch_us(created_at), epoch_us(updated_at), body FROM read_parquet('{world.warehouse}/raw/*.parquet')"
    ):
        version = Version(session_id, ORG, created, updated, 0, 0, "", body.encode())
        for name, count in flatten([version]).drift.items():
            found[re.sub(":(rounded|surrogate)$", ":retyped", name)] += count
    found.pop("session.orgId:retyped", None)  # the emulator's organisation is not the tests' one
    return {name: count for name, count in found.items() if name != "session.orgId"}


def _sync(world: World, **given: object) -> None:
    """One sync of a source with these sessions."""
    if not world.server.requests:
        world.insert(len(SESSIONS), lambda n: (world.ago(days=2) + n, world.ago(days=2) + n), costs=[])
    fields_of = {str(UUID(int=n + 1, version=4)): fields for n, fields in enumerate(SESSIONS)}
    transport = Edited(lambda session: session | fields_of[session["id"]])
    environment = sync.Environment(world.clock.us, world.clock.monotonic, world.clock.sleep, transport)
    sync.sync(world.settings(**given), environment=environment)


def test_the_view_equals_the_drift_of_flattening(world: World) -> None:
    """For each field, with the same names."""
    _sync(world)
    expected = _of_bodies(world)
    assert len(expected) > 25
    assert _fields(world) == expected


def test_counts_do_not_depend_on_earlier_syncs(world: World) -> None:
    """A full sync and a rebuild give the same numbers."""
    _sync(world)
    before = _fields(world)
    _sync(world, full=True)
    assert _fields(world) == before
    world.rebuild()
    assert _fields(world) == before
    assert status(world.warehouse, now=world.clock.us()).drift == before


def test_status_shows_every_field(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The most frequent ones first."""
    monkeypatch.setenv("COLUMNS", "10000")
    _sync(world)
    found = status(world.warehouse, now=world.clock.us())
    counts = list(found.drift.values())
    assert counts == sorted(counts, reverse=True)
    print_status(found, everything=True)
    (line,) = [text for text in capsys.readouterr().out.splitlines() if text.startswith("drift")]
    assert all(f"{name} ({count:,})" in line for name, count in found.drift.items())


def test_the_demo_has_drift(demo_warehouse: Path) -> None:
    """With names of fields and positive counts."""
    with vapi_sessions.connect(demo_warehouse) as db:
        found = db.execute("SELECT field, row_count FROM drift").fetchall()
    assert found
    assert all(re.fullmatch(r"(session|message|tool_call|cost)\..+", field) and count > 0 for field, count in found)  # fmt: skip
