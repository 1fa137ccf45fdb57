"""Messages and their tool calls to columns, many sessions at once.

Most of a session's JSON are its messages, so most of flattening is done here. Arrow's own JSON reader makes columns of them
without a Python object a message. It is told every member that has a column, and refuses all that would lose something:
other members, other types, repeated keys, half surrogates. What it refuses, or what has `metadata`, which stays JSON
text, is decoded into structs; what does not fit these either is odd and left to `flatten_generic`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from vapi_sessions.flatten_columns import (
    ABSENT,
    Builder,
    Children,
    Columns,
    mirror,
    plain_zeros,
    repeat_each,
    repeating,
    starts,
)
from vapi_sessions.flatten_generic import ASSISTANT_ROLES, KNOWN_ROLES, RESULT_ROLES
from vapi_sessions.flatten_reader import MAX_TIME, MIN_TIME

#: Fewer sessions than that are not divided again to find the one that Arrow's reader refuses.
_FEW: Final = 16
#: Bytes of JSON at a time: the reader's own structures are several times as large.
_BLOCK: Final = 2_000_000


class Call(NamedTuple):
    """A tool call."""

    id: str | None
    type: str | None
    name: str | None
    arguments: str | None


@dataclass(slots=True)
class _Fields:
    """All messages of some sessions: how many each has, and the members by name. `calls`: by place, where there are any."""

    counts: list[int]
    owners: pa.Array
    columns: dict[str, pa.Array]
    calls: dict[int, list[Call]]


@dataclass(frozen=True, slots=True)
class Messages:
    """The rows of some sessions, and what the sessions themselves say about theirs."""

    children: Children
    tool_calls: Children
    user_counts: pa.Array
    assistant_counts: pa.Array


# ---------------------------------------------------------------------------------------------------------------------
# By Arrow's reader.

_TEXTS: Final = ("role", "content", "name", "tool_call_id", "refusal", "message", "toolCallId")
_NUMBERS: Final = ("time", "endTime", "secondsFromStart", "duration", "confidence")
_FUNCTION: Final = pa.struct([("name", pa.string()), ("arguments", pa.string())])
_CALLS: Final = pa.list_(pa.struct([("id", pa.string()), ("type", pa.string()), ("function", _FUNCTION)]))
_LISTS: Final = ("tool_calls", "toolCalls")
_MESSAGE: Final = pa.struct(
    [
        *((name, pa.string()) for name in _TEXTS),
        *((name, pa.float64()) for name in _NUMBERS),
        *((name, _CALLS) for name in _LISTS),
    ]
)
_MESSAGES: Final = pa.list_(_MESSAGE)
_PARSE: Final = pyarrow.json.ParseOptions(
    explicit_schema=pa.schema([("m", _MESSAGES)]), unexpected_field_behavior="error"
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """Messages of some sessions as Arrow's reader gives them: one list a session."""

    lists: pa.Array

    def without(self, positions: frozenset[int]) -> Parsed:
        """Without these sessions."""
        kept = [at for at in range(len(self.lists)) if at not in positions]
        return Parsed(self.lists.take(pa.array(kept, pa.int64())))

    def read(self, build: Builder) -> Messages:
        """Their columns; sessions about which there is doubt are noted as odd."""
        lists = self.lists
        flat = lists.flatten()
        owners = pc.list_parent_indices(lists)
        if flat.null_count:
            build.doubt(flat.is_null(), owners)
        columns = {name: flat.field(name) for name in (*_TEXTS, *_NUMBERS)}
        calls: dict[int, list[Call]] = {}
        for name in reversed(_LISTS):  # where both have some, the first name's are the calls
            found = flat.field(name)
            places = pc.indices_nonzero(pc.greater(pc.list_value_length(found), 0).fill_null(False))
            for at, own in zip(places.to_pylist(), found.take(places).to_pylist(), strict=True):
                if None in own:
                    build.odd.add(owners[at].as_py())
                calls[at] = [_call(item) for item in own if item is not None]
            columns[name] = found
        counts = pc.list_value_length(lists).fill_null(0).to_pylist()
        return _messages(_Fields(counts, owners, columns, calls), build)


def _call(item: dict[str, Any]) -> Call:
    function = item["function"] or {}
    return Call(item["id"], item["type"], function.get("name"), function.get("arguments"))


def parse(raws: Sequence[bytes]) -> tuple[Parsed, list[int], list[int]]:
    """JSON texts of the sessions' `messages`: what Arrow's reader takes, the positions of these, and of the others."""
    arrays: list[pa.Array] = []
    taken: list[int] = []
    refused: list[int] = []
    waiting: list[list[int]] = []
    size = 0
    for at, raw in enumerate(raws):
        if b'"metadata"' in raw:
            refused.append(at)
            continue
        if not waiting or size + len(raw) > _BLOCK:
            waiting.append([])
            size = 0
        waiting[-1].append(at)
        size += len(raw)
    waiting.reverse()
    while waiting:
        positions = waiting.pop()
        array = _parse_block([raws[at] for at in positions])
        if array is not None:
            arrays.append(array)
            taken += positions
        elif len(positions) <= _FEW:
            refused += positions
        else:
            middle = len(positions) // 2
            waiting += (positions[middle:], positions[:middle])
    lists = pa.concat_arrays(arrays) if arrays else pa.array([], _MESSAGES)
    return Parsed(lists), taken, sorted(refused)


