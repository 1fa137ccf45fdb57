"""The mapping of the source's fields to columns. To add a session field or a cost field, add it here and to `schema.py`.

A field with a column needs nothing else. A field without one is handled in the module of its table (`sessions`, `messages`, `costs`). Fields that are not declared are
kept in `extra` and counted as drift. Roles that are not listed are counted, too, and so are cost types (`costs`).
"""

from __future__ import annotations

from typing import Final

from vapi_sessions.transform.shapes import (
    BOOLEAN,
    CONTENT,
    DOUBLE,
    INTEGER,
    JSON,
    MILLIS,
    TEXT,
    Field,
    Shape,
    nested,
)

#: Others are counted as drift.
KNOWN_ROLES: Final = frozenset(
    {"system", "user", "assistant", "bot", "tool", "developer", "tool_calls", "tool_call_result", "function"}
)

FUNCTION: Final = Shape("tool_call.function.", Field("name", TEXT), Field("arguments", JSON))
CALL: Final = Shape(
    "tool_call.",
    Field("id", TEXT, "tool_call_id"),
    Field("type", TEXT, "type"),
    nested("function", FUNCTION),
)
MESSAGE: Final = Shape(
    "message.",
    Field("role", TEXT, "role"),
    Field("content", CONTENT),
    Field("message", TEXT),
    Field("name", TEXT, "name"),
    Field("tool_call_id", TEXT),
    Field("toolCallId", TEXT),
    nested("tool_calls", CALL, many=True),
    nested("toolCalls", CALL, many=True),
    Field("result", JSON),
    Field("refusal", TEXT, "refusal"),
    Field("time", MILLIS),
    Field("endTime", MILLIS),
    Field("secondsFromStart", DOUBLE, "seconds_from_start"),
    Field("duration", DOUBLE, "duration_seconds"),
    Field("confidence", DOUBLE, "confidence"),
    Field("metadata", JSON, "metadata"),
)
MODEL: Final = Shape(
    "cost.model.", Field("provider", TEXT, "model_provider"), Field("model", TEXT, "model_name")
)
COST: Final = Shape(
    "cost.",
    Field("type", TEXT, "type"),
    Field("analysisType", TEXT, "analysis_type"),
    Field("model", JSON),
    Field("promptTokens", INTEGER, "prompt_tokens"),
    Field("completionTokens", INTEGER, "completion_tokens"),
    Field("cachedPromptTokens", INTEGER, "cached_prompt_tokens"),
    Field("reasoningTokens", INTEGER, "reasoning_tokens"),
    Field("seconds", DOUBLE, "billed_seconds"),
    Field("usageComplete", BOOLEAN, "usage_complete"),
    Field("cost", DOUBLE, "cost_usd"),
)
CUSTOMER: Final = Shape(
    "session.customer.",
    Field("name", TEXT, "customer_name"),
    Field("number", TEXT, "customer_number"),
    Field("email", TEXT, "customer_email"),
    Field("sipUri", TEXT, "customer_sip_uri"),
    Field("externalId", TEXT, "customer_external_id"),
    # Stored in raw only.
    Field("assistantOverrides", JSON),
    Field("squadOverrides", JSON),
)
SESSION: Final = Shape(
    "session.",
    Field("id", TEXT),
    Field("orgId", TEXT),
    Field("createdAt", TEXT),
    Field("updatedAt", TEXT),
    Field("name", TEXT, "name"),
    Field("status", TEXT, "status"),
    Field("expirationSeconds", INTEGER, "expiration_seconds"),
    Field("assistantId", TEXT, "assistant_id"),
    Field("squadId", TEXT, "squad_id"),
    Field("customerId", TEXT, "customer_id"),
    Field("phoneNumberId", TEXT, "phone_number_id"),
    Field("cost", DOUBLE, "cost_usd"),
    Field("artifact", JSON, "artifact"),
    Field("metadata", JSON, "metadata"),
    Field("customer", JSON),
    Field("messages", JSON),
    Field("costs", JSON),
    # Stored in raw only, except for names that have a column (`sessions`).
    Field("assistant", JSON),
    Field("assistantOverrides", JSON),
    Field("squad", JSON),
    Field("phoneNumber", JSON),
)
