"""Faults of a source: each falsifies one answer, in a way that was seen or is possible."""

from __future__ import annotations

from dataclasses import replace

from source_model import Answer, SourceModel
from vapi_sessions.source.list_query import Query


def short_page(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """Rows are missing; the count is right."""
    keep = model.rng.randrange(len(answer.rows)) if answer.rows else 0
    return replace(answer, rows=answer.rows[:keep])


def empty_page(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """No rows; the count is right."""
    return replace(answer, rows=[])


def empty_source(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """No rows and a count of 0: consistent, but wrong."""
    return replace(answer, rows=[], total=0)


def low_total(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """The rows are right; the count is too small."""
    return replace(answer, total=model.rng.randrange(answer.total) if answer.total else 0)


def high_total(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """The rows are right; the count is too large."""
    return replace(answer, total=answer.total + model.rng.choice((1, 7, 1000)))


def repeated_row(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """A wrong join: one row comes twice and pushes the last row off a full page."""
    if not answer.rows:
        return answer
    position = model.rng.randrange(len(answer.rows))
    rows = [*answer.rows[: position + 1], *answer.rows[position:]]
    return replace(answer, rows=rows[: model.page_size(query)])


def stale_page(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """The answer that was right a few requests ago."""
    return model.answer(query, model.earlier())


def answer_to_another(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """A cache that ignores the query: the answer to one of the last few requests."""
    return model.answer(model.rng.choice(model.queries[-6:]), model.sessions)


def ignored_updated(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """The filter on updatedAt is not applied."""
    return model.answer(replace(query, updated=None), model.sessions)


def ignored_created(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """The filter on createdAt is not applied."""
    return model.answer(replace(query, created=None), model.sessions)


def ignored_order(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """The order is the default of the source, not the one requested."""
    return model.answer(replace(query, order="DESC"), model.sessions)


def no_order(model: SourceModel, query: Query, answer: Answer) -> Answer:
    """Random rows in random order."""
    rows = list(answer.matching)
    model.rng.shuffle(rows)
    return replace(answer, rows=rows[: model.page_size(query)])
