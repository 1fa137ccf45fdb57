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
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

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
    OUTPUT_COLUMNS,
    RESULT_ROLES,
    embedded_names,
    expiry,
    moment,
    structured_output_rows,
)
from vapi_sessions.flatten_reader import MAX_TIME, MIN_TIME, Drift, Extra, Reader
from vapi_sessions.json_text import castable, members, peek

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


_NO_CUSTOMER: Final = _Customer()
_NO_FIELDS: Final = (("numberE164CheckEnabled", None), ("extension", None))
_TEXTS: Final = ("name", "status", "assistantId", "squadId", "customerId", "phoneNumberId")
_RAWS: Final = ("artifact", "metadata", "assistant", "assistantOverrides", "squad", "phoneNumber")
_KNOWN: Final = frozenset(
    (
        *_TEXTS,
        *_RAWS,
        "id",
        "orgId",
        "createdAt",
        "updatedAt",
        "expirationSeconds",
        "customer",
        "cost",
        "costs",
        "messages",
    )
)


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


class _Read(NamedTuple):
    """A session that looks ordinary: its struct, the JSON that this is all of, and other members with their text."""

    version: Version
    session: Any
    body: bytes
    rest: tuple[tuple[str, str], ...]


def batches(versions: Sequence[Version], drift: Drift) -> tuple[list[Batch], list[Version]]:
    """The ordinary sessions among them, and the others."""
    written: list[_Read] = []
    spoken: list[_Read] = []
    odd: list[Version] = []
    for version in versions:
        body: bytes = version.body
        rest: tuple[tuple[str, str], ...] = ()
        session, is_spoken = _struct(body)
        if session is None:
            body, rest = _without_unknown(body)
            session, is_spoken = _struct(body)
        if session is None or session.id != version.session_id or session.orgId != version.org_id:
            odd.append(version)
        else:
            (spoken if is_spoken else written).append(_Read(version, session, body, rest))
    done: list[Batch] = []
    for found, is_spoken in ((written, False), (spoken, True)):
        while found:
            try:
                done.append(_batch(found, is_spoken, drift))
                break
            except _OddError as error:
                odd.extend(read.version for at, read in enumerate(found) if at in error.positions)
                found = [read for at, read in enumerate(found) if at not in error.positions]
    return done, odd


def _struct(body: bytes) -> tuple[Any, bool]:
    """The struct (None if it does not fit), and whether its messages may be spoken ones."""
    likely = b'"message":' in body  # the kinds fail on each other's messages, which stand at the end
    for spoken in (likely, not likely):
        try:
            return (_spoken if spoken else _written)(body), spoken
        except (ValueError, RecursionError):
            continue
    return None, False


def _without_unknown(body: bytes) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """A session without the members we do not know, and these: a source that grew a field must not cost the fast way."""
    try:
        found = members(body.decode())
    except (ValueError, RecursionError):
        return b"", ()
    rest = tuple((name, text) for name, text in found if name not in _KNOWN)
    if not rest or len(dict(found)) != len(found):
        return b"", ()
    return (
        "{" + ",".join([f'"{name}":{text}' for name, text in found if name in _KNOWN]) + "}"
    ).encode(), rest


# ---------------------------------------------------------------------------------------------------------------------
# Columns.

_MOMENT: Final = pa.timestamp("us", "UTC")


