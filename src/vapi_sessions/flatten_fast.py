"""Ordinary sessions to columns, many at once: what `flatten_generic` does one by one, with the same result.

Sessions whose every member has a column and the type that goes with it are decoded into structs, and each column is one
pass over them. What does not fit is handed back: `flatten_generic` takes it. Three things that decoding into structs
would hide are looked for on the whole batch: repeated keys (more keys in the text than fields in the structs), times
that a microsecond cannot hold, and messages that mix the names of spoken and written ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from vapi_sessions import schema
from vapi_sessions.flatten_generic import (
    ASSISTANT_ROLES,
    DEFAULT_EXPIRATION,
    KNOWN_COST_TYPES,
    KNOWN_ROLES,
    RESULT_ROLES,
    embedded_names,
    expiry,
    structured_output_rows,
)
from vapi_sessions.flatten_reader import MAX_TIME, MIN_TIME, Drift, Reader, approximate, castable

if TYPE_CHECKING:
    from vapi_sessions.flatten import Version

Columns = dict[str, Any]
#: How many rows each session has in a table, and the columns of all of them.
Children = tuple[list[int], Columns]

# ---------------------------------------------------------------------------------------------------------------------
# The ordinary shapes. A bound in a type sends what a column cannot hold exactly to the generic way.

_ABSENT: Final = msgspec.Raw()
_Double = Annotated[float, msgspec.Meta(gt=-(2**53), lt=2**53)]
_BigInt = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Millis = Annotated[float, msgspec.Meta(ge=MIN_TIME // 1000, le=MAX_TIME // 1000)]


class _Strict(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Only what has a column."""


