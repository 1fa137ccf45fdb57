"""The answers to `docs/questions.md`, computed from the API's JSON in plain Python. Rows are in no order."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from api_source import (
    DAY,
    WEEKDAYS,
    Answer,
    Call,
    Source,
    calls_of,
    interval,
    model_of,
    moment,
    quantile,
    rounded,
    share,
    speaker,
    total,
)


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