class _Builder:
    """Builds columns, and keeps what tells whether the sessions were ordinary after all."""

    def __init__(self) -> None:
        #: How many keys of the JSON the columns account for.
        self.keys = 0
        #: Values that were not decoded.
        self.raws: list[bytes] = []
        #: Positions of sessions that are not ordinary.
        self.odd: set[int] = set()
        self.drift = Drift()

    def column(self, values: Sequence[Any], type_: pa.DataType) -> pa.Array:
        """A column of which every value stood under a key."""
        column = pa.array(values, type_)
        self.keys += len(column) - column.null_count
        return column

    def strings(self, values: Sequence[str | None]) -> pa.Array:
        return self.column(values, pa.string())

    def texts(self, raws: list[msgspec.Raw], owners: Iterable[int]) -> list[str | None]:
        """Values as JSON text; one that DuckDB refuses makes its session odd."""
        if raws.count(_ABSENT) == len(raws):
            return [None] * len(raws)
        return [
            None if raw is _ABSENT else self._text(bytes(raw), owner)
            for raw, owner in zip(raws, owners, strict=True)
        ]

    def _text(self, raw: bytes, owner: int) -> str | None:
        if raw == b"null":
            return None
        self.keys += 1
        self.raws.append(raw)
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            self.odd.add(owner)
            return None
        if not castable(text):
            self.odd.add(owner)
        return text

    def moments(self, millis: Sequence[float | None], owners: Sequence[int]) -> pa.Array:
        """Epoch milliseconds; one that is finer than a microsecond makes its session odd."""
        values = self.column(millis, pa.float64())
        if values.null_count == len(values):
            return pa.nulls(len(values), _MOMENT)
        micros = pc.round(pc.multiply(values, 1000.0), round_mode="half_to_even")
        self.doubt(pc.not_equal(pc.divide(micros, 1000.0), values), owners)
        return micros.cast(pa.int64()).cast(_MOMENT)

    def doubt(self, mask: pa.Array, owners: Sequence[int]) -> None:
        """Makes the owners of the rows that the mask selects odd."""
        self.odd.update(owners[at] for at in pc.indices_nonzero(mask.fill_null(False)).to_pylist())


def _batch(found: Sequence[_Read], spoken: bool, drift: Drift) -> Batch:
    versions = [read.version for read in found]
    sessions = [read.session for read in found]
    build = _Builder()
    children: dict[schema.Table, Children] = {}

    lists = [session.messages or () for session in sessions]
    counts, owners = _flat(lists)
    messages = list(chain.from_iterable(lists))
    roles = [[message.role for message in own] for own in lists]
    columns, calls = _messages(messages, list(chain.from_iterable(roles)), spoken, owners, build)
    children[schema.MESSAGES] = counts, columns
    children[schema.TOOL_CALLS] = _tool_calls(calls, counts, owners, columns, build)

    lists = [session.costs or () for session in sessions]
    counts, owners = _flat(lists)
    columns = _costs(list(chain.from_iterable(lists)), lists, owners, build)
    children[schema.COSTS] = counts, columns

    session_columns = _sessions(versions, sessions, _first_models(columns, owners), build)
    session_columns["extra"] = _extras(found, build)
    session_columns["user_message_count"] = [own.count("user") for own in roles]
    session_columns["assistant_message_count"] = [sum(map(own.count, ASSISTANT_ROLES)) for own in roles]
    children[schema.STRUCTURED_OUTPUTS] = _outputs(session_columns["artifact"], build)

    if not build.odd:
        build.odd.update(_repeating([read.body for read in found], build))
    if build.odd:
        raise _OddError(build.odd)
    drift.join(build.drift)
    return Batch(versions, session_columns, children)


def _flat(lists: Sequence[Sequence[Any]]) -> tuple[list[int], list[int]]:
    """How many elements each list has, and which list each element of all of them is in."""
    counts = [len(own) for own in lists]
    return counts, [place for place, count in enumerate(counts) for _ in range(count)]


def _messages(
    messages: list[Any], roles: list[str | None], spoken: bool, owners: list[int], build: _Builder
) -> tuple[Columns, list[list[_Call] | None]]:
    """Columns of messages, and the tool calls of each."""
    columns: Columns = {
        "role": build.strings(roles),
        "content": build.strings([message.content for message in messages]),
        "name": build.strings([message.name for message in messages]),
        "tool_call_id": build.strings([message.tool_call_id for message in messages]),
        "refusal": build.strings([message.refusal for message in messages]),
        "metadata": build.texts([message.metadata for message in messages], owners),
    }
    calls = [message.tool_calls for message in messages]
    build.keys += len(calls) - calls.count(None)
    for role in {*roles} - KNOWN_ROLES - {None}:
        build.drift.add("message.role=", str(role), by=roles.count(role))
    if spoken:
        texts = build.strings([message.message for message in messages])
        answers = build.strings([message.toolCallId for message in messages])
        camel = [message.toolCalls for message in messages]
        build.keys += len(camel) - camel.count(None)
        times = {
            "sent_at": build.moments([message.time for message in messages], owners),
            "ended_at": build.moments([message.endTime for message in messages], owners),
            "seconds_from_start": build.column([m.secondsFromStart for m in messages], pa.float64()),
            "duration_seconds": build.column([message.duration for message in messages], pa.float64()),
        }
        timed = _any_valid(*times.values())
        # The names that go with the other kind of message: what `usual_keys` of the generic way would have to note.
        written = _any_valid(columns["content"], columns["tool_call_id"], _present(calls))
        other = _any_valid(texts, answers, _present(camel))
        build.doubt(pc.or_(pc.and_(timed, written), pc.and_not(other, timed)), owners)
        columns |= times
        columns["content"] = pc.coalesce(columns["content"], texts)
        columns["tool_call_id"] = pc.coalesce(columns["tool_call_id"], answers)
        calls = [own or other_own for own, other_own in zip(calls, camel, strict=True)]
    columns["tool_call_count"] = [len(own) if own else 0 for own in calls]
    return columns, calls


