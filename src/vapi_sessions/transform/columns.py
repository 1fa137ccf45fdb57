"""The columns of sessions, costs and structured outputs, and helpers that `messages` uses, too.

Rows are in the order of their sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, chain
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vapi_sessions.core.json_text import decode, members
from vapi_sessions.transform.decoders import ObjectColumns, ObjectDecoder, extra
from vapi_sessions.transform.mapping import COST, CUSTOMER, KNOWN_COST_TYPES, MODEL
from vapi_sessions.transform.shapes import ABSENT, MAX_TIME, MIN_TIME, RETYPED

Columns = dict[str, Any]
#: The number of rows of each session in a table, and the columns of all rows.
Children = tuple[list[int], Columns]

#: The contract's default for `expirationSeconds`.
DEFAULT_EXPIRATION: Final = 86_400


def starts(counts: Sequence[int]) -> list[int]:
    """The index of each session's first row, and the number of rows: [2, 0, 1] gives 0, 2, 2, 3."""
    return [0, *accumulate(counts)]


def repeat_each(counts: Sequence[int]) -> pa.Array:
    """The index of each row's session: [2, 0, 1] gives 0, 0, 2."""
    edges = pa.array(starts(counts), pa.int32())
    return pc.list_parent_indices(pa.ListArray.from_arrays(edges, pa.nulls(edges[-1].as_py())))


def positions(counts: Sequence[int]) -> list[int]:
    """The position of each row in its session: [2, 0, 1] gives 0, 1, 0."""
    return list(chain.from_iterable(map(range, counts)))


def json_or_none(raw: msgspec.Raw) -> str | None:
    """JSON text; None if the value is absent or null."""
    text = bytes(raw).decode()
    return None if text in ("", "null") else text


def string(text: bytes | None, *path: str) -> str | None:
    """The string at a path inside JSON text; None if there is no string."""
    for name in path:
        if text is None or text[:1] != b"{":
            return None
        found = members(text).get(name)
        text = None if found is None else bytes(found)
    return decode(text) if text is not None and text[:1] == b'"' else None


# ---------------------------------------------------------------------------------------------------------------------
# Sessions.


def sessions(found: ObjectColumns, created: Sequence[int], costs: Children) -> Columns:
    """The columns that come from the sessions' own members. `created`: of each session, µs; `costs`: their rows."""
    values = found.values
    columns = found.columns() | found.objects("customer", CUSTOMER).columns()
    models = _first_models(costs)
    names = []
    for at, embedded in enumerate(zip(values["assistant"], values["assistantOverrides"], strict=True)):
        name, provider, model = embedded_names(*map(bytes, embedded))
        if provider is None and model is None:
            provider, model = models.get(at, (None, None))
        names.append((name, provider, model))
    lifetimes = zip(values["expirationSeconds"], values["extra_parts"], strict=True)
    return columns | {
        "expires_at": [
            expiry(begin, _lifetime(*each)) for begin, each in zip(created, lifetimes, strict=True)
        ],
        "assistant_name": [name for name, _, _ in names],
        "squad_name": [string(bytes(squad), "name") for squad in values["squad"]],
        "model_provider": [provider for _, provider, _ in names],
        "model_name": [model for _, _, model in names],
        "artifact": list(map(json_or_none, values["artifact"])),
        "metadata": list(map(json_or_none, values["metadata"])),
        "extra": found.extras(),
    }


def embedded_names(assistant: bytes, overrides: bytes) -> tuple[str | None, str | None, str | None]:
    """assistant_name, model_provider and model_name from the JSON text of both embedded objects. The assistant wins."""
    name = provider = model = None
    for text in (assistant, overrides):
        if text[:1] == b"{":
            top = members(text)
            inner = bytes(top.get("model", ABSENT))
            name = string(bytes(top.get("name", ABSENT))) if name is None else name
            if provider is None and model is None:
                provider, model = string(inner, "provider"), string(inner, "model")
    return name, provider, model


def _lifetime(seconds: int | None, extra_parts: list[str] | None) -> int | None:
    """Seconds until the session expires; None if the source's value is not a number."""
    if seconds is None and not any(part.startswith('"expirationSeconds":') for part in extra_parts or ()):
        return DEFAULT_EXPIRATION
    return seconds


def expiry(created_at: int, seconds: int | None) -> int | None:
    """created_at + seconds, in microseconds; None if it is outside of the range of timestamps."""
    at = None if seconds is None else created_at + seconds * 1_000_000
    return at if at is not None and MIN_TIME <= at <= MAX_TIME else None


# ---------------------------------------------------------------------------------------------------------------------
# Costs and structured outputs.


def costs(sessions: ObjectColumns) -> Children:
    """The rows of the sessions' costs."""
    found, drift = sessions.lists("costs", COST), sessions.decoder.drift
    for type_ in {*found.values["type"]} - KNOWN_COST_TYPES - {None}:
        drift.add("cost.type=", type_, by=found.values["type"].count(type_))
    models = []
    for at, text in enumerate(found.texts("model", b"{")):
        model = _NO_MODEL if text is None else _model(text, sessions.decoder.strict)
        models.append(model)
        if model.extra is not None:
            found.add_part(at, "model", model.extra)
            for key, count in model.drift:
                drift.count(key, count)
    return found.counts, found.columns() | {
        "cost_index": positions(found.counts),
        "model_provider": [model.provider for model in models],
        "model_name": [model.name for model in models],
        "extra": found.extras(),
    }


class _Model(NamedTuple):
    """The model of a cost. `extra`: JSON of its other members; `drift`: their names and counts."""

    provider: str | None = None
    name: str | None = None
    extra: str | None = None
    drift: tuple[tuple[str, int], ...] = ()


_NO_MODEL: Final = _Model()


@lru_cache(maxsize=512)  # a few configurations occur in most sessions
def _model(text: bytes, strict: bool) -> _Model:
    decoder = ObjectDecoder(strict=strict)
    model = decoder.one(MODEL, text)
    others = None if model.extra_parts is None else extra(model.extra_parts)
    return _Model(model.provider, model.model, others, tuple(decoder.drift.counts.items()))


def _first_models(costs: Children) -> dict[int, tuple[str | None, str | None]]:
    """For each session, the model of the first cost that names one."""
    first: dict[int, tuple[str | None, str | None]] = {}
    counts, columns = costs
    owners = (owner for owner, count in enumerate(counts) for _ in range(count))
    for owner, *model in zip(owners, columns["model_provider"], columns["model_name"], strict=True):
        if owner not in first and model != [None, None]:
            first[owner] = model[0], model[1]
    return first


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
