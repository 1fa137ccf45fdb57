"""One session's JSON: is it well-formed, and what has to be known of it to store it. Pure.

A session that does not say what it is (no `updatedAt`, no organisation) becomes an `UnreadableRow`: kept aside, and in nobody's way.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any, Final

import msgspec

from vapi_sessions.core import json_text, timestamps
from vapi_sessions.transform.mapping import ABSENT, MESSAGE, SESSION, Shape


class Row(msgspec.Struct, frozen=True, gc=False):
    """One session as one response showed it; `body` is its JSON text, as `json_text.normalised` gives it. Moments are microseconds."""

    session_id: str
    org_id: str
    created_at: int
    updated_at: int
    body: bytes


class UnreadableRow(msgspec.Struct, frozen=True, gc=False):
    """An element of a list that does not say what it is. What it does say is here; `problem` names what is wrong.

    `key` tells it from other rows of one walk: its id, or a hash of its text. `place`: its position in the response.
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


#: Characters of a hash that stand for an id where there is none.
_HASH: Final = 16


def read_session(body: bytes, place: int = 0) -> Row | UnreadableRow:
    """One session by its four indispensable members. Raises ValueError for what is not JSON."""
    value = _look(body)
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
    """The session's JSON text as `json_text.normalised` gives it. Raises ValueError for what is not JSON."""
    return body if _look(body) is not None else json_text.normalised(body)[0]


# ---------------------------------------------------------------------------------------------------------------------
# A quick look: most sessions have the usual members, and nothing odd about them. Decoding everything takes twice as long.


def _usual(shape: Shape, *others: str, **kinds: Any) -> Any:
    """A struct of the members that such an object usually has, which is written again with no more than it had."""
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
_Usual: Final = _usual(SESSION, messages=list[_Message] | msgspec.UnsetType)  # type: ignore[valid-type]  # made just now
_decode_usual: Final = msgspec.json.Decoder(_Usual, float_hook=msgspec.Raw).decode


def _look(body: bytes) -> Any:
    """The session, if it is certain that nothing is odd about its JSON; None otherwise."""
    try:
        session = _decode_usual(body)
    except (ValueError, RecursionError):
        return None
    brackets = body.count(b"[") + body.count(b"{")
    if (
        # What lost nothing is as long as before; and at most one of the messages is open at a time.
        len(json_text.encode(session)) != len(body)
        or (brackets >= json_text.MOST_DEEP + len(session.messages or ()) and json_text.deeper(session))
        # What was said is not decoded, which only hides nothing if it is a string.
        or _NO_STRING.search(body)
    ):
        return None
    return session


_NO_STRING: Final = re.compile(rb'"(?:content|message)":[^"n]')


def _unreadable(body: bytes, place: int) -> UnreadableRow:
    body, value = json_text.normalised(body)
    members = value if isinstance(value, dict) else {}
    session_id, org_id = _text(members.get("id")), _text(members.get("orgId"))
    created, updated = _moment(members.get("createdAt")), _moment(members.get("updatedAt"))
    found = {"id": session_id, "orgId": org_id, "createdAt": created, "updatedAt": updated}
    wrong = [f"{name} is {_wrong(name, members)}" for name, value in found.items() if value is None]
    return UnreadableRow(
        key=session_id or f"#{hashlib.sha256(body).hexdigest()[:_HASH]}",
        session_id=session_id,
        org_id=org_id,
        created_at=created,
        updated_at=updated,
        body=body,
        problem=", ".join(wrong) if isinstance(value, dict) else "it is no object",
        place=place,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment(value: Any) -> int | None:
    try:
        return timestamps.from_datetime(msgspec.convert(value, datetime, strict=True))
    except (msgspec.ValidationError, OverflowError):
        return None


def _wrong(name: str, members: dict[str, Any]) -> str:
    if name not in members:
        return "missing"
    if members[name] is None or members[name] == "":
        return "null" if members[name] is None else "empty"
    return "not a text" if name in ("id", "orgId") else "not a time"
