"""A canary secret in every field of the contract that may hold one: no sync writes any of them anywhere."""

from __future__ import annotations

import json
import logging
import re
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import command
import contract
from beside import CONTRACT, needs_contract
from constants import KEY
from contract import ConflictError, TextField, plant
from searching import found_in
from selection import first
from vapi_emulator.stored import make_row
from vapi_sessions.privacy import redaction
from vapi_sessions.warehouse import query
from worlds import World
from write_contract import REDUCED, reduced

CANARY = r"c4n4ry\d{5}z"
#: They identify the session and its version, and are no free text.
REQUIRED = {"id", "orgId", "createdAt", "updatedAt"}
#: A credential inside a text, found by name or by shape.
IN_PROSE = (
    "Authorization: Bearer {}",
    "use sk-{}abcdefghij please",
    '{{"apiKey": "{}", "and then it breaks',
    "the password is {} for today",
    "OPENAI_API_KEY={}",
    '[{{"arguments": "{{\\"token\\": \\"{}\\"}}"}}]',
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    "https://user:{}@example.test/hook",
)


def secret(number: int, field: TextField) -> str:
    """A text with a unique secret that suits the field."""
    canary = f"c4n4ry{number:05}z"
    if field.handling == "redacted":
        return canary
    if field.handling == "url":
        if field.name.startswith("presigned"):
            return f"https://example.test/a.wav?X-Amz-Credential={canary}&X-Amz-Signature={canary}"
        return f"https://user:{canary}@example.test/hook?token={canary}&a=1"
    return IN_PROSE[number % len(IN_PROSE)].format(canary)


def planted() -> list[dict[str, Any]]:
    """Sessions that together have a secret in every field."""
    sessions: list[dict[str, Any]] = []
    for number, field in enumerate(contract.text_fields()):
        if field.path[0] in REQUIRED:
            continue
        for session in [*sessions, {}]:
            try:
                plant(session, field.path, secret(number, field))
            except ConflictError:
                continue
            if not any(session is known for known in sessions):
                sessions.append(session)
            break
    return sessions


@needs_contract
def test_the_reduced_copy_is_the_contracts() -> None:
    """The file that these tests read equals the script's result for the vendor's document."""
    assert REDUCED.read_text("utf-8") == reduced(json.loads(CONTRACT.read_text("utf-8")))


def test_the_redactors_handling_of_every_field_is_declared() -> None:
    """New fields in a later version of the contract fail here until `contract.py` says what the redactor must do with them."""
    unknown = {f"{field.owner}.{field.name}" for field in contract.text_fields() if field.handling is None}
    assert unknown == set()
    named = {name for schema in contract.schemas().values() for name in schema.get("properties", {})}
    listed = contract.REDACTED | contract.URLS | contract.HARMLESS
    assert listed - named == {"*", "[]"}


def test_secret_fields_are_redacted_for_any_value() -> None:
    """Hundreds of fields, with a plain word as their value; harmless fields keep it."""
    fields = [field for field in contract.text_fields() if field.path[0] not in REQUIRED]
    assert sum(field.handling == "redacted" for field in fields) > 500
    sessions = list[dict[str, Any]]()
    for field in fields:
        sessions.append({})
        plant(sessions[-1], field.path, "a plain word")
    redacted = redaction.redact_page([json.dumps(session).encode() for session in sessions])
    for field, body in zip(fields, redacted, strict=True):
        assert (b"a plain word" not in body) == (field.handling == "redacted"), field


@pytest.fixture
def synced(world: World, caplog: pytest.LogCaptureFixture) -> tuple[World, str]:
    """A warehouse with these sessions, synced twice, and its debug log."""
    sessions = planted()
    assert len(set(re.findall(CANARY, json.dumps(sessions)))) == len(contract.text_fields()) - len(REQUIRED)
    for number, session in enumerate(sessions):
        at = world.ago(hours=number + 1)
        body = {"id": str(UUID(int=number, version=4)), "orgId": world.server.org_id, **session}
        world.server.store.insert_many([make_row(body, at, at)])
    with caplog.at_level(logging.DEBUG):
        world.sync()
        world.clock.forward(hours=1)
        world.sync(full=True)
    return world, caplog.text


def test_no_secret_is_in_any_file_log_or_query_result(
    synced: tuple[World, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """raw/, both databases, every Parquet file, the debug log, and `sql` in each of its formats."""
    world, logged = synced
    assert len(world.here()) == len(planted())
    assert found_in(world.warehouse, CANARY, KEY) == {}
    assert re.findall(CANARY, logged) == []
    assert KEY not in logged
    for table in ("sessions", "messages", "tool_calls", "costs", "structured_outputs", "transcript"):
        for output in ("table", "csv", "json"):
            query.run(world.warehouse, f"FROM {table}", output, sys.stdout)
            shown = capsys.readouterr().out
            assert len(shown) > 10
            assert re.findall(CANARY, shown) == []


@pytest.mark.parametrize("point", first(["merge.inserted=full", "raw.written=full"]))
def test_no_secret_is_in_a_traceback(synced: tuple[World, str], point: str, tmp_path: Path) -> None:
    """With --debug, a failed sync shows a traceback without secrets and without the key."""
    world, _ = synced
    environment = {
        "VAPI_API_KEY": KEY,
        "VAPI_BASE_URL": world.server.url,
        "VAPI_WAREHOUSE": str(tmp_path / "other"),
        "VAPI_SESSIONS_FAULT_POINT": point,
    }
    ran = command.run("--debug", "sync", environment=environment)
    assert ran.code == 5, ran.err
    assert "Traceback" in ran.err
    assert re.findall(CANARY, ran.out + ran.err) == []
    assert KEY not in ran.out + ran.err
