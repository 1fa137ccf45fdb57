"""Faults. A lie changes the list before it becomes text; a breakage damages the response on its way.

A reader can tell each of them from an honest response. It cannot do so with several lies that agree with each other, so
these do not occur: at most two answers of a run say falsely that there is no session, and other lies contradict each other.
Comments say where this limits a fault.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import httpx

from vapi_sessions.core.timestamps import SECOND, floor_ms, to_datetime

from .model import Answer, Model

JSON: Final = "application/json"
#: Factor for the fault that a world leans to: in reality, too, the same thing goes wrong again and again.
LEANING: Final = 10
#: Answers of one run that may say falsely that there is no session. The engine believes it after one more.
NOTHING_A_RUN: Final = 2


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as text. `date`: value of the `Date` header, µs, None without one; `age`: of the `Age` header of a cache, s."""

    body: bytes
    date: int | None
    status: int = 200
    kind: str = JSON
    age: int | None = None

    def response(self, request: httpx.Request, **headers: str) -> httpx.Response:
        """The response as httpx returns it."""
        fields = {"content-type": self.kind, **headers}
        if self.date is not None:
            fields["date"] = f"{to_datetime(self.date):%a, %d %b %Y %H:%M:%S} GMT"
        if self.age is not None:
            fields["age"] = str(self.age)
        return httpx.Response(self.status, headers=fields, content=self.body, request=request)


def text(answer: Answer, params: Mapping[str, str]) -> bytes:
    """The JSON of a list response."""
    metadata = {
        "itemsPerPage": answer.limit,
        "totalItems": answer.total,
        "currentPage": int(params.get("page", "1")),
        **({"itemsBeyondRetention": True} if answer.beyond_retention else {}),
    }
    rows = b",".join(version.body for _, version in answer.rows)
    return b'{"results":[' + rows + b'],"metadata":' + json.dumps(metadata).encode() + b"}"


# ---------------------------------------------------------------------------------------------------------------------
# Lies: a list other than the one requested. A lie returns None if it does not apply to the request.


def _only_counts(params: Mapping[str, str]) -> bool:
    """Whether the request is for the count alone: a single row, with a filter. The engine ignores the row."""
    return params.get("limit") == "1" and len(params) > 3


Lie = Callable[[Model, Mapping[str, str], random.Random, int], Answer | None]


def ignored_filter(model: Model, params: Mapping[str, str], rng: random.Random, lag: int) -> Answer | None:
    """A server or a proxy drops one filter or all of them."""
    filters = [name for name in params if name.startswith(("createdAt", "updatedAt")) or name == "idAny"]
    if not filters:
        return None
    dropped = frozenset(filters if rng.random() < 0.3 else [rng.choice(filters)])
    return model.answer(params, ignore=dropped)


def ignored_sort(model: Model, params: Mapping[str, str], rng: random.Random, lag: int) -> Answer | None:
    """Another order. It does not apply if the order looks right by chance: likely enough on pages of 5, never on the real
    pages of 1,000.
    """
    answer = model.answer(params, order=rng.choice(("reversed", "shuffled")))
    shown = [floor_ms(session.created_at) for session, _ in answer.rows]
    looks_right = shown == sorted(shown, reverse=params.get("sortOrder") == "DESC")
    if looks_right and len(set(shown)) > 1:
        return None
    return answer


def stale(model: Model, params: Mapping[str, str], rng: random.Random, lag: int) -> Answer | None:
    """A replica that lags behind, by less than the settling delay."""
    return model.answer(params, model.clock.true - int(rng.random() * lag)) if lag else None


def wrong_total(model: Model, params: Mapping[str, str], rng: random.Random, lag: int) -> Answer | None:
    """Rows and count come from two statements. With a page cap the count is only too high: one too low would agree with the
    short page.
    """
    answer = model.answer(params)
    if answer.total and model.shape.page_cap is None and rng.random() < 0.5:
        return replace(answer, total=rng.randrange(answer.total))
    return replace(answer, total=answer.total + rng.randint(1, 30))


def count_of_this_page(
    model: Model, params: Mapping[str, str], rng: random.Random, lag: int
) -> Answer | None:
    """The count is of this page only."""
    answer = model.answer(params)
    if model.shape.page_cap is not None or not answer.rows or len(answer.rows) == answer.total:
        return None
    return replace(answer, total=len(answer.rows))


def short_page(model: Model, params: Mapping[str, str], rng: random.Random, lag: int) -> Answer | None:
    """Rows are missing; the count is right."""
    answer = model.answer(params)
    if len(answer.rows) < 2 or _only_counts(params):
        return None
    return replace(answer, rows=answer.rows[: rng.randrange(len(answer.rows))])