def _parse_block(raws: Sequence[bytes]) -> pa.Array | None:
    block = b"".join((b'{"m":', b'}{"m":'.join(raws), b"}"))
    options = pyarrow.json.ReadOptions(use_threads=False, block_size=len(block) + 1)
    try:
        table = pyarrow.json.read_json(pa.BufferReader(block), options, _PARSE)
    except pa.ArrowInvalid:
        return None
    found = table.column("m")
    return found.chunk(0) if len(found) == len(raws) and found.num_chunks == 1 else None


# ---------------------------------------------------------------------------------------------------------------------
# By structs. A bound in a type sends what a column cannot hold exactly to the generic way.

_Double = Annotated[float, msgspec.Meta(gt=-(2**53), lt=2**53)]
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


class _Message(_Strict, gc=False):
    """A chat message, or one of a call."""

    role: str | None = None
    content: str | None = None
    name: str | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    message: str | None = None
    toolCallId: str | None = None  # noqa: N815 -- the source's name
    time: _Millis | None = None
    endTime: _Millis | None = None  # noqa: N815 -- the source's name
    secondsFromStart: _Double | None = None  # noqa: N815 -- the source's name
    duration: _Double | None = None
    confidence: _Double | None = None
    tool_calls: list[_Call] | None = None
    toolCalls: list[_Call] | None = None  # noqa: N815 -- the source's name
    metadata: msgspec.Raw = ABSENT


_structs: Final = msgspec.json.Decoder(list[_Message] | None).decode
_CallMirrors: Final = list[mirror(_Call, function=mirror(_Function))]  # type: ignore[misc]  # made just now
_mirrors: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(
    list[mirror(_Message, tool_calls=_CallMirrors, toolCalls=_CallMirrors)] | None  # type: ignore[misc]  # made just now
).decode
_NO_FUNCTION: Final = _Function()


def decode(raw: bytes) -> list[Any] | None:
    """The structs of one session's messages; None if they do not fit."""
    try:
        return _structs(raw) or []
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class Decoded:
    """Messages of some sessions as structs, and the JSON texts they are from."""

    lists: list[list[Any]]
    raws: list[bytes]

    def without(self, positions: frozenset[int]) -> Decoded:
        """Without these sessions."""
        kept = [at for at in range(len(self.lists)) if at not in positions]
        return Decoded([self.lists[at] for at in kept], [self.raws[at] for at in kept])

    def read(self, build: Builder) -> Messages:
        """Their columns; sessions about which there is doubt are noted as odd."""
        counts = [len(own) for own in self.lists]
        owners = repeat_each(counts)
        messages = [message for own in self.lists for message in own]
        columns = {name: pa.array([getattr(m, name) for m in messages], pa.string()) for name in _TEXTS}
        columns |= {name: pa.array([getattr(m, name) for m in messages], pa.float64()) for name in _NUMBERS}
        columns["metadata"] = pa.array(
            build.texts([message.metadata for message in messages], owners.to_pylist()), pa.string()
        )
        calls: dict[int, list[Call]] = {}
        for name in reversed(_LISTS):
            lists = [getattr(message, name) for message in messages]
            columns[name] = pa.array([None if calls is None else True for calls in lists], pa.bool_())
            for at, found in enumerate(lists):
                if found:
                    calls[at] = [_from_struct(call) for call in found]
        build.odd.update(repeating(self.raws, _mirrors))
        return _messages(_Fields(counts, owners, columns, calls), build)


def _from_struct(call: _Call) -> Call:
    function = call.function or _NO_FUNCTION
    return Call(call.id, call.type, function.name, function.arguments)


# ---------------------------------------------------------------------------------------------------------------------
# Columns.

_RESULT_ROLES: Final = pa.array(sorted(RESULT_ROLES), pa.string())
_ASSISTANT_ROLES: Final = pa.array(sorted(ASSISTANT_ROLES), pa.string())


