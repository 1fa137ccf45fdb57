"""The JSON bodies of POST and PATCH, checked as the source checks them: unknown fields, lengths, enumerations.

Each message must be an object with a role. Nothing else of it is checked, because real conversations have shapes that
no declared variant covers, and the source accepts them.
"""

from __future__ import annotations

import re
from typing import Any, Final

from vapi_emulator.parameters import BadRequest, check_string
from vapi_emulator.stored import Session, decode

_UPDATABLE: Final = ("name", "status", "expirationSeconds", "messages")
_CREATABLE: Final = (
    *_UPDATABLE,
    *("assistantId", "assistant", "assistantOverrides", "squadId", "squad"),
    *("customer", "customerId", "phoneNumberId", "phoneNumber"),
)
_OBJECTS: Final = ("assistant", "assistantOverrides", "squad", "phoneNumber")
_CUSTOMER_LENGTHS: Final[dict[str, tuple[int, int | None]]] = {
    "number": (3, 40),
    "name": (0, 40),
    "email": (0, 40),
    "externalId": (0, 40),
    "extension": (0, 10),
    "sipUri": (0, None),
}
_CUSTOMER: Final = {*_CUSTOMER_LENGTHS, "numberE164CheckEnabled", "assistantOverrides", "squadOverrides"}
_E164: Final = re.compile(r"\+[1-9]\d{1,14}")
_LOOSE_NUMBER: Final = re.compile(r"\+?[a-zA-Z0-9]+")
_MAX_CONTENT: Final = 10_000


def parse_create(body: bytes, *, content_limit: bool) -> Session:
    """The fields of a new session. Raises `BadRequest`."""
    return _parse(body, _CREATABLE, content_limit=content_limit)


def parse_update(body: bytes, *, content_limit: bool) -> Session:
    """The fields to change. Raises `BadRequest`."""
    return _parse(body, _UPDATABLE, content_limit=content_limit)


def _parse(body: bytes, allowed: tuple[str, ...], *, content_limit: bool) -> Session:
    try:
        fields = decode(body)
    except ValueError:
        raise BadRequest("Unexpected token in JSON: the body is not JSON") from None
    if not isinstance(fields, dict):
        raise BadRequest("Bad Request: the body must be a JSON object")
    complaints = [f"property {name} should not exist" for name in fields if name not in allowed]
    given = {name: value for name, value in fields.items() if value is not None}
    for name in allowed:
        if name in given:
            complaints += _check(name, given[name], content_limit=content_limit)
    if complaints:
        raise BadRequest(complaints)
    return given


def _check(name: str, value: Any, *, content_limit: bool) -> list[str]:
    if name == "messages":
        return _check_messages(value, content_limit=content_limit)
    if name == "customer":
        return _check_customer(value)
    if name in _OBJECTS:
        return [] if isinstance(value, dict) else [f"{name} must be an object"]
    if name == "status":
        return (
            []
            if value in ("active", "completed")
            else ["status must be one of the following values: active, completed"]
        )
    if name == "expirationSeconds":
        return _check_expiration(value)
    if not isinstance(value, str):
        return [f"{name} must be a string"]
    return check_string(name, value, 0, 40) if name == "name" else []


def _check_expiration(value: Any) -> list[str]:
    name = "expirationSeconds"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return [f"{name} must be a number conforming to the specified constraints"]
    if value < 60:
        return [f"{name} must not be less than 60"]
    return [f"{name} must not be greater than 2592000"] if value > 2_592_000 else []


def _check_messages(value: Any, *, content_limit: bool) -> list[str]:
    if not isinstance(value, list):
        return ["messages must be an array"]
    complaints: list[str] = []
    for n, message in enumerate(value):
        if not isinstance(message, dict):
            complaints.append("each value in nested property messages must be either object or array")
        elif not isinstance(message.get("role"), str):
            complaints.append(f"messages.{n}.role must be a string")
        elif content_limit and isinstance(message.get("content"), str):
            complaints += check_string(f"messages.{n}.content", message["content"], 0, _MAX_CONTENT)
    return complaints


def _check_customer(value: Any) -> list[str]:
    if not isinstance(value, dict):
        return ["customer must be an object"]
    complaints = [f"customer.property {name} should not exist" for name in value if name not in _CUSTOMER]
    for name, (minimum, maximum) in _CUSTOMER_LENGTHS.items():
        if (text := value.get(name)) is None:
            continue
        if isinstance(text, str):
            complaints += check_string(f"customer.{name}", text, minimum, maximum)
        else:
            complaints.append(f"customer.{name} must be a string")
    checked = value.get("numberE164CheckEnabled")
    if checked is not None and not isinstance(checked, bool):
        complaints.append("customer.numberE164CheckEnabled must be a boolean value")
    number = value.get("number")
    if isinstance(number, str):
        if checked is False:
            if not _LOOSE_NUMBER.fullmatch(number):
                complaints.append("customer.number must only contain alphanumeric characters")
        elif not _E164.fullmatch(number):
            complaints.append(
                "customer.number must be a valid phone number in the E.164 format. "
                "Hot tip, you may be missing the country code (Eg. US: +1)."
            )
    for name in ("assistantOverrides", "squadOverrides"):
        if value.get(name) is not None and not isinstance(value[name], dict):
            complaints.append(f"customer.{name} must be an object")
    return complaints