def _present(values: list[Any]) -> pa.Array:
    return pa.array([None if value is None else True for value in values], pa.bool_())


def _any_valid(first: pa.Array, *others: pa.Array) -> pa.Array:
    mask = pc.is_valid(first)
    for column in others:
        mask = pc.or_(mask, pc.is_valid(column))
    return mask


_RESULT_ROLES: Final = pa.array(sorted(RESULT_ROLES), pa.string())


def _tool_calls(
    lists: list[list[_Call] | None],
    counts: list[int],
    owners: list[int],
    message_columns: Columns,
    build: _Builder,
) -> Children:
    calling = [(at, own) for at, own in enumerate(lists) if own]
    places = [at for at, own in calling for _ in own]
    calls = [call for _, own in calling for call in own]
    ids = [call.id for call in calls]
    functions = [call.function for call in calls]
    build.keys += len(functions) - functions.count(None)
    starts = [0, *accumulate(counts)]

    # The first message after the call that answers to its id, and to no call before.
    roles, named = message_columns["role"], message_columns["tool_call_id"]
    answering = pc.indices_nonzero(pc.and_(pc.is_valid(named), pc.is_in(roles, value_set=_RESULT_ROLES)))
    answers: dict[tuple[int, str], list[int]] = {}
    for at, call_id in zip(answering.to_pylist(), named.take(answering).to_pylist(), strict=True):
        answers.setdefault((owners[at], call_id), []).append(at)
    results: list[int | None] = []
    for place, call_id in zip(places, ids, strict=True):
        waiting = answers.get((owners[place], call_id)) if call_id is not None else None
        found = next((at for at in waiting if at > place), None) if waiting else None
        if waiting and found is not None:
            waiting.remove(found)
        results.append(found)

    own_counts = [0] * len(counts)
    for place in places:
        own_counts[owners[place]] += 1
    return own_counts, {
        "message_index": [place - starts[owners[place]] for place in places],
        "tool_call_index": [index for _, own in calling for index in range(len(own))],
        "tool_call_id": build.strings(ids),
        "type": build.strings([call.type for call in calls]),
        "function_name": build.strings(
            [None if function is None else function.name for function in functions]
        ),
        "arguments": build.strings(
            [None if function is None else function.arguments for function in functions]
        ),
        "result": message_columns["content"].take(pa.array(results, pa.int64())),
        "result_message_index": [
            None if at is None else at - starts[owners[place]]
            for at, place in zip(results, places, strict=True)
        ],
    }


def _costs(
    costs: list[_Cost], lists: Sequence[Sequence[_Cost]], owners: list[int], build: _Builder
) -> Columns:
    types = [cost.type for cost in costs]
    for type_ in {*types} - KNOWN_COST_TYPES - {None}:
        build.drift.add("cost.type=", str(type_), by=types.count(type_))
    models = [
        _NO_MODEL if text is None else _model(text)
        for text in build.texts([cost.model for cost in costs], owners)
    ]
    for at, model in enumerate(models):
        if model is None:
            build.odd.add(owners[at])
        elif model[3]:
            for name, count in model[3]:
                build.drift.count(name, count)
    known = [model or _NO_MODEL for model in models]
    return {
        "cost_index": [index for own in lists for index in range(len(own))],
        "type": build.strings(types),
        "analysis_type": build.strings([cost.analysisType for cost in costs]),
        "model_provider": [model[0] for model in known],
        "model_name": [model[1] for model in known],
        "prompt_tokens": build.column([cost.promptTokens for cost in costs], pa.int64()),
        "completion_tokens": build.column([cost.completionTokens for cost in costs], pa.int64()),
        "cached_prompt_tokens": build.column([cost.cachedPromptTokens for cost in costs], pa.int64()),
        "reasoning_tokens": build.column([cost.reasoningTokens for cost in costs], pa.int64()),
        "cost_usd": build.column([cost.cost for cost in costs], pa.float64()),
        "extra": [None if model[2] is None else f'{{"model":{model[2]}}}' for model in known],
    }


