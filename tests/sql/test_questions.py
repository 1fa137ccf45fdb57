"""The answers to `docs/questions.md` are those that the API's JSON gives, computed in plain Python (`api_answers`)."""

from __future__ import annotations

import itertools
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import duckdb
import pytest

import vapi_sessions
from api_answers import (
    DAY,
    WEEKDAYS,
    Answer,
    Call,
    Source,
    calls_of,
    interval,
    listed,
    model_of,
    moment,
    quantile,
    rounded,
    share,
    speaker,
    total,
)
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


def cost_of_the_last_week(source: Source) -> Answer:
    """1: by day and model."""
    last = max(moment(session["createdAt"]).date() for session in source.sessions)
    groups: dict[Any, list[float | None]] = {}
    for day, component in source.components:
        if day > last - 7 * DAY:
            groups.setdefault((day, *model_of(component)), []).append(component.get("cost"))
    return [(*key, total(costs)) for key, costs in groups.items()]


def cost_by_assistant(source: Source) -> Answer:
    """2: in total and per completed conversation."""
    rows: Answer = []
    for key, sessions in source.by_assistant.items():
        cost = total(session.get("cost") for session in sessions)
        completed = sum(source.outcome(session) == "completed" for session in sessions)
        each = rounded(cost / completed) if cost is not None and completed else None
        rows.append((*key, cost, completed, each))
    return rows


def cost_of_completed(source: Source) -> Answer:
    """3: median and 90th percentile."""
    completed = [session for session in source.sessions if source.outcome(session) == "completed"]
    costs = [session["cost"] for session in completed if session.get("cost") is not None]
    return [(len(completed), len(costs), rounded(statistics.median(costs)), rounded(quantile(costs, 0.9)))]


def analysis_and_model(source: Source) -> Answer:
    """4: sums over components."""
    sums = {
        kind: total(component.get("cost") for _, component in source.components if component["type"] == kind)
        or 0
        for kind in ("analysis", "model")
    }
    return [(sums["analysis"], sums["model"], share(sums["analysis"], sum(sums.values())))]


def pending_and_free(source: Source) -> Answer:
    """5: null is pending, zero is free."""
    costs = [session.get("cost") for session in source.sessions]
    return [(len(costs), costs.count(None), sum(cost == 0 for cost in costs if cost is not None))]


def cached_by_model(source: Source) -> Answer:
    """6: of the prompt tokens."""
    prompts, cached = Counter[Any](), Counter[Any]()
    for _, component in source.components:
        prompts[model_of(component)] += component.get("promptTokens") or 0
        if "cachedPromptTokens" in component:
            cached[model_of(component)] += component["cachedPromptTokens"]
    return [
        (*model, tokens, share(cached[model], tokens) if model in cached else None)
        for model, tokens in prompts.items()
        if tokens
    ]


def outcomes_by_assistant(source: Source) -> Answer:
    """7: shares."""
    rows: Answer = []
    for (label, _), sessions in source.by_assistant.items():
        found = Counter(map(source.outcome, sessions))
        rows.append(
            (
                label,
                len(sessions),
                *(share(found[one], len(sessions)) for one in ("completed", "expired", "open")),
            )
        )
    return rows


def calls_by_function(source: Source) -> dict[str, list[Call]]:
    """All tool calls."""
    calls: dict[str, list[Call]] = {}
    for call in itertools.chain.from_iterable(map(calls_of, source.sessions)):
        calls.setdefault(call.function, []).append(call)
    return calls


def failing_tools(source: Source) -> Answer:
    """8: by outcome."""
    rows: Answer = []
    for function, calls in calls_by_function(source).items():
        found = Counter(call.outcome for call in calls)
        bad = [found[one] for one in ("failed", "empty", "unanswered")]
        rows.append((function, len(calls), *bad, share(sum(bad), len(calls))))
    return rows


