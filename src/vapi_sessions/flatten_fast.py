"""Ordinary sessions to columns, many at once: what `flatten_generic` does one by one.

The rows are the same, and so is the drift; as text, a session's `extra` may have its members in another order here, and a
customer's ones with other escapes.

Sessions whose every member has a column and the type that goes with it are decoded into structs, and each column is one
pass over them; their messages, which are most of the JSON, are `flatten_messages`' business. What does not fit is handed
back: `flatten_generic` takes it. Two things that decoding into structs would hide are looked for in each session: repeated
keys (`flatten_columns.repeating`), and times that are not the version's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vapi_sessions import flatten_messages, schema
from vapi_sessions.flatten_columns import (
    ABSENT,
    Builder,
    Children,
    Columns,
    OddError,
    mirror,
    plain_zeros,
    repeating,
)
from vapi_sessions.flatten_generic import (
    DEFAULT_EXPIRATION,
    KNOWN_COST_TYPES,
    OUTPUT_COLUMNS,
    embedded_names,
    expiry,
    moment,
    structured_output_rows,
)
from vapi_sessions.flatten_reader import Drift, Extra, Reader
from vapi_sessions.json_text import members, peek

if TYPE_CHECKING:
    from vapi_sessions.flatten import Version

# ---------------------------------------------------------------------------------------------------------------------
# The ordinary shapes. A bound in a type sends what a column cannot hold exactly to the generic way.

_Double = Annotated[float, msgspec.Meta(gt=-(2**53), lt=2**53)]
_BigInt = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Strict(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Only what has a column."""


class _Cost(_Strict, gc=False):
    type: str | None = None
    analysisType: str | None = None  # noqa: N815 -- the source's name
    model: msgspec.Raw = ABSENT
    promptTokens: _BigInt | None = None  # noqa: N815 -- the source's name
    completionTokens: _BigInt | None = None  # noqa: N815 -- the source's name
    cachedPromptTokens: _BigInt | None = None  # noqa: N815 -- the source's name
    reasoningTokens: _BigInt | None = None  # noqa: N815 -- the source's name
    seconds: _Double | None = None
    usageComplete: bool | None = None  # noqa: N815 -- the source's name
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


_Session: Final = msgspec.defstruct(
    "_Session",
    [
        *((name, str | None, None) for name in ("id", "orgId", "createdAt", "updatedAt", *_TEXTS)),
        *((name, msgspec.Raw, ABSENT) for name in (*_RAWS, "messages")),
        ("expirationSeconds", _BigInt | None, None),
        ("customer", _Customer | None, None),
        ("cost", _Double | None, None),
        ("costs", list[_Cost] | None, None),
    ],
    bases=(_Strict,),
    gc=False,
)
_decode: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(_Session).decode
_mirror: Final[Callable[[bytes], Any]] = msgspec.json.Decoder(
    mirror(_Session, customer=mirror(_Customer), costs=list[mirror(_Cost)])  # type: ignore[misc]  # made just now
).decode


@dataclass(slots=True)
class Batch:
    """The columns of some sessions, and of their children in the same order."""

    versions: Sequence[Version]
    sessions: Columns
    children: dict[schema.Table, Children]


class _Read(NamedTuple):
    """A session that looks ordinary: its struct, its messages' JSON, the JSON that this is all of, and other members."""

    version: Version
    session: Any
    messages: bytes
    body: bytes
    rest: tuple[tuple[str, str], ...]


def batches(versions: Sequence[Version], drift: Drift) -> tuple[list[Batch], list[Version]]:
    """The ordinary sessions among them, and the others."""
    found: list[_Read] = []
    odd: list[Version] = []
    for version in versions:
        body: bytes = version.body
        rest: tuple[tuple[str, str], ...] = ()
        session = _struct(body)
        if session is None:
            body, rest = _without_unknown(body)
            session = _struct(body)
        if session is None or session.id != version.session_id or session.orgId != version.org_id:
            odd.append(version)
        else:
            found.append(_Read(version, session, bytes(session.messages) or b"null", body, rest))
    parsed, taken, refused = flatten_messages.parse([read.messages for read in found])
    structs: list[list[Any]] = []
    fitting: list[int] = []
    for at in refused:
        messages = flatten_messages.decode(found[at].messages)
        if messages is None:
            odd.append(found[at].version)
        else:
            structs.append(messages)
            fitting.append(at)
    decoded = flatten_messages.Decoded(structs, [found[at].messages for at in fitting])
    done: list[Batch] = []
    for positions, messages_of in ((taken, parsed), (fitting, decoded)):
        reads = [found[at] for at in positions]
        while reads:
            try:
                done.append(_batch(reads, messages_of, drift))
                break
            except OddError as error:
                odd.extend(read.version for at, read in enumerate(reads) if at in error.positions)
                reads = [read for at, read in enumerate(reads) if at not in error.positions]
                messages_of = messages_of.without(error.positions)
    return done, odd


def _struct(body: bytes) -> Any:
    """The struct; None if it does not fit."""
    try:
        return _decode(body)
    except (ValueError, RecursionError):
        return None


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


