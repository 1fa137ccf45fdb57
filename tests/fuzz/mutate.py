"""Pages of sessions, mutated as by malice or accident."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any, Final
from uuid import UUID

#: The value of fields with secret names. It must not occur in anything stored.
CANARY: Final = "c4n4ry"
ORG: Final = "0e111a70-0000-4000-8000-000000000001"

#: Values as JSON texts; some are valid and hostile, some are not JSON at all.
BOMBS: Final[tuple[Callable[[Random], str], ...]] = (
    lambda r: "[" * (depth := r.choice((50, 900, 1_100, 30_000))) + "]" * depth,
    lambda r: '{"a":' * (depth := r.choice((50, 900, 1_100, 30_000))) + "1" + "}" * depth,
    lambda r: "9" * r.choice((19, 20, 400, 6_000)),
    lambda r: f"{r.choice('-1')}1e{r.choice((308, 309, 99_999))}",
    lambda r: "0." + "1" * r.choice((20, 3_000)),
    lambda r: r.choice((r'"\ud800"', r'"\udfff\ud800"', r'"a\u0000b"', r'"\u001b[31m"', '"\u202e\ufeff"')),
    lambda r: '"' + r.choice(("x", "é", "\U0001f600", r"\n")) * r.choice((10, 70_000)) + '"',
    lambda r: '{"a":1,"a":2,"a":{"b":[],"b":null}}',
    lambda r: r.choice(('"../../../etc/passwd"', r'"C:\\x\\y"', '"/"', '"a/b\\u0000"')),
    lambda r: r.choice(
        (
            "\"=cmd|' /C calc'!A0\"",
            '"@SUM(1)"',
            '"<script>alert(1)</script>"',
            '"\'; DROP TABLE sessions; --"',
        )
    ),
    lambda r: r.choice(("null", "true", "[]", "{}", '""', "0", "-0", "[[[]]]", "[null,1,{}]")),
    lambda r: json.dumps({r.choice(("apiKey", "secret", "x-api-key", "password")): CANARY}),
    lambda r: json.dumps(json.dumps({"authToken": CANARY, "n": 1.5})),
    lambda r: json.dumps("[" * 2_000 + json.dumps({"apiKey": CANARY})),
    lambda r: r.choice(("NaN", "Infinity", "01", "+1", "'a'", "{", '"', "nul", "\x00")),
)
#: Names of fields that the exporter handles in a special way.
NAMES: Final = (
    "messages", "costs", "artifact", "customer", "metadata", "assistant", "name", "status", "cost", "content", "message",
    "role", "tool_calls", "toolCalls", "arguments", "function", "result", "time", "endTime", "structuredOutputs", "type",
    "headers", "credentials", "server", "expirationSeconds", "extra", "$json", "", "a.b", "id", "number", "variableValues",
)  # fmt: skip


def session(random: Random, number: int, moment: str) -> dict[str, Any]:
    """An ordinary session."""
    text = random.choice(("Hello", "Call +1 555 010 4477", "mail ann@mail.test", "für Ö", "{}", '{"a":1}'))
    return {
        "id": str(UUID(int=random.getrandbits(64) * 4096 + number, version=4)),
        "orgId": ORG,
        "createdAt": moment,
        "updatedAt": moment,
        "name": "Ann's",
        "customer": {"number": "+15550104477", "name": "Ann Lee", "email": "ann@mail.test"},
        "assistant": {
            "server": {"url": "https://x.test", "secret": CANARY},
            "model": {"provider": "p", "model": "m"},
        },
        "messages": [
            {"role": "user", "content": text},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "t",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"token":"c4n4ry"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "t", "content": text},
        ],
        "costs": [{"type": "model", "promptTokens": 3, "cost": 0.25}],
        "cost": 0.25,
        "artifact": {"structuredOutputs": {"u": {"name": "CSAT", "result": 5}}},
        "metadata": {"variableValues": {"a": 1}},
    }


class _Hole:
    """A place in a decoded value for a text that need not be JSON."""

    def __init__(self, text: str) -> None:
        self.text = text


def mutated(random: Random, value: dict[str, Any]) -> str:
    """The JSON text of a session in which some values are replaced by bombs."""
    for _ in range(random.choice((0, 1, 1, 2, 5))):
        here: Any = value
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            if here is value:
                keys = [key for key in keys if key not in ("id", "orgId", "createdAt", "updatedAt")]
            key = random.choice(keys) if keys else None
            if key is not None and isinstance(here[key], dict | list) and here[key] and random.random() < 0.7:
                here = here[key]
                continue
            bomb = _Hole(random.choice(BOMBS)(random))
            if isinstance(here, dict):
                here[key if key is not None and random.random() < 0.6 else random.choice(NAMES[:-4])] = bomb
            else:
                here.append(bomb)
            break
    return _written(value)


def _written(value: Any) -> str:
    if isinstance(value, _Hole):
        return value.text
    if isinstance(value, dict):
        return (
            "{" + ",".join(f"{json.dumps(name)}:{_written(member)}" for name, member in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def page(random: Random, texts: list[str]) -> bytes:
    """A list response with these sessions; one in six has damaged bytes."""
    metadata = f'{{"itemsPerPage":1000,"totalItems":{len(texts)},"currentPage":1}}'
    body = f'{{"results":[{",".join(texts)}],"metadata":{metadata}}}'.encode("utf-8", "surrogatepass")
    if random.random() < 5 / 6:
        return body
    at = random.randrange(len(body))
    return random.choice(
        (
            body[:at],
            body[:at] + bytes([random.randrange(256)]) + body[at + 1 :],
            body[:at] + random.randbytes(3) + body[at:],
            body[:at] + body[at + 1 :],
            body + body,
            b"\xef\xbb\xbf" + body,
        )
    )
