"""The rows of structured outputs."""

from __future__ import annotations

from typing import Final

import msgspec

from vapi_sessions.transform.columns import Children, json_or_none, string
from vapi_sessions.transform.decoders import ObjectColumns
from vapi_sessions.transform.shapes import ABSENT, RETYPED


def outputs(sessions: ObjectColumns) -> Children:
    """The rows of the sessions' structured outputs, `{id: {name, result}}`. A value of another shape is the result as a whole."""
    counts: list[int] = []
    rows: list[tuple[str, str | None, str | None]] = []
    for artifact in sessions.values["artifact"]:
        before = len(rows)
        text = bytes(artifact)
        try:
            found = _artifact(text).structuredOutputs if text[:1] == b"{" else None
        except ValueError:
            sessions.decoder.drift.add("session.artifact.", "structuredOutputs", RETYPED)
        else:
            rows += [(key, *_output(bytes(value))) for key, value in (found or {}).items()]
        counts.append(len(rows) - before)
    names = ("structured_output_id", "name", "result")
    return counts, {name: [row[at] for row in rows] for at, name in enumerate(names)}


class _Artifact(msgspec.Struct, gc=False):
    structuredOutputs: dict[str, msgspec.Raw] | None = None  # noqa: N815  # the source's name


class _Output(msgspec.Struct, gc=False):
    name: msgspec.Raw = ABSENT
    result: msgspec.Raw = ABSENT


_artifact: Final = msgspec.json.Decoder(_Artifact).decode
_named: Final = msgspec.json.Decoder(_Output).decode


def _output(text: bytes) -> tuple[str | None, str | None]:
    if text[:1] == b"{":
        found = _named(text)
        if found.name is not ABSENT or found.result is not ABSENT:
            return string(bytes(found.name)), json_or_none(found.result)
    return None, None if text == b"null" else text.decode()