class _Function(_Strict, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(_Strict, gc=False):
    id: str | None = None
    type: str | None = None
    function: _Function | None = None


class _Written(_Strict, gc=False):
    """A chat message."""

    role: str | None = None
    content: str | None = None
    name: str | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    metadata: msgspec.Raw = _ABSENT


class _Message(_Written, gc=False):
    """A chat message, or one of a call."""

    message: str | None = None
    toolCallId: str | None = None  # noqa: N815 -- the source's name
    toolCalls: list[_Call] | None = None  # noqa: N815 -- the source's name
    time: _Millis | None = None
    endTime: _Millis | None = None  # noqa: N815 -- the source's name
    secondsFromStart: _Double | None = None  # noqa: N815 -- the source's name
    duration: _Double | None = None


class _Cost(_Strict, gc=False):
    type: str | None = None
    analysisType: str | None = None  # noqa: N815 -- the source's name
    model: msgspec.Raw = _ABSENT
    promptTokens: _BigInt | None = None  # noqa: N815 -- the source's name
    completionTokens: _BigInt | None = None  # noqa: N815 -- the source's name
    cachedPromptTokens: _BigInt | None = None  # noqa: N815 -- the source's name
    reasoningTokens: _BigInt | None = None  # noqa: N815 -- the source's name
    cost: _Double | None = None


class _Customer(_Strict, gc=False):
    name: str | None = None
    number: str | None = None
    email: str | None = None
    sipUri: str | None = None  # noqa: N815 -- the source's name
    externalId: str | None = None  # noqa: N815 -- the source's name
    # No column; but the source has a default for the first one, so it may be everywhere.
    numberE164CheckEnabled: bool | None = None  # noqa: N815 -- the source's name
    extension: str | None = None


_TEXTS: Final = ("name", "status", "assistantId", "squadId", "customerId", "phoneNumberId")
_RAWS: Final = ("artifact", "metadata", "assistant", "assistantOverrides", "squad", "phoneNumber")


def _decoder(message: type[_Written]) -> Callable[[bytes], Any]:
    """Sessions with messages of one kind: fewer fields, fewer columns."""
    session = msgspec.defstruct(
        "_Session",
        [
            *((name, str | None, None) for name in ("id", "orgId", "createdAt", "updatedAt", *_TEXTS)),
            *((name, msgspec.Raw, _ABSENT) for name in _RAWS),
            ("expirationSeconds", _BigInt | None, None),
            ("customer", _Customer | None, None),
            ("cost", _Double | None, None),
            ("costs", list[_Cost] | None, None),
            ("messages", list[message] | None, None),  # type: ignore[valid-type]  # a variable, on purpose
        ],
        bases=(_Strict,),
        gc=False,
    )
    return msgspec.json.Decoder(session).decode


_written: Final = _decoder(_Written)
_spoken: Final = _decoder(_Message)


class _OddError(Exception):
    """These sessions, by position, are not ordinary."""

    def __init__(self, positions: Iterable[int]) -> None:
        super().__init__()
        self.positions = frozenset(positions)


@dataclass(slots=True)
class Batch:
    """The columns of some sessions, and of their children in the same order."""

    versions: Sequence[Version]
    sessions: Columns
    children: dict[schema.Table, Children]


def batches(versions: Sequence[Version], drift: Drift) -> tuple[list[Batch], list[Version]]:
    """The ordinary sessions among them, and the others."""
    written: list[tuple[Version, Any]] = []
    spoken: list[tuple[Version, Any]] = []
    odd: list[Version] = []
    for version in versions:
        for decode, found in ((_written, written), (_spoken, spoken)):
            try:
                session = decode(version.body)
            except (ValueError, RecursionError):
                continue
            if session.id == version.session_id and session.orgId == version.org_id:
                found.append((version, session))
                break
        else:
            odd.append(version)
    done: list[Batch] = []
    for found, is_spoken in ((written, False), (spoken, True)):
        while found:
            try:
                done.append(_batch(found, is_spoken, drift))
                break
            except _OddError as error:
                odd.extend(version for at, (version, _) in enumerate(found) if at in error.positions)
                found = [pair for at, pair in enumerate(found) if at not in error.positions]  # noqa: PLW2901 -- the rest
    return done, odd


# ---------------------------------------------------------------------------------------------------------------------
# Columns.


class _Texts:
    """Values that stay text; remembers them, and the sessions of those that no JSON column can hold."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.odd: set[int] = set()

    def column(self, raws: Iterable[msgspec.Raw], owners: Sequence[int]) -> list[str | None]:
        return [None if raw is _ABSENT else self._text(bytes(raw), owner) for raw, owner in zip(raws, owners, strict=True)]

    def _text(self, raw: bytes, owner: int) -> str | None:
        if raw == b"null":
            return None
        self.seen.append(raw)
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            self.odd.add(owner)
            return None
        if not castable(text):
            self.odd.add(owner)
        return text


def _batch(found: Sequence[tuple[Version, Any]], is_spoken: bool, drift: Drift) -> Batch:
    versions = [version for version, _ in found]
    sessions = [session for _, session in found]
    own = Drift()  # joins `drift` when nothing can send a session elsewhere any more
    texts = _Texts()
    places = range(len(sessions))
    session_columns = _sessions(versions, sessions, texts)

    lists = [session.messages or () for session in sessions]
    counts = [len(messages) for messages in lists]
    messages = list(chain.from_iterable(lists))
    owners = [place for place, count in zip(places, counts, strict=True) for _ in range(count)]
    roles = [[message.role for message in own_messages] for own_messages in lists]
    session_columns["user_message_count"] = [own_roles.count("user") for own_roles in roles]
    session_columns["assistant_message_count"] = [
        sum(map(own_roles.count, ASSISTANT_ROLES)) for own_roles in roles
    ]
    message_columns, message_keys = _messages(messages, list(chain.from_iterable(roles)), is_spoken, owners, texts, own)
    starts = _starts(counts)
    call_counts, call_columns, call_keys = _tool_calls(messages, message_columns, owners, starts)
    message_columns["tool_call_count"] = _per_message(call_columns.pop("at"), len(messages))

    cost_lists = [session.costs or () for session in sessions]
    cost_counts = [len(costs) for costs in cost_lists]
    costs = list(chain.from_iterable(cost_lists))
    cost_owners = [place for place, count in zip(places, cost_counts, strict=True) for _ in range(count)]
    cost_columns, cost_keys = _costs(costs, cost_owners, texts, own)
    session_keys = _finish_sessions(sessions, session_columns, cost_columns, cost_owners, texts, own)
    outputs = _outputs(session_columns["artifact"], own)
    if texts.odd:
        raise _OddError(texts.odd)
    _check_keys(versions, session_keys + message_keys + call_keys + cost_keys, texts.seen)
    for name, count in own.counts.items():
        drift.count(name, count)
    return Batch(
        versions,
        session_columns,
        {
            schema.MESSAGES: (counts, message_columns),
            schema.TOOL_CALLS: (call_counts, call_columns),
            schema.COSTS: (cost_counts, cost_columns),
            schema.STRUCTURED_OUTPUTS: outputs,
        },
    )
