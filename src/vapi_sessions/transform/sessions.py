"""The columns of sessions.

A field with a column is declared in its shape and in `schema.py`, and needs nothing else. Fields that are not declared are kept in `extra`
and counted as drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vapi_sessions.core.json_text import members
from vapi_sessions.transform.columns import Children, Columns, json_or_none, string
from vapi_sessions.transform.costs import first_models
from vapi_sessions.transform.decoders import ObjectColumns
from vapi_sessions.transform.shapes import (
    ABSENT,
    DOUBLE,
    INTEGER,
    JSON,
    MAX_TIME,
    MIN_TIME,
    TEXT,
    Field,
    Shape,
)

#: The contract's default for `expirationSeconds`.
DEFAULT_EXPIRATION: Final = 86_400

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
    # Stored in raw only, except for names that have a column.
    Field("assistant", JSON),
    Field("assistantOverrides", JSON),
    Field("squad", JSON),
    Field("phoneNumber", JSON),
)


def sessions(found: ObjectColumns, created: Sequence[int], costs: Children) -> Columns:
    """The columns that come from the sessions' own members. `created`: of each session, µs; `costs`: their rows."""
    values = found.values
    columns = found.columns() | found.objects("customer", CUSTOMER).columns()
    models = first_models(costs)
    names = []
    for at, embedded in enumerate(zip(values["assistant"], values["assistantOverrides"], strict=True)):
        name, provider, model = embedded_names(*map(bytes, embedded))
        if provider is None and model is None:
            provider, model = models.get(at, (None, None))
        names.append((name, provider, model))
    lifetimes = zip(values["expirationSeconds"], values["extra_parts"], strict=True)
    return columns | {
        "expires_at": [
            expiry(begin, _lifetime(*each)) for begin, each in zip(created, lifetimes, strict=True)
        ],
        "assistant_name": [name for name, _, _ in names],
        "squad_name": [string(bytes(squad), "name") for squad in values["squad"]],
        "model_provider": [provider for _, provider, _ in names],
        "model_name": [model for _, _, model in names],
        "artifact": list(map(json_or_none, values["artifact"])),
        "metadata": list(map(json_or_none, values["metadata"])),
        "extra": found.extras(),
    }


def embedded_names(assistant: bytes, overrides: bytes) -> tuple[str | None, str | None, str | None]:
    """assistant_name, model_provider and model_name from the JSON text of both embedded objects. The assistant wins."""
    name = provider = model = None
    for text in (assistant, overrides):
        if text[:1] == b"{":
            top = members(text)
            inner = bytes(top.get("model", ABSENT))
            name = string(bytes(top.get("name", ABSENT))) if name is None else name
            if provider is None and model is None:
                provider, model = string(inner, "provider"), string(inner, "model")
    return name, provider, model


def _lifetime(seconds: int | None, extra_parts: list[str] | None) -> int | None:
    """Seconds until the session expires; None if the source's value is not a number."""
    if seconds is None and not any(part.startswith('"expirationSeconds":') for part in extra_parts or ()):
        return DEFAULT_EXPIRATION
    return seconds


def expiry(created_at: int, seconds: int | None) -> int | None:
    """created_at + seconds, in microseconds; None if it is outside of the range of timestamps."""
    at = None if seconds is None else created_at + seconds * 1_000_000
    return at if at is not None and MIN_TIME <= at <= MAX_TIME else None