#: model_provider, model_name, what else it says (JSON text), drift.
_Model = tuple[str | None, str | None, str | None, tuple[tuple[str, int], ...]]
_NO_MODEL: Final[_Model] = (None, None, None, ())


@lru_cache(maxsize=512)
def _model(text: str) -> _Model | None:
    """A cost's model: mostly the same few configurations again and again. None: not an object, or too deep."""
    drift = Drift()
    if not text.startswith("{"):
        return None
    try:
        reader = Reader(text, "cost.model.", drift)
        return reader.string("provider"), reader.string("model"), reader.finish(), tuple(drift.counts.items())
    except RecursionError:
        return None


def _first_models(costs: Columns, owners: list[int]) -> dict[int, tuple[str | None, str | None]]:
    """For each session, the model of the first cost that names one."""
    first: dict[int, tuple[str | None, str | None]] = {}
    for owner, provider, name in zip(owners, costs["model_provider"], costs["model_name"], strict=True):
        if owner not in first and (provider is not None or name is not None):
            first[owner] = provider, name
    return first


def _sessions(
    versions: list[Version],
    sessions: list[Any],
    models: dict[int, tuple[str | None, str | None]],
    build: _Builder,
) -> Columns:
    places = range(len(sessions))
    build.keys += 2 * len(sessions)  # id and orgId, compared already
    for texts, known in (
        ([session.createdAt for session in sessions], [version.created_at for version in versions]),
        ([session.updatedAt for session in sessions], [version.updated_at for version in versions]),
    ):
        build.odd.update(_other_moments(build.strings(texts), known))
    raws = {name: build.texts([getattr(session, name) for session in sessions], places) for name in _RAWS}
    names: list[tuple[str | None, str | None, str | None]] = []
    for place, assistant, overrides in zip(
        places, raws["assistant"], raws["assistantOverrides"], strict=True
    ):
        name, provider, model = _NO_MODEL[:3]
        if assistant is not None or overrides is not None:
            try:
                name, provider, model = embedded_names(assistant, overrides)
            except RecursionError:
                build.odd.add(place)
        if provider is None and model is None:
            provider, model = models.get(place, (None, None))
        names.append((name, provider, model))
    seconds = [session.expirationSeconds for session in sessions]
    return {
        "name": build.strings([session.name for session in sessions]),
        "status": build.strings([session.status for session in sessions]),
        "expiration_seconds": build.column(seconds, pa.int64()),
        "expires_at": [
            expiry(version.created_at, DEFAULT_EXPIRATION if given is None else given)
            for version, given in zip(versions, seconds, strict=True)
        ],
        "assistant_id": build.strings([session.assistantId for session in sessions]),
        "assistant_name": [name for name, _, _ in names],
        "squad_id": build.strings([session.squadId for session in sessions]),
        "squad_name": [None if squad is None else peek(squad, "name") for squad in raws["squad"]],
        "model_provider": [provider for _, provider, _ in names],
        "model_name": [model for _, _, model in names],
        "customer_id": build.strings([session.customerId for session in sessions]),
        **_customers(sessions, build),
        "phone_number_id": build.strings([session.phoneNumberId for session in sessions]),
        "cost_usd": build.column([session.cost for session in sessions], pa.float64()),
        "artifact": raws["artifact"],
        "metadata": raws["metadata"],
    }


def _customers(sessions: list[Any], build: _Builder) -> Columns:
    customers = [session.customer for session in sessions]
    build.keys += len(customers) - customers.count(None)
    build.keys += len(customers) - [session.messages for session in sessions].count(None)
    build.keys += len(customers) - [session.costs for session in sessions].count(None)
    known = [customer or _NO_CUSTOMER for customer in customers]
    return {
        "customer_name": build.strings([customer.name for customer in known]),
        "customer_number": build.strings([customer.number for customer in known]),
        "customer_email": build.strings([customer.email for customer in known]),
        "customer_sip_uri": build.strings([customer.sipUri for customer in known]),
        "customer_external_id": build.strings([customer.externalId for customer in known]),
    }