def repeated_row(model: Model, params: Mapping[str, str], rng: random.Random, lag: int) -> Answer | None:
    """One row twice on a page, perhaps in an older state."""
    answer = model.answer(params)
    if not answer.rows or _only_counts(params):
        return None
    if answer.total > len(answer.rows) and rng.random() < 0.7:
        return None  # with more rows to come, the count contradicts it
    aged = [at for at, (session, version) in enumerate(answer.rows) if session.versions[0] is not version]
    position = rng.choice(aged) if aged and rng.random() < 0.7 else rng.randrange(len(answer.rows))
    session, version = answer.rows[position]
    earlier = [v for v in session.versions if v.updated_at < version.updated_at]
    older = earlier[-1] if earlier else version  # the one most likely to be in the window
    rows = [*answer.rows[:position], (session, version), (session, older), *answer.rows[position + 1 :]]
    return replace(answer, rows=rows[: answer.limit] if rng.random() < 0.5 else rows)


def empty_page(model: Model, params: Mapping[str, str], rng: random.Random, lag: int) -> Answer | None:
    """No rows, although the count is not 0."""
    answer = model.answer(params)
    return replace(answer, rows=[]) if answer.total and not _only_counts(params) else None


def empty_list(model: Model, params: Mapping[str, str], rng: random.Random, lag: int) -> Answer | None:
    """No rows and a count of 0, although there are sessions."""
    if _only_counts(params) and rng.random() < 0.8:
        return None  # most requests are for counts, and a run may have two of these lies
    answer = model.answer(params)
    return replace(answer, rows=[], total=0) if answer.total else None


def negative_total(model: Model, params: Mapping[str, str], rng: random.Random, lag: int) -> Answer | None:
    """A negative count."""
    return replace(model.answer(params), total=-1)


def lie(
    model: Model, params: Mapping[str, str], rng: random.Random, lag: int, only: str = "", leaning: str = ""
) -> tuple[str, Answer] | None:
    """A lie that applies to this request, by weight, with its name. `only`: this lie or none; `leaning`: the likeliest one."""
    names = [only] if only else list(LIES)
    weights = [LIES[name][1] * (LEANING if name == leaning else 1) for name in names]
    for name in rng.choices(names, weights, k=1 if only else 4):
        answer = LIES[name][0](model, params, rng, lag)
        if answer is not None:
            return name, answer
    return None


LIES: Final[dict[str, tuple[Lie, float]]] = {
    "ignored filter": (ignored_filter, 2),
    "ignored sort": (ignored_sort, 2),
    "stale page": (stale, 3),
    "wrong totalItems": (wrong_total, 3),
    "count of this page": (count_of_this_page, 1),
    "short page": (short_page, 3),
    "repeated row": (repeated_row, 5),
    "empty page": (empty_page, 2),
    "empty list": (empty_list, 1),
    "negative totalItems": (negative_total, 0.3),
}


# ---------------------------------------------------------------------------------------------------------------------
# Breakages: the answer is right, but does not arrive as it was sent.

Breakage = Callable[[Reply, httpx.Request, random.Random, Model], httpx.Response]


class _Cut(httpx.SyncByteStream):
    """A body that ends too early, with the error that the transport raises."""

    def __init__(self, part: bytes, error: Exception) -> None:
        self._part = part
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield self._part
        raise self._error


def _cut(reply: Reply, request: httpx.Request, rng: random.Random, error: Exception) -> httpx.Response:
    part = reply.body[: rng.randrange(len(reply.body) or 1)]
    return httpx.Response(200, headers={"content-type": JSON}, stream=_Cut(part, error), request=request)


def cut_length(reply: Reply, request: httpx.Request, rng: random.Random, model: Model) -> httpx.Response:
    """Fewer bytes than Content-Length says."""
    error = httpx.RemoteProtocolError("peer closed connection without sending complete message body")
    return _cut(reply, request, rng, error)


def cut_chunk(reply: Reply, request: httpx.Request, rng: random.Random, model: Model) -> httpx.Response:
    """The last chunk never arrives."""
    return _cut(reply, request, rng, httpx.RemoteProtocolError("incomplete chunked read"))


