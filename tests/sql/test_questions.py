"""The answers to `docs/questions.md` are those that the API's JSON gives, computed in plain Python (`api_answers`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import duckdb
import pytest

import vapi_sessions
from api_answers import ANSWERS, pending_and_free, repeated_tools
from api_source import Source, calls_of, listed
from documents import TEXTS, blocks
from vapi_emulator.stored import make_row
from worlds import World, new_world

QUERIES: Final = [query for _, query in blocks("sql", "docs/questions.md")]
MODEL: Final = {"type": "model", "model": {"provider": "openai", "model": "gpt-4o"}}


def planted() -> Iterator[dict[str, Any]]:
    """Sessions of rare kinds, which the generated history does not have."""
    yield {"cost": 0, "costs": [{**MODEL, "promptTokens": 0, "completionTokens": 0, "cost": 0}]}
    yield {"cost": 0.5, "costs": [{**MODEL, "promptTokens": 10, "usageComplete": False, "cost": 0.5}]}
    asked = [
        {"id": f"call{n}", "type": "function", "function": {"name": "pay", "arguments": arguments}}
        for n, arguments in enumerate(['{"n": 1}', '{"n":1}', '{"n": 2}', '{"n": 1}'])
    ]
    answers = ["No result returned.", "Error: refused", '{"error": "late"}']
    yield {
        "messages": [
            {"role": "user", "content": "Pay it."},
            {"role": "assistant", "content": "", "tool_calls": asked},
            *(
                {"role": "tool", "tool_call_id": f"call{n}", "content": text}
                for n, text in enumerate(answers)
            ),
            {"role": "user", "content": "Hello?"},
        ]
    }
    # one person: an id with a number, the number with an address, the address alone
    yield {"customerId": "c-1", "customer": {"number": "+4930111"}, "assistantId": "renamed"}
    yield {"customer": {"number": "+4930111", "email": "Ann@example.com"}, "assistantId": "renamed"}
    yield {"customer": {"email": "ann@example.com"}, "status": "completed"}
    # a number that seven people share: it makes them no single customer
    for n in range(7):
        yield {"customerId": f"shared-{n}", "customer": {"number": "+4930222"}}
    yield {"customer": {"number": "+4930222"}}
    yield {"assistant": {"name": "Front desk"}, "expirationSeconds": 10**8}
    yield {"assistantId": "renamed", "assistantOverrides": {"name": "First name"}}
    yield {"assistantId": "renamed", "assistantOverrides": {"name": "Second name"}}


def plant(world: World) -> None:
    """Add these sessions, an hour and a bit apart, so that they are days and weekdays apart, too."""
    for n, fields in enumerate(planted()):
        created = world.ago(days=24, hours=-31 * n)
        body = {
            "id": str(UUID(int=n + 1, version=4)),
            "orgId": world.server.org_id,
            "status": "active",
            **fields,
        }
        world.server.store.insert_many([make_row(body, created, created + 60_000_000)])


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Source, duckdb.DuckDBPyConnection]]:
    """The sessions as the API lists them, and the warehouse that was synced from it."""
    with new_world(tmp_path_factory.mktemp("questions") / "warehouse") as world:
        world.generate(300, days=25, seed=22)
        plant(world)
        world.sync()
        sessions = listed(world.server.url, world.server.key)
        source = Source(sessions, world.clock())
        with vapi_sessions.connect(world.warehouse) as connection:
            yield source, connection


def test_fifteen_questions_have_short_answers() -> None:
    """Each is numbered, and has one query of at most three lines."""
    numbers = re.findall(r"^### (\d+)\. .*\?$", TEXTS["docs/questions.md"], re.MULTILINE)
    assert numbers == [str(n) for n in range(1, 16)]
    assert len(QUERIES) == len(ANSWERS) == 15
    assert all(len(query.strip().splitlines()) <= 3 for query in QUERIES)


@pytest.mark.parametrize("number", range(1, 16))
def test_the_answer_is_that_of_the_api(
    history: tuple[Source, duckdb.DuckDBPyConnection], number: int
) -> None:
    """The rows of the document's query are those that plain Python finds in the JSON."""
    source, connection = history
    expected = ANSWERS[number - 1](source)
    found = connection.execute(QUERIES[number - 1]).fetchall()
    assert expected
    assert len(found) == len(expected)
    found, expected = sorted(found, key=_facts), sorted(expected, key=_facts)
    assert list(map(_facts, found)) == list(map(_facts, expected))
    assert list(map(_amounts, found)) == [pytest.approx(_amounts(row), abs=1.1e-6, rel=0) for row in expected]


def _facts(row: tuple[Any, ...]) -> str:
    """Names and counts, which both sides have exactly."""
    return repr([value for value in row if not isinstance(value, float)])


def _amounts(row: tuple[Any, ...]) -> list[float]:
    """Amounts and shares, which may differ in the last digit."""
    return [value for value in row if isinstance(value, float)]


def test_the_history_has_what_the_questions_ask_for(
    history: tuple[Source, duckdb.DuckDBPyConnection],
) -> None:
    """Otherwise an answer could be right by chance."""
    source, _ = history
    ((_, pending, free),) = pending_and_free(source)
    assert pending > 3
    assert free > 0
    assert {source.outcome(session) for session in source.sessions} == {"completed", "expired", "open"}
    assert {call.outcome for session in source.sessions for call in calls_of(session)} == {
        "answered",
        "failed",
        "empty",
        "unanswered",
    }
    assert ("pay", 4, 2) in repeated_tools(source)
    assert len(source.visits["id:c-1"]) == 3
    assert len(source.visits["number:+4930222"]) == 1
    assert ("Second name", "renamed") in source.by_assistant
    assert ("First name", "renamed") not in source.by_assistant