def _extras(found: Sequence[_Read], build: _Builder) -> list[str | None]:
    """What has no column in a session that is ordinary otherwise."""
    extras: list[str | None] = []
    for read in found:
        customer = read.session.customer or _NO_CUSTOMER
        fields = (
            ("numberE164CheckEnabled", customer.numberE164CheckEnabled),
            ("extension", customer.extension),
        )
        if not read.rest and fields == _NO_FIELDS:
            extras.append(None)
            continue
        extra = Extra()
        for name, text in read.rest:
            if text != "null":
                extra.put(name, text)
                build.drift.add("session.", name)
        rest = {name: value for name, value in fields if value is not None}
        if rest:
            extra.mark("customer", msgspec.json.encode(rest).decode())
        for name in rest:
            build.drift.add("session.customer.", name)
        build.keys += len(rest)
        extras.append(extra.text())
    return extras


def _other_moments(texts: pa.Array, known: list[int]) -> list[int]:
    """Where a timestamp in the body is not the version's."""
    try:
        moments = texts.cast(_MOMENT).cast(pa.int64())
    except pa.ArrowInvalid:  # another way to write a timestamp, or none
        return [
            at
            for at, (text, time) in enumerate(zip(texts.to_pylist(), known, strict=True))
            if moment(text) != time
        ]
    same = pc.equal(moments, pa.array(known, pa.int64())).fill_null(False)
    return list(pc.indices_nonzero(pc.invert(same)).to_pylist())


class _Output(msgspec.Struct, gc=False):
    name: str | None = None
    result: msgspec.Raw = _ABSENT


class _Artifact(msgspec.Struct, gc=False):
    structuredOutputs: dict[str, _Output] | None = None  # noqa: N815 -- the source's name


_artifact: Final = msgspec.json.Decoder(_Artifact).decode


def _outputs(artifacts: list[str | None], build: _Builder) -> Children:
    counts: list[int] = []
    rows: list[tuple[Any, ...]] = []
    for artifact in artifacts:
        own = [] if artifact is None else _output_rows(artifact, build.drift)
        counts.append(len(own))
        rows.extend(own)
    return counts, {name: [row[at] for row in rows] for at, name in enumerate(OUTPUT_COLUMNS)}


def _output_rows(artifact: str, drift: Drift) -> list[tuple[Any, ...]]:
    try:
        outputs = _artifact(artifact).structuredOutputs or {}
        if all(output.result is not _ABSENT or output.name is not None for output in outputs.values()):
            results = {key: bytes(output.result).decode() for key, output in outputs.items()}
            return [
                (key, output.name, None if results[key] in ("", "null") else results[key])
                for key, output in outputs.items()
            ]
    except (ValueError, RecursionError):
        pass  # another shape
    return structured_output_rows(artifact, drift)


# ---------------------------------------------------------------------------------------------------------------------
# Repeated keys.

#: The end of a key whose value is not null. Inside a string a quote is escaped, so nothing else looks like this but a
#: string that begins with ":", and that one follows ":", "," or "[" unless there is white space.
_KEY: Final = r"[^\\:,\[]\":\s*[^n\s]"


def _keys_in(texts: list[bytes]) -> int:
    return int(pl.Series(texts, dtype=pl.Binary).cast(pl.String).str.count_matches(_KEY).sum())


def _repeating(bodies: list[bytes], build: _Builder) -> list[int]:
    """Positions of the sessions in which a key of the structs occurs twice: decoding would keep the last one only."""
    if _keys_in(bodies) == build.keys + _keys_in(build.raws):
        return []
    return [at for at, body in enumerate(bodies) if _repeats(body)]


def _repeats(body: bytes) -> bool:
    def look(pairs: list[tuple[str, Any]]) -> None:
        if len(dict(pairs)) != len(pairs):
            raise _OddError(())

    try:
        json.loads(body, object_pairs_hook=look)
    except (_OddError, RecursionError):
        return True
    return False