def _batch(
    found: Sequence[_Read], messages_of: flatten_messages.Parsed | flatten_messages.Decoded, drift: Drift
) -> Batch:
    versions = [read.version for read in found]
    sessions = [read.session for read in found]
    build = Builder()
    children: dict[schema.Table, Children] = {}
    messages = messages_of.read(build)
    children[schema.MESSAGES], children[schema.TOOL_CALLS] = messages.children, messages.tool_calls

    lists = [session.costs or () for session in sessions]
    counts, owners = _flat(lists)
    columns = _costs(list(chain.from_iterable(lists)), lists, owners, build)
    children[schema.COSTS] = counts, columns

    session_columns = _sessions(versions, sessions, _first_models(columns, owners), build)
    session_columns["extra"] = _extras(found, build)
    session_columns["user_message_count"] = messages.user_counts
    session_columns["assistant_message_count"] = messages.assistant_counts
    children[schema.STRUCTURED_OUTPUTS] = _outputs(session_columns["artifact"], build)

    if not build.odd:  # repeated keys among the messages were looked for where these were read
        build.odd.update(repeating([_without(read.messages, read.body) for read in found], _mirror))
    build.check()
    drift.join(build.drift)
    return Batch(versions, session_columns, children)


def _without(messages: bytes, body: bytes) -> bytes:
    """The body with null for its messages: looking where they begin is quicker than searching for all of them.

    It may be null for the same text elsewhere: no harm, since one of two members of a name is dropped whatever they hold.
    """
    at = body.find(_MESSAGES) + len(_MESSAGES)
    if body.startswith(messages, at):
        return body[:at] + b"null" + body[at + len(messages) :]
    return body.replace(messages, b"null", 1)


_MESSAGES: Final = b'"messages":'


def _flat(lists: Sequence[Sequence[Any]]) -> tuple[list[int], list[int]]:
    """How many elements each list has, and which list each element of all of them is in."""
    counts = [len(own) for own in lists]
    return counts, [place for place, count in enumerate(counts) for _ in range(count)]


def _costs(
    costs: list[_Cost], lists: Sequence[Sequence[_Cost]], owners: list[int], build: Builder
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
        "type": types,
        "analysis_type": [cost.analysisType for cost in costs],
        "model_provider": [model[0] for model in known],
        "model_name": [model[1] for model in known],
        "prompt_tokens": [cost.promptTokens for cost in costs],
        "completion_tokens": [cost.completionTokens for cost in costs],
        "cached_prompt_tokens": [cost.cachedPromptTokens for cost in costs],
        "reasoning_tokens": [cost.reasoningTokens for cost in costs],
        "billed_seconds": plain_zeros(pa.array([cost.seconds for cost in costs], pa.float64())),
        "usage_complete": [cost.usageComplete for cost in costs],
        "cost_usd": plain_zeros(pa.array([cost.cost for cost in costs], pa.float64())),
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
    build: Builder,
) -> Columns:
    places = range(len(sessions))
    for texts, known in (
        ([session.createdAt for session in sessions], [version.created_at for version in versions]),
        ([session.updatedAt for session in sessions], [version.updated_at for version in versions]),
    ):
        build.odd.update(_other_moments(pa.array(texts, pa.string()), known))
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
        "name": [session.name for session in sessions],
        "status": [session.status for session in sessions],
        "expiration_seconds": seconds,
        "expires_at": [
            expiry(version.created_at, DEFAULT_EXPIRATION if given is None else given)
            for version, given in zip(versions, seconds, strict=True)
        ],
        "assistant_id": [session.assistantId for session in sessions],
        "assistant_name": [name for name, _, _ in names],
        "squad_id": [session.squadId for session in sessions],
        "squad_name": [None if squad is None else peek(squad, "name") for squad in raws["squad"]],
        "model_provider": [provider for _, provider, _ in names],
        "model_name": [model for _, _, model in names],
        "customer_id": [session.customerId for session in sessions],
        **_customers(sessions),
        "phone_number_id": [session.phoneNumberId for session in sessions],
        "cost_usd": plain_zeros(pa.array([session.cost for session in sessions], pa.float64())),
        "artifact": raws["artifact"],
        "metadata": raws["metadata"],
    }


def _customers(sessions: list[Any]) -> Columns:
    known = [session.customer or _NO_CUSTOMER for session in sessions]
    return {
        "customer_name": [customer.name for customer in known],
        "customer_number": [customer.number for customer in known],
        "customer_email": [customer.email for customer in known],
        "customer_sip_uri": [customer.sipUri for customer in known],
        "customer_external_id": [customer.externalId for customer in known],
    }


def _extras(found: Sequence[_Read], build: Builder) -> list[str | None]:
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
    result: msgspec.Raw = ABSENT


class _Artifact(msgspec.Struct, gc=False):
    structuredOutputs: dict[str, _Output] | None = None  # noqa: N815 -- the source's name


_artifact: Final = msgspec.json.Decoder(_Artifact).decode


def _outputs(artifacts: list[str | None], build: Builder) -> Children:
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
        if all(output.result is not ABSENT or output.name is not None for output in outputs.values()):
            results = {key: bytes(output.result).decode() for key, output in outputs.items()}
            return [
                (key, output.name, None if results[key] in ("", "null") else results[key])
                for key, output in outputs.items()
            ]
    except (ValueError, RecursionError):
        pass  # another shape
    return structured_output_rows(artifact, drift)
