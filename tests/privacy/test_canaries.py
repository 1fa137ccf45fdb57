"""A distinct secret in every place of the contract that can hold one, and none of them where a sync leaves anything."""

from __future__ import annotations

import json
import logging
import re
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from reduced import REDUCED, reduced

import command
import contract
from beside import CONTRACT, needs_contract
from conftest import KEY, World
from contract import ConflictError, Place, plant
from searching import found_in
from vapi_emulator.stored import make_row
from vapi_sessions.privacy import redaction
from vapi_sessions.warehouse import query

CANARY = r"c4n4ry\d{5}z"
#: They decide which session it is, and when: no text of anybody's choosing.
GIVEN = {"id", "orgId", "createdAt", "updatedAt"}
#: A credential in a text that is none, in the forms that are known by name or shape.
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


def secret(number: int, place: Place) -> str:
    """A text with a secret of its own, as it would stand there."""
    canary = f"c4n4ry{number:05}z"
    if place.handling == "redacted":
        return canary
    if place.handling == "url":
        if place.name.startswith("presigned"):
            return f"https://example.test/a.wav?X-Amz-Credential={canary}&X-Amz-Signature={canary}"
        return f"https://user:{canary}@example.test/hook?token={canary}&a=1"
    return IN_PROSE[number % len(IN_PROSE)].format(canary)


def planted() -> list[dict[str, Any]]:
    """Sessions that together hold a secret in every place."""
    sessions: list[dict[str, Any]] = []
    for number, place in enumerate(contract.places()):
        if place.route[0] in GIVEN:
            continue
        for session in [*sessions, {}]:
            try:
                plant(session, place.route, secret(number, place))
            except ConflictError:
                continue
            if not any(session is known for known in sessions):
                sessions.append(session)
            break
    return sessions


@needs_contract
def test_the_reduced_copy_is_the_contracts() -> None:
    """What these tests read is what the script makes of the vendor's document."""
    assert REDUCED.read_text("utf-8") == reduced(json.loads(CONTRACT.read_text("utf-8")))


def test_every_place_of_the_contract_is_classified() -> None:
    """A text that a new version of the contract brings fails here, until somebody says what the redactor owes to it."""
    unknown = {f"{place.owner}.{place.name}" for place in contract.places() if place.handling is None}
    assert unknown == set()
    named = {name for schema in contract.schemas().values() for name in schema.get("properties", {})}
    listed = contract.REDACTED | contract.URLS | contract.HARMLESS
    assert listed - named == {"*", "[]"}


def test_what_is_classified_as_a_secret_is_one_by_its_place_alone() -> None:
    """Each of several hundred places is redacted whatever stands there, and no harmless one is."""
    places = [place for place in contract.places() if place.route[0] not in GIVEN]
    assert sum(place.handling == "redacted" for place in places) > 500
    sessions = list[dict[str, Any]]()
    for place in places:
        sessions.append({})
        plant(sessions[-1], place.route, "a plain word")
    redacted = redaction.redact_page([json.dumps(session).encode() for session in sessions])
    for place, body in zip(places, redacted, strict=True):
        assert (b"a plain word" not in body) == (place.handling == "redacted"), place


@pytest.fixture
def synced(world: World, caplog: pytest.LogCaptureFixture) -> tuple[World, str]:
    """A warehouse of planted sessions, synced twice, and everything that was logged."""
    sessions = planted()
    assert len(set(re.findall(CANARY, json.dumps(sessions)))) == len(contract.places()) - len(GIVEN)
    for number, session in enumerate(sessions):
        at = world.ago(hours=number + 1)
        body = {"id": str(UUID(int=number, version=4)), "orgId": world.server.org_id, **session}
        world.server.store.insert_many([make_row(body, at, at)])
    with caplog.at_level(logging.DEBUG):
        world.sync()
        world.clock.forward(hours=1)
        world.sync(full=True)
    return world, caplog.text


def test_no_secret_is_in_any_file_log_or_answer(
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


@pytest.mark.parametrize("point", ["raw.written=full", "merge.inserted=full"])
def test_no_secret_is_in_a_traceback(synced: tuple[World, str], point: str, tmp_path: Path) -> None:
    """With --debug a failed sync shows where it failed, and neither what it held nor the key."""
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
