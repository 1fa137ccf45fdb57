"""A list response cut into sessions, each with its own JSON text. Pure.

Anything odd about the JSON of one session (half an emoji, absurd depth) must not keep the others from being read. So what
msgspec refuses as a whole is cut by its brackets alone, and each session is judged, and put right (`json_text`), by itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from vapi_sessions.core import json_text


class Metadata(msgspec.Struct):
    """What a page says of itself."""

    totalItems: int  # noqa: N815  # the source's spelling
    itemsPerPage: int  # noqa: N815
    itemsBeyondRetention: bool | None = None  # noqa: N815
    createdAtGe: datetime | None = None  # noqa: N815


class _Envelope(msgspec.Struct):
    results: list[msgspec.Raw]
    metadata: msgspec.Raw


_decode_envelope: Final = msgspec.json.Decoder(_Envelope).decode
_decode_metadata: Final = msgspec.json.Decoder(Metadata, strict=False).decode
#: Bytes of `{"results":[],"metadata":}` with some room for white space; more may hide a second `results`.
_PLAIN_ENVELOPE: Final = 32


def split(body: bytes) -> tuple[Metadata, list[bytes]]:
    """The page's metadata, and each session's own JSON text. Raises ValueError if it is no page."""
    json_text.check_utf8(body)
    try:
        envelope = _decode_envelope(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):  # perhaps only something odd in one session, or in several
        members = json_text.shallow(body.decode())
        _refuse_repeats(members)
        parts = dict(members)
        if not parts.get("results", "").startswith("["):
            raise ValueError("results is no list") from None
        found = [part.encode() for _, part in json_text.shallow(parts["results"])]
        return _decode_metadata(parts.get("metadata", "")), found
    bodies = [bytes(raw) for raw in envelope.results]
    if len(body) - sum(map(len, bodies)) - len(bodies) - len(envelope.metadata) > _PLAIN_ENVELOPE:
        _refuse_repeats(json_text.shallow(body.decode()))
    return _decode_metadata(envelope.metadata), bodies


def _refuse_repeats(members: list[tuple[str, str]]) -> None:
    """A page that names a member twice says two things; the decoder would take the last."""
    if len(dict(members)) < len(members):
        raise ValueError("a member of the page is there twice")
