"""Drift says how many rows of the warehouse have a field without a column, whatever was read before, and how often."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import vapi_sessions
from conftest import Edited, World
from models import ORG
from vapi_sessions.cli.commands.status_command import print_status
from vapi_sessions.operations import sync
from vapi_sessions.operations.status import status
from vapi_sessions.transform.flatten import Version, flatten

#: Sessions with everything that has no column, or a value that its column cannot hold, once each.
ODD: list[dict[str, Any]] = [
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
    """What flattening the same sessions counts, with the reasons that the view does not tell apart taken together."""
    found: Counter[str] = Counter()
    for session_id, created, updated, body in world.rows(
        f"SELECT session_id, epoch_us(created_at), epoch_us(updated_at), body FROM read_parquet('{world.warehouse}/raw/*.parquet')"
    ):
        version = Version(session_id, ORG, created, updated, 0, 0, "", body.encode())
        for name, count in flatten([version]).drift.items():
            found[re.sub(":(rounded|surrogate)$", ":retyped", name)] += count
    found.pop("session.orgId:retyped", None)  # not the organisation of the model
    return {name: count for name, count in found.items() if name != "session.orgId"}


def _sync(world: World, **given: object) -> None:
    """One sync of a source that shows each odd session once."""
    if not world.server.requests:
        world.insert(len(ODD), lambda n: (world.ago(days=2) + n, world.ago(days=2) + n), costs=[])
    odd = {str(UUID(int=n + 1, version=4)): fields for n, fields in enumerate(ODD)}
    transport = Edited(lambda session: session | odd[session["id"]])
    environment = sync.Environment(world.clock.us, world.clock.monotonic, world.clock.sleep, transport)
    sync.sync(world.settings(**given), environment=environment)


def test_the_view_counts_the_rows_that_flattening_found_odd(world: World) -> None:
    """Field by field, with the same names."""
    _sync(world)
    expected = _of_bodies(world)
    assert len(expected) > 25
    assert _fields(world) == expected


def test_what_was_read_before_changes_no_count(world: World) -> None:
    """Reading again, and deriving everything again, give the same numbers."""
    _sync(world)
    before = _fields(world)
    _sync(world, full=True)
    assert _fields(world) == before
    world.rebuild()
    assert _fields(world) == before
    assert status(world.warehouse, now=world.clock.us()).drift == before


def test_status_shows_every_field(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Those in most rows first."""
    _sync(world)
    found = status(world.warehouse, now=world.clock.us())
    counts = list(found.drift.values())
    assert counts == sorted(counts, reverse=True)
    print_status(found)
    (line,) = [text for text in capsys.readouterr().out.splitlines() if text.startswith("drift")]
    assert all(f"{name} ({count:,})" in line for name, count in found.drift.items())


def test_the_demonstration_has_some(demo_warehouse: Path) -> None:
    """Names are names, and counts are of rows."""
    with vapi_sessions.connect(demo_warehouse) as db:
        found = db.execute("SELECT field, row_count FROM drift").fetchall()
    assert found
    assert all(re.fullmatch(r"(session|message|tool_call|cost)\..+", field) and count > 0 for field, count in found)  # fmt: skip
