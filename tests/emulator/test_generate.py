"""The generated history: repeatable, and as varied as real sessions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from vapi_emulator import EmulatorError
from vapi_emulator.generate import History, generate
from vapi_emulator.stored import StoredSession, decode
from vapi_emulator.times import DAY_US, from_us, to_us

from .conftest import NOW

ORG = "0e111a70-0000-4000-8000-00000000000a"

#: Key names under which the source is known to send credentials.
SECRET_KEYS = [
    "credentials",
    "headers",
    "sipHeaders",
    "secret",
    "serverUrlSecret",
    "apiKey",
    "apiSecret",
    "authToken",
    "accountSid",
    "openAIKey",
    "ocpApimSubscriptionKey",
    "awsAccessKeyId",
    "awsSecretAccessKey",
    "accessKeyId",
    "secretAccessKey",
    "hmacAccessKey",
    "hmacSecret",
    "gcpKey",
    "privateKey",
    "privateKeyId",
    "clientSecret",
    "accessToken",
    "refreshToken",
    "token",
    "secretKey",
    "authPassword",
    "authUsername",
    "webhookUrl",
    "twilioAuthToken",
    "twilioApiKey",
    "twilioApiSecret",
    "twilioAccountSid",
    "value",
    "presignedMonoUrl",
    "url",
]


def history(**changes: Any) -> History:
    return History(
        **{"org_id": ORG, "sessions": 1500, "days": 30, "seed": 3, "until_us": to_us(NOW)} | changes
    )


def rows(wanted: History) -> list[StoredSession]:
    return [row for batch in generate(wanted) for row in batch]


@cache
def made() -> tuple[StoredSession, ...]:
    return tuple(rows(history()))


@cache
def sessions() -> tuple[dict[str, Any], ...]:
    return tuple(decode(row.body) for row in made())


def messages() -> Iterator[dict[str, Any]]:
    for session in sessions():
        yield from session.get("messages") or ()


def items() -> Iterator[dict[str, Any]]:
    for session in sessions():
        yield from session.get("costs") or ()


def test_the_same_arguments_make_the_same_bytes() -> None:
    """Seed, size, span, organisation and current time determine everything."""
    small = history(sessions=120)
    assert rows(small) == rows(small)
    assert rows(small) != rows(history(sessions=120, seed=4))


def test_a_history_has_the_given_size_and_span() -> None:
    """The number is exact; sessions are created in the span and last changed between creation and now."""
    assert len(made()) == 1500
    since = to_us(NOW) - 30 * DAY_US
    assert all(since <= row.created_us <= row.updated_us < to_us(NOW) for row in made())
    assert all(before.created_us <= after.created_us for before, after in pairwise(made()))
    assert len({row.id for row in made()}) == 1500


@pytest.mark.parametrize("count", [0, 1, 7])
def test_small_histories_work(count: int) -> None:
    """Also with no session at all."""
    assert len(rows(history(sessions=count, days=0.01))) == count


def test_nights_are_quiet_and_days_differ() -> None:
    """Few sessions begin before five; the busiest day has several times as many as the quietest."""
    night = sum(from_us(row.created_us).hour < 5 for row in made())
    assert night < 0.05 * len(made())
    days = Counter(from_us(row.created_us).date() for row in made())
    assert max(days.values()) > 3 * min(days.values())


def test_sizes_are_realistic() -> None:
    """About twenty messages and five kilobytes each, some much longer."""
    counts = [len(session.get("messages") or ()) for session in sessions()]
    assert 15 < sum(counts) / len(counts) < 26
    assert max(counts) > 60
    assert 4_000 < sum(len(row.body) for row in made()) / len(made()) < 8_000


def test_every_role_and_shape_of_message_occurs() -> None:
    """Timed and chat form, and all unusual shapes that the source was seen to send."""
    roles = {message["role"] for message in messages()}
    assert roles >= {
        "system",
        "developer",
        "user",
        "assistant",
        "tool",
        "bot",
        "tool_calls",
        "tool_call_result",
        "function",
    }
    shapes = Counter(
        shape
        for message in messages()
        for shape in (
            ("timed", message["role"]) if "time" in message else ("chat", message["role"]),
            "null content" if message.get("content", "") is None else "",
            "parts" if isinstance(message.get("content"), list) else "",
            "text and calls" if message.get("content") and message.get("tool_calls") else "",
            "unknown role" if message["role"] == "supervisor" else "",
            "refusal" if "refusal" in message else "",
            "object"
            if any(isinstance(call["function"]["arguments"], dict) for call in message.get("tool_calls", ()))
            else "",
        )
    )
    expected = {("timed", "user"), ("chat", "user"), ("timed", "system"), ("chat", "system")} | {
        *("null content", "parts", "text and calls", "unknown role", "refusal", "object")
    }
    assert expected <= set(shapes)


def test_tool_calls_have_results() -> None:
    """Nearly every call has a message with its result; a conversation may end in between."""
    called = [call["id"] for message in messages() for call in message.get("tool_calls", ())]
    answered = {message.get("tool_call_id") for message in messages()}
    assert 0.9 < sum(call in answered for call in called) / len(called) <= 1


def test_several_languages_occur() -> None:
    """Letters of several scripts, and emoji."""
    text = " ".join(str(message.get("content") or message.get("message")) for message in messages())
    for letters in ("[a-z]", "ñ|¿", "ß|ü", "[一-龥]", "[ぁ-ん]", "[ء-ي]", "[क-ह]", "[😀-🙏]"):
        assert re.search(letters, text)


def test_every_cost_type_occurs_and_some_are_pending() -> None:
    """All four analyses, the session itself, an unknown type; pending costs are null or absent."""
    assert {item.get("analysisType") for item in items()} >= {
        *("summary", "structuredData", "successEvaluation", "structuredOutput"),
    }
    assert {item["type"] for item in items()} == {"model", "analysis", "session", "chat"}
    pending = [session for session in sessions() if session.get("cost") is None]
    assert any("cost" in session for session in pending)
    assert any("cost" not in session for session in pending)
    assert 0 < len(pending) < 0.1 * len(sessions())


def test_costs_add_up() -> None:
    """The cost of a session is the sum of its items."""
    for session in sessions():
        if session.get("cost") is not None:
            assert session["cost"] == pytest.approx(sum(item["cost"] for item in session["costs"]))


def test_completed_sessions_have_structured_outputs() -> None:
    """Active sessions have no artifact."""
    for session in sessions():
        assert ("artifact" in session) is (session["status"] == "completed")
    results = [
        output["result"]
        for session in sessions()
        for output in session.get("artifact", {}).get("structuredOutputs", {}).values()
    ]
    assert {type(result) for result in results} >= {int, bool, list, dict, type(None)}


def test_embedded_configuration_occurs() -> None:
    """Transient assistants and squads, with and without an id; overrides; a phone number."""
    for field in (
        "assistant",
        "squad",
        "squadId",
        "assistantOverrides",
        "phoneNumber",
        "metadata",
        "customerId",
    ):
        assert any(field in session for session in sessions())
    assert any("assistant" in session and "assistantId" in session for session in sessions())


def test_newly_declared_fields_occur_in_a_few_sessions() -> None:
    """Costs by duration, incomplete usage, the transcriber's confidence by word, the sender's number."""
    items = [item for session in sessions() for item in session.get("costs") or () if item["type"] == "model"]
    for name in ("seconds", "usageComplete"):
        assert 0 < sum(name in item for item in items) < len(items) / 10
    heard = [message for message in messages() if "confidenceSource" in message]
    assert 0 < len(heard) < sum(1 for _ in messages()) / 10
    assert {message["role"] for message in heard} == {"user"}
    assert all(0 < message["confidence"] <= 1 for message in heard)
    told = [message["metadata"] for message in heard]
    assert any(part.get("source", "").startswith("+") for part in told)
    (spoken, words) = next(
        (m["message"], m["metadata"]["wordLevelConfidence"]) for m in heard if len(m["metadata"]) == 1
    )
    assert [word["word"] for word in words] == spoken.split()
    assert words[0].keys() == {"word", "start", "end", "confidence"}


def test_customers_come_back() -> None:
    """They start new sessions, and continue a session days later."""
    numbers = Counter(session["customer"]["number"] for session in sessions() if "customer" in session)
    assert max(numbers.values()) > 5
    assert any(row.updated_us - row.created_us > 2 * DAY_US for row in made())


def test_a_bulk_change_and_equal_creation_times_occur() -> None:
    """Many sessions share one `updatedAt`, and some one `createdAt`."""
    assert max(Counter(row.updated_us for row in made()).values()) >= 5
    assert max(Counter(row.created_us for row in made()).values()) >= 2


def test_secrets_are_planted_under_every_known_name() -> None:
    """A redaction has something to find; messages contain none."""
    planted = {key for session in sessions() for key, value in fields(session) if "SECRET-" in str(value)}
    assert set(SECRET_KEYS) <= planted
    assert not any("SECRET-" in str(message) for message in messages())
    every = {key for session in sessions() for key, _ in fields(session)}
    assert {"tokenCount", "budgetTokens", "maxTokens", "credentialIds", "promptTokens"} <= every - planted


def fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key at any depth, with its value."""
    if isinstance(value, dict):
        yield from value.items()
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from fields(part)


def test_without_oddities_only_declared_shapes_occur() -> None:
    """No null, no unknown role or type, no chat form of system and user messages, no extra field."""
    declared = {
        *("id", "orgId", "createdAt", "updatedAt", "cost", "costs", "name", "status", "expirationSeconds"),
        *("assistantId", "assistant", "assistantOverrides", "squadId", "squad", "messages", "customer"),
        *("customerId", "phoneNumberId", "phoneNumber", "artifact"),
    }
    for row in rows(history(sessions=300, oddities=False)):
        session = decode(row.body)
        assert set(session) <= declared
        assert session.get("cost", 0) is not None
        assert {message["role"] for message in session.get("messages", ())} <= {
            "system",
            "user",
            "assistant",
            "tool",
        }


@pytest.mark.parametrize("changes", [{"sessions": -1}, {"days": 0}, {"days": 5000}])
def test_impossible_histories_are_refused(changes: dict[str, float]) -> None:
    """The error names the values and the possible ones."""
    with pytest.raises(EmulatorError, match="Cannot generate"):
        history(**changes)