def repeated_tools(source: Source) -> Answer:
    """9: calls whose function and arguments the session has seen before."""
    again = Counter[str]()
    for session in source.sessions:
        calls = list(calls_of(session))
        for function in {call.function for call in calls}:
            asked = [call.arguments for call in calls if call.function == function]
            again[function] += len(asked) - len(set(asked))
    every = calls_by_function(source)
    return [(function, len(every[function]), count) for function, count in again.items() if count]


def busiest_hours(source: Source) -> Answer:
    """10: the ten busiest, by the average of the weekday's days."""
    begun = [moment(session["createdAt"]) for session in source.sessions]
    first, last = min(begun).date(), max(begun).date()
    days = Counter((first + n * DAY).weekday() for n in range((last - first).days + 1))
    found = Counter((at.weekday(), at.hour) for at in begun)
    ranked = sorted(found, key=lambda slot: (-found[slot] / days[slot[0]], slot))
    return [
        (WEEKDAYS[day], hour, found[day, hour], rounded(found[day, hour] / days[day]))
        for day, hour in ranked[:10]
    ]


def came_back(source: Source) -> Answer:
    """11: customers with two sessions that are at most seven days apart."""
    count = sum(
        any(
            moment(later["createdAt"]) - moment(earlier["createdAt"]) <= 7 * DAY
            for earlier, later in itertools.pairwise(visits)
        )
        for visits in source.visits.values()
    )
    return [(count, share(count, len(source.visits)))]


def frequent_customers(source: Source) -> Answer:
    """12: with the outcomes of their sessions."""
    rows: Answer = []
    for key, visits in source.visits.items():
        found = Counter(map(source.outcome, visits))
        if len(visits) >= 3:
            rows.append((key, len(visits), found["completed"], found["expired"], found["open"]))
    return rows


def resumed(source: Source) -> Answer:
    """13: breaks of an hour or more after which somebody speaks on a later day. Only timed messages tell."""
    gaps: dict[str, list[float]] = {}
    for session in source.sessions:
        spoken = [
            datetime.fromtimestamp(message["time"] / 1000, UTC)
            for message in session.get("messages") or []
            if speaker(message) and "time" in message
        ]
        for before, after in itertools.pairwise(spoken):
            if after - before >= timedelta(hours=1) and after.date() > before.date():
                gaps.setdefault(session["id"], []).append((after - before) / DAY)
    every = list(itertools.chain.from_iterable(gaps.values()))
    return [(len(gaps), len(every), rounded(statistics.median(every), 2))]


def csat_by_assistant(source: Source) -> Answer:
    """14: mean and interval."""
    rows: Answer = []
    for (label, _), sessions in source.by_assistant.items():
        answers = [
            output["result"]
            for session in sessions
            for output in (session.get("artifact") or {}).get("structuredOutputs", {}).values()
            if output["name"] == "CSAT"
        ]
        if answers:
            low, high = interval(answers)
            rows.append((label, len(answers), rounded(statistics.fmean(answers)), low, high))
    return rows


def typical_length(source: Source) -> Answer:
    """15: messages and turns."""
    messages, turns = list[int](), list[int]()
    for session in source.sessions:
        if session.get("messages"):
            speakers = [who for who in map(speaker, session["messages"]) if who]
            messages.append(len(session["messages"]))
            turns.append(sum(who == "customer" for who, _ in itertools.groupby(speakers)))
    return [
        (
            len(messages),
            float(statistics.median(messages)),
            float(statistics.median(turns)),
            rounded(quantile(messages, 0.9), 1),
            rounded(quantile(turns, 0.9), 1),
        )
    ]


ANSWERS: Final[list[Callable[[Source], Answer]]] = [
    cost_of_the_last_week,
    cost_by_assistant,
    cost_of_completed,
    analysis_and_model,
    pending_and_free,
    cached_by_model,
    outcomes_by_assistant,
    failing_tools,
    repeated_tools,
    busiest_hours,
    came_back,
    frequent_customers,
    resumed,
    csat_by_assistant,
    typical_length,
]


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
