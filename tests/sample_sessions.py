"""Sessions for tests: hand-made, and drawn by hypothesis, as the contract describes them and with violations of it."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from selection import examples
from vapi_sessions.core.json_text import normalised
from vapi_sessions.core.timestamps import parse
from vapi_sessions.transform.flatten import Flat, Version, flatten

CREATED, UPDATED = "2026-03-01T10:00:00.123Z", "2026-03-02T11:00:00.456Z"
FEW = examples(80)


def session(**fields: Any) -> dict[str, Any]:
    return {"id": "s1", "orgId": "o1", "createdAt": CREATED, "updatedAt": UPDATED, **fields}


def version(body: Any, **fields: Any) -> Version:
    """A version with this body (a value, JSON text or bytes), normalised as `json_text` does."""
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))).encode()
    with contextlib.suppress(ValueError):
        body, _ = normalised(body)
    known = {
        "session_id": "s1", "org_id": "o1", "created_at": parse(CREATED), "updated_at": parse(UPDATED),
        "requested_at": 3, "seq": 7, "content_hash": "h",
    }  # fmt: skip
    return Version(**(known | fields), body=body)


def rows(flat: Flat, table: str) -> list[dict[str, Any]]:
    """The rows of a table, with times as microseconds."""
    columns = [
        column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
        for column in flat.tables[table].columns
    ]
    return pa.table(columns, flat.tables[table].column_names).to_pylist()


def row(body: Any, table: str = "sessions", **fields: Any) -> dict[str, Any]:
    """The only row that a body gives in a table."""
    (only,) = rows(flatten([version(body, **fields)]), table)
    return only


# ---------------------------------------------------------------------------------------------------------------------
# Drawn by hypothesis.

TEXTS = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from('"\\:,[]{}$\u0000é😀')), max_size=12)
ODD_TEXTS = st.one_of(TEXTS, TEXTS.map(lambda t: t + "\ud83d"), TEXTS.map(lambda t: "\udc00" + t))
NUMBERS = st.one_of(
    st.integers(-5, 10_000),
    st.integers(),
    st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30]),
    st.floats(allow_nan=False, allow_infinity=False),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, ODD_TEXTS)
KEYS = st.one_of(
    st.sampled_from(
        ["x", "$value", "a$json", "$extra", "$normalised", "content", "$keys", "name", "foo", ""]
    ),
    ODD_TEXTS,
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 9).flatmap(lambda n: VALUES if n == 0 else usual)


def objects(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Some of these fields, mostly of their type; rarely with other members, or a value that is not an object."""
    usual = st.fixed_dictionaries({}, optional={name: mostly(values) for name, values in fields.items()})
    irregular = st.tuples(st.dictionaries(KEYS, VALUES, max_size=2), usual).map(
        lambda pair: pair[0] | pair[1]
    )
    return st.integers(0, 19).flatmap(lambda n: VALUES if n == 0 else irregular if n < 4 else usual)


CALL_IDS = st.sampled_from(["c1", "c2", "c3"])
TIMES = st.one_of(st.integers(0, 2 * 10**12), st.floats(0, 2e12), st.integers(-(10**17), 10**17))
CALLS = st.lists(
    objects(
        {
            "id": CALL_IDS,
            "type": st.just("function"),
            "function": objects({"name": TEXTS, "arguments": st.one_of(TEXTS, VALUES)}),
        }
    ),
    max_size=3,
)
PARTS = st.lists(
    st.one_of(TEXTS, VALUES, st.fixed_dictionaries({"type": st.just("text"), "text": ODD_TEXTS})), max_size=3
)
ROLES = st.sampled_from(
    ["system", "user", "assistant", "bot", "tool", "tool_calls", "tool_call_result", "owl"]
)
COMMON = {"role": ROLES, "metadata": VALUES, "name": TEXTS, "confidence": NUMBERS}
WRITTEN = {
    **COMMON, "content": st.one_of(TEXTS, ODD_TEXTS, PARTS), "tool_calls": CALLS, "tool_call_id": CALL_IDS, "refusal": TEXTS,
}  # fmt: skip
SPOKEN = {
    **COMMON, "message": TEXTS, "time": TIMES, "endTime": TIMES, "secondsFromStart": NUMBERS, "duration": NUMBERS,
    "toolCalls": CALLS, "toolCallId": CALL_IDS, "result": VALUES,
}  # fmt: skip
MODELS = objects({"provider": TEXTS, "model": TEXTS})
COSTS = objects(
    {
        "type": st.sampled_from(["model", "analysis", "session", "chat"]), "analysisType": TEXTS, "model": MODELS,
        "promptTokens": NUMBERS, "completionTokens": NUMBERS, "cachedPromptTokens": NUMBERS, "reasoningTokens": NUMBERS,
        "seconds": NUMBERS, "usageComplete": st.one_of(st.booleans(), VALUES), "cost": NUMBERS,
    }
)  # fmt: skip
EMBEDDED = objects({"name": ODD_TEXTS, "model": MODELS})
SESSION_FIELDS = {
    "name": ODD_TEXTS, "status": st.sampled_from(["active", "completed"]), "expirationSeconds": NUMBERS,
    "assistantId": TEXTS, "squadId": TEXTS, "customerId": TEXTS, "phoneNumberId": TEXTS, "cost": NUMBERS,
    "assistant": EMBEDDED, "assistantOverrides": EMBEDDED, "squad": EMBEDDED, "phoneNumber": VALUES,
    "customer": objects(
        {
            "name": TEXTS, "number": TEXTS, "email": TEXTS, "sipUri": TEXTS, "externalId": TEXTS, "extension": TEXTS,
            "numberE164CheckEnabled": st.booleans(), "assistantOverrides": EMBEDDED,
        }
    ),
    "costs": st.lists(COSTS, max_size=3),
    "messages": st.lists(st.one_of(objects(WRITTEN), objects(SPOKEN), objects(WRITTEN | SPOKEN)), max_size=5),
    "artifact": objects(
        {"structuredOutputs": st.dictionaries(ODD_TEXTS, objects({"name": TEXTS, "result": VALUES}), max_size=2)}
    ),
    "metadata": VALUES,
    "workflowId": TEXTS,
}  # fmt: skip
SESSIONS = (
    objects(SESSION_FIELDS).filter(lambda value: isinstance(value, dict)).map(lambda value: value | session())
)


def plain_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


#: Sessions that the strict decoder reads.
ORDINARY = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.lists(
            st.fixed_dictionaries(
                {"role": ROLES},
                optional={
                    "content": st.one_of(st.none(), TEXTS), "tool_call_id": CALL_IDS, "metadata": st.just({"a": None}),
                    "tool_calls": st.lists(
                        st.fixed_dictionaries(
                            {"id": CALL_IDS, "function": st.fixed_dictionaries({"name": TEXTS, "arguments": TEXTS})}
                        ), max_size=2,
                    ),
                },
            ), max_size=6,
        ),
        "costs": st.lists(
            st.fixed_dictionaries({"cost": st.floats(0, 9)}, optional={"model": st.just({"model": "m", "t": 1})}),
            max_size=2,
        ),
        "customer": st.just({"name": "n", "numberE164CheckEnabled": True}),
        "artifact": st.just({"structuredOutputs": {"u": {"name": "CSAT", "result": [1, None]}}}),
    },
)  # fmt: skip


def with_member(members: str, number: int = 0) -> Version:
    """A version whose JSON ends with these members, exactly as given."""
    body = session() | {"id": f"s{number}"}
    return version(plain_json(body)[:-1] + "," + members + "}", session_id=f"s{number}")
