"""How the client understands a page, and which bodies it does not accept as a page."""

from __future__ import annotations

import gc
import json
import random
import tracemalloc
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import GOOD, Client, Scripted, ask, failure, json_response, page, session

from constants import EPOCH, ORG
from selection import examples
from vapi_sessions.core.intervals import Window
from vapi_sessions.core.timestamps import HOUR, MINUTE, show
from vapi_sessions.errors import SourceUnavailableError, VapiSessionsError
from vapi_sessions.source.list_query import Query
from vapi_sessions.source.retries import ATTEMPTS


def test_a_page_has_rows_counts_and_the_time_of_its_request() -> None:
    """Times are in microseconds. The JSON of each session is unchanged."""
    one = session(1, messages=[{"role": "user", "content": "é \\u00e9 1.50"}])
    body = json.dumps({"results": [one, session(2)], "metadata": {"totalItems": 7, "itemsPerPage": 2}})
    answer = json_response(body.encode())
    with Client(Scripted(answer)) as client:
        found = client.source.list(Query(limit=2))
    first = found.rows[0]
    assert (first.session_id, first.org_id) == ("session-1", ORG)
    assert (first.created_at, first.updated_at) == (EPOCH + 123_000, EPOCH + 1_456_000)
    assert first.body.decode() == json.dumps(one)
    assert (len(found.rows), found.total, found.limit, found.seq) == (2, 7, 2, 1)
    assert (found.requested_at, found.size) == (EPOCH, len(body))


@pytest.mark.parametrize(
    ("reported", "asked", "expected"), [(100, 1000, 100), (1000, 50, 50), (0, 50, 50), (-1, 50, 50)]
)
def test_a_server_may_cap_the_page_size(reported: int, asked: int, expected: int) -> None:
    """A larger or invalid value in the metadata does not raise it."""
    with Client(Scripted(page(session(), itemsPerPage=reported))) as client:
        assert client.source.list(Query(limit=asked)).limit == expected


def test_unknown_metadata_is_ignored() -> None:
    """New fields are not an error."""
    assert ask(page(session(), nextCursor="abc", totalPages=9, hasNextPage=True, surprise={})).total == 1


@pytest.mark.parametrize(
    ("metadata", "asked", "expected"),
    [
        ({}, EPOCH, False),
        ({"itemsBeyondRetention": False}, EPOCH, False),
        ({"itemsBeyondRetention": True}, EPOCH, True),
        ({"createdAtGe": show(EPOCH)}, EPOCH, False),
        ({"createdAtGe": show(EPOCH + HOUR)}, EPOCH, True),
        ({"createdAtGe": show(EPOCH + HOUR)}, None, False),
    ],
    ids=["nothing", "no", "yes", "bound echoed", "later bound echoed", "no bound requested"],
)
def test_a_page_may_say_that_older_sessions_are_omitted(
    metadata: dict[str, Any], asked: int | None, expected: bool
) -> None:
    """By a flag, or by a later bound than requested."""
    created = None if asked is None else Window(asked, None)
    with Client(Scripted(page(session(), **metadata))) as client:
        assert client.source.list(Query(created=created)).beyond_retention is expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"date": "Sun, 01 Mar 2026 00:05:00 GMT"}, EPOCH + 5 * MINUTE),
        ({"date": "Sun, 01 Mar 2026 00:05:00 GMT", "age": "0"}, None),
        ({"date": "Sun, 01 Mar 2026 00:05:00 GMT", "age": "77"}, None),
        ({"date": "yesterday"}, None),
        ({}, None),
    ],
    ids=["date", "new in a cache", "old in a cache", "invalid date", "no date"],
)
def test_the_sources_clock_is_the_date_header(headers: dict[str, str], expected: int | None) -> None:
    """Unless a cache sent the response."""
    answer = page(session())
    answer.headers.update(headers)
    assert ask(answer).server_time == expected


WHOLE = GOOD.content


