"""The rows of costs.

A field with a column is declared in its shape and in `schema.py`, and needs nothing else. Fields that are not declared are kept in `extra`
and counted as drift. So are cost types that are not in `KNOWN_COST_TYPES`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from vapi_sessions.transform.columns import Children, positions
from vapi_sessions.transform.decoders import ObjectColumns, ObjectDecoder, extra
from vapi_sessions.transform.shapes import BOOLEAN, DOUBLE, INTEGER, JSON, TEXT, Field, Shape

#: Others are counted as drift.
KNOWN_COST_TYPES: Final = frozenset({"model", "analysis", "session"})

MODEL: Final = Shape(
    "cost.model.", Field("provider", TEXT, "model_provider"), Field("model", TEXT, "model_name")
)
COST: Final = Shape(
    "cost.",
    Field("type", TEXT, "type"),
    Field("analysisType", TEXT, "analysis_type"),
    Field("model", JSON),
    Field("promptTokens", INTEGER, "prompt_tokens"),
    Field("completionTokens", INTEGER, "completion_tokens"),
    Field("cachedPromptTokens", INTEGER, "cached_prompt_tokens"),
    Field("reasoningTokens", INTEGER, "reasoning_tokens"),
    Field("seconds", DOUBLE, "billed_seconds"),
    Field("usageComplete", BOOLEAN, "usage_complete"),
    Field("cost", DOUBLE, "cost_usd"),
)


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


def first_models(costs: Children) -> dict[int, tuple[str | None, str | None]]:
    """For each session, the model of the first cost that names one."""
    first: dict[int, tuple[str | None, str | None]] = {}
    counts, columns = costs
    owners = (owner for owner, count in enumerate(counts) for _ in range(count))
    for owner, *model in zip(owners, columns["model_provider"], columns["model_name"], strict=True):
        if owner not in first and model != [None, None]:
            first[owner] = model[0], model[1]
    return first
