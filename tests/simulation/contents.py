"""The contents of sessions. Most are plain, so that simple rules give their expected rows (`expected`). Some are odd: they have
unknown fields or fields of another type, and their expected rows come from the engine's own flatten.
"""

from __future__ import annotations

import json
import random
from typing import Any, Final

from vapi_sessions.core.timestamps import floor_ms, show, to_datetime

Fields = dict[str, Any]

_WORDS: Final = (
    "order",
    "invoice",
    "tomorrow",
    "please",
    "Straße",
    "noon",
    "cancel",
    "thanks",
    "héllo",
    "ok",
)


def begin(rng: random.Random) -> Fields:
    """A conversation that has just begun."""
    fields: Fields = {"status": "active", "messages": []}
    if rng.random() < 0.5:
        fields["name"] = f"call about {rng.choice(_WORDS)}"
    if rng.random() < 0.4:
        fields["assistantId"] = f"assistant-{rng.randrange(3)}"
    if rng.random() < 0.4:
        fields["customer"] = {"number": f"+1555{rng.randrange(10**7):07d}", "name": rng.choice(_WORDS)}
    if rng.random() < 0.3:
        fields["expirationSeconds"] = rng.choice((60, 3600, 86400))
    if rng.random() < 0.2:
        fields["metadata"] = {"variableValues": {"n": rng.randrange(100)}}
    append(rng, fields)
    return fields


def append(rng: random.Random, fields: Fields) -> None:
    """One more turn, sometimes with a tool call and its result."""
    messages = list(fields.get("messages") or [])
    text = " ".join(rng.choices(_WORDS, k=rng.randint(1, 4)))
    messages.append({"role": "user", "content": text})
    if rng.random() < 0.25:
        call = f"call-{len(messages)}-{rng.randrange(1000)}"
        function = {"name": "lookup", "arguments": json.dumps({"q": text})}
        messages.append(
            {"role": "assistant", "tool_calls": [{"id": call, "type": "function", "function": function}]}
        )
        messages.append({"role": "tool", "tool_call_id": call, "content": f"result {rng.randrange(100)}"})
    if rng.random() < 0.7:
        messages.append({"role": "assistant", "content": text[::-1]})
    fields["messages"] = messages


def shrink(rng: random.Random, fields: Fields) -> None:
    """Messages are removed: `PATCH` replaces the whole array, and it may be shorter. Rows of children must go, too."""
    messages = list(fields.get("messages") or [])
    fields["messages"] = messages[: rng.randint(0, max(0, len(messages) - 1))]
    fields.pop("costs", None)


def complete(rng: random.Random, fields: Fields) -> None:
    """The conversation ends; costs may still be pending."""
    fields["status"] = "completed"
    fields["artifact"] = {
        "structuredOutputs": {"csat": {"name": "CSAT", "result": rng.choice((1, "good", None, [1, 2]))}},
    }
    if rng.random() < 0.5:
        fields["costs"] = [{"type": "model", "model": {"provider": "openai", "model": "gpt"}, "cost": None}]
    else:
        bill(rng, fields)


def bill(rng: random.Random, fields: Fields) -> None:
    """Costs arrive."""
    cost = rng.randrange(1, 1000) / 1000
    fields["costs"] = [
        {
            "type": "model",
            "model": {"provider": "openai", "model": "gpt"},
            "promptTokens": rng.randrange(1000),
            "completionTokens": rng.randrange(100),
            "cost": cost,
        },
        {"type": "session", "cost": 0.01},
    ]
    fields["cost"] = cost + 0.01


def expire(rng: random.Random, fields: Fields) -> None:
    """The session expires."""
    fields["status"] = "completed"
    fields["endedReason"] = f"expired-{rng.randrange(10)}"


def make_odd(rng: random.Random, fields: Fields) -> None:
    """Add a field that the contract does not know, or change the type of one."""
    odd = rng.randrange(6)
    if odd == 0:
        fields[f"unknown{rng.randrange(3)}"] = {"deep": [1, {"x": None}]}
    elif odd == 1:
        fields["cost"] = "0.25"
    elif odd == 2:
        fields["messages"] = {"not": "an array"}
    elif odd == 3:
        fields["messages"] = [
            "text",
            7,
            {"role": ["user"], "content": [{"type": "text", "text": "a"}, {"type": "image"}]},
        ]
    elif odd == 4:
        fields["costs"] = [{"type": "transport", "cost": 0.5, "minutes": 3}, None]
    else:
        fields["assistant"] = {"name": "Embedded", "credentials": [{"provider": "x", "apiKey": "s3cr3t"}]}
    fields["_odd"] = True


def spoil(rng: random.Random, text: bytes) -> bytes:
    """The body without `updatedAt` or without `orgId`: it cannot be read."""
    if rng.random() < 0.5:
        return text.replace(b'"updatedAt": ', b'"changedAt": ', 1)
    return text.replace(b'"orgId": ', b'"orgId": null, "organisation": ', 1)


def is_odd(fields: Fields) -> bool:
    """Whether the rules of `expected` do not cover these fields."""
    return bool(fields.get("_odd"))


def shown(moment: int, micro: bool) -> str:
    """A moment as the source shows it: in milliseconds, or in the microseconds that it keeps."""
    if not micro:
        return show(floor_ms(moment))
    return to_datetime(moment).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def body(
    session_id: str, org_id: str, created_at: int, updated_at: int, fields: Fields, *, micro: bool
) -> bytes:
    """The JSON of a session in a response."""
    times = {"createdAt": shown(created_at, micro), "updatedAt": shown(updated_at, micro)}
    content = {name: value for name, value in fields.items() if not name.startswith("_")}
    return json.dumps({"id": session_id, "orgId": org_id, **times, **content}, ensure_ascii=False).encode()
