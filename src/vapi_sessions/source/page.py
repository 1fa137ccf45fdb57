"""One list response: the body is split into sessions, each with its own JSON text. Pure.

Odd JSON in one session (half an emoji, extreme nesting) must not prevent the others from being read. If msgspec rejects
the whole body, it is split at its brackets alone, and each session is then read and repaired (`json_text`) separately.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from vapi_sessions.core import json_text, timestamps
from vapi_sessions.core.intervals import BEGINNING
from vapi_sessions.source.list_query import Query
from vapi_sessions.transform.headers import Row, UnreadableRow, read_session


@dataclass(frozen=True, slots=True)
class Page:
    """One list response, which is one consistent snapshot of the source."""

    rows: list[Row]
    total: int
    limit: int  # the page size in effect; a server may cap it below the requested one
    requested_at: int
    seq: int
    server_time: int | None  # the Date header in µs; None if a cache answered
    size: int  # bytes of the body
    beyond_retention: bool = False  # the source says that it omits sessions older than the plan's retention
    unreadable: list[UnreadableRow] = field(default_factory=list)

    @property
    def listed(self) -> list[Row | UnreadableRow]:
        """All rows, readable or not, in the order of the response."""
        found: list[Row | UnreadableRow] = list(self.rows)
        for row in self.unreadable:
            found.insert(row.place, row)
        return found

    @property
    def count(self) -> int:
        """The number of sessions the source counts; at least the number it lists."""
        return max(self.total, len(self.rows) + len(self.unreadable))


class Metadata(msgspec.Struct):
    """The metadata of a page. Other fields are ignored."""

    totalItems: int  # noqa: N815  # the source's spelling
    itemsPerPage: int  # noqa: N815
    itemsBeyondRetention: bool | None = None  # noqa: N815
    createdAtGe: datetime | None = None  # noqa: N815


class _Envelope(msgspec.Struct):
    results: list[msgspec.Raw]
    metadata: msgspec.Raw


_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_metadata: Final = msgspec.json.Decoder(Metadata, strict=False).decode
#: Bytes of `{"results":[],"metadata":}` plus some white space. A longer envelope may contain a second `results`.
_PLAIN_ENVELOPE: Final = 32


def read_page(body: bytes, query: Query, *, requested_at: int, seq: int, server_time: int | None) -> Page:
    """The page in a response body. Raises ValueError or RecursionError if the body is not a page."""
    metadata, texts = split(body)
    if metadata.totalItems < 0:
        raise ValueError(f"totalItems is {metadata.totalItems}")
    listed = [read_session(text, place) for place, text in enumerate(texts)]
    limit = metadata.itemsPerPage
    return Page(
        rows=[row for row in listed if isinstance(row, Row)],
        total=metadata.totalItems,
        limit=min(query.limit, limit) if limit > 0 else query.limit,
        requested_at=requested_at,
        seq=seq,
        server_time=server_time,
        size=len(body),
        beyond_retention=_is_cut_by_retention(metadata, query),
        unreadable=[row for row in listed if isinstance(row, UnreadableRow)],
    )


def split(body: bytes) -> tuple[Metadata, list[bytes]]:
    """The metadata of a page and the JSON text of each session. Raises ValueError if the body is not a page."""
    json_text.check_utf8(body)
    try:
        envelope = _decode_envelope(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):  # possibly only because of odd JSON in some sessions
        members = json_text.shallow(body.decode())
        _refuse_repeats(members)
        parts = dict(members)
        if not parts.get("results", "").startswith("["):
            raise ValueError("results is not a list") from None
        found = [part.encode() for _, part in json_text.shallow(parts["results"])]
        return _decode_metadata(parts.get("metadata", "")), found
    bodies = [bytes(raw) for raw in envelope.results]
    if len(body) - sum(map(len, bodies)) - len(bodies) - len(envelope.metadata) > _PLAIN_ENVELOPE:
        _refuse_repeats(json_text.shallow(body.decode()))
    return _decode_metadata(envelope.metadata), bodies


def _refuse_repeats(members: list[tuple[str, str]]) -> None:
    """Reject a page that contains a member twice: it is ambiguous, and the decoder would take the last one."""
    if len(dict(members)) < len(members):
        raise ValueError("a member of the page appears twice")


def _is_cut_by_retention(metadata: Metadata, query: Query) -> bool:
    """Whether the response says that older sessions were omitted: by a flag, or by a later bound than requested."""
    echoed = timestamps.from_datetime(metadata.createdAtGe) if metadata.createdAtGe is not None else None
    asked = query.created.lower if query.created is not None else BEGINNING
    return bool(metadata.itemsBeyondRetention) or (
        echoed is not None and asked != BEGINNING and echoed > asked
    )