ENVELOPES: dict[str, bytes] = {
    "an array": b"[]",
    "a number": b"1",
    "null": b"null",
    "no results": b'{"metadata": {"totalItems": 0, "itemsPerPage": 10}}',
    "no metadata": b'{"results": []}',
    "results null": b'{"results": null, "metadata": {"totalItems": 0, "itemsPerPage": 10}}',
    "results an object": b'{"results": {}, "metadata": {"totalItems": 0, "itemsPerPage": 10}}',
    "no total": b'{"results": [], "metadata": {"itemsPerPage": 10}}',
    "no page size": b'{"results": [], "metadata": {"totalItems": 0}}',
    "total null": b'{"results": [], "metadata": {"totalItems": null, "itemsPerPage": 10}}',
    "total negative": b'{"results": [], "metadata": {"totalItems": -1, "itemsPerPage": 10}}',
    "total a fraction": b'{"results": [], "metadata": {"totalItems": 1.5, "itemsPerPage": 10}}',
    "an error as 200": b'{"statusCode": 500, "message": "oops"}',
    "half": WHOLE[: len(WHOLE) // 2],
    "two of it": WHOLE + WHOLE,
    "not UTF-8": WHOLE.replace(b"session-1", b"session-\xff"),
    "UTF-16": WHOLE.decode().encode("utf-16"),
    "NaN": WHOLE.replace(b'"totalItems":1', b'"totalItems":NaN'),
    "too deep": b'{"results": [' + b"[" * 100_000,
}


@pytest.mark.parametrize("body", ENVELOPES.values(), ids=ENVELOPES)
def test_json_that_is_not_a_list_of_sessions_is_an_error(body: bytes) -> None:
    """The request is repeated before the error is raised."""
    bad = json_response(body)
    assert [row.session_id for row in ask(bad, bad, GOOD).rows] == ["session-1"]
    error = failure(bad)
    assert type(error) is SourceUnavailableError
    assert f"Gave up after {ATTEMPTS} attempts" in error.fact


@given(st.integers(0, len(WHOLE) - 1))
@examples(60)
def test_a_truncated_page_is_an_error(length: int) -> None:
    """Wherever the body is cut, it is not taken for a page with fewer rows."""
    cut = json_response(WHOLE[:length])
    assert ask(cut, GOOD).total == 1
    assert type(failure(cut)) is SourceUnavailableError


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<html>Sign in to the network</html>", "text/html"),
        (WHOLE, "text/html; charset=utf-8"),
        (WHOLE, "text/plain"),
        (WHOLE, ""),
        (b"", "application/json"),
        (b"", ""),
    ],
    ids=[
        "HTML",
        "JSON declared as HTML",
        "JSON declared as text",
        "no type",
        "empty",
        "empty without a type",
    ],
)
def test_a_body_that_is_not_json_is_not_an_empty_page(body: bytes, content_type: str) -> None:
    """The page of a proxy or an empty body is an error, after retries."""
    headers = {"content-type": content_type} if content_type else {}
    bad = httpx.Response(200, content=body, headers=headers)
    assert ask(bad, GOOD).total == 1
    assert type(failure(bad, after_success=True)) is SourceUnavailableError


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/hal+json"],
)
def test_any_json_content_type_is_accepted(content_type: str) -> None:
    """Parameters and case are ignored."""
    assert ask(httpx.Response(200, content=WHOLE, headers={"content-type": content_type})).total == 1


def test_half_an_emoji_in_one_session_does_not_affect_the_page() -> None:
    """A lone surrogate, where the source truncated a text, becomes U+FFFD. The other session is unchanged."""
    cut = json.dumps(session(1, name="\ud83d")).encode()
    body = b'{"results": [' + cut + b", " + json.dumps(session(2)).encode() + b"], "
    body += b'"metadata": {"totalItems": 2, "itemsPerPage": 10}}'
    found = ask(json_response(body))
    assert [row.session_id for row in found.rows] == ["session-1", "session-2"]
    assert json.loads(found.rows[0].body)["name"] == "\ufffd"


@pytest.mark.parametrize("member", ["results", "metadata"])
def test_a_page_with_a_repeated_member_is_an_error(member: str) -> None:
    """It is not clear which of the two is meant."""
    twice = {"results": b"[]", "metadata": b'{"totalItems": 0, "itemsPerPage": 10}'}[member]
    body = WHOLE[:-1] + b', "' + member.encode() + b'": ' + twice + b"}"
    bad = json_response(body)
    assert ask(bad, GOOD).rows[0].session_id == "session-1"
    assert ask(bad, GOOD).total == 1


def test_any_response_gives_a_page_or_one_of_our_errors() -> None:
    """No combination of status, headers and body raises anything else."""
    rng = random.Random(1)
    bodies = [WHOLE, b"", b"{}", b"[]", b"\xff\xfe", b"<html>", *ENVELOPES.values()]
    kinds = ["application/json", "text/html", "", "application/json; charset=latin-1", ";;;", "\xe9"]
    dates = [
        "",
        "Mon, 01 Jan 0001 00:00:00 +9999",
        "Fri, 31 Dec 9999 23:59:59 -9999",
        "0",
        "Sun, 01 Mar 2026",
    ]
    for _ in range(300):
        headers = [
            (b"content-type", rng.choice(kinds).encode("latin-1")),
            (b"date", rng.choice(dates).encode()),
            (b"retry-after", rng.choice([*dates, "5", "0", "99"]).encode()),
        ]
        status = rng.choice([200, 200, 200, 201, 204, 206, 304, 400, 404, 408, 429, 500, 599])
        answer = httpx.Response(status, content=rng.choice(bodies), headers=headers)
        try:
            outcome = ask(answer).total
        except VapiSessionsError as error:
            outcome = error.exit_code
        assert outcome in (1, 3, 4)


def test_a_page_is_freed_without_the_cycle_collector() -> None:
    """Otherwise pages of several megabytes would accumulate until it runs."""
    body = page(session(name="x" * 3_000_000)).content

    class Stream(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield body[:1000]
            yield body[1000:]

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "application/json"}, stream=Stream())

    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        with Client(handler) as client:
            client.source.list(Query())  # allocates what is kept
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(3):
                client.source.list(Query())
            after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < 1_000_000
