"""Reads the ids and times of a session, and checks that its JSON is well-formed.

A session without one of them becomes an `UnreadableRow`, which is stored separately, so that it does not stop a sync.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any, Final

import msgspec

from vapi_sessions.core import json_text, timestamps
from vapi_sessions.transform.messages import MESSAGE
from vapi_sessions.transform.sessions import SESSION
from vapi_sessions.transform.shapes import ABSENT, Shape


class Row(msgspec.Struct, frozen=True, gc=False):
    """A session in a response. `body`: its JSON text, as `json_text.normalised` returns it. Times are microseconds."""

    session_id: str
    org_id: str
    created_at: int
    updated_at: int
    body: bytes


class UnreadableRow(msgspec.Struct, frozen=True, gc=False):
    """An element of a list whose id, organisation or times are missing or invalid; `problem` says which. The valid ones are set.

    `key` identifies it during one walk: its id, or a hash of its text. `place`: its position in the response.
    """

    key: str
    session_id: str | None
    org_id: str | None
    created_at: int | None
    updated_at: int | None
    body: bytes
    problem: str
    place: int = 0


class _Header(msgspec.Struct):
    id: str
    orgId: str  # noqa: N815  # the source's spelling
    createdAt: datetime  # noqa: N815
    updatedAt: datetime  # noqa: N815


#: Characters of the hash that replaces a missing id.
_HASH: Final = 16


def read_session(body: bytes, place: int = 0) -> Row | UnreadableRow:
    """A session with its ids and times. Raises ValueError if the body is not JSON."""
    value = _quick(body)
    if value is None:
        body, value = json_text.normalised(body)
    try:
        header = msgspec.convert(value, _Header, from_attributes=True)
    except msgspec.ValidationError:
        return _unreadable(body, place)
    if not header.id or not header.orgId:
        return _unreadable(body, place)
    return Row(
        session_id=header.id,
        org_id=header.orgId,
        created_at=timestamps.from_datetime(header.createdAt),
        updated_at=timestamps.from_datetime(header.updatedAt),
        body=body,
    )


def well_formed(body: bytes) -> bytes:
    """The session's JSON text as `json_text.normalised` returns it. Raises ValueError if the body is not JSON."""
    return body if _quick(body) is not None else json_text.normalised(body)[0]


# ---------------------------------------------------------------------------------------------------------------------
# A quick check: most sessions have only usual members and regular JSON. Decoding everything takes twice as long.


def _usual(shape: Shape, *others: str, **kinds: Any) -> Any:
    """A struct of the members that such an object usually has. Encoding it gives only the members that were present."""
    return msgspec.defstruct(
        "Usual",
        [(name, kinds.get(name, Any), ABSENT if kinds.get(name) is msgspec.Raw else msgspec.UNSET) for name in (*shape.fields, *others)],
        omit_defaults=True,
        forbid_unknown_fields=True,
        gc=False,
    )  # fmt: skip


_Message: Final = _usual(
    MESSAGE,
    "source",
    "confidenceSource",
    "isFiltered",
    "speakerLabel",
    content=msgspec.Raw,
    message=msgspec.Raw,
)
_Usual: Final = _usual(SESSION, messages=list[_Message] | msgspec.UnsetType)  # type: ignore[valid-type]  # defined at run time
_decode_usual: Final = msgspec.json.Decoder(_Usual, float_hook=msgspec.Raw).decode


def _quick(body: bytes) -> Any:
    """The decoded session if its JSON certainly is regular; else None."""
    try:
        session = _decode_usual(body)
    except (ValueError, RecursionError):
        return None
    brackets = body.count(b"[") + body.count(b"{")
    if (
        # Equal length shows that decoding lost nothing. At most one message is open at a time, so the others add no depth.
        len(json_text.encode(session)) != len(body)
        or (brackets >= json_text.MOST_DEEP + len(session.messages or ()) and json_text.deeper(session))
        # Contents were not decoded. Unlike a string, another value could hide an irregularity.
        or _NOT_A_STRING.search(body)
    ):
        return None
    return session


_NOT_A_STRING: Final = re.compile(rb'"(?:content|message)":[^"n]')


def _unreadable(body: bytes, place: int) -> UnreadableRow:
    body, value = json_text.normalised(body)
    members = value if isinstance(value, dict) else {}
    session_id, org_id = _text(members.get("id")), _text(members.get("orgId"))
    created, updated = _time(members.get("createdAt")), _time(members.get("updatedAt"))
    found = {"id": session_id, "orgId": org_id, "createdAt": created, "updatedAt": updated}
    problems = [f"{name} is {_problem(name, members)}" for name, value in found.items() if value is None]
    return UnreadableRow(
        key=session_id or f"#{hashlib.sha256(body).hexdigest()[:_HASH]}",
        session_id=session_id,
        org_id=org_id,
        created_at=created,
        updated_at=updated,
        body=body,
        problem=", ".join(problems) if isinstance(value, dict) else "it is not an object",
        place=place,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _time(value: Any) -> int | None:
    try:
        return timestamps.from_datetime(msgspec.convert(value, datetime, strict=True))
    except (msgspec.ValidationError, OverflowError):
        return None


def _problem(name: str, members: dict[str, Any]) -> str:
    if name not in members:
        return "missing"
    if members[name] is None or members[name] == "":
        return "null" if members[name] is None else "empty"
    return "not a string" if name in ("id", "orgId") else "not a time"
