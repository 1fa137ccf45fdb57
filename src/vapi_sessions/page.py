"""A list response cut into sessions, each with its own JSON text and what has to be known of it to store it. Pure.

Anything odd about the JSON of one session (half an emoji, absurd depth) must not keep the others from being read. So what
msgspec refuses as a whole is cut by its brackets alone, whatever it holds, and each session is judged by itself. One
that does not say what it is (no `updatedAt`, no organisation) becomes an `UnreadableRow`: kept aside, and in nobody's way.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

import msgspec

from vapi_sessions import json_text, timestamps


class Row(msgspec.Struct, frozen=True, gc=False):
    """One session as one response showed it; `body` is its JSON text, untouched. Moments are microseconds."""

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


class Metadata(msgspec.Struct):
    """What a page says of itself."""

    totalItems: int  # noqa: N815  # the source's spelling
    itemsPerPage: int  # noqa: N815
    itemsBeyondRetention: bool | None = None  # noqa: N815
    createdAtGe: datetime | None = None  # noqa: N815


class _Header(msgspec.Struct):
    id: str
    orgId: str  # noqa: N815  # the source's spelling
    createdAt: datetime  # noqa: N815
    updatedAt: datetime  # noqa: N815


class _Envelope(msgspec.Struct):
    results: list[msgspec.Raw]
    metadata: msgspec.Raw


_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_metadata: Final = msgspec.json.Decoder(Metadata, strict=False).decode
_decode_header: Final = msgspec.json.Decoder(_Header).decode
#: Bytes of `{"results":[],"metadata":}` with some room for white space; more may hide a second `results`.
_PLAIN_ENVELOPE: Final = 32
#: Characters of a hash that stand for an id where there is none.
_HASH: Final = 16


def split(body: bytes) -> tuple[Metadata, list[bytes]]:
    """The page's metadata, and each session's own JSON text. Raises ValueError if it is no page."""
    json_text.check_utf8(body)
    try:
        envelope = _decode_envelope(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):  # perhaps only something odd in one session, or in several
        members = json_text.shallow(body.decode())
        _refuse_repeats([name for name, _ in members])
        parts = dict(members)
        if not parts.get("results", "").startswith("["):
            raise ValueError("results is no list") from None
        found = [part.encode() for _, part in json_text.shallow(parts["results"])]
        return _decode_metadata(parts.get("metadata", "")), found
    bodies = [bytes(raw) for raw in envelope.results]
    if len(body) - sum(map(len, bodies)) - len(bodies) - len(envelope.metadata) > _PLAIN_ENVELOPE:
        _refuse_repeats([name for name, _ in json_text.members(body.decode())])
    return _decode_metadata(envelope.metadata), bodies


def _refuse_repeats(names: list[str]) -> None:
    """A page that names a member twice says two things; the decoder would take the last."""
    if len(set(names)) < len(names):
        raise ValueError("a member of the page is there twice")


def read(body: bytes, place: int = 0) -> Row | UnreadableRow:
    """One session by its four indispensable members. Raises ValueError or RecursionError for what is not JSON."""
    try:
        header = _decode_header(body)
    except (msgspec.DecodeError, RecursionError):  # a wrong or missing member, half an emoji, or absurd depth
        members = _members(body)
        try:
            header = msgspec.convert(members, _Header, strict=True)
        except msgspec.ValidationError:
            return _unreadable(body, members, place)
    if not header.id or not header.orgId:
        return _unreadable(body, _members(body), place)
    return Row(
        session_id=header.id,
        org_id=header.orgId,
        created_at=timestamps.from_datetime(header.createdAt),
        updated_at=timestamps.from_datetime(header.updatedAt),
        body=body,
    )


def _members(body: bytes) -> dict[str, str | int | None]:
    """The indispensable members that there are, decoded, however odd the others are; none of what is no object."""
    text = body.decode()
    if not text.startswith("{"):
        return {}
    try:
        parts = json_text.members(text)
    except RecursionError:  # only the nesting is looked at then: what else it holds is for those who store it
        parts = json_text.shallow(text)
    return {name: _value(part) for name, part in parts if name in _Header.__struct_fields__}


def _value(text: str) -> str | int | None:
    """A text or null; 0 for whatever is neither."""
    if text == "null":
        return None
    plain = text.startswith('"') and json_text.castable(text)
    return str(msgspec.json.decode(text)) if plain else 0


def _unreadable(body: bytes, members: dict[str, str | int | None], place: int) -> UnreadableRow:
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
        problem=", ".join(wrong) if body.startswith(b"{") else "it is no object",
        place=place,
    )


def _text(value: str | int | None) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment(value: str | int | None) -> int | None:
    try:
        return timestamps.from_datetime(msgspec.convert(value, datetime, strict=True))
    except (msgspec.ValidationError, OverflowError):
        return None


def _wrong(name: str, members: dict[str, str | int | None]) -> str:
    if name not in members:
        return "missing"
    if members[name] is None or members[name] == "":
        return "null" if members[name] is None else "empty"
    return "not a text" if name in ("id", "orgId") else "not a time"
