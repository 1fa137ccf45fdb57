"""A session as stored: its filterable fields, and its JSON ready to be sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from vapi_emulator.times import SECOND_US, iso_ms

Session = dict[str, Any]

DEFAULT_EXPIRATION_SECONDS: Final = 86_400
_FIXED: Final = frozenset({"id", "orgId", "createdAt", "updatedAt"})


class StoredSession(NamedTuple):
    """A session as stored, in the order of the columns."""

    id: str
    org_id: str
    created_us: int
    updated_us: int
    expires_us: int
    cost: float | None
    duration: float | None
    pending: int
    status: str | None
    name: str | None
    assistant_id: str | None
    squad_id: str | None
    workflow_id: str | None
    phone_number_id: str | None
    customer_number: str | None
    customer_name: str | None
    customer_sip_uri: str | None
    customer_email: str | None
    customer_external_id: str | None
    customer_extension: str | None
    customer_e164: int | None
    assistant_overrides: str | None
    squad_overrides: str | None
    body: bytes


def encode(value: Any) -> bytes:
    """Compact JSON in UTF-8. A lone surrogate, which UTF-8 does not have, stays an escape."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def decode(data: bytes) -> Any:
    """The value of JSON text. Raises ValueError."""
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        return json.loads(data, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def canonical(value: Any) -> str | None:
    """JSON text that is equal for equal values; None stays None."""
    return None if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))


def is_pending(session: Mapping[str, Any]) -> bool:
    """Whether the cost is pending: null or absent, not zero."""
    return session.get("cost") is None


def make_row(
    session: Session, created_us: int, updated_us: int, duration: float | None = None
) -> StoredSession:
    """The stored form of a session. Its JSON has the given timestamps and begins with the four fixed fields."""
    session = {
        "id": session["id"],
        "orgId": session["orgId"],
        "createdAt": iso_ms(created_us),
        "updatedAt": iso_ms(updated_us),
    } | {key: value for key, value in session.items() if key not in _FIXED}
    customer = session.get("customer")
    if not isinstance(customer, dict):
        customer = {}
    seconds = session.get("expirationSeconds", DEFAULT_EXPIRATION_SECONDS)
    e164 = customer.get("numberE164CheckEnabled", True) if customer else None
    return StoredSession(
        id=session["id"],
        org_id=session["orgId"],
        created_us=created_us,
        updated_us=updated_us,
        expires_us=created_us + int(seconds * SECOND_US),
        cost=session.get("cost"),
        duration=duration,
        pending=int(is_pending(session)),
        status=session.get("status"),
        name=session.get("name"),
        assistant_id=session.get("assistantId"),
        squad_id=session.get("squadId"),
        workflow_id=session.get("workflowId"),
        phone_number_id=session.get("phoneNumberId"),
        customer_number=customer.get("number"),
        customer_name=customer.get("name"),
        customer_sip_uri=customer.get("sipUri"),
        customer_email=customer.get("email"),
        customer_external_id=customer.get("externalId"),
        customer_extension=customer.get("extension"),
        customer_e164=None if e164 is None else int(e164),
        assistant_overrides=canonical(customer.get("assistantOverrides")),
        squad_overrides=canonical(customer.get("squadOverrides")),
        body=encode(session),
    )
