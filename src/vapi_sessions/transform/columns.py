"""Sessions, costs and structured outputs to columns; rows are in the order of their sessions. Pure.

And what `flatten_messages` has in common with this.
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
from vapi_sessions.transform.decoders import Gathered, Reader, extra
from vapi_sessions.transform.mapping import ABSENT, COST, CUSTOMER, MAX_TIME, MIN_TIME, MODEL

Columns = dict[str, Any]
#: How many rows each session has in a table, and the columns of all of them.
Children = tuple[list[int], Columns]

#: The contract's default for `expirationSeconds`.
DEFAULT_EXPIRATION: Final = 86_400
KNOWN_COST_TYPES: Final = frozenset({"model", "analysis", "session"})


def starts(counts: Sequence[int]) -> list[int]:
    """[2, 0, 1] to 0, 2, 2, 3: where each one's rows begin, and where the last one's end."""
    return [0, *accumulate(counts)]


def repeat_each(counts: Sequence[int]) -> pa.Array:
    """[2, 0, 1] to 0, 0, 2: whose each row is."""
    edges = pa.array(starts(counts), pa.int32())
    return pc.list_parent_indices(pa.ListArray.from_arrays(edges, pa.nulls(edges[-1].as_py())))


def positions(counts: Sequence[int]) -> list[int]:
    """[2, 0, 1] to 0, 1, 0: each row's place among those of its session."""
    return list(chain.from_iterable(map(range, counts)))


def json_or_none(raw: msgspec.Raw) -> str | None:
    """The text of a value; None if it is absent or null."""
    text = bytes(raw).decode()
    return None if text in ("", "null") else text


def string(text: bytes | None, *path: str) -> str | None:
    """The string at a path inside a value, if there is one."""
    for name in path:
        if text is None or text[:1] != b"{":
            return None
        found = members(text).get(name)
        text = None if found is None else bytes(found)
    return decode(text) if text is not None and text[:1] == b'"' else None


# ---------------------------------------------------------------------------------------------------------------------
# Sessions.


def sessions(found: Gathered, created: Sequence[int], costs: Children) -> Columns:
    """What the sessions' own members say. `created`: of each, µs; `costs`: the rows of all of them."""
    values = found.values
    columns = found.columns() | found.objects("customer", CUSTOMER).columns()
    models = _first_models(costs)
    names = []
    for at, embedded in enumerate(zip(values["assistant"], values["assistantOverrides"], strict=True)):
        name, provider, model = embedded_names(*map(bytes, embedded))
        if provider is None and model is None:
            provider, model = models.get(at, (None, None))
        names.append((name, provider, model))
    lifetimes = zip(values["expirationSeconds"], values["rest"], strict=True)
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
    """assistant_name, model_provider and model_name from the two embedded objects, given as JSON text."""
    name = provider = model = None
    for text in (assistant, overrides):
        if text[:1] == b"{":
            top = members(text)
            inner = bytes(top.get("model", ABSENT))
            name = string(bytes(top.get("name", ABSENT))) if name is None else name
            if provider is None and model is None:
                provider, model = string(inner, "provider"), string(inner, "model")
    return name, provider, model


def _lifetime(seconds: int | None, rest: list[str] | None) -> int | None:
    """In seconds; None if the source gave one that is no number of them."""
    if seconds is None and not any(part.startswith('"expirationSeconds":') for part in rest or ()):
        return DEFAULT_EXPIRATION
    return seconds


def expiry(created_at: int, seconds: int | None) -> int | None:
    """created_at + seconds, in microseconds; null where that is no time that can be shown."""
    at = None if seconds is None else created_at + seconds * 1_000_000
    return at if at is not None and MIN_TIME <= at <= MAX_TIME else None


# ---------------------------------------------------------------------------------------------------------------------
# Costs and structured outputs.


def costs(sessions: Gathered) -> Children:
    """The rows of the sessions' costs."""
    found, drift = sessions.lists("costs", COST), sessions.reader.drift
    for type_ in {*found.values["type"]} - KNOWN_COST_TYPES - {None}:
        drift.add("cost.type=", type_, by=found.values["type"].count(type_))
    models = []
    for at, text in enumerate(found.texts("model", b"{")):
        model = _NO_MODEL if text is None else _model(text, sessions.reader.strict)
        models.append(model)
        if model.rest is not None:
            found.mark(at, "model", model.rest)
            for key, count in model.drift:
                drift.count(key, count)
    return found.counts, found.columns() | {
        "cost_index": positions(found.counts),
        "model_provider": [model.provider for model in models],
        "model_name": [model.name for model in models],
        "extra": found.extras(),
    }


class _Model(NamedTuple):
    """A cost's model; `rest`: what else it says as JSON, `drift`: what that is called."""

    provider: str | None = None
    name: str | None = None
    rest: str | None = None
    drift: tuple[tuple[str, int], ...] = ()


_NO_MODEL: Final = _Model()


@lru_cache(maxsize=512)
def _model(text: bytes, strict: bool) -> _Model:
    """Mostly the same few configurations again and again."""
    reader = Reader(strict=strict)
    model = reader.one(MODEL, text)
    rest = None if model.rest is None else extra(model.rest)
    return _Model(model.provider, model.model, rest, tuple(reader.drift.counts.items()))


def _first_models(costs: Children) -> dict[int, tuple[str | None, str | None]]:
    """For each session, the model of the first cost that names one."""
    first: dict[int, tuple[str | None, str | None]] = {}
    counts, columns = costs
    owners = (owner for owner, count in enumerate(counts) for _ in range(count))
    for owner, *model in zip(owners, columns["model_provider"], columns["model_name"], strict=True):
        if owner not in first and model != [None, None]:
            first[owner] = model[0], model[1]
    return first


def outputs(sessions: Gathered) -> Children:
    """The rows of the sessions' structured outputs, of `{id: {name, result}}`; of another shape, the whole value is the result."""
    counts: list[int] = []
    rows: list[tuple[str, str | None, str | None]] = []
    for artifact in sessions.values["artifact"]:
        before = len(rows)
        text = bytes(artifact)
        try:
            found = _artifact(text).structuredOutputs if text[:1] == b"{" else None
        except ValueError:
            sessions.reader.drift.add("session.artifact.", "structuredOutputs", ":retyped")
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