def cut_gzip(reply: Reply, request: httpx.Request, rng: random.Random, model: Model) -> httpx.Response:
    """A compressed body ends early; only the parser notices it."""
    packed = gzip.compress(reply.body, mtime=0)
    part = replace(reply, body=packed[: rng.randrange(12, max(13, len(packed) - 8))])
    return httpx.Response(
        200,
        headers={"content-type": JSON, "content-encoding": "gzip"},
        stream=_Whole(part.body),
        request=request,
    )


class _Whole(httpx.SyncByteStream):
    """A body without a declared length."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self._body


def cut_open_end(reply: Reply, request: httpx.Request, rng: random.Random, model: Model) -> httpx.Response:
    """The connection closes somewhere in a body without a declared length."""
    return replace(reply, body=reply.body[: rng.randrange(1, len(reply.body))]).response(request)


def cut_in_a_row(reply: Reply, request: httpx.Request, rng: random.Random, model: Model) -> httpx.Response:
    """Cut after a row, or inside a character."""
    at = reply.body.find(b"},{")
    odd = next((i for i, byte in enumerate(reply.body) if byte >= 0xC0), -1)
    at = odd + 1 if odd > 0 and rng.random() < 0.5 else at + 1 if at > 0 else len(reply.body) - 1
    return replace(reply, body=reply.body[:at]).response(request)


def html(reply: Reply, request: httpx.Request, rng: random.Random, model: Model) -> httpx.Response:
    """An HTML page with 200."""
    return replace(reply, body=b"<html>Sign in</html>", kind="text/html").response(request)


def empty(reply: Reply, request: httpx.Request, rng: random.Random, model: Model) -> httpx.Response:
    """An empty body with 200."""
    return replace(reply, body=b"").response(request)


def too_many(reply: Reply, request: httpx.Request, rng: random.Random, model: Model) -> httpx.Response:
    """429 with Retry-After, in seconds or as a date."""
    body = b'{"statusCode":429,"message":"Too Many Requests"}'
    seconds = rng.randint(1, 30)
    after = (
        str(seconds)
        if rng.random() < 0.5
        else f"{to_datetime(model.clock.source() + seconds * SECOND):%a, %d %b %Y %H:%M:%S} GMT"
    )
    return replace(reply, status=429, body=body).response(request, **{"retry-after": after})


def locked_out(reply: Reply, request: httpx.Request, rng: random.Random, model: Model) -> httpx.Response:
    """429 without a header."""
    return replace(reply, status=429, body=b'{"statusCode":429,"message":"Too Many Requests"}').response(
        request
    )


def server_error(reply: Reply, request: httpx.Request, rng: random.Random, model: Model) -> httpx.Response:
    """5xx or 408, in HTML."""
    status = rng.choice((500, 502, 503, 504, 520, 408))
    return replace(reply, status=status, body=b"<html>oops</html>", kind="text/html").response(request)


def timeout(reply: Reply, request: httpx.Request, rng: random.Random, model: Model) -> httpx.Response:
    """No answer in time."""
    model.clock.pass_(120 * SECOND)
    raise rng.choice((httpx.ReadTimeout, httpx.ConnectTimeout))("timed out")


def reset(reply: Reply, request: httpx.Request, rng: random.Random, model: Model) -> httpx.Response:
    """The connection breaks."""
    raise rng.choice((httpx.ReadError, httpx.ConnectError, httpx.WriteError))("connection reset by peer")


def foreign_404(reply: Reply, request: httpx.Request, rng: random.Random, model: Model) -> httpx.Response:
    """404 from a proxy, not from the API: it proves nothing about a session."""
    return replace(reply, status=404, body=b"<html>Not Found</html>", kind="text/html").response(request)


def refused(reply: Reply, request: httpx.Request, rng: random.Random, model: Model) -> httpx.Response:
    """400, 401, 402 or 403."""
    status = rng.choice((400, 401, 402, 403))
    body = json.dumps({"statusCode": status, "message": "no"}).encode()
    return replace(reply, status=status, body=body).response(request)


BREAKAGES: Final[dict[str, tuple[Breakage, float]]] = {
    "429 with a header": (too_many, 1),
    "429 without a header": (locked_out, 1),
    "5xx": (server_error, 2),
    "time-out": (timeout, 1),
    "reset": (reset, 1.5),
    "body cut: Content-Length": (cut_length, 1),
    "body cut: chunks": (cut_chunk, 1),
    "body cut: gzip": (cut_gzip, 1),
    "body cut: open end": (cut_open_end, 1),
    "body cut: between rows": (cut_in_a_row, 1),
    "HTML with 200": (html, 1),
    "empty 200": (empty, 1),
    "foreign 404": (foreign_404, 1),
    "refused": (refused, 0.5),
}