def _messages(found: _Fields, build: Builder) -> Messages:
    fields, owners = found.columns, found.owners
    times = ("time", "endTime", "secondsFromStart", "duration")
    for name, lowest, highest in (
        ("time", MIN_TIME // 1000, MAX_TIME // 1000),
        ("endTime", MIN_TIME // 1000, MAX_TIME // 1000),
        ("secondsFromStart", 1 - 2**53, 2**53 - 1),
        ("duration", 1 - 2**53, 2**53 - 1),
        ("confidence", 1 - 2**53, 2**53 - 1),
    ):
        within = pc.and_(pc.greater_equal(fields[name], lowest), pc.less_equal(fields[name], highest))
        build.doubt(pc.invert(within), owners)
    # The names that go with the other kind of message: what `usual_keys` of the generic way would have to note.
    timed = _any_valid(*(fields[name] for name in times))
    written = _any_valid(fields["content"], fields["tool_call_id"], fields["tool_calls"])
    spoken = _any_valid(fields["message"], fields["toolCallId"], fields["toolCalls"])
    build.doubt(pc.or_(pc.and_(timed, written), pc.and_not(spoken, timed)), owners)
    build.check()
    for role, count in _counted(fields["role"]):
        if role not in KNOWN_ROLES and role is not None:
            build.drift.add("message.role=", role, by=count)
    calls = [0] * len(owners)
    for at, own in found.calls.items():
        calls[at] = len(own)
    columns: Columns = {
        "role": fields["role"],
        "content": _either(fields["content"], fields["message"]),
        "name": fields["name"],
        "tool_call_id": _either(fields["tool_call_id"], fields["toolCallId"]),
        "refusal": fields["refusal"],
        "sent_at": build.moments(fields["time"], owners),
        "ended_at": build.moments(fields["endTime"], owners),
        "seconds_from_start": plain_zeros(fields["secondsFromStart"]),
        "duration_seconds": plain_zeros(fields["duration"]),
        "confidence": plain_zeros(fields["confidence"]),
        "tool_call_count": calls,
        "metadata": fields.get("metadata"),
    }
    return Messages(
        (found.counts, columns),
        _tool_calls(found, columns),
        _sums(pc.equal(fields["role"], "user"), found.counts),
        _sums(pc.is_in(fields["role"], value_set=_ASSISTANT_ROLES), found.counts),
    )


def _any_valid(first: pa.Array, *others: pa.Array) -> pa.Array:
    mask = pc.is_valid(first)
    for column in others:
        if column.null_count < len(column):
            mask = pc.or_(mask, pc.is_valid(column))
    return mask


def _either(first: pa.Array, second: pa.Array) -> pa.Array:
    if second.null_count == len(second):
        return first
    return second if first.null_count == len(first) else pc.coalesce(first, second)


def _counted(values: pa.Array) -> list[tuple[str | None, int]]:
    return [(pair["values"], pair["counts"]) for pair in pc.value_counts(values).to_pylist()]


def _sums(mask: pa.Array, counts: Sequence[int]) -> pa.Array:
    """For each session, how many of its rows the mask selects."""
    sums = pc.cumulative_sum(mask.fill_null(False).cast(pa.int32()))
    sums = pa.concat_arrays([pa.array([0], pa.int32()), sums])
    edges = pa.array(starts(counts), pa.int64())
    return pc.subtract(sums.take(edges[1:]), sums.take(edges[:-1]))


def _tool_calls(found: _Fields, columns: Columns) -> Children:
    places = [at for at in sorted(found.calls) for _ in found.calls[at]]
    calls = [call for at in sorted(found.calls) for call in found.calls[at]]
    whose = found.owners.take(pa.array(places, pa.int64())).to_pylist()
    first = starts(found.counts)

    # The first message after the call that answers to its id, and to no call before.
    named = columns["tool_call_id"]
    answering = pc.indices_nonzero(
        pc.and_(pc.is_valid(named), pc.is_in(columns["role"], value_set=_RESULT_ROLES))
    )
    answers: dict[tuple[int, str], list[int]] = {}
    for at, owner, call_id in zip(
        answering.to_pylist(),
        found.owners.take(answering).to_pylist(),
        named.take(answering).to_pylist(),
        strict=True,
    ):
        answers.setdefault((owner, call_id), []).append(at)
    results: list[int | None] = []
    for place, owner, call in zip(places, whose, calls, strict=True):
        waiting = answers.get((owner, call.id)) if call.id is not None else None
        answer = next((at for at in waiting if at > place), None) if waiting else None
        if waiting and answer is not None:
            waiting.remove(answer)
        results.append(answer)

    counts = [0] * len(found.counts)
    for owner in whose:
        counts[owner] += 1
    return counts, {
        "message_index": [place - first[owner] for place, owner in zip(places, whose, strict=True)],
        "tool_call_index": [index for at in sorted(found.calls) for index in range(len(found.calls[at]))],
        "tool_call_id": [call.id for call in calls],
        "type": [call.type for call in calls],
        "function_name": [call.name for call in calls],
        "arguments": [call.arguments for call in calls],
        "result": columns["content"].take(pa.array(results, pa.int64())),
        "result_message_index": [
            None if at is None else at - first[owner] for at, owner in zip(results, whose, strict=True)
        ],
    }
